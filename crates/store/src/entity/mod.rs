//! One SeaORM entity per table. Ids, buyers and keys are bytes: the default collation of MySQL
//! takes `Key` for `key`. Times are UTC milliseconds, money is minor units, flags and kinds are
//! the numbers of `domain`.

pub mod barrier_seen;
pub mod campaign;
pub mod cell;
pub mod due;
pub mod fact;
pub mod giveback;
pub mod lease;
pub mod ledger;
pub mod meta;
pub mod money_total;
pub mod offer;
pub mod order_detail;
pub mod order_history;
pub mod order_line;
pub mod orders;
pub mod outbox;
pub mod parked;
pub mod parked_frame;
pub mod pay_session;
pub mod payment;
pub mod progress;
pub mod provider;
pub mod refund;
pub mod task;
pub mod unrowed;
