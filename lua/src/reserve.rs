//! reserve: the arguments and the replies of `reserve.lua`.
//!
//! One call is up to [`MAX_BATCH`] orders on one cell. Arguments and replies are few and long: each
//! one of them costs Redis and its client more than its bytes do. Every reply echoes the ids that
//! it answers.

use bytes::Bytes;
use domain::{CellId, EntryId, HoldState, Kind, OrderId};

use crate::hold;
use crate::port::{MAX_BATCH, Mark, Refusal, ReserveCall, ReserveItem, ReserveReply, Reserved};
use crate::script::{ADDS_MASK, Call, RESERVE};
use crate::value::{Fields, Value};

/// The call, or why it is none.
pub(crate) fn encode(cell: &CellId, call: &ReserveCall) -> Result<Call, String> {
    if call.items.is_empty() || call.items.len() > MAX_BATCH {
        return Err(format!("reserve of {} items", call.items.len()));
    }
    let mut out = Call::new(&RESERVE, cell, &["c", "h", "b0", "b1", "d0", "d1"])
        .room(4 + 3 * call.items.len());
    out.text(call.limit);
    for ms in [call.deadline_ms, call.opens_at_ms, call.closes_at_ms] {
        out.text(ms);
    }
    for item in &call.items {
        push(&mut out, item)?;
    }
    Ok(out)
}

fn push(out: &mut Call, item: &ReserveItem) -> Result<(), String> {
    let transfer = item.state == HoldState::Transfer;
    let buyer = item.buyer.as_ref().map_or("", |b| b.as_str());
    if item.state == HoldState::Fenced || transfer != buyer.is_empty() || item.qty == 0 {
        return Err(format!("reserve of {}: state, buyer and qty do not fit", item.id));
    }
    let state = match item.state {
        HoldState::Line => 1,
        HoldState::Transfer => 2,
        HoldState::Sealed | HoldState::Fenced => 0,
    };
    let flags = u64::from(item.relay) + 2 * u64::from(item.checked) + 4 * state;
    out.bytes(&item.id.0);
    out.text((item.buyer_hash & ADDS_MASK) + (ADDS_MASK + 1) * flags);
    out.open(format_args!("{:010}-{}{:03}{buyer}", item.qty, item.nonce, buyer.len()));
    out.bytes(&item.payload);
    Ok(())
}

/// The reply to `call`; whether it is on the replicas is not the script's to say.
pub(crate) fn decode(call: &ReserveCall, value: Value) -> Result<ReserveReply, String> {
    let mut f = Fields::of(value)?;
    let redis_ms = f.uint()?;
    let watermark = f.int()?;
    if watermark < 0 {
        let mark = Mark { redis_ms, ..Mark::default() };
        let results = vec![Reserved::Missing; call.items.len()];
        return Ok(ReserveReply { mark, results, replicated: true });
    }
    let (adds, inc) = (f.uint()?, f.uint()?);
    let mark = Mark { redis_ms, watermark: watermark as u64, adds, inc, available: f.int()? };
    let ids = f.bytes()?;
    if !ids.chunks(16).eq(call.items.iter().map(|i| &i.id.0[..])) {
        return Err(format!("the reply is of {ids:02x?}"));
    }
    let letters = f.bytes()?;
    if letters.len() != call.items.len() {
        return Err("reserve answered another number of items".to_owned());
    }
    let with_letter = call.items.iter().zip(&letters);
    let results = with_letter.map(|(i, letter)| one(i.id, *letter, redis_ms, &mut f));
    let results = results.collect::<Result<_, _>>()?;
    match f.left() {
        0 => Ok(ReserveReply { mark, results, replicated: true }),
        n => Err(format!("reserve answered {n} values too many")),
    }
}

fn one(id: EntryId, letter: u8, now: u64, f: &mut Fields) -> Result<Reserved, String> {
    let refused = |why| Ok(Reserved::Refused { why, known_buyer: letter.is_ascii_uppercase() });
    match letter {
        b'N' => Ok(Reserved::New { t_ms: now }),
        b'O' => Ok(Reserved::New { t_ms: f.uint()? }),
        b'H' => {
            let (t_ms, payload) = hold::time_and_payload(&f.bytes()?)?;
            Ok(Reserved::Held { t_ms, payload })
        }
        b'V' => verdict(&f.bytes()?).map(Reserved::Verdict),
        b'X' => {
            let content: [u8; 4] =
                f.bytes()?[..].try_into().map_err(|_| "a content part of 4 bytes".to_owned())?;
            Ok(Reserved::Conflict(OrderId::join(id.key(), content)))
        }
        b'F' => Ok(Reserved::Fenced),
        b'D' => Ok(Reserved::Late),
        b'R' => Ok(Reserved::Returning),
        b'W' => Ok(Reserved::NotOpen),
        b'C' | b'c' => refused(Refusal::Closed),
        b'P' | b'p' => refused(Refusal::Paused),
        b'L' | b'l' => refused(Refusal::Limit),
        b'S' | b's' => refused(Refusal::SoldOut),
        other => Err(format!("reserve answered {:?}", other as char)),
    }
}

/// The kind behind a verdict's letter.
pub(crate) fn verdict(letter: &Bytes) -> Result<Kind, String> {
    let kind = letter.first().and_then(|b| Kind::from_code(*b as char));
    kind.ok_or_else(|| format!("{letter:?} is no verdict"))
}
