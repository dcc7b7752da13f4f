//! The provider's side of our own API: see `POST /v1/payments/{provider}/callback`.

use domain::life::{NO_CURRENCY, Parcel, PaymentNews};
use serde::Deserialize;

use crate::callback::{Amount, Callback, Heard, ReadNews};
use crate::signature::{Signed, timed};

pub(crate) fn signed<'a>(callback: &Callback<'a>) -> Option<Signed<'a>> {
    timed((callback.header)("sluicegate-signature")?, callback.body)
}

/// The body; fields that it does not know are a provider's to add.
#[derive(Deserialize)]
struct GenericBody {
    event_id: Option<String>,
    payment_id: String,
    order_id: String,
    result: String,
    amount: Option<Amount>,
    refund_id: Option<String>,
}

/// What a warehouse sends.
#[derive(Deserialize)]
struct ParcelBody {
    event_id: String,
    order_id: String,
    result: String,
    tracking: Option<String>,
    refund_id: Option<String>,
    lines: Option<Vec<ParcelLine>>,
}

#[derive(Deserialize)]
struct ParcelLine {
    offer: String,
    quantity: u32,
}

/// An order has no more lines.
const MAX_LINES: usize = 20;
/// The longest way to follow a parcel that is kept, bytes.
const MAX_TRACKING: usize = 200;

/// Reads it.
pub(crate) fn parcel(body: &[u8]) -> Result<Heard, String> {
    let body: ParcelBody = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if !(1..=255).contains(&body.event_id.len()) {
        return Err("an event id of 1 to 255 bytes".to_owned());
    }
    let order = body.order_id.parse().map_err(|e| format!("order_id: {e}"))?;
    let tracking = body.tracking.unwrap_or_default();
    if tracking.len() > MAX_TRACKING {
        return Err(format!("tracking of {} bytes", tracking.len()));
    }
    let parcel = match body.result.as_str() {
        "shipped" => Parcel::Shipped,
        "delivered" => Parcel::Delivered,
        "returned" => match body.refund_id {
            Some(refund) => {
                Parcel::Returned(refund.parse().map_err(|e| format!("refund_id: {e}"))?)
            }
            None => Parcel::ReturnedLines(lines(body.lines.unwrap_or_default())?),
        },
        _ => return Ok(Heard::Nothing),
    };
    Ok(Heard::Parcel { order, parcel, tracking })
}

fn lines(all: Vec<ParcelLine>) -> Result<Vec<(String, u32)>, String> {
    if all.len() > MAX_LINES {
        return Err(format!("{} lines", all.len()));
    }
    let name = |s: &str| (1..=64).contains(&s.len()) && !s.contains([' ', ',']);
    if all.iter().any(|l| l.quantity == 0 || !name(&l.offer)) {
        return Err("lines: an offer and at least one unit".to_owned());
    }
    Ok(all.into_iter().map(|l| (l.offer, l.quantity)).collect())
}

/// Reads it; `event` where the scheme has the event's id elsewhere.
pub(crate) fn read(body: &[u8], event: Option<&str>) -> Result<Option<ReadNews>, String> {
    let body: GenericBody = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    told(body, event)
}

/// The same, from the value that another scheme has wrapped.
pub(crate) fn read_value(
    data: serde_json::Value,
    event: &str,
    result: &str,
) -> Result<Option<ReadNews>, String> {
    let mut data = data;
    if let Some(object) = data.as_object_mut() {
        object.insert("result".to_owned(), result.into());
    }
    told(serde_json::from_value(data).map_err(|e| e.to_string())?, Some(event))
}

fn told(body: GenericBody, event: Option<&str>) -> Result<Option<ReadNews>, String> {
    let event = event.map(str::to_owned).or(body.event_id).ok_or("no event_id")?;
    let amount = body.amount.map(Amount::checked).transpose()?;
    let currency = amount.as_ref().map_or_else(|| NO_CURRENCY.to_owned(), |a| a.currency.clone());
    let minor = || amount.as_ref().map(|a| a.minor).ok_or("no amount");
    let refund = || body.refund_id.clone().ok_or("no refund_id");
    let news = match body.result.as_str() {
        "opened" => PaymentNews::Opened,
        "authorised" => PaymentNews::Authorised,
        "captured" => PaymentNews::Captured(minor()?),
        "failed" => PaymentNews::Failed,
        "closed" => PaymentNews::Closed,
        "refund_succeeded" => PaymentNews::RefundSucceeded { key: refund()?, amount: minor()? },
        "refund_failed" => PaymentNews::RefundFailed { key: refund()? },
        _ => return Ok(None),
    };
    let (payment, order) = (body.payment_id, body.order_id);
    Ok(Some(ReadNews { event, payment, order, currency, news }))
}
