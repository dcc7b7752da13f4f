//! Callbacks of payment providers and warehouses: whose they are is proven over the raw body, what
//! they tell goes to the log, and with its receipt they are answered 200, whatever they tell.
//! Anything else makes a provider send the oldest one again before all later ones.

use std::time::Duration;

use bytes::Bytes;
use contract::paying::ReceivedNews;
use contract::{Buyers, Problem, Reason};
use domain::OrderId;
use domain::life::{LifeNews, Provider};
use hyper::body::Body;
use hyper::header::HeaderMap;
use life::adapter::{self, Callback, Forged, Heard};
use runtime::Phase;
use web::{answer, body as read};

use crate::edge::answer::Handled;
use crate::metrics::{METRICS, NewsOf, Outcome};
use crate::pay::tell::Untold;
use crate::state::Gate;

/// `POST /v1/payments/{provider}/callback` and `/v1/fulfilments/{system}/callback`.
pub(crate) async fn take<B>(
    gate: &Gate,
    route: Buyers,
    name: &str,
    headers: &HeaderMap,
    incoming: B,
) -> Handled
where
    B: Body<Data = Bytes> + Unpin,
{
    if !gate.is_open() || gate.tasks.is_at(Phase::FlushLog) {
        return Err(Problem::new(gate.not_serving()));
    }
    let known = name.parse().ok().and_then(|id| gate.catalog.provider(&id));
    let provider = known.ok_or_else(|| Problem::new(Reason::UnknownProvider))?;
    let most = route.spec().body.map_or(0, |b| b.most);
    let limit = Duration::from_millis(gate.cfg.body_timeout_ms);
    let body = read::read(incoming, headers, most, limit).await?;
    let heard = heard(gate, route, &provider, headers, &body);
    let told = heard.map_err(|Forged| {
        METRICS.news.of(NewsOf::Forged).increment(1);
        Problem::with(Reason::Unauthenticated, "no signature of today by a secret of this provider")
    })?;
    let hash = life::hash(&body);
    let (news, of) = match told {
        Heard::Nothing => {
            METRICS.news.of(NewsOf::Nothing).increment(1);
            return received();
        }
        Heard::Event(event) => (LifeNews::Payment { event, hash }, NewsOf::Payment),
        Heard::Parcel { order, parcel, tracking } => {
            let system = provider.id.to_string();
            (LifeNews::Parcel { system, order, parcel, tracking }, NewsOf::Parcel)
        }
        Heard::Unreadable(why) => {
            let why = reason(&why);
            tracing::warn!(provider = %provider.id, why, "an authentic callback is not understood");
            (LifeNews::Unreadable { from: provider.id.to_string(), why, hash }, NewsOf::Unreadable)
        }
    };
    METRICS.news.of(of).increment(1);
    let db = gate.order_db(news.order().unwrap_or(OrderId::nobodys()));
    gate.tell.tell(db, news).await.map_err(|untold| match untold {
        Untold::Full => Problem::with(Reason::Overloaded, "too many callbacks wait for the log"),
        Untold::NoReceipt => Problem::with(Reason::DependencyDown, "the log gave no receipt"),
    })?;
    received()
}

/// What is wrong with a body, without where in it: the same for all that are wrong in one way.
fn reason(why: &str) -> String {
    let text = why.split(" at line ").next().unwrap_or(why);
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn received() -> Handled {
    Ok((answer::json(200, &ReceivedNews { received: true }), Outcome::Answered))
}

fn heard(
    gate: &Gate,
    route: Buyers,
    provider: &Provider,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Heard, Forged> {
    let header = |name: &str| {
        let mut all = headers.get_all(name).iter();
        let one = all.next()?.to_str().ok()?;
        all.next().is_none().then_some(one)
    };
    let callback = Callback { header: &header, body, now_s: gate.ports.clock.now_ms() / 1000 };
    if route == Buyers::ParcelCallback {
        return adapter::read_parcel(provider, &callback);
    }
    adapter::read(provider, &callback)
}
