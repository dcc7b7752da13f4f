//! apply: the arguments and the replies of `apply.lua`.
//!
//! Entries are consecutive; positions other than the first are implied, so they are checked here.

use domain::CellId;

use crate::port::{Applied, ApplyCall, ApplyEntry, MAX_BATCH};
use crate::script::{ADDS_MASK, APPLY, Call};
use crate::value::{Fields, Value};

/// The call, or why it is none.
pub(crate) fn encode(cell: &CellId, call: &ApplyCall) -> Result<Call, String> {
    let n = call.entries.len();
    if n == 0 || n > MAX_BATCH {
        return Err(format!("apply of {n} entries"));
    }
    let expected = call.prev_seq + 1..;
    if call.entries.iter().zip(expected).any(|(e, seq)| e.seq != seq) {
        return Err("apply of entries that do not follow each other".to_owned());
    }
    let keys = ["c", "h", "b0", "b1", "d0", "d1"];
    let mut out = Call::new(&APPLY, cell, &keys).room(2 + 7 * n);
    out.text(call.prev_seq);
    out.text(call.prev_tok);
    for e in &call.entries {
        push(&mut out, e);
    }
    Ok(out)
}

fn push(out: &mut Call, e: &ApplyEntry) {
    out.text(e.kind.code());
    out.bytes(&e.id.key().0);
    out.bytes(&e.id.0);
    out.bytes(e.buyer.as_bytes());
    out.text(e.buyer_hash & ADDS_MASK);
    out.text(e.qty);
    out.text(e.tok);
}

/// The reply.
pub(crate) fn decode(value: Value) -> Result<Applied, String> {
    let mut f = Fields::of(value)?;
    let (code, watermark, bare) = (f.int()?, f.uint()?, f.uint()?);
    match code {
        0 => Ok(Applied::Ok { watermark, without_hold: bare as u32 }),
        1 => Ok(Applied::Missing),
        2 => Ok(Applied::Gap { watermark }),
        3 => Ok(Applied::Fork),
        _ => Err(format!("apply answered code {code}")),
    }
}
