//! The listener of the operators: routes, roles, answers.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use contract::routes::{Found, Who};
use contract::{Operators, Problem, Reason};
use domain::Flag;
use hyper::Request;
use hyper::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::Phase;
use tokio::net::TcpListener;

use super::{Admin, Shop, campaigns, offers, repair, status, supply, tasks};
use crate::answer::{self, Answer, Reply};
use crate::auth::{Operator, Refused, Role};
use crate::body;
use crate::message::{self, Whole, authorization};
use crate::stream::Conn;

/// The most bytes of a body that nobody takes.
const MAX_BODY: usize = 64 * 1024;

/// Serves until `ClosePools`, so that metrics can be read during a drain.
pub fn spawn(admin: Admin, listener: TcpListener) {
    let tasks = admin.gate.tasks.clone();
    tasks.clone().spawn("admin listener", async move {
        while let Some(accepted) = tasks.unless(Phase::ClosePools, listener.accept()).await {
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (admin, t, cfg) = (admin.clone(), tasks.clone(), admin.gate.cfg.clone());
            tasks.spawn_replaceable("operator connection", async move {
                let service = service_fn(move |r| {
                    let answer = received(admin.clone(), r);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let stream = Conn::new(stream, &cfg, &t);
                let conn = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(5))
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service);
                let mut conn = std::pin::pin!(conn);
                tokio::select! {
                    done = conn.as_mut() => drop(done),
                    () = t.reached(Phase::ClosePools) => {
                        conn.as_mut().graceful_shutdown();
                        let _ = conn.await;
                    }
                }
            });
        }
    });
}

/// Answers what came over a socket, if it is a message at all.
async fn received<B>(admin: Admin, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    match message::check(&request) {
        Ok(()) => {
            let version = request.version();
            respond(admin, request.map(|body| Whole { body, version })).await
        }
        Err(p) => answer::problem(&p).into(),
    }
}

/// Answers one request of the operators' listener: what its sockets call, and what a caller in the
/// same process may call with a body that is already there.
pub async fn respond<B>(admin: Admin, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let found = Operators::find(request.method().as_str(), request.uri().path());
    let answer = match found {
        Found::Route(route, _) if route.spec().who == Who::Probe => Ok(probe(&admin, route)),
        Found::Route(route, parameters) => {
            let name = parameters[0].to_owned();
            call(&admin, (route, &name), request).await
        }
        Found::Methods(allowed) => known(&admin, request.headers())
            .and(Err(Problem::new(Reason::MethodNotAllowed).allow(allowed))),
        Found::Nothing => {
            known(&admin, request.headers()).and(Err(Problem::new(Reason::UnknownRoute)))
        }
    };
    answer.unwrap_or_else(|p| answer::problem(&p)).into()
}

/// What needs no token.
fn probe(admin: &Admin, route: Operators) -> Answer {
    match route {
        Operators::Live => answer::text(200, "ok\n"),
        Operators::Metrics => answer::text(200, admin.metrics.render()),
        Operators::OpenApi => answer::raw(200, "application/json", document()),
        _ if admin.gate.is_ready() => answer::text(200, "ready\n"),
        _ => answer::problem(&Problem::new(crate::http::not_serving(&admin.gate))),
    }
}

fn document() -> Bytes {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    DOCUMENT.get_or_init(|| contract::json().into()).clone()
}

/// The operator that a request is from.
fn known(admin: &Admin, headers: &HeaderMap) -> Result<Operator, Problem> {
    admin.gate.tokens.operator(authorization(headers)).map_err(|r| match r {
        Refused::Unauthenticated => Problem::new(Reason::Unauthenticated),
        Refused::Forbidden => Problem::new(Reason::Forbidden),
    })
}

async fn call<B>(
    admin: &Admin,
    (route, name): (Operators, &str),
    request: Request<B>,
) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let who = known(admin, request.headers())?;
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
    body::check_json(content_type, &bytes)?;
    // What a call would not look at is refused: a `?dry_run=true` that nobody reads is a real run.
    body::query(parts.uri.query(), spec.query)?;
    if spec.body.is_none() && !bytes.is_empty() {
        return Err(Problem::with(Reason::Malformed, "this call takes no body"));
    }
    let shop = Shop { admin, tenant: &who.tenant };
    handle(&shop, (route, name), parts.uri.query(), &bytes).await
}

async fn handle(
    shop: &Shop<'_>,
    (route, name): (Operators, &str),
    query: Option<&str>,
    bytes: &[u8],
) -> Result<Answer, Problem> {
    match route {
        Operators::PutCampaign => campaigns::put(shop, name, bytes).await,
        Operators::PutOffer => offers::put(shop, name, bytes).await,
        Operators::GetOffer => offers::show(shop, name, 200).await,
        Operators::Supply => supply::post(shop, name, bytes).await,
        Operators::Pause => offers::flag(shop, name, (Flag::Paused, &[Flag::Open])).await,
        Operators::Resume => offers::flag(shop, name, (Flag::Open, &[Flag::Paused])).await,
        Operators::Close => {
            offers::flag(shop, name, (Flag::Closed, &[Flag::Open, Flag::Paused])).await
        }
        Operators::Open => {
            offers::flag(shop, name, (Flag::Open, &[Flag::Closed, Flag::Paused])).await
        }
        Operators::Reconcile => repair::reconcile(shop, bytes).await,
        Operators::Rebuild => repair::rebuild(shop, name).await,
        Operators::Status => status::get(shop).await,
        Operators::ListTasks => tasks::list(shop, query).await,
        Operators::RetryParked => tasks::retry(shop, name).await,
        // They were answered without a token.
        Operators::Live | Operators::Ready | Operators::Metrics | Operators::OpenApi => {
            Ok(probe(shop, route))
        }
    }
}
