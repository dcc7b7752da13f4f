//! A small listener with `/livez`, `/readyz` and `/metrics` for services without an API.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::tasks::{Phase, Tasks};

/// Says whether a service is ready; set by the service.
#[derive(Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Changes the answer of `/readyz`.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }
    /// The answer of `/readyz`.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves until `StopAccept`.
pub fn serve(tasks: &Tasks, listener: TcpListener, ready: Ready, metrics: PrometheusHandle) {
    let t = tasks.clone();
    tasks.spawn("probe listener", async move {
        while let Some(conn) = t.unless(Phase::ClosePools, listener.accept()).await {
            let Ok((stream, _)) = conn else { continue };
            let (ready, metrics, tasks) = (ready.clone(), metrics.clone(), t.clone());
            t.spawn_replaceable("probe", async move {
                let answer = service_fn(move |r| {
                    let answer = answer(&r, &tasks, &ready, &metrics);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(std::time::Duration::from_secs(5))
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    });
}

fn answer(
    r: &Request<Incoming>,
    tasks: &Tasks,
    ready: &Ready,
    metrics: &PrometheusHandle,
) -> Response<Full<Bytes>> {
    let is_ready = ready.get() && tasks.phase() == Phase::Running;
    let (status, text) = match r.uri().path() {
        "/livez" => (200, "ok\n".to_owned()),
        "/readyz" if is_ready => (200, "ready\n".to_owned()),
        "/readyz" => (503, "not ready\n".to_owned()),
        "/metrics" => (200, metrics.render()),
        _ => (404, "livez, readyz or metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}
