//! What each order's buyer does, step by step; whoever gets no answer asks again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use contract::Reason;
use domain::{OrderId, RowStatus, Status};
use futures::StreamExt;
use http_body_util::Full;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::role::{CURRENCY, LifeRole, PRICE};
use crate::args::LoadtestArgs;
use crate::provider::ProviderServer;
use crate::setup::Reached;

/// Until an order that nobody pays has expired, at most.
pub(super) const EXPIRY: Duration = Duration::from_secs(180);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(250);

/// All buyers of a run.
pub(crate) struct LifeCrowd {
    pub to: Reached,
    pub offers: Vec<String>,
    pub provider: Arc<ProviderServer>,
    /// By the order's number.
    pub orders: Vec<Mutex<BoughtOrder>>,
    /// Ctrl-C: nobody begins a purchase any more.
    pub stop: CancellationToken,
    connections: usize,
    timeout: Duration,
    give_up: Duration,
    /// Orders that are through with the step that goes on.
    pub done: AtomicU32,
    /// Steps that were given up.
    pub lost: AtomicU32,
}

/// What became of a buyer's purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoughtOrder {
    /// Not begun.
    Unasked,
    /// Begun; its buyer has not heard of an order.
    Unheard,
    /// Its buyer knows the order.
    Known(OrderId),
    /// The same, and its time was over before the buyer got to pay or cancel it: it ends as one
    /// that nobody pays.
    TooLate(OrderId),
}

/// An answer: its status and its body.
type StepAnswer = (u16, Value);

/// What is asked of the gate.
struct Step<'a> {
    method: &'static str,
    path: &'a str,
    body: Option<Value>,
    /// Given up after this; as the run has it when left out.
    at_most: Option<Duration>,
}

impl<'a> Step<'a> {
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
        let fresh = || Mutex::new(BoughtOrder::Unasked);
        let orders = std::iter::repeat_with(fresh).take(args.requests as usize).collect();
        let (connections, timeout) = (args.connections as usize, args.timeout);
        let give_up = args.give_up;
        let stop = CancellationToken::new();
        let (done, lost) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { to, offers, provider, orders, stop, connections, timeout, give_up, done, lost }
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
        self.done.store(0, Ordering::Relaxed);
        let mut steps = std::pin::pin!(steps.buffer_unordered(self.connections));
        while let Some(done) = steps.next().await {
            self.lost.fetch_add(u32::from(done.is_none()), Ordering::Relaxed);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// False when it was not bought, or is over.
    fn goes_on(&self, number: u32) -> bool {
        match *self.orders[number as usize].lock() {
            BoughtOrder::Unasked | BoughtOrder::TooLate(_) => false,
            BoughtOrder::Unheard | BoughtOrder::Known(_) => true,
        }
    }

    fn order(&self, number: u32) -> Option<OrderId> {
        match *self.orders[number as usize].lock() {
            BoughtOrder::Known(order) | BoughtOrder::TooLate(order) => Some(order),
            BoughtOrder::Unasked | BoughtOrder::Unheard => None,
        }
    }

    async fn send(&self, number: u32, call: &Step<'_>) -> Option<StepAnswer> {
        let token = self.to.minter.mint(&self.to.names.buyer(number));
        let mut request = self.to.gate.request_as(&token, call.method, call.path);
        request = request.header("idempotency-key", self.to.names.key(number));
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body))).ok()?;
        let answer = self.to.gate.send(request, self.timeout).await.ok()?;
        Some((answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    /// Asks until there is an answer of one of these statuses.
    async fn until(
        &self,
        number: u32,
        call: &Step<'_>,
        fine: impl Fn(&StepAnswer) -> bool,
    ) -> Option<StepAnswer> {
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
        if self.stop.is_cancelled() {
            return Some(());
        }
        *self.orders[number as usize].lock() = BoughtOrder::Unheard;
        let path = format!("/v1/offers/{}/orders", self.offer(number));
        // Of one that is not confirmed nothing need ever come.
        let fine = |told: &StepAnswer| {
            told.0 == 200 || told.0 == 202 && told.1["status"] == Status::Accepted.as_str()
        };
        let (_, told) = self.until(number, &Step::post(&path), fine).await?;
        let order: OrderId = told["order_id"].as_str()?.parse().ok()?;
        *self.orders[number as usize].lock() = BoughtOrder::Known(order);
        let role = self.role(number);
        self.provider.will(order, role.deed(self.to.seed, number));
        let path = format!("/v1/orders/{order}");
        if role.opens() {
            let body = json!({"provider": self.provider.name()});
            let path = format!("{path}/payments");
            let call = Step { body: Some(body), ..Step::post(&path) };
            self.decided(number, order, &call).await?;
        }
        if role == LifeRole::Cancelled {
            let path = format!("{path}/cancel");
            if self.decided(number, order, &Step::post(&path)).await? {
                self.provider.capture(order);
            }
        }
        Some(())
    }

    /// Asks until it is done, now or by a call before whose answer was lost. False when the order
    /// had expired first.
    async fn decided(&self, number: u32, order: OrderId, call: &Step<'_>) -> Option<bool> {
        let is_illegal = |told: &StepAnswer| told.1["reason"] == Reason::IllegalTransition.as_str();
        let told = self.until(number, call, |told| told.0 == 200 || is_illegal(told)).await?;
        if told.0 == 200 {
            return Some(true);
        }
        let path = format!("/v1/orders/{order}");
        let show = Step { method: "GET", ..Step::post(&path) };
        let (_, order_now) = self.until(number, &show, |told| told.0 == 200).await?;
        let has_expired = order_now["status"] == RowStatus::Expired.as_str();
        if has_expired {
            *self.orders[number as usize].lock() = BoughtOrder::TooLate(order);
        }
        Some(!has_expired)
    }

    async fn is(&self, number: u32, status: &str, at_most: Option<Duration>) -> Option<()> {
        let order = self.order(number)?;
        let path = format!("/v1/orders/{order}");
        let fine = |told: &StepAnswer| told.1["status"] == status;
        let call = Step { method: "GET", at_most, ..Step::post(&path) };
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
        if !self.goes_on(number) {
            return Some(());
        }
        self.is(number, "paid", None).await?;
        let order = self.order(number)?;
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
        if self.role(number) != LifeRole::Late || !self.goes_on(number) {
            return Some(());
        }
        self.is(number, "expired", Some(self.give_up + EXPIRY)).await?;
        let order = self.order(number)?;
        self.provider.capture(order);
        Some(())
    }
}
