//! One request: admission, route, answer. Everything that may be refused without the body is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::routes::Found;
use contract::{Buyers, Problem, Reason};
use hyper::body::Body;
use hyper::header::{CONNECTION, CONTENT_TYPE, FORWARDED, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request};
use runtime::Phase;
use tokio::time::Instant;
use web::answer::{self, Answer, Reply};
use web::body::{self as read, BodyRefusal};
use web::client::{ForwardedFor, client};
use web::message::authorization;

use crate::edge::answer::{Handled, ended};
use crate::entry::admitted::{Admitted, Arrival, Stranger};
use crate::metrics::{self, Outcome};
use crate::pay::callback;
use crate::pay::{OrderPath, cancel, details, refunds, session};
use crate::sale::{body, buy};
use crate::show::{offers, orders};
use crate::state::Gate;

/// What a purchase says before its body.
pub(crate) struct Head<'a> {
    pub offer: &'a str,
    pub authorization: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
    /// All `Idempotency-Key` headers, up to the second.
    pub keys: &'a [&'a [u8]],
    pub has_query: bool,
}

/// Whose request it is.
fn client_of(gate: &Gate, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if gate.cfg.trusted_proxies.is_empty() {
        return peer;
    }
    let x_forwarded_for = headers.get_all("x-forwarded-for").iter();
    let said = ForwardedFor {
        x_forwarded_for: x_forwarded_for.map(HeaderValue::as_bytes).collect(),
        forwarded: headers.get_all(FORWARDED).iter().map(HeaderValue::as_bytes).collect(),
    };
    client(&gate.cfg.trusted_proxies, peer, &said)
}

/// Answers one request of the buyers' listener: what its sockets call, and what a caller in the
/// same process may call with a body that is already there.
pub async fn respond<B>(gate: Arc<Gate>, peer: IpAddr, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let began = Instant::now();
    let (parts, incoming) = request.into_parts();
    let found = Buyers::find(parts.method.as_str(), parts.uri.path());
    let (route, handled) = match found {
        Found::Route(Buyers::Live, _) => {
            (Some(Buyers::Live), Ok((answer::text(200, "ok\n"), Outcome::Answered)))
        }
        Found::Route(Buyers::Ready, _) => (Some(Buyers::Ready), ready(&gate)),
        found @ (Found::Route(..) | Found::Methods(_) | Found::Nothing) => {
            let route = found.route();
            let ip = client_of(&gate, peer, &parts.headers);
            let arrival = Arrival { ip, at: began };
            (route, routed(&gate, arrival, found, &parts, incoming).await)
        }
    };
    let mut answer = end(&gate, route, began, handled);
    if parts.method == Method::HEAD {
        answer.body = Bytes::new();
    }
    answer.into()
}

/// Counts a request, and says whether its connection ends with it.
pub(crate) fn end(gate: &Gate, route: Option<Buyers>, began: Instant, handled: Handled) -> Answer {
    let (mut answer, outcome) = ended(handled);
    // Of a body that was not read nobody knows where it ends.
    let broken = [Reason::BodyTooLarge, Reason::RequestTimeout].map(Outcome::Problem);
    if gate.tasks.is_at(Phase::NotReady) || broken.contains(&outcome) {
        answer.headers.push((CONNECTION, HeaderValue::from_static("close")));
    }
    metrics::ended(route, outcome, began);
    answer
}

fn ready(gate: &Gate) -> Handled {
    if gate.is_ready() {
        Ok((answer::text(200, "ready\n"), Outcome::Answered))
    } else {
        Err(Problem::new(gate.not_serving()))
    }
}

async fn routed<B>(
    gate: &Gate,
    arrival: Arrival,
    found: Found<'_, Buyers>,
    parts: &Parts,
    incoming: B,
) -> Handled
where
    B: Body<Data = Bytes> + Unpin,
{
    // Only the way of a purchase has its state in here: this future is moved with each request.
    if let Found::Route(Buyers::Buy, [offer, _]) = found {
        return Box::pin(bought(gate, arrival, offer, parts, incoming)).await;
    }
    if let Found::Route(route @ (Buyers::PaymentCallback | Buyers::ParcelCallback), [name, _]) =
        found
    {
        return Box::pin(callback::take(gate, route, name, &parts.headers, incoming)).await;
    }
    let stranger = Stranger::new(gate, arrival)?;
    let (route, parameters) = match found {
        Found::Route(route, parameters) => (route, parameters),
        Found::Methods(allowed) => {
            return Err(Problem::new(Reason::MethodNotAllowed).allow(allowed));
        }
        Found::Nothing => return Err(Problem::new(Reason::UnknownRoute)),
    };
    let (name, query) = (parameters[0], parts.uri.query());
    match route {
        Buyers::Offer => {
            // An offer is shown to anybody; a token says only whose offer is meant.
            let said = authorization(&parts.headers).and_then(|h| gate.tokens.buyer(h));
            let tenant = said.map(|b| b.buyer.tenant().clone()).unwrap_or_default();
            Box::pin(offers::get(gate, &tenant, name)).await
        }
        Buyers::Order => {
            let who = stranger.buyer(gate, authorization(&parts.headers))?;
            Box::pin(orders::by_id(gate, &who, name, query)).await
        }
        Buyers::OrderOfKey => {
            let who = stranger.buyer(gate, authorization(&parts.headers))?;
            Box::pin(orders::by_key(gate, &who, query)).await
        }
        Buyers::OpenPayment
        | Buyers::Cancel
        | Buyers::AskRefund
        | Buyers::Refunds
        | Buyers::PutDetails
        | Buyers::Details
        | Buyers::History => {
            let who = stranger.buyer(gate, authorization(&parts.headers))?;
            let body = Box::pin(body_of(gate, route, parts, incoming)).await?;
            let call = OrderCall { route, at: OrderPath { id: name, query }, body };
            Box::pin(of_order(gate, &who, call)).await
        }
        // These went another way.
        Buyers::Buy
        | Buyers::PaymentCallback
        | Buyers::ParcelCallback
        | Buyers::Live
        | Buyers::Ready => Err(Problem::new(Reason::UnknownRoute)),
    }
}

/// A purchase, over a body that is still to come.
async fn bought<B>(
    gate: &Gate,
    arrival: Arrival,
    offer: &str,
    parts: &Parts,
    incoming: B,
) -> Handled
where
    B: Body<Data = Bytes> + Unpin,
{
    let limit = Duration::from_millis(gate.cfg.body_timeout_ms);
    let keys = parts.headers.get_all("idempotency-key").iter().take(2);
    let keys: Vec<&[u8]> = keys.map(HeaderValue::as_bytes).collect();
    let head = Head {
        offer,
        authorization: authorization(&parts.headers),
        content_type: parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes),
        keys: &keys,
        has_query: parts.uri.query().is_some(),
    };
    let most = Buyers::Buy.spec().body.map_or(0, |b| b.most);
    let body = read::read(incoming, &parts.headers, most, limit);
    purchase(gate, arrival, &head, body).await
}

/// A call about an order of a buyer, after its row.
struct OrderCall<'a> {
    route: Buyers,
    at: OrderPath<'a>,
    body: Bytes,
}

async fn of_order(gate: &Gate, who: &Admitted, call: OrderCall<'_>) -> Handled {
    let OrderCall { route, at, body } = call;
    if route == Buyers::OpenPayment {
        return session::open(gate, who, at, &body).await;
    }
    if route == Buyers::AskRefund {
        return refunds::refund(gate, who, at, &body).await;
    }
    if route == Buyers::Cancel {
        return cancel::cancel(gate, who, at).await;
    }
    if route == Buyers::PutDetails {
        return details::put(gate, who, at, &body).await;
    }
    if route == Buyers::Details {
        return details::show(gate, who, at).await;
    }
    if route == Buyers::Refunds {
        return refunds::list(gate, who, at).await;
    }
    cancel::history(gate, who, at).await
}

/// The body of a call about an order, JSON where the route takes one; any other is refused.
async fn body_of<B>(gate: &Gate, route: Buyers, parts: &Parts, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let takes = route.spec().body;
    let limit = Duration::from_millis(gate.cfg.body_timeout_ms);
    let most = takes.map_or(MAX_UNWANTED, |b| b.most);
    let bytes = read::read(body, &parts.headers, most, limit).await?;
    read::check_json(parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes), &bytes)?;
    match takes {
        None if !bytes.is_empty() => {
            Err(Problem::with(Reason::Malformed, "this call takes no body"))
        }
        Some(b) if b.is_required && bytes.is_empty() => {
            Err(Problem::with(Reason::Malformed, "this call takes a JSON object"))
        }
        _ => Ok(bytes),
    }
}

/// The most bytes of a body that nobody takes.
const MAX_UNWANTED: usize = 4096;

/// A purchase; its body is asked for when everything before it is right.
pub(crate) async fn purchase<T: AsRef<[u8]>>(
    gate: &Gate,
    arrival: Arrival,
    head: &Head<'_>,
    body: impl Future<Output = Result<T, BodyRefusal>>,
) -> Handled {
    let request = understand(gate, arrival, head, body).await?;
    buy::buy(gate, request).await
}

/// Limits of strangers, token, limits of buyers, the sale's own refusals, then key and body.
async fn understand<T: AsRef<[u8]>>(
    gate: &Gate,
    arrival: Arrival,
    head: &Head<'_>,
    body: impl Future<Output = Result<T, BodyRefusal>>,
) -> Result<buy::Request, Problem> {
    let stranger = Stranger::new(gate, arrival)?;
    let who = stranger.buyer_of(gate, head.authorization, head.offer)?;
    let known = offers::find(gate, who.buyer().tenant(), head.offer).await?;
    let lane = gate.reserve.lane(&gate.cell_of(&known.offer, who.buyer()));
    if let Some(refusal) = buy::early(&known, &lane, || who.hash(&gate.ports.identity)) {
        return Err(refusal);
    }
    if head.has_query {
        return Err(Problem::with(Reason::Malformed, "this route takes no query"));
    }
    let key = body::idempotency_key(head.keys)?;
    let bytes = body.await?;
    read::check_json(head.content_type, bytes.as_ref())?;
    let body = body::buy(bytes.as_ref(), gate.cfg.max_quantity)?;
    Ok(buy::Request { known, lane, who, key, body })
}
