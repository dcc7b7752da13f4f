//! A payment provider over HTTP, in both directions: sessions, closes and refunds as this product
//! asks for them, callbacks as a provider sends them. It keeps books of its own.
//!
//! `dev` has one that captures every session at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::{Problem, Reason};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request};
use parking_lot::Mutex;
use runtime::{Clock, Tasks};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use web::answer::{self, Answer, Reply};
use web::message::Whole;
use web::{Bounds, Client, Listener, Service};

/// The most connections of it.
const MAX_CONNECTIONS: usize = 1024;
/// Between two tries of a callback that was not taken.
const AGAIN: Duration = Duration::from_millis(500);
/// So many tries.
const TRIES: u32 = 60;
/// How long one of them may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A payment in the provider's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookedPayment {
    /// For which order.
    pub order: String,
    /// What was captured, minor units.
    pub captured: i64,
    /// ISO 4217.
    pub currency: String,
    /// Nothing more will be captured.
    pub closed: bool,
}

/// What the provider knows.
#[derive(Debug, Default)]
pub struct ProviderBooks {
    /// By the provider's id.
    pub payments: BTreeMap<String, BookedPayment>,
    /// Minor units by refund key, with the payment.
    pub refunds: BTreeMap<String, (String, i64)>,
}

/// Where and how it calls back.
#[derive(Debug, Clone)]
pub struct ProviderPlace {
    /// Its name at the gate.
    pub name: String,
    /// The gate, `http://host:port`.
    pub gate: String,
    /// Signs callbacks.
    pub secret: String,
}

/// The provider.
pub struct ProviderServer {
    place: ProviderPlace,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    books: Mutex<ProviderBooks>,
}

#[derive(Deserialize)]
struct AmountBody {
    currency: String,
    minor: i64,
}

#[derive(Deserialize)]
struct OpenBody {
    order_id: String,
    amount: AmountBody,
}

#[derive(Deserialize)]
struct RefundBody {
    refund_id: String,
    payment_id: String,
    amount: AmountBody,
}

impl ProviderServer {
    /// Serves it until the tasks close.
    pub fn spawn(
        place: ProviderPlace,
        listener: TcpListener,
        clock: Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let books = Mutex::default();
        let server = Arc::new(Self { place, clock, tasks: tasks.clone(), books });
        let bounds = Bounds::of_operators(MAX_CONNECTIONS);
        Listener::spawn("provider listener", listener, bounds, server.clone(), tasks);
        server
    }

    async fn handle(
        self: &Arc<Self>,
        request: Request<Whole<Incoming>>,
    ) -> Result<Answer, Problem> {
        let path = request.uri().path().to_owned();
        let key = request.headers().get("idempotency-key").and_then(|k| k.to_str().ok());
        let key = key.unwrap_or_default().to_owned();
        let method = request.method().clone();
        let body = request.into_body().collect().await;
        let body = body.map_err(|_| Problem::new(Reason::Malformed))?.to_bytes();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            (Method::POST, ["payments"]) => self.open(&key, &body),
            (Method::POST, ["payments", id, "close"]) => Ok(self.close(id)),
            (Method::POST, ["refunds"]) => self.refund(&body),
            (Method::GET, ["refunds", id]) => self.query(id),
            _ => Err(Problem::new(Reason::UnknownRoute)),
        }
    }

    /// The same key is the same payment. It is captured at once.
    fn open(self: &Arc<Self>, key: &str, body: &[u8]) -> Result<Answer, Problem> {
        let wanted: OpenBody = read(body)?;
        let id = format!("{}-{key}", self.place.name);
        let fresh = {
            let mut books = self.books.lock();
            let fresh = !books.payments.contains_key(&id);
            let (order, minor) = (wanted.order_id.clone(), wanted.amount.minor);
            let currency = wanted.amount.currency.clone();
            let paid = BookedPayment { order, captured: minor, currency, closed: true };
            books.payments.entry(id.clone()).or_insert(paid);
            fresh
        };
        if fresh {
            let news = json!({
                "event_id": format!("{id}-captured"),
                "payment_id": id,
                "order_id": wanted.order_id,
                "result": "captured",
                "amount": {"currency": wanted.amount.currency, "minor": wanted.amount.minor},
            });
            let me = self.clone();
            self.tasks.spawn_replaceable("provider callback", async move { me.call(news).await });
        }
        Ok(answer::json(200, &json!({"payment_id": id})))
    }

    fn close(&self, id: &str) -> Answer {
        let mut books = self.books.lock();
        let captured = books.payments.get_mut(id).map_or(0, |payment| {
            payment.closed = true;
            payment.captured
        });
        let result = if captured > 0 { "captured" } else { "closed" };
        answer::json(200, &json!({"result": result, "captured": captured}))
    }

    fn refund(&self, body: &[u8]) -> Result<Answer, Problem> {
        let wanted: RefundBody = read(body)?;
        let mut books = self.books.lock();
        let moved = (wanted.payment_id, wanted.amount.minor);
        tracing::debug!(refund = wanted.refund_id, currency = wanted.amount.currency, "refunded");
        books.refunds.entry(wanted.refund_id).or_insert(moved);
        Ok(answer::json(200, &json!({"result": "succeeded"})))
    }

    fn query(&self, id: &str) -> Result<Answer, Problem> {
        if self.books.lock().refunds.contains_key(id) {
            return Ok(answer::json(200, &json!({"result": "succeeded"})));
        }
        Err(Problem::new(Reason::UnknownOrder))
    }

    /// Tells the gate, until it is taken.
    async fn call(&self, news: Value) {
        let path = format!("/v1/payments/{}/callback", self.place.name);
        let body = news.to_string();
        let client = match Client::new(&self.place.gate, &Default::default()) {
            Ok(client) => client,
            Err(e) => return tracing::error!(error = e, "the provider cannot call the gate"),
        };
        for _ in 0..TRIES {
            let now_s = self.clock.now_ms() / 1000;
            let signed = life::adapter::sign(&self.place.secret, now_s, body.as_bytes());
            let request = client.request("POST", &path).header("sluicegate-signature", signed);
            let request = request.header("content-type", "application/json");
            let Ok(request) = request.body(Full::new(Bytes::from(body.clone()))) else { return };
            match client.send(request, LIMIT).await {
                Ok(answer) if answer.status.is_success() => return,
                Ok(answer) => tracing::debug!(status = %answer.status, "a callback was not taken"),
                Err(e) => tracing::debug!(error = %e, "a callback was not taken"),
            }
            tokio::time::sleep(AGAIN).await;
        }
        tracing::warn!("a callback was given up");
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|e| Problem::with(Reason::Malformed, e.to_string()))
}

impl Service for ProviderServer {
    async fn answer(self: Arc<Self>, _: IpAddr, request: Request<Whole<Incoming>>) -> Reply {
        self.handle(request).await.unwrap_or_else(|p| answer::problem(&p)).into()
    }

    fn malformed(&self, problem: Problem) -> Reply {
        answer::problem(&problem).into()
    }
}
