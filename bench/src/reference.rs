//! Bare hyper: reads the body, parses the same JSON, answers 202 with a body of the same size.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;

/// What a buyer sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Buy {
    /// Units.
    pub quantity: u32,
}

const ANSWER: &str = r#"{"order_id":"00000000-0000-8000-8000-000000000000","status":"accepted","offer":"bare","quantity":1,"amount":{"currency":"EUR","minor":1999},"expires_at":"2026-01-01T00:00:00.000Z","links":{"self":"/v1/orders/00000000-0000-8000-8000-000000000000?offer=bare&receipt=00000000000000000000000000000000"}}"#;

/// Serves a handler on a free port of the loopback.
pub(crate) async fn serve<F, Fut>(answer: F) -> Result<SocketAddr>
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let tasks = runtime::Tasks::new();
    let t = tasks.clone();
    tasks.spawn_replaceable("reference", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            t.spawn_replaceable("reference", async move {
                let _ = stream.set_nodelay(true);
                let service = service_fn(move |r| {
                    let done = answer(r);
                    async move { Ok::<_, Infallible>(done.await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(address)
}

/// The reference server.
pub(crate) async fn start() -> Result<SocketAddr> {
    serve(|request| async move {
        let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let good = serde_json::from_slice::<Buy>(&body).is_ok_and(|b| b.quantity > 0);
        let mut answer = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
        let status = if good { 202 } else { 400 };
        *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
        answer
    })
    .await
}

/// The reference of callbacks: reads the body, parses its JSON, answers 200.
pub(crate) async fn callbacks() -> Result<SocketAddr> {
    serve(|request| async move {
        let body = request.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let read = serde_json::from_slice::<serde_json::Value>(&body);
        let good = read.is_ok_and(|body| body["order_id"].is_string());
        let mut answer = Response::new(Full::new(Bytes::from_static(b"{\"received\":true}")));
        if !good {
            *answer.status_mut() = hyper::StatusCode::BAD_REQUEST;
        }
        answer
    })
    .await
}
