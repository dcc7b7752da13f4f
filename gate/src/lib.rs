//! The gate: the HTTP edge of the sale.
//!
//! Admission by path, address and buyer comes before the body is read; then one reserve in the
//! cell, one frame in the log, one answer. The gate is stateless: everything it remembers (flags,
//! filters, catalog) may be lost at any moment. It never removes a hold, and it says "no" only
//! under the rules of PROTOCOL 6.3. Deliberately absent: any write to a database on the buyers'
//! side.

pub mod admin;
mod admission;
mod alarm;
mod answer;
mod auth;
mod body;
mod buy;
mod client;
mod emit;
mod failed;
mod front;
mod http;
mod keys;
mod message;
mod metadata;
mod metrics;
mod offers;
mod orders;
mod proxied;
mod remembered;
mod reserve;
mod serve;
mod soldout;
mod state;
mod stream;
mod wait;
mod wire;

pub use answer::Reply;
pub use auth::{Claims, Operator, Role, Tokens, Verified};
pub use http::respond;
pub use serve::{GateListener, bind};
pub use state::{Gate, Starting};
