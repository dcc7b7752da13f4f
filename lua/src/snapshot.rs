//! snapshot: the reply of `snapshot.lua`.
//!
//! A counter that a hand turned into something else than a number is an error, not a zero.

use domain::ledger::Flag;
use domain::{CellId, Totals};

use crate::port::{CellView, Mark};
use crate::script::{Call, SNAPSHOT};
use crate::value::{Fields, Value};

/// The call.
pub(crate) fn encode(cell: &CellId) -> Call {
    Call::new(&SNAPSHOT, cell, &["c", "h"])
}

/// The view, or nothing when the cell is missing.
pub(crate) fn decode(value: Value) -> Result<Option<CellView>, String> {
    let mut f = Fields::of(value)?;
    let redis_ms = f.uint()?;
    if f.left() == 1 {
        return Ok(None);
    }
    let (supply, net, held): (i64, i64, i64) = (f.parse()?, f.parse()?, f.parse()?);
    let (seq, open): (u64, i64) = (f.parse()?, f.parse()?);
    let open = Flag::from_number(open).ok_or_else(|| format!("flag {open}"))?;
    let tok = f.parse()?;
    let (adds, inc) = (f.parse()?, f.parse()?);
    let mark = Mark { redis_ms, watermark: seq, adds, inc, available: supply - net - held };
    let totals = Totals { supply, net, seq, open, tok };
    Ok(Some(CellView { totals, held, holds: f.uint()?, mark }))
}
