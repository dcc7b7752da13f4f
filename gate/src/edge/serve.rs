//! The buyers' listener.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use contract::Problem;
use hyper::Request;
use hyper::body::Incoming;
use runtime::Phase;
use tokio::net::TcpListener;
use tokio::time::Instant;
use web::answer::Reply;
use web::message::Whole;
use web::{Bound, Bounds, Conn, Listener, Service};

use crate::config::GateConfig;
use crate::edge::front;
use crate::edge::http::{end, respond};
use crate::metrics::METRICS;
use crate::state::Gate;

/// Accepts buyers until `StopAccept`.
pub fn listen(gate: &Arc<Gate>, listener: TcpListener) {
    let bounds = bounds(&gate.cfg);
    Listener::spawn("gate listener", listener, bounds, gate.clone(), &gate.tasks);
}

impl Service for Gate {
    fn connections(&self, change: i64) {
        METRICS.connections.increment(change as f64);
        self.connections.fetch_add(change as isize, Ordering::Relaxed);
    }

    fn refused(&self, bound: Bound) {
        METRICS.connections_refused.of(bound).increment(1);
    }

    async fn first(&self, from: IpAddr, conn: &mut Conn) -> bool {
        // Purchases first; from something else on the connection is hyper's.
        front::serve(self, from, conn).await
    }

    async fn answer(self: Arc<Self>, from: IpAddr, request: Request<Whole<Incoming>>) -> Reply {
        respond(self, from, request).await
    }

    fn malformed(&self, problem: Problem) -> Reply {
        end(self, None, Instant::now(), Err(problem)).into()
    }
}

fn bounds(cfg: &GateConfig) -> Bounds {
    let ms = Duration::from_millis;
    Bounds {
        max_connections: cfg.max_connections,
        max_connections_per_ip: cfg.max_connections_per_ip,
        trusted_proxies: cfg.trusted_proxies.clone(),
        proxy_protocol: cfg.proxy_protocol,
        max_streams: cfg.max_streams,
        header_timeout: ms(cfg.header_timeout_ms),
        body_timeout: ms(cfg.body_timeout_ms),
        write_timeout: ms(cfg.write_timeout_ms),
        idle_timeout: ms(cfg.idle_timeout_ms),
        drain: ms(cfg.drain_ms),
        linger_bytes: cfg.linger_bytes,
        until: Phase::StopAccept,
    }
}
