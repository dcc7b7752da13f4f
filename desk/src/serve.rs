//! The listener of the operators: routes, roles, answers.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use contract::routes::{Found, Who};
use contract::{Operators, Problem, Reason};
use domain::Flag;
use domain::life::Parcel;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::net::TcpListener;
use web::answer::{self, Answer, Reply};
use web::message::{Whole, authorization};
use web::{Bounds, Listener, Operator, Role, Service, TokenRefused, body};

use super::{
    Desk, Shop, buyers, campaigns, money, offers, orders, providers, repair, resolve, status,
    supply, tasks,
};

/// The most bytes of a body that nobody takes.
const MAX_BODY: usize = 64 * 1024;

/// Serves operators until `ClosePools`, so that metrics can be read during a drain.
pub fn listen(desk: &Arc<Desk>, listener: TcpListener, max_connections: usize) {
    let bounds = Bounds::of_operators(max_connections);
    Listener::spawn("desk listener", listener, bounds, desk.clone(), &desk.probes.tasks);
}

impl Service for Desk {
    async fn answer(self: Arc<Self>, _: IpAddr, request: Request<Whole<Incoming>>) -> Reply {
        respond(&self, request).await
    }

    fn malformed(&self, problem: Problem) -> Reply {
        answer::problem(&problem).into()
    }
}

/// Answers one request of the operators' listener: what its sockets call, and what a caller in the
/// same process may call with a body that is already there.
pub async fn respond<B>(desk: &Desk, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let found = Operators::find(request.method().as_str(), request.uri().path());
    let answer = match found {
        Found::Route(route, _) if route.spec().who == Who::Probe => Ok(probe(desk, route)),
        Found::Route(route, parameters) => {
            let name = parameters[0].to_owned();
            call(desk, route, &name, request).await
        }
        Found::Methods(allowed) => {
            let refused = Err(Problem::new(Reason::MethodNotAllowed).allow(allowed));
            // Of what needs no token, anybody may know the methods.
            let get = Operators::find("GET", request.uri().path()).route();
            if get.is_some_and(|route| route.spec().who == Who::Probe) {
                refused
            } else {
                known(desk, request.headers()).and(refused)
            }
        }
        Found::Nothing => {
            known(desk, request.headers()).and(Err(Problem::new(Reason::UnknownRoute)))
        }
    };
    answer.unwrap_or_else(|p| answer::problem(&p)).into()
}

/// What needs no token.
fn probe(desk: &Desk, route: Operators) -> Answer {
    let document = || answer::raw(200, "application/json", document());
    desk.probes.answer(route).unwrap_or_else(document)
}

fn document() -> Bytes {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    DOCUMENT.get_or_init(|| contract::json().into()).clone()
}

/// The operator that a request is from.
fn known(desk: &Desk, headers: &HeaderMap) -> Result<Operator, Problem> {
    desk.tokens.operator(authorization(headers)).map_err(|r| match r {
        TokenRefused::Unauthenticated => Problem::new(Reason::Unauthenticated),
        TokenRefused::Forbidden => Problem::new(Reason::Forbidden),
    })
}

async fn call<B>(
    desk: &Desk,
    route: Operators,
    name: &str,
    request: Request<B>,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let who = known(desk, request.headers())?;
    let spec = route.spec();
    if who.role == Role::Viewer && spec.method != "GET" {
        return Err(Problem::with(Reason::Forbidden, "a viewer may only GET"));
    }
    if spec.who == Who::Deployment && !who.tenant.is_default() {
        let text = "this call is about all tenants: it needs an operator of the default one";
        return Err(Problem::with(Reason::Forbidden, text));
    }
    let (parts, incoming) = request.into_parts();
    let limit = Duration::from_secs(5);
    let most = spec.body.map_or(MAX_BODY, |b| b.most);
    let bytes = body::read(incoming, &parts.headers, most, limit).await?;
    let content_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media = spec.body.map_or("application/json", |b| b.content.media());
    body::check_media(content_type, &bytes, media)?;
    // What a call would not look at is refused: a `?dry_run=true` that nobody reads is a real run.
    body::query(parts.uri.query(), spec.query)?;
    if spec.body.is_none() && !bytes.is_empty() {
        return Err(Problem::with(Reason::Malformed, "this call takes no body"));
    }
    let shop = Shop { desk, tenant: &who.tenant, name: &who.name };
    handle(&shop, route, name, parts.uri.query(), &bytes).await
}

async fn handle(
    shop: &Shop<'_>,
    route: Operators,
    name: &str,
    query: Option<&str>,
    bytes: &[u8],
) -> Result<Answer, Problem> {
    match route {
        Operators::PutCampaign => campaigns::put(shop, name, bytes).await,
        Operators::PutOffer => offers::put(shop, name, bytes).await,
        Operators::GetOffer => offers::show(shop, name, 200).await,
        Operators::Supply => supply::post(shop, name, bytes).await,
        Operators::Pause => offers::flag(shop, name, Flag::Paused, &[Flag::Open]).await,
        Operators::Resume => offers::flag(shop, name, Flag::Open, &[Flag::Paused]).await,
        Operators::Close => {
            offers::flag(shop, name, Flag::Closed, &[Flag::Open, Flag::Paused]).await
        }
        Operators::Open => {
            offers::flag(shop, name, Flag::Open, &[Flag::Closed, Flag::Paused]).await
        }
        Operators::Reconcile => repair::reconcile(shop, bytes).await,
        Operators::Rebuild => repair::rebuild(shop, name).await,
        Operators::Status => status::get(shop).await,
        Operators::ListTasks => tasks::list(shop, query).await,
        Operators::RetryParked | Operators::RetryTask => tasks::retry(shop, name).await,
        Operators::ResolveTask => resolve::resolve(shop, name, bytes).await,
        Operators::PutProvider => providers::put(shop, name, bytes).await,
        Operators::GetProvider => providers::show(shop, name).await,
        Operators::CompareMoney => money::compare(shop, query, bytes).await,
        Operators::EraseDetails => buyers::erase(shop, name).await,
        Operators::RefundOrder => orders::refund(shop, name, bytes).await,
        Operators::CancelOrder => orders::cancel(shop, name, bytes).await,
        Operators::ShipOrder => orders::goods(shop, name, bytes, Parcel::Shipped).await,
        Operators::CompleteOrder => orders::goods(shop, name, bytes, Parcel::Delivered).await,
        // They were answered without a token.
        Operators::Live | Operators::Ready | Operators::Metrics | Operators::OpenApi => {
            Ok(probe(shop, route))
        }
    }
}
