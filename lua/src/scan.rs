//! scan: pages of holds and of buyers through `scan.lua`.
//!
//! Buyers lie in two generations. The port's cursor is twice Redis's, plus the generation; both
//! are always walked, so that a swap in the middle of a scan hides nobody.

use bytes::Bytes;
use domain::{CellId, Hold};

use crate::hold;
use crate::port::Page;
use crate::script::{Call, SCAN};
use crate::value::{Fields, Value, parse};

/// A page of h.
pub(crate) fn encode_holds(cell: &CellId, cursor: u64, count: u32) -> Call {
    encode(cell, "h", cursor, count)
}

/// A page of b.
pub(crate) fn encode_buyers(cell: &CellId, cursor: u64, count: u32) -> Call {
    encode(cell, if cursor.is_multiple_of(2) { "b0" } else { "b1" }, cursor / 2, count)
}

fn encode(cell: &CellId, key: &str, cursor: u64, count: u32) -> Call {
    let mut out = Call::new(&SCAN, cell, &["c", key]);
    out.text(cursor);
    out.text(count.clamp(1, 1000));
    out
}

/// The holds of a page.
pub(crate) fn decode_holds(cell: &CellId, value: Value) -> Result<Page<Hold>, String> {
    let (cursor, _, pairs) = decode(value)?;
    let items = pairs.iter().map(|(f, v)| hold::decode(cell, f, v)).collect::<Result<_, _>>()?;
    Ok(Page { cursor, items })
}

/// The buyers of the page that `asked` opened; without a limit the units mean nothing: 0.
pub(crate) fn decode_buyers(asked: u64, value: Value) -> Result<Page<(String, i64)>, String> {
    let (next, limited, pairs) = decode(value)?;
    let old = asked % 2;
    let cursor = match (next, old) {
        (0, 0) => 1,
        (0, _) => 0,
        (next, old) => next * 2 + old,
    };
    let pair = |(f, v): &(Bytes, Bytes)| {
        let units = if limited { parse(v)? } else { 0 };
        Ok((parse(f)?, units))
    };
    Ok(Page { cursor, items: pairs.iter().map(pair).collect::<Result<_, String>>()? })
}

type Raw = (u64, bool, Vec<(Bytes, Bytes)>);

fn decode(value: Value) -> Result<Raw, String> {
    let mut f = Fields::of(value)?;
    let cursor = f.parse()?;
    let limited = f.bytes()? != "0";
    let mut pairs = Vec::with_capacity(f.left() / 2);
    while f.left() >= 2 {
        pairs.push((f.bytes()?, f.bytes()?));
    }
    Ok((cursor, limited, pairs))
}
