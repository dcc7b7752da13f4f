//! What happens to an order after its row: money, goods, facts. Pure.
//!
//! A [`Life`] is an order with everything of it that one database keeps: its payments, its refunds.
//! A store loads it under the locks of the order's and the payments' rows, one of the functions
//! here changes it, and the store writes the differences and what must follow from them
//! ([`Follows`]) in the same transaction. Every function may be called again with the same input:
//! what was done is found done. What an order comes to depends on what became known of it, never on
//! which news came last: see [`settle()`].

pub mod audit;
mod book;
mod death;
mod join;
mod keys;
mod lost;
mod money;
mod names;
mod news;
mod numbered;
mod parcel;
mod payment;
mod policy;
mod provider;
mod reclaim;
mod refund;
mod refunding;
mod sending;
mod session;
mod settle;
mod subject;
mod wish;

pub use book::{
    DueAt, DueWork, Follows, GrantedRefund, IllegalMove, Life, LifeLine, OrderState, TaskDraft,
    Version,
};
pub use death::{CLOSE_TRIES, Cancelled, cancel, close_unknown, expire, reject};
pub use join::{MatchState, join, match_order};
pub use keys::{provider_key, refund_at_provider, successor};
pub use money::{MoneyTotals, RefundNames, taken_back_as};
pub use names::{PaymentId, PaymentKey, ProviderId, RefundId};
pub use news::LifeNews;
pub(crate) use news::{NewsError, UNREADABLE};
pub use parcel::{Parcel, parcel};
pub use payment::{
    NO_CURRENCY, PaySession, Payment, PaymentFate, PaymentNews, PaymentState, ProviderEvent,
};
pub use policy::{Actor, LatePolicy, LifeContext, OfferPolicy, Policies, RefundPolicy, Restock};
pub use provider::{AdapterKind, Provider};
pub use reclaim::{attach, forgo};
pub use refund::{Refund, RefundKey, RefundSort, RefundState};
pub use refunding::{AskedRefund, Portion, RefundAsk, ask_refund, grant};
pub use sending::{RefundAnswer, answer_refund, give_up, retry_refund, send_refund};
pub use session::{SessionAnswer, begin_session, session_key, session_opened};
pub use settle::settle;
pub use subject::TASK_KINDS;
pub use wish::{LifeAnswer, LifeWish, Lives, carry_out};
