//! ticket: the argument of `ticket.lua`.
//!
//! An empty ticket means "none" to load, so it cannot be stored.

use domain::CellId;

use crate::script::{Call, TICKET};

/// The call, or why it is none.
pub fn encode(cell: &CellId, ticket: &str) -> Result<Call, String> {
    if !(1..=64).contains(&ticket.len()) {
        return Err("a ticket is 1 to 64 bytes".to_owned());
    }
    let mut out = Call::new(&TICKET, cell, &["t"]);
    out.text(ticket);
    Ok(out)
}
