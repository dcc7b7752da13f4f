//! load: the arguments of `load.lua`.
//!
//! Without `staged` the last key is a placeholder that is never read.

use domain::CellId;

use crate::port::{LoadCall, flag_code};
use crate::script::{ADDS_MASK, Call, LOAD};
use crate::stage;

/// The call, or why it is none.
pub(crate) fn encode(cell: &CellId, call: &LoadCall) -> Result<Call, String> {
    if call.inc > ADDS_MASK || call.staged.is_some() != (call.staged_len > 0) {
        return Err("load: inc is below 2^46, staged and staged_len come together".to_owned());
    }
    let staging = stage::key(call.staged.as_deref().unwrap_or("none"));
    let keys = ["c", "h", "b0", "b1", "d0", "d1", "t", &staging];
    let mut out = Call::new(&LOAD, cell, &keys).room(10);
    let t = &call.totals;
    out.text(t.supply);
    out.text(t.net);
    out.text(t.seq);
    out.text(flag_code(t.open));
    out.text(t.tok);
    out.text(call.adds & ADDS_MASK);
    out.text(call.inc);
    out.word(if call.limited { "1" } else { "0" });
    out.text(call.ticket.as_deref().unwrap_or(""));
    out.text(call.staged_len);
    Ok(out)
}
