//! The buyers' listener.

use std::sync::Arc;

use tokio::net::TcpListener;
use web::{Bounds, Listener};

use crate::state::Gate;

/// Accepts buyers until `StopAccept`.
pub fn listen(gate: &Arc<Gate>, listener: TcpListener) {
    let bounds = Bounds::of_buyers(&gate.cfg);
    Listener::spawn("gate listener", listener, bounds, (gate.clone(), &gate.tasks));
}
