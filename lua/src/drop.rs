//! drop: the arguments of `drop.lua`.
//!
//! Never unconditional: a slow second rebuilder would drop a living cell.

use domain::{CellId, Tok};

use crate::script::{Call, DROP};

/// The call; `seen` is inc, W and tok.
pub(crate) fn encode(cell: &CellId, seen: (u64, u64, Tok), fork: bool) -> Call {
    let mut out = Call::new(&DROP, cell, &["c", "h", "b0", "b1", "d0", "d1"]);
    out.text(seen.0);
    out.text(seen.1);
    out.text(seen.2);
    out.word(if fork { "1" } else { "0" });
    out
}
