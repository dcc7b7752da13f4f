//! What each order's buyer does, step by step; whoever gets no answer asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use contract::Reason;
use domain::OrderId;
use futures::StreamExt;
use http_body_util::Full;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::role::{CURRENCY, LifeRole, PRICE};
use crate::args::LoadtestArgs;
use crate::provider::ProviderServer;
use crate::setup::Reached;

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(250);
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);

/// All buyers of a run.
pub(crate) struct LifeCrowd {
    pub to: Reached,
    pub offers: Vec<String>,
    pub provider: Arc<ProviderServer>,
    /// By the order's number.
    pub orders: Vec<Mutex<Option<OrderId>>>,
    connections: usize,
    give_up: Duration,
    /// Steps that were given up.
    pub lost: AtomicU32,
}

/// Until an order that nobody pays has expired, at most.
const EXPIRY: Duration = Duration::from_secs(180);

/// An answer: its status and its body.
type Told = (u16, Value);

/// What is asked of the gate.
struct Call<'a> {
    method: &'static str,
    path: &'a str,
    body: Option<Value>,
    /// Given up after this; as the run has it when left out.
    at_most: Option<Duration>,
}

impl<'a> Call<'a> {
    fn post(path: &'a str) -> Self {
        Self { method: "POST", path, body: None, at_most: None }
    }
}

impl LifeCrowd {
    pub(crate) fn new(
        to: Reached,
        args: &LoadtestArgs,
        offers: Vec<String>,
        provider: Arc<ProviderServer>,
    ) -> Self {
        let orders = (0..args.requests).map(|_| Mutex::new(None)).collect();
        let (connections, give_up) = (args.connections as usize, args.give_up);
        Self { to, offers, provider, orders, connections, give_up, lost: AtomicU32::new(0) }
    }

    pub(crate) fn role(&self, number: u32) -> LifeRole {
        LifeRole::of(self.to.seed, number)
    }

    pub(crate) fn offer(&self, number: u32) -> &str {
        &self.offers[number as usize % self.offers.len()]
    }

    /// One step of all orders, so many at once.
    pub(crate) async fn all<F, Fut>(self: &Arc<Self>, step: F)
    where
        F: Fn(Arc<Self>, u32) -> Fut,
        Fut: Future<Output = Option<()>>,
    {
        let numbers = 0..self.orders.len() as u32;
        let steps = futures::stream::iter(numbers).map(|n| step(self.clone(), n));
        let lost = steps
            .buffer_unordered(self.connections)
            .filter(|done| std::future::ready(done.is_none()));
        self.lost.fetch_add(lost.count().await as u32, Ordering::Relaxed);
    }

    async fn send(&self, number: u32, call: &Call<'_>) -> Option<Told> {
        let token = self.to.minter.mint(&self.to.names.buyer(number));
        let mut request = self.to.gate.request_as(&token, call.method, call.path);
        request = request.header("idempotency-key", self.to.names.key(number));
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body))).ok()?;
        let answer = self.to.gate.send(request, LIMIT).await.ok()?;
        Some((answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    /// Asks until there is an answer of one of these statuses.
    async fn until(
        &self,
        number: u32,
        call: &Call<'_>,
        fine: impl Fn(&Told) -> bool,
    ) -> Option<Told> {
        let end = tokio::time::Instant::now() + call.at_most.unwrap_or(self.give_up);
        loop {
            if let Some(told) = self.send(number, call).await
                && fine(&told)
            {
                return Some(told);
            }
            if tokio::time::Instant::now() > end {
                return None;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Buys; opens a session, or cancels and is paid all the same.
    pub(crate) async fn buy(self: Arc<Self>, number: u32) -> Option<()> {
        let path = format!("/v1/offers/{}/orders", self.offer(number));
        let fine = |told: &Told| matches!(told.0, 200 | 202);
        let (_, told) = self.until(number, &Call::post(&path), fine).await?;
        let order: OrderId = told["order_id"].as_str()?.parse().ok()?;
        *self.orders[number as usize].lock() = Some(order);
        let role = self.role(number);
        self.provider.will(order, role.deed(self.to.seed, number));
        let path = format!("/v1/orders/{order}");
        if role.opens() {
            let body = json!({"provider": self.provider.name()});
            let over = |told: &Told| {
                // Its time was over before it was opened: it expires, as an unpaid one.
                told.0 == 200 || told.1["reason"] == Reason::IllegalTransition.as_str()
            };
            let path = format!("{path}/payments");
            let call = Call { body: Some(body), ..Call::post(&path) };
            self.until(number, &call, over).await?;
        }
        if role == LifeRole::Cancelled {
            let path = format!("{path}/cancel");
            self.until(number, &Call::post(&path), |told| told.0 == 200).await?;
            self.provider.capture(order);
        }
        Some(())
    }

    async fn is(&self, number: u32, status: &str, at_most: Option<Duration>) -> Option<()> {
        let order = (*self.orders[number as usize].lock())?;
        let path = format!("/v1/orders/{order}");
        let fine = |told: &Told| told.1["status"] == status;
        let call = Call { method: "GET", at_most, ..Call::post(&path) };
        self.until(number, &call, fine).await.map(drop)
    }

    /// Wants money back, as an operator.
    pub(crate) async fn refund(self: Arc<Self>, number: u32) -> Option<()> {
        let body = match self.role(number) {
            LifeRole::Whole => json!({"refund_id": "r"}),
            LifeRole::Part => {
                json!({"refund_id": "r", "amount": {"currency": CURRENCY, "minor": PRICE / 2}})
            }
            LifeRole::Paid
            | LifeRole::Twice
            | LifeRole::More
            | LifeRole::Less
            | LifeRole::Foreign
            | LifeRole::Late
            | LifeRole::Cancelled
            | LifeRole::Unpaid => return Some(()),
        };
        self.is(number, "paid", None).await?;
        let order = (*self.orders[number as usize].lock())?;
        let end = tokio::time::Instant::now() + self.give_up;
        while tokio::time::Instant::now() < end {
            if self.to.admin.refund(order, &body).await.is_ok() {
                return Some(());
            }
            tokio::time::sleep(AGAIN).await;
        }
        None
    }

    /// Pays after it expired.
    pub(crate) async fn pay_late(self: Arc<Self>, number: u32) -> Option<()> {
        if self.role(number) != LifeRole::Late {
            return Some(());
        }
        self.is(number, "expired", Some(self.give_up + EXPIRY)).await?;
        let order = (*self.orders[number as usize].lock())?;
        self.provider.capture(order);
        Some(())
    }
}
