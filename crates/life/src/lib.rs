//! What happens to an order after its row, as gate, desk and clerk call it.
//!
//! What payment providers tell: [`adapter::read`] proves that a callback is the provider's
//! (a signature over its raw body, no older than five minutes) and reads it into the one shape that
//! `domain::life` joins; bytes, secrets and the time are arguments. What they are asked:
//! [`calls::ProviderCalls`], over HTTP in [`http`]. What is asked of lives in the databases:
//! [`ask`].

pub mod adapter;
pub mod ask;
mod breaker;
mod callback;
pub mod calls;
mod generic;
pub mod http;
pub mod refunds;
mod signature;
mod standard;
pub mod statement;
mod stripe;

use sha2::{Digest, Sha256};

/// What is kept of a callback's body.
pub fn hash(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}
