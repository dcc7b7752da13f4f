//! A look at a cell of the embedded backend without running a script: for oracles, which look after
//! every step and must not move anything.
//!
//! It reads the same fields as `snapshot.lua` and `scan.lua`, with the same decoders.

use domain::ledger::Flag;
use domain::{CellId, Hold, Totals};

use crate::embedded::Embedded;
use crate::hold;
use crate::value::parse;

/// Everything in a cell but the verdicts it remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// supply, net, W, flag, token.
    pub totals: Totals,
    /// What c says is held.
    pub held: i64,
    /// The incarnation.
    pub inc: u64,
    /// True when b counts units.
    pub limited: bool,
    /// All holds, in the order they were made.
    pub holds: Vec<Hold>,
    /// b of the younger generation.
    pub buyers: Vec<(String, i64)>,
}

/// The cell, or nothing when it is missing; `Err` when a field cannot be read.
pub fn look(cells: &Embedded, cell: &CellId) -> Result<Option<Look>, String> {
    let mut out = Look::default();
    let mut found = false;
    for (name, value) in cells.fields(cell, "c") {
        match &name[..] {
            b"supply" => out.totals.supply = parse(&value)?,
            b"net" => out.totals.net = parse(&value)?,
            b"W" => (out.totals.seq, found) = (parse(&value)?, true),
            b"tok" => out.totals.tok = parse(&value)?,
            b"open" => {
                let flag = Flag::from_number(parse(&value)?);
                out.totals.open = flag.ok_or("a flag that is none")?;
            }
            b"held" => out.held = parse(&value)?,
            b"inc" => out.inc = parse(&value)?,
            b"lim" => out.limited = &value[..] == b"1",
            _ => {}
        }
    }
    if !found {
        return Ok(None);
    }
    let holds = cells.fields(cell, "h");
    out.holds = holds.iter().map(|(f, v)| hold::decode(cell, f, v)).collect::<Result<_, _>>()?;
    for (buyer, units) in cells.fields(cell, "b0") {
        out.buyers.push((parse(&buyer)?, parse(&units)?));
    }
    Ok(Some(out))
}
