//! The buyers' listener.

use std::sync::Arc;
use std::time::Duration;

use runtime::Phase;
use tokio::net::TcpListener;
use web::{Bounds, Listener};

use crate::config::GateConfig;
use crate::state::Gate;

/// Accepts buyers until `StopAccept`.
pub fn listen(gate: &Arc<Gate>, listener: TcpListener) {
    let bounds = bounds(&gate.cfg);
    Listener::spawn("gate listener", listener, bounds, (gate.clone(), &gate.tasks));
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
