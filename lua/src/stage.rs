//! stage: the arguments of `stage.lua`.
//!
//! The staging key lies in the cell's slot and dies 10 min after its last chunk.

use domain::CellId;

use crate::script::{Call, STAGE};

/// The most buyers of one call.
pub(crate) const MAX_STAGE: usize = 1000;

/// The staging key's short name.
pub(crate) fn key(suffix: &str) -> String {
    format!("s:{suffix}")
}

/// The call, or why it is none.
pub(crate) fn encode(cell: &CellId, suffix: &str, b: &[(String, i64)]) -> Result<Call, String> {
    if b.is_empty() || b.len() > MAX_STAGE {
        return Err(format!("stage of {} buyers", b.len()));
    }
    if suffix.is_empty() || suffix.len() > 64 || b.iter().any(|(buyer, _)| buyer.is_empty()) {
        return Err("stage needs a suffix of 1 to 64 bytes and buyers with names".to_owned());
    }
    let mut out = Call::new(&STAGE, cell, &[&key(suffix)]).room(2 * b.len());
    for (buyer, qty) in b {
        out.bytes(buyer.as_bytes());
        out.text(qty);
    }
    Ok(out)
}
