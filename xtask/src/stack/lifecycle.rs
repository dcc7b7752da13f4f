//! What is the same for every server: prepare, start, resume, wait.

use anyhow::{Context, Result, bail};

use super::layout::{Layout, Server};
use super::proc::{self, Signal, State};
use super::tools::Tools;
use super::{disks, mariadb, pulsar, redis};
use crate::progress::Progress;

/// Starts a server that is down, resumes one that is paused, leaves one that runs alone; says
/// whether it did anything.
pub(super) fn ensure_running(
    layout: &Layout,
    tools: &Tools,
    server: Server,
    progress: &Progress,
) -> Result<bool> {
    disks::mount(layout, server)?;
    match proc::state(layout, server) {
        State::Up(_) => return Ok(false),
        State::Paused(pid) => {
            proc::signal(pid, Signal::Cont)?;
            progress.say(&server.to_string(), "resumed");
        }
        State::Down => {
            let pid = start(layout, tools, server)?;
            progress.say(&server.to_string(), &format!("started, pid {pid}"));
        }
    }
    Ok(true)
}

fn start(layout: &Layout, tools: &Tools, server: Server) -> Result<u32> {
    let launch = match server {
        Server::Redis(n) => redis::launch(layout, tools, n),
        Server::Mariadb(n) => {
            mariadb::prepare(layout, tools, n)?;
            mariadb::launch(layout, tools, n)
        }
        Server::Pulsar => {
            pulsar::prepare(layout, tools)?;
            pulsar::launch(layout, tools)
        }
    };
    proc::spawn(layout, server, &launch)
}

/// `stack start NAME`: with its data, and back only when it answers.
pub(super) fn start_one(
    layout: &Layout,
    tools: &Tools,
    server: Server,
    progress: &Progress,
) -> Result<()> {
    let name = server.to_string();
    match proc::state(layout, server) {
        State::Paused(pid) => {
            bail!("{server} is paused, pid {pid}: `stack resume {server}` lets it go on")
        }
        State::Up(pid) => progress.say(&name, &format!("already runs, pid {pid}")),
        State::Down => {
            ensure_running(layout, tools, server, progress)?;
        }
    }
    match server {
        Server::Redis(n) => wait_redis(layout, n),
        Server::Mariadb(n) => mariadb::wait_ready(layout, tools, n),
        Server::Pulsar => pulsar::wait_ready(layout),
    }?;
    progress.say(&name, "answers");
    Ok(())
}

/// The cluster can only be whole when all nodes run; with another one down, this node's own
/// answer is all there is to wait for.
fn wait_redis(layout: &Layout, n: u8) -> Result<()> {
    redis::wait_node(layout, n)?;
    let all_run =
        Server::redis_nodes().all(|node| matches!(proc::state(layout, node), State::Up(_)));
    if all_run {
        redis::wait_cluster(layout).with_context(|| format!("redis-{n} answers, but"))?;
    }
    Ok(())
}
