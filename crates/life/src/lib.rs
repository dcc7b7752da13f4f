//! What happens to an order after its row, as gate, desk and clerk call it.
//!
//! So far: what payment providers tell. [`adapter::read`] proves that a callback is the provider's
//! (a signature over its raw body, no older than five minutes) and reads it into the one shape that
//! `domain::life` joins. Everything here is pure: bytes, secrets and the time are arguments.

pub mod adapter;
mod callback;
mod generic;
mod signature;
mod standard;
mod stripe;
