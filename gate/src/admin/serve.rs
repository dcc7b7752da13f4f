//! The listener of the operators: routes, roles, answers.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use domain::Reason;
use hyper::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::Phase;
use tokio::net::TcpListener;

use super::{Admin, Shop, campaigns, offers, repair, status, supply, tasks};
use crate::answer::{self, Answer, Problem, Reply};
use crate::auth::{Refused, Role};
use crate::body;
use crate::message::{self, Whole, authorization};
use crate::stream::Conn;

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
    let answer = match probe(&admin, request.uri().path()) {
        Some(_) if ![Method::GET, Method::HEAD].contains(request.method()) => {
            Err(Problem::new(Reason::MethodNotAllowed).allow("GET, HEAD"))
        }
        Some(answer) => Ok(answer),
        None => call(&admin, request).await,
    };
    answer.unwrap_or_else(|p| answer::problem(&p)).into()
}

/// What needs no token.
fn probe(admin: &Admin, path: &str) -> Option<Answer> {
    match path {
        "/livez" => Some(answer::text(200, "ok\n")),
        "/readyz" if admin.gate.is_ready() => Some(answer::text(200, "ready\n")),
        "/readyz" => Some(answer::problem(&Problem::new(crate::http::not_serving(&admin.gate)))),
        "/metrics" => Some(answer::text(200, admin.metrics.render())),
        _ => None,
    }
}

async fn call<B>(admin: &Admin, request: Request<B>) -> Result<Answer, Problem>
where
    B: Body<Data = Bytes> + Unpin,
{
    let who =
        admin.gate.tokens.operator(authorization(request.headers())).map_err(|r| match r {
            Refused::Unauthenticated => Problem::new(Reason::Unauthenticated),
            Refused::Forbidden => Problem::new(Reason::Forbidden),
        })?;
    let (parts, incoming) = request.into_parts();
    if who.role == Role::Viewer && parts.method != Method::GET {
        return Err(Problem::with(Reason::Forbidden, "a viewer may only GET"));
    }
    let limit = Duration::from_secs(5);
    let bytes = body::read(incoming, &parts.headers, MAX_BODY, limit).await?;
    let content_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    body::check_json(content_type, &bytes)?;
    let path = parts.uri.path();
    let path: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    let shop = Shop { admin, tenant: &who.tenant };
    route(&shop, (&parts.method, &path), parts.uri.query(), &bytes).await
}

async fn route(
    shop: &Shop<'_>,
    (method, path): (&Method, &[&str]),
    query: Option<&str>,
    bytes: &[u8],
) -> Result<Answer, Problem> {
    let ["admin", rest @ ..] = path else { return Err(Problem::new(Reason::UnknownRoute)) };
    strict((method.as_str(), rest), query, bytes)?;
    let admin = shop.admin;
    let everybodys = matches!(rest, ["reconcile"] | ["status"] | ["tasks"] | ["parked", ..]);
    if everybodys && !shop.tenant.is_default() {
        let text = "this call is about all tenants: it needs an operator of the default one";
        return Err(Problem::with(Reason::Forbidden, text));
    }
    match (method.as_str(), rest) {
        ("PUT", ["campaigns", id]) => campaigns::put(shop, id, bytes).await,
        ("PUT", ["offers", id]) => offers::put(shop, id, bytes).await,
        ("GET", ["offers", id]) => offers::show(shop, id, 200).await,
        ("POST", ["offers", id, "supply"]) => supply::post(shop, id, bytes).await,
        ("POST", ["offers", id, verb @ ("pause" | "resume" | "open" | "close")]) => {
            offers::flag(shop, id, verb).await
        }
        ("POST", ["reconcile"]) => repair::reconcile(shop, bytes).await,
        ("POST", ["cells", cell, "rebuild"]) => repair::rebuild(shop, cell).await,
        ("GET", ["status"]) => status::get(admin).await,
        ("GET", ["tasks"]) => tasks::list(admin, query).await,
        ("POST", ["parked", id, "retry"]) => tasks::retry(admin, id).await,
        // `strict` has refused it.
        (_, _) => Err(Problem::new(Reason::UnknownRoute)),
    }
}

/// Refuses other routes and methods, and what a call would not look at: a `?dry_run=true` that
/// nobody reads is a real run.
fn strict(
    (method, path): (&str, &[&str]),
    query: Option<&str>,
    bytes: &[u8],
) -> Result<(), Problem> {
    let allow = match path {
        ["campaigns", _] => "PUT",
        ["offers", _] => "GET, PUT",
        ["offers", _, "supply" | "pause" | "resume" | "open" | "close"] => "POST",
        ["reconcile"] | ["cells", _, "rebuild"] => "POST",
        ["status"] | ["tasks"] => "GET",
        ["parked", _, "retry"] => "POST",
        _ => return Err(Problem::new(Reason::UnknownRoute)),
    };
    if !allow.split(", ").any(|m| m == method) {
        return Err(Problem::new(Reason::MethodNotAllowed).allow(allow));
    }
    if !matches!(path, ["tasks"]) {
        body::query(query, &[])?;
    }
    let reads_body = method == "PUT" || matches!(path, ["offers", _, "supply"] | ["reconcile"]);
    if !reads_body && !bytes.is_empty() {
        return Err(Problem::with(Reason::Malformed, "this call takes no body"));
    }
    Ok(())
}
