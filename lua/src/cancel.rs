//! cancel: the arguments and the replies of `cancel.lua`.
//!
//! KEPT is [`Changed::Changed`].

use domain::{CellId, Nonce, OrderId};

use crate::port::Changed;
use crate::script::{CANCEL, Call};
use crate::value::{Fields, Value};

/// The call.
pub(crate) fn encode(cell: &CellId, order: OrderId, nonce: Nonce) -> Call {
    let mut out = Call::new(&CANCEL, cell, &["c", "h", "b0"]);
    out.bytes(&order.key().0);
    out.bytes(&order.0);
    out.text(nonce);
    out
}

/// The reply.
pub(crate) fn decode(order: OrderId, value: Value) -> Result<Changed, String> {
    let mut f = Fields::of(value)?;
    f.echo(&order.0)?;
    code(f.int()?)
}

/// The code table that conditional scripts share.
pub(crate) fn code(code: i64) -> Result<Changed, String> {
    match code {
        0 => Ok(Changed::Ok),
        1 => Ok(Changed::Changed),
        2 => Ok(Changed::Exists),
        3 => Ok(Changed::Missing),
        _ => Err(format!("a conditional script answered code {code}")),
    }
}
