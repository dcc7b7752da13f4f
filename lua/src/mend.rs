//! mend: the arguments of `mend.lua`.
//!
//! It walks all holds in one script, so the caller pauses the cell first (PROTOCOL 6.6).

use domain::CellId;

use crate::port::{MAX_MEND, MendCall, flag_code};
use crate::script::{Call, MEND};

/// The call, or why it is none.
pub(crate) fn encode(cell: &CellId, call: &MendCall) -> Result<Call, String> {
    if call.buyers.len() > MAX_MEND || call.buyers.iter().any(|(b, _)| b.is_empty()) {
        return Err(format!("mend of {} buyers", call.buyers.len()));
    }
    let t = &call.totals;
    let mut out = Call::new(&MEND, cell, &["c", "h", "b0", "b1"]).room(8 + 2 * call.buyers.len());
    out.text(call.inc);
    out.text(t.seq);
    out.text(call.seen_tok);
    out.text(t.supply);
    out.text(t.net);
    out.text(flag_code(t.open));
    out.text(t.tok);
    out.word(if call.buyers_full { "1" } else { "0" });
    for (buyer, qty) in &call.buyers {
        out.bytes(buyer.as_bytes());
        out.text(qty);
    }
    Ok(out)
}
