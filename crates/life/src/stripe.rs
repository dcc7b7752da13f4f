//! Stripe, as its public documents have it: payment intents whose metadata name the order, refunds
//! whose metadata name the key that we sent, and money that a dispute takes.

use domain::life::PaymentNews;
use serde::Deserialize;

use crate::callback::{Amount, Callback, ReadNews};
use crate::signature::{Signed, timed};

pub(crate) fn signed<'a>(callback: &Callback<'a>) -> Option<Signed<'a>> {
    timed((callback.header)("stripe-signature")?, callback.body)
}

#[derive(Deserialize)]
struct StripeEvent {
    id: String,
    r#type: String,
    data: StripeData,
}

#[derive(Deserialize)]
struct StripeData {
    object: StripeObject,
}

/// What there is of it depends on the type of the event.
#[derive(Deserialize)]
struct StripeObject {
    id: Option<String>,
    payment_intent: Option<String>,
    currency: Option<String>,
    amount: Option<i64>,
    amount_received: Option<i64>,
    status: Option<String>,
    #[serde(default)]
    metadata: StripeMetadata,
}

#[derive(Deserialize, Default)]
struct StripeMetadata {
    order_id: Option<String>,
    refund_id: Option<String>,
}

pub(crate) fn read(body: &[u8]) -> Result<Option<ReadNews>, String> {
    let event: StripeEvent = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let object = event.data.object;
    let (kind, what) = event.r#type.split_once('.').unwrap_or((&event.r#type, ""));
    let told = match (kind, what) {
        ("payment_intent", _) => intent(&object, what)?,
        ("refund" | "charge", "updated" | "refund.updated" | "failed") => refund(&object)?,
        ("charge", "dispute.funds_withdrawn") => dispute(&object)?,
        _ => None,
    };
    let Some((payment, news)) = told else { return Ok(None) };
    let order = object.metadata.order_id.ok_or("no metadata.order_id")?;
    let currency = object.currency.ok_or("no currency")?;
    let currency = Amount { currency, minor: 0 }.checked()?.currency;
    Ok(Some(ReadNews { event: event.id, payment, order, currency, news }))
}

type News = Option<(String, PaymentNews)>;

fn intent(object: &StripeObject, what: &str) -> Result<News, String> {
    let id = object.id.clone().ok_or("no id")?;
    let news = match what {
        "created" => PaymentNews::Opened,
        "amount_capturable_updated" => PaymentNews::Authorised,
        "succeeded" => PaymentNews::Captured(bounded(object.amount_received)?),
        "payment_failed" => PaymentNews::Failed,
        "canceled" => PaymentNews::Closed,
        _ => return Ok(None),
    };
    Ok(Some((id, news)))
}

fn refund(object: &StripeObject) -> Result<News, String> {
    let payment = object.payment_intent.clone().ok_or("no payment_intent")?;
    // One that was made by hand has no key of ours: it is known by its own id.
    let key = object.metadata.refund_id.clone().or(object.id.clone()).ok_or("no id")?;
    Ok(match object.status.as_deref() {
        Some("succeeded") => {
            let amount = bounded(object.amount)?;
            Some((payment, PaymentNews::RefundSucceeded { key, amount }))
        }
        Some("failed" | "canceled") => Some((payment, PaymentNews::RefundFailed { key })),
        _ => None,
    })
}

fn dispute(object: &StripeObject) -> Result<News, String> {
    let payment = object.payment_intent.clone().ok_or("no payment_intent")?;
    let key = object.id.clone().ok_or("no id")?;
    Ok(Some((payment, PaymentNews::RefundSucceeded { key, amount: bounded(object.amount)? })))
}

fn bounded(minor: Option<i64>) -> Result<i64, String> {
    let minor = minor.ok_or("no amount")?;
    Amount { currency: "XXX".to_owned(), minor }.checked().map(|a| a.minor)
}
