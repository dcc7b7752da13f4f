//! A payment provider over HTTP, in both directions: sessions, closes and refunds as this product
//! asks for them, callbacks as a provider sends them. It keeps books of its own.
//!
//! What it does with an order's payments is told in advance ([`deed`]); by itself, as in `dev`, it
//! captures every session at once.

pub mod deed;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use contract::{Problem, Reason};
use domain::OrderId;
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

use deed::{PlannedNews, ProviderDeed, RefundDeed};

/// The most connections of it.
const MAX_CONNECTIONS: usize = 1024;
/// Between two tries of a callback that was not taken.
const AGAIN: Duration = Duration::from_millis(500);
/// So many tries: an outage of some minutes loses no callback.
const TRIES: u32 = 600;
/// Refunds of one page.
const PAGE: usize = 100;
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
    /// What it does, by order.
    deeds: HashMap<String, ProviderDeed>,
    /// Calls of each refund, and of each payment to close it.
    calls: HashMap<String, u32>,
}

impl ProviderBooks {
    /// No more goes back of a payment than came, and in no other currency.
    fn may_refund(&self, wanted: &RefundBody) -> bool {
        let Some(payment) = self.payments.get(&wanted.payment_id) else { return false };
        let others = self
            .refunds
            .iter()
            .filter(|(key, (of, _))| *of == wanted.payment_id && **key != wanted.refund_id);
        let back: i64 = others.map(|(_, (_, amount))| amount).sum();
        payment.currency == wanted.amount.currency
            && back.saturating_add(wanted.amount.minor) <= payment.captured
    }
}

/// Where and how it calls back.
#[derive(Debug, Clone)]
pub struct ProviderPlace {
    /// Its name at the gate.
    pub name: String,
    /// The gate.
    pub gate: Client,
    /// Signs callbacks.
    pub secret: String,
}

/// The provider.
pub struct ProviderServer {
    place: ProviderPlace,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    books: Mutex<ProviderBooks>,
    /// News that were not told yet.
    untold: AtomicUsize,
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
        let server = Arc::new(Self {
            place,
            clock,
            tasks: tasks.clone(),
            books,
            untold: AtomicUsize::new(0),
        });
        let bounds = Bounds::of_operators(MAX_CONNECTIONS);
        Listener::spawn("provider listener", listener, bounds, server.clone(), tasks);
        server
    }

    async fn handle(
        self: &Arc<Self>,
        request: Request<Whole<Incoming>>,
    ) -> Result<Answer, Problem> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let key = request.headers().get("idempotency-key").and_then(|k| k.to_str().ok());
        let key = key.unwrap_or_default().to_owned();
        let method = request.method().clone();
        let body = request.into_body().collect().await;
        let body = body.map_err(|_| Problem::new(Reason::Malformed))?.to_bytes();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            (Method::POST, ["payments"]) => self.open(&key, &body),
            (Method::POST, ["payments", id, "close"]) => self.close(id),
            (Method::POST, ["refunds"]) => self.refund(&body),
            (Method::GET, ["refunds", id]) => self.query(id),
            (Method::GET, ["refunds"]) => Ok(self.stated(&query)),
            _ => Err(Problem::new(Reason::UnknownRoute)),
        }
    }

    /// Its name at the gate.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// What it will do with the payments of an order.
    pub fn will(&self, order: OrderId, deed: ProviderDeed) {
        self.books.lock().deeds.insert(order.to_string(), deed);
    }

    /// News that it has still to tell.
    pub fn untold(&self) -> usize {
        self.untold.load(Ordering::SeqCst)
    }

    /// Looks into its books.
    pub fn books<T>(&self, look: impl FnOnce(&ProviderBooks) -> T) -> T {
        look(&self.books.lock())
    }

    /// A buyer pays an order without a session of ours.
    pub fn capture(self: &Arc<Self>, order: OrderId) {
        let order = order.to_string();
        let deed = self.books.lock().deeds.get(&order).cloned();
        let id = format!("{}-{order}-direct", self.place.name);
        deed.into_iter().for_each(|deed| self.tell_all(&id, &order, &deed));
    }

    /// The same key is the same payment.
    fn open(self: &Arc<Self>, key: &str, body: &[u8]) -> Result<Answer, Problem> {
        let wanted: OpenBody = read(body)?;
        let id = format!("{}-{key}", self.place.name);
        let deed = {
            let mut books = self.books.lock();
            let known = books.payments.contains_key(&id);
            let fresh = booked(&wanted.order_id, &wanted.amount.currency);
            books.payments.entry(id.clone()).or_insert(fresh);
            let deed = books.deeds.get(&wanted.order_id).cloned();
            (!known).then(|| {
                let plain = || ProviderDeed::at_once(&wanted.amount.currency, wanted.amount.minor);
                deed.unwrap_or_else(plain)
            })
        };
        deed.into_iter().for_each(|deed| self.tell_all(&id, &wanted.order_id, &deed));
        Ok(answer::json(200, &json!({"payment_id": id})))
    }

    /// Each of its news at its time: the money moves then, unless the payment was closed before.
    fn tell_all(self: &Arc<Self>, id: &str, order: &str, deed: &ProviderDeed) {
        for news in &deed.news {
            let (me, news) = (self.clone(), news.clone());
            let id = news.other.map_or_else(|| id.to_owned(), |other| format!("{id}-{other}"));
            let order = order.to_owned();
            self.tell(news.after, async move {
                if !me.moves(&id, &order, &news) {
                    return;
                }
                let event = format!("{id}-{}-{}", news.result, news.minor);
                let body = json!({
                    "event_id": event,
                    "payment_id": id,
                    "order_id": order,
                    "result": news.result,
                    "amount": {"currency": news.currency, "minor": news.minor},
                });
                for _ in 0..news.times {
                    me.call(&body).await;
                }
            });
        }
    }

    /// Does it so much later.
    fn tell(self: &Arc<Self>, after: Duration, what: impl Future<Output = ()> + Send + 'static) {
        let me = self.clone();
        me.untold.fetch_add(1, Ordering::SeqCst);
        self.tasks.spawn_replaceable("provider callback", async move {
            tokio::time::sleep(after).await;
            what.await;
            me.untold.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Books what news tell; false for a capture of a payment that is closed.
    fn moves(&self, id: &str, order: &str, news: &PlannedNews) -> bool {
        let mut books = self.books.lock();
        let fresh = booked(order, &news.currency);
        let payment = books.payments.entry(id.to_owned()).or_insert(fresh);
        if news.result != "captured" {
            return true;
        }
        if payment.closed && payment.captured == 0 {
            return false;
        }
        payment.currency.clone_from(&news.currency);
        payment.captured = payment.captured.max(news.minor);
        true
    }

    fn close(&self, id: &str) -> Result<Answer, Problem> {
        let mut books = self.books.lock();
        let calls = books.calls.entry(format!("close {id}")).or_default();
        *calls += 1;
        let calls = *calls;
        let order = books.payments.get(id).map(|p| p.order.clone()).unwrap_or_default();
        if books.deeds.get(&order).is_some_and(|deed| calls <= deed.deaf) {
            return Err(Problem::new(Reason::DependencyDown));
        }
        let Some(payment) = books.payments.get_mut(id) else {
            return Ok(answer::json(200, &json!({"result": "closed"})));
        };
        payment.closed = true;
        let result = if payment.captured > 0 { "captured" } else { "closed" };
        let captured = json!({"currency": payment.currency, "minor": payment.captured});
        Ok(answer::json(200, &json!({"result": result, "captured": captured})))
    }

    /// Once per key, whatever is said of it.
    fn refund(self: &Arc<Self>, body: &[u8]) -> Result<Answer, Problem> {
        let wanted: RefundBody = read(body)?;
        let (deed, order) = {
            let mut books = self.books.lock();
            let calls = books.calls.entry(format!("refund {}", wanted.refund_id)).or_default();
            *calls += 1;
            let is_first = *calls == 1;
            let order = books.payments.get(&wanted.payment_id).map(|p| p.order.clone());
            let order = order.unwrap_or_default();
            let deed = books.deeds.get(&order).filter(|_| is_first).map(|deed| deed.refund);
            let deed = deed.unwrap_or(RefundDeed::AtOnce);
            if !books.may_refund(&wanted) {
                return Err(Problem::new(Reason::Malformed));
            }
            if deed != RefundDeed::Dropped {
                let moved = (wanted.payment_id.clone(), wanted.amount.minor);
                books.refunds.entry(wanted.refund_id.clone()).or_insert(moved);
            }
            (deed, order)
        };
        match deed {
            RefundDeed::AtOnce => Ok(answer::json(200, &json!({"result": "succeeded"}))),
            RefundDeed::Lost | RefundDeed::Dropped => Err(Problem::new(Reason::DependencyDown)),
            RefundDeed::Told => {
                let body = json!({
                    "event_id": format!("{}-moved", wanted.refund_id),
                    "payment_id": wanted.payment_id,
                    "order_id": order,
                    "result": "refund_succeeded",
                    "refund_id": wanted.refund_id,
                    "amount": {"currency": wanted.amount.currency, "minor": wanted.amount.minor},
                });
                let me = self.clone();
                self.tell(AGAIN, async move { me.call(&body).await });
                Ok(answer::json(200, &json!({"result": "pending"})))
            }
        }
    }

    fn query(&self, id: &str) -> Result<Answer, Problem> {
        if self.books.lock().refunds.contains_key(id) {
            return Ok(answer::json(200, &json!({"result": "succeeded"})));
        }
        Err(Problem::new(Reason::UnknownOrder))
    }

    /// A page of all refunds; one of before `since` is told as well.
    fn stated(&self, query: &str) -> Answer {
        let mut fields = form_urlencoded::parse(query.as_bytes());
        let after = fields.find(|(name, _)| name == "after");
        let after = after.map(|(_, place)| place.into_owned()).unwrap_or_default();
        let books = self.books.lock();
        let all = books.refunds.range::<String, _>((Bound::Excluded(after), Bound::Unbounded));
        let page: Vec<(&String, &(String, i64))> = all.take(PAGE).collect();
        let one = |(key, (id, minor)): &(&String, &(String, i64))| {
            let payment = books.payments.get(id);
            json!({
                "refund_id": key,
                "payment_id": id,
                "order_id": payment.map(|p| &p.order),
                "amount": {"currency": payment.map(|p| &p.currency), "minor": minor},
                "result": "succeeded",
            })
        };
        let refunds: Vec<Value> = page.iter().map(one).collect();
        let next = page.last().filter(|_| page.len() == PAGE).map(|(key, _)| key);
        answer::json(200, &json!({"refunds": refunds, "next": next}))
    }

    /// Tells the gate, until it is taken.
    async fn call(&self, news: &Value) {
        let path = format!("/v1/payments/{}/callback", self.place.name);
        let body = news.to_string();
        for _ in 0..TRIES {
            let now_s = self.clock.now_ms() / 1000;
            let signed = life::adapter::sign(&self.place.secret, now_s, body.as_bytes());
            let request =
                self.place.gate.request("POST", &path).header("sluicegate-signature", signed);
            let request = request.header("content-type", "application/json");
            let Ok(request) = request.body(Full::new(Bytes::from(body.clone()))) else { return };
            match self.place.gate.send(request, LIMIT).await {
                Ok(answer) if answer.status.is_success() => return,
                Ok(answer) => tracing::debug!(status = %answer.status, "a callback was not taken"),
                Err(e) => tracing::debug!(error = %e, "a callback was not taken"),
            }
            tokio::time::sleep(AGAIN).await;
        }
        tracing::warn!("a callback was given up");
    }
}

fn booked(order: &str, currency: &str) -> BookedPayment {
    let (order, currency) = (order.to_owned(), currency.to_owned());
    BookedPayment { order, captured: 0, currency, closed: false }
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
