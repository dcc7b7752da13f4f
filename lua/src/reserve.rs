//! reserve: the arguments and the replies of `reserve.lua`.
//!
//! One call is up to [`MAX_BATCH`] orders on one cell. Every reply echoes the id it answers.

use bytes::Bytes;
use domain::{CellId, HoldState, Kind, OrderId};

use crate::hold;
use crate::port::{MAX_BATCH, Mark, Refusal, ReserveCall, ReserveItem, ReserveReply, Reserved};
use crate::script::{ADDS_MASK, Call, RESERVE};
use crate::value::{Fields, Value};

/// The call, or why it is none.
pub fn encode(cell: &CellId, call: &ReserveCall) -> Result<Call, String> {
    if call.items.is_empty() || call.items.len() > MAX_BATCH {
        return Err(format!("reserve of {} items", call.items.len()));
    }
    let mut out = Call::new(&RESERVE, cell, &["c", "h", "b0", "b1", "d0", "d1"])
        .room(4 + 7 * call.items.len());
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
        return Err(format!("reserve of {}: state, buyer and qty do not fit", item.order));
    }
    let flag = |on: bool| if on { b'1' } else { b'0' };
    let flags = [item.state.code() as u8, flag(item.checked), flag(item.relay)];
    out.bytes(&item.order.key().0);
    out.bytes(&item.order.0);
    out.bytes(&flags);
    out.text(format_args!("{:010}-{}{:03}", item.qty, item.nonce, buyer.len()));
    out.bytes(buyer.as_bytes());
    out.text(item.buyer_hash & ADDS_MASK);
    out.bytes(&item.payload);
    Ok(())
}

/// The reply to `call`; whether it is on the replicas is not the script's to say.
pub fn decode(call: &ReserveCall, value: Value) -> Result<ReserveReply, String> {
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
    if f.left() != 3 * call.items.len() {
        return Err("reserve answered another number of items".to_owned());
    }
    let results = call.items.iter().map(|i| one(i.order, &mut f)).collect::<Result<_, _>>()?;
    Ok(ReserveReply { mark, results, replicated: true })
}

fn one(order: OrderId, f: &mut Fields) -> Result<Reserved, String> {
    f.echo(&order.0)?;
    let code = f.int()?;
    let refused =
        |f: &mut Fields, why| f.int().map(|plus| Reserved::Refused { why, known_buyer: plus == 1 });
    match code {
        0 => Ok(Reserved::New { t_ms: f.uint()? }),
        1 => {
            let (t_ms, payload) = hold::time_and_payload(&f.bytes()?)?;
            Ok(Reserved::Held { t_ms, payload })
        }
        2 => verdict(&f.bytes()?).map(Reserved::Verdict),
        4 => {
            let content: [u8; 4] =
                f.bytes()?[..].try_into().map_err(|_| "a content part of 4 bytes".to_owned())?;
            Ok(Reserved::Conflict(OrderId::join(order.key(), content)))
        }
        8 => refused(f, Refusal::Closed),
        9 => refused(f, Refusal::Paused),
        10 => refused(f, Refusal::Limit),
        11 => refused(f, Refusal::SoldOut),
        _ => {
            f.int()?;
            match code {
                3 => Ok(Reserved::Fenced),
                5 => Ok(Reserved::Late),
                6 => Ok(Reserved::Returning),
                7 => Ok(Reserved::NotOpen),
                _ => Err(format!("reserve answered code {code}")),
            }
        }
    }
}

/// The kind behind a verdict's letter.
pub fn verdict(letter: &Bytes) -> Result<Kind, String> {
    let kind = letter.first().and_then(|b| Kind::from_code(*b as char));
    kind.ok_or_else(|| format!("{letter:?} is no verdict"))
}
