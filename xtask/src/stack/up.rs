//! Bringing the servers up: each is ready when its clients would be served.

use anyhow::Result;

use super::layout::{Layout, REDIS_NODES, Server};
use super::tools::Tools;
use super::{lifecycle, mariadb, pulsar, redis};
use crate::progress::Progress;

/// Brings all nodes up, forms the cluster the first time, and waits until all of them agree.
pub(super) fn redis(layout: &Layout, tools: &Tools, progress: &Progress) -> Result<()> {
    let mut started = false;
    for server in Server::redis_nodes() {
        started |= lifecycle::ensure_running(layout, tools, server, progress)?;
    }
    for n in 1..=REDIS_NODES {
        redis::wait_node(layout, n)?;
    }
    if !redis::formed_marker(layout).exists() {
        redis::form(layout, tools, progress)?;
        started = true;
    }
    redis::wait_cluster(layout)?;
    if started {
        progress.say("redis", "ready: 3 primaries, each with a replica in sync");
    }
    Ok(())
}

/// Brings one server up with its databases and waits until the product's user is served.
pub(super) fn mariadb(layout: &Layout, tools: &Tools, n: u8, progress: &Progress) -> Result<()> {
    let server = Server::Mariadb(n);
    let started = lifecycle::ensure_running(layout, tools, server, progress)?;
    mariadb::wait_ready(layout, tools, n)?;
    if started {
        progress.say(&server.to_string(), "ready");
    }
    Ok(())
}

/// Brings the broker up with its namespace and waits until it is healthy.
pub(super) fn pulsar(layout: &Layout, tools: &Tools, progress: &Progress) -> Result<()> {
    let started = lifecycle::ensure_running(layout, tools, Server::Pulsar, progress)?;
    pulsar::wait_ready(layout)?;
    if started {
        progress.say("pulsar", &format!("ready, with namespace {}", pulsar::NAMESPACE));
    }
    Ok(())
}
