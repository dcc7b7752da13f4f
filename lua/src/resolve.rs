//! resolve: the arguments and the replies of `resolve.lua`.
//!
//! The caller gives the seq of each verdict; the script drops only at or below W.

use domain::{CellId, EntryId};

use crate::port::MAX_BATCH;
use crate::script::{Call, RESOLVE};
use crate::value::{Fields, Value};

/// The call, or why it is none.
pub(crate) fn encode(cell: &CellId, ids: &[(EntryId, u64)]) -> Result<Call, String> {
    if ids.is_empty() || ids.len() > MAX_BATCH {
        return Err(format!("resolve of {} holds", ids.len()));
    }
    let mut out = Call::new(&RESOLVE, cell, &["c", "h", "b0"]).room(3 * ids.len());
    for (id, seq) in ids {
        out.bytes(&id.key().0);
        out.bytes(&id.0);
        out.text(seq);
    }
    Ok(out)
}

/// How many holds were dropped; none in a missing cell.
pub(crate) fn decode(value: Value) -> Result<u32, String> {
    let dropped = Fields::of(value)?.int()?;
    u32::try_from(dropped.max(0)).map_err(|e| e.to_string())
}
