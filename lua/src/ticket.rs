//! ticket: the arguments of `ticket.lua`.
//!
//! An empty ticket means "none" to load, so it cannot be stored.

use domain::CellId;

use crate::script::{Call, TICKET};

/// The call, or why it is none.
pub(crate) fn encode(cell: &CellId, ticket: &str, respect_ms: Option<u64>) -> Result<Call, String> {
    if !(1..=64).contains(&ticket.len()) {
        return Err("a ticket is 1 to 64 bytes".to_owned());
    }
    let mut out = Call::new(&TICKET, cell, &["t"]);
    out.text(ticket);
    match respect_ms {
        Some(ms) => out.text(ms),
        None => out.word("renew"),
    };
    Ok(out)
}
