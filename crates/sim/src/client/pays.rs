//! What buyers do with orders that were accepted: they pay them, in whatever way, cancel them, want
//! their money back; and what warehouses tell of their goods.

use std::time::Duration;

use bytes::Bytes;
use domain::OrderId;
use domain::life::PaymentId;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Client;
use crate::bank::News;
use crate::http::Heard;
use crate::plan::{Asking, Parcelling, Part, Paying};
use crate::tell;

/// Until a row is there, and while answers are lost: so many tries.
const TRIES: u32 = 6;

impl Client {
    /// Pays in parts, as planned.
    pub(super) async fn pay(&mut self, how: Paying) {
        let Some((order, owed)) = self.bought else { return };
        let payment = match how.session {
            true => self.open(order).await,
            false => Some(self.begin(order, how.parts.0)),
        };
        let Some(payment) = payment else { return };
        sleep(Duration::from_millis(how.pause)).await;
        self.capture(&payment, order, (how.parts.0, owed));
        let Some(second) = how.parts.1 else { return };
        sleep(Duration::from_millis(how.pause)).await;
        let payment = if how.apart { self.begin(order, second) } else { payment };
        self.capture(&payment, order, (second, owed));
    }

    /// A payment that the shop opened without this product.
    fn begin(&mut self, order: OrderId, part: Part) -> PaymentId {
        self.payments += 1;
        let name = format!("p-{}-{}", self.number, self.payments);
        let payment: PaymentId = name.parse().expect("visible and short");
        let currency = if part == Part::Foreign { "USD" } else { "EUR" };
        self.world().bank.begin(&payment, order, currency);
        payment
    }

    /// A session, at the gate.
    async fn open(&mut self, order: OrderId) -> Option<PaymentId> {
        let path = format!("/v1/orders/{order}/payments");
        let heard = self.until_told(&path, &json!({"provider": "bank"})).await?;
        self.world().met("session", word(heard.status));
        heard.body["payment_id"].as_str().filter(|_| heard.status == 200)?.parse().ok()
    }

    /// The provider takes the money, whatever became of the order, unless the payment is closed.
    fn capture(&self, payment: &PaymentId, order: OrderId, (part, owed): (Part, i64)) {
        let minor = match part {
            Part::All | Part::Foreign => owed,
            Part::Half => owed / 2,
            Part::Rest => owed - owed / 2,
            Part::More => owed + 30,
        };
        let world = self.world();
        let captured = world.bank.capture(payment, minor);
        world.tell(&self.name, || format!("pays {minor} with {payment}: {captured:?}"));
        world.met("paid", if captured.is_some() { "captured" } else { "closed" });
        let Some((minor, currency)) = captured.zip(world.bank.currency(payment)) else { return };
        tell::captured(world, &News { payment: payment.clone(), order, minor, currency });
    }

    pub(super) async fn cancel(&mut self) {
        let Some((order, _)) = self.bought else { return };
        if let Some(heard) =
            self.until_told(&format!("/v1/orders/{order}/cancel"), &Value::Null).await
        {
            self.world().met("cancel_order", word(heard.status));
        }
    }

    pub(super) async fn ask_refund(&mut self, name: u8, what: Asking) {
        let Some((order, _)) = self.bought else { return };
        let mut body = json!({"refund_id": format!("r{name}")});
        match what {
            Asking::Whole => {}
            Asking::Unit => body["lines"] = json!([{"offer": self.offer, "quantity": 1}]),
            Asking::Minor(minor) => body["amount"] = json!({"currency": "EUR", "minor": minor}),
        }
        if let Some(heard) = self.until_told(&format!("/v1/orders/{order}/refund"), &body).await {
            self.world().met("refund", word(heard.status));
        }
    }

    pub(super) fn parcel(&self, what: Parcelling) {
        let Some((order, _)) = self.bought else { return };
        let world = self.world();
        match what {
            Parcelling::Shipped => tell::parcel(world, order, "shipped", None),
            Parcelling::Delivered => tell::parcel(world, order, "delivered", None),
            Parcelling::Returned(name) => {
                tell::parcel(world, order, "returned", Some(&format!("r{name}")));
            }
        }
    }

    /// The same call again while the answer is lost, or the row is not there yet.
    async fn until_told(&mut self, path: &str, body: &Value) -> Option<Heard> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        for _ in 0..TRIES {
            let gate = self.rng.below(self.world().plan.gates);
            let request = Request::builder()
                .method(Method::POST)
                .uri(path)
                .header(AUTHORIZATION, &self.token)
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from(text.clone())))
                .expect("a sound request");
            let heard = self.call(gate, 600, request).await;
            let shown = || match &heard {
                Some(heard) => format!("{path} {body}: {} {}", heard.status, heard.body),
                None => format!("{path} {body}: nothing"),
            };
            self.world().tell(&self.name, shown);
            let again = |h: &Heard| h.status == 503 || h.body["reason"] == "not_yet";
            if heard.as_ref().is_some_and(|h| !again(h)) {
                return heard;
            }
            sleep(Duration::from_millis(self.rng.range(20, 200))).await;
        }
        None
    }
}

fn word(status: u16) -> &'static str {
    match status {
        200 | 202 => "done",
        409 => "refused",
        404 => "unknown",
        503 => "503",
        _ => "other",
    }
}
