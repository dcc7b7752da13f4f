//! One request: admission, route, answer. Everything that may be refused without the body is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{Buyer, Reason};
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Version};
use runtime::Phase;
use tokio::time::Instant;

use crate::answer::{self, Answer, Problem};
use crate::buy::{self, Ended, problem};
use crate::metrics::Outcome;
use crate::route::{self, Route};
use crate::state::Gate;
use crate::{body, offers, orders};

/// Largest body of a one-line order, bytes.
const MAX_BODY: usize = 4096;

/// Answers one request of the buyers' listener: what its sockets call, and what a caller in the
/// same process may call with a body that is already there.
pub async fn respond<B>(gate: Arc<Gate>, peer: IpAddr, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Unpin,
{
    let began = Instant::now();
    let (parts, incoming) = request.into_parts();
    let route = route::find(&parts.method, parts.uri.path());
    let label = route::label(&route);
    let (mut answer, outcome) = match route {
        Ok(Route::Live) => (answer::text(200, "ok\n"), Outcome::Answered),
        Ok(Route::Ready) => ready(&gate),
        route => admitted(&gate, peer, (route, &parts, incoming)).await,
    };
    if parts.method == Method::HEAD {
        *answer.body_mut() = http_body_util::Full::default();
    }
    if gate.tasks.is_at(Phase::NotReady) && parts.version < Version::HTTP_2 {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    gate.requests.ended(label, outcome, began.elapsed().as_secs_f64());
    answer
}

fn ready(gate: &Gate) -> Ended {
    if gate.is_ready() {
        (answer::text(200, "ready\n"), Outcome::Answered)
    } else {
        problem(Problem::new(not_serving(gate)))
    }
}

/// Why requests are not served now.
pub(crate) fn not_serving(gate: &Gate) -> Reason {
    if gate.is_open() { Reason::Draining } else { Reason::Starting }
}

type Routed<'a> = Result<Route<'a>, (Reason, &'static str)>;

async fn admitted<B>(
    gate: &Gate,
    peer: IpAddr,
    (route, parts, incoming): (Routed<'_>, &Parts, B),
) -> Ended
where
    B: Body<Data = Bytes> + Unpin,
{
    if !gate.is_open() || gate.tasks.is_at(Phase::FlushLog) {
        return problem(Problem::new(not_serving(gate)));
    }
    if let Err(p) = gate.admission.arrive(peer) {
        return problem(p);
    }
    // Only the way of a purchase has its state in here: this future is moved with each request.
    match route {
        Err((reason, allowed)) => problem(Problem::new(reason).allow(allowed)),
        Ok(Route::Offer(id)) => Box::pin(offers::get(gate, id)).await,
        Ok(Route::Buy(id)) => buy_route(gate, id, parts, incoming).await,
        Ok(Route::Order(id)) => match buyer(gate, parts) {
            Ok(buyer) => Box::pin(orders::by_id(gate, &buyer, id, parts.uri.query())).await,
            Err(p) => problem(p),
        },
        Ok(Route::Orders) => match buyer(gate, parts) {
            Ok(buyer) => Box::pin(orders::by_key(gate, &buyer, parts.uri.query())).await,
            Err(p) => problem(p),
        },
        Ok(Route::Live | Route::Ready) => problem(Problem::new(Reason::UnknownRoute)),
    }
}

fn buyer(gate: &Gate, parts: &Parts) -> Result<Buyer, Problem> {
    let header = parts.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let refused = || Problem::with(Reason::Unauthenticated, "send a valid Bearer token");
    let buyer = header.and_then(|h| gate.tokens.buyer(h)).ok_or_else(refused)?;
    gate.admission.buyer(buyer.as_str())?;
    Ok(buyer)
}

async fn buy_route<B>(gate: &Gate, offer: &str, parts: &Parts, incoming: B) -> Ended
where
    B: Body<Data = Bytes> + Unpin,
{
    match understand(gate, offer, parts, incoming).await {
        Ok(request) => Box::pin(buy::buy(gate, request)).await,
        Err(p) => problem(p),
    }
}

/// Path, limits, token, the sale's own refusals, then key and body.
async fn understand<B>(
    gate: &Gate,
    offer: &str,
    parts: &Parts,
    incoming: B,
) -> Result<buy::Request, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    gate.admission.offer(offer)?;
    let buyer = buyer(gate, parts)?;
    let known = offers::find(gate, offer).await?;
    let lane = gate.reserve.lane(&gate.cell_of(&known.offer, &buyer));
    let hash = gate.ports.identity.buyer_hash(&buyer);
    if let Some(refusal) = buy::early(&known, &lane, hash) {
        return Err(refusal);
    }
    if parts.uri.query().is_some() {
        return Err(Problem::with(Reason::Malformed, "this route takes no query"));
    }
    let key = body::idempotency_key(&parts.headers)?;
    let limit = Duration::from_millis(gate.cfg.body_timeout_ms);
    let bytes = body::read(incoming, &parts.headers, MAX_BODY, limit).await?;
    body::check_json(&parts.headers, &bytes)?;
    let body = body::buy(&bytes, gate.cfg.max_quantity)?;
    Ok(buy::Request { known, buyer, key, body })
}
