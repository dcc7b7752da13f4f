//! lookup: some holds, some buyers, or the orders under some keys, through `lookup.lua`.
//!
//! A hold is found by the whole id only.

use domain::{CellId, EntryId, Hold, Key, OrderId};

use crate::hold;
use crate::port::MAX_BATCH;
use crate::script::{Call, LOOKUP};
use crate::value::{Fields, Value, parse};

fn open(cell: &CellId, what: &'static str, n: usize) -> Result<Call, String> {
    if n == 0 || n > MAX_BATCH {
        return Err(format!("lookup of {n}"));
    }
    let mut out = Call::new(&LOOKUP, cell, &["c", "h", "b0", "b1", "d0", "d1"]).room(1 + 2 * n);
    out.word(what);
    Ok(out)
}

/// Asks for holds.
pub(crate) fn encode_holds(cell: &CellId, ids: &[EntryId]) -> Result<Call, String> {
    let mut out = open(cell, "h", ids.len())?;
    for id in ids {
        out.bytes(&id.key().0);
        out.bytes(&id.0);
    }
    Ok(out)
}

/// Asks for buyers.
pub(crate) fn encode_buyers(cell: &CellId, buyers: &[String]) -> Result<Call, String> {
    let mut out = open(cell, "b", buyers.len())?;
    for buyer in buyers {
        out.bytes(buyer.as_bytes());
    }
    Ok(out)
}

/// Asks for what lies under keys.
pub(crate) fn encode_keys(cell: &CellId, keys: &[Key]) -> Result<Call, String> {
    let mut out = open(cell, "k", keys.len())?;
    for key in keys {
        out.bytes(&key.0);
    }
    Ok(out)
}

/// The holds, in the order of the question.
pub(crate) fn decode_holds(
    cell: &CellId,
    ids: &[EntryId],
    value: Value,
) -> Result<Vec<Option<Hold>>, String> {
    let mut f = Fields::of(value)?;
    let one = |id: &EntryId| {
        let value = f.bytes()?;
        if value.is_empty() { Ok(None) } else { hold::decode(cell, &id.0, &value).map(Some) }
    };
    ids.iter().map(one).collect()
}

/// The units, in the order of the question.
pub(crate) fn decode_buyers(buyers: &[String], value: Value) -> Result<Vec<Option<i64>>, String> {
    let mut f = Fields::of(value)?;
    let one = |_: &String| {
        let value = f.bytes()?;
        if value.is_empty() { Ok(None) } else { parse(&value).map(Some) }
    };
    buyers.iter().map(one).collect()
}

/// The orders, in the order of the question.
pub(crate) fn decode_keys(keys: &[Key], value: Value) -> Result<Vec<Option<OrderId>>, String> {
    let mut f = Fields::of(value)?;
    let one = |key: &Key| {
        let content = f.bytes()?;
        if content.is_empty() {
            return Ok(None);
        }
        let content = <[u8; 4]>::try_from(&content[..]).map_err(|e| format!("content: {e}"))?;
        Ok(Some(OrderId::join(*key, content)))
    };
    keys.iter().map(one).collect()
}
