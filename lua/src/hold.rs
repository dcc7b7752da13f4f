//! The value of a hold in h: a fixed prefix of 48 bytes, the buyer, the payload.
//!
//! state 1, content part 4, t 13 digits, qty 10 digits, `-` (the creator's) or `+` (shared),
//! nonce 16 hex, buyer's length 3 digits, buyer, payload. The scripts cut the same places. The
//! field is the key of the id, or the whole id for an entry F.

use bytes::Bytes;
use domain::{CellId, EntryId, Hold, HoldState, Key};

use crate::value::parse;

const PREFIX: usize = 48;

/// The text of `att` in the domain as the scripts compare it, or nothing if it is none.
pub(crate) fn att_code(att: &str) -> Option<String> {
    let (mark, nonce) = match att.strip_prefix("shared:") {
        Some(nonce) => ('+', nonce),
        None => ('-', att),
    };
    (nonce.len() == 16).then(|| format!("{mark}{nonce}"))
}

/// The time and the payload inside a value.
pub(crate) fn time_and_payload(value: &Bytes) -> Result<(u64, Bytes), String> {
    let start = payload_start(value)?;
    Ok((parse(&value[5..18])?, value.slice(start..)))
}

/// A hold of a cell out of its field and value. Its buyer is one of the cell's tenant.
pub(crate) fn decode(cell: &CellId, field: &[u8], value: &Bytes) -> Result<Hold, String> {
    let start = payload_start(value)?;
    let content = [value[1], value[2], value[3], value[4]];
    let key: [u8; 12] =
        field.get(..12).and_then(|k| k.try_into().ok()).ok_or("a field of h is too short")?;
    let state = HoldState::from_code(value[0] as char).ok_or("a hold without a state")?;
    let nonce = std::str::from_utf8(&value[29..45]).map_err(|e| e.to_string())?;
    let shared = if value[28] == b'+' { "shared:" } else { "" };
    let buyer = match std::str::from_utf8(&value[PREFIX..start]) {
        Ok("") => None,
        Ok(sub) => Some(cell.buyer(sub).map_err(|e| e.to_string())?),
        Err(e) => return Err(e.to_string()),
    };
    Ok(Hold {
        id: EntryId::join(Key(key), content),
        qty: parse(&value[18..28])?,
        buyer,
        att: format!("{shared}{nonce}"),
        state,
        payload: value[start..].to_vec(),
        t_ms: parse(&value[5..18])?,
    })
}

fn payload_start(value: &[u8]) -> Result<usize, String> {
    let len = value.get(45..PREFIX).ok_or("a hold is too short")?;
    let start = PREFIX + parse::<usize>(len)?;
    if start > value.len() { Err("a hold is cut off".to_owned()) } else { Ok(start) }
}
