//! What an endurance run looks at each minute: processes, Redis, databases, topics.

use anyhow::{Context, Result};
use serde::Serialize;
use testkit::stack;

use crate::deployment::Deployment;
use crate::faults::redis_cli;

/// One process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProcessUse {
    pub name: String,
    /// Resident memory, KiB.
    pub memory_kib: u64,
    /// Open file handles.
    pub handles: u64,
}

/// Everything at one moment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// Since the start.
    pub minute: f64,
    pub processes: Vec<ProcessUse>,
    /// Orders that are live in the databases.
    pub live_orders: u64,
    /// Keys of all Redis primaries.
    pub redis_keys: u64,
    /// Memory of the data of all Redis primaries, bytes.
    pub redis_bytes: u64,
    /// Data and indexes of all tables, bytes.
    pub table_bytes: u64,
    /// Rows of `unrowed` and frames that no writer has finished.
    pub unfinished: u64,
}

/// Memory and handles of a process.
fn of_process(name: String, pid: u32) -> Option<ProcessUse> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    let memory_kib = line.split_whitespace().nth(1)?.parse().ok()?;
    let handles = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(ProcessUse { name, memory_kib, handles })
}

fn servers() -> Vec<ProcessUse> {
    let names = (1..=6).map(|n| format!("redis-{n}"));
    let names = names.chain(["mariadb-1", "mariadb-2", "pulsar"].map(str::to_owned));
    let pid = |name: &String| {
        let text = std::fs::read_to_string(stack::file().with_file_name(format!("{name}.pid")));
        text.ok()?.trim().parse().ok()
    };
    names.filter_map(|n| pid(&n).and_then(|p| of_process(n, p))).collect()
}

fn redis() -> Result<(u64, u64)> {
    let (mut keys, mut bytes) = (0, 0);
    for node in stack::config()?.cells.nodes {
        let port = node.rsplit_once(':').context("cells.nodes: host:port")?.1;
        let ask = |args: &[&str]| redis_cli(port, args);
        if !ask(&["role"])?.starts_with("master") {
            continue;
        }
        keys += ask(&["dbsize"])?.trim().parse::<u64>().unwrap_or(0);
        let info = ask(&["memory", "stats"])?;
        let mut lines = info.lines().map(str::trim);
        lines.find(|l| *l == "dataset.bytes");
        bytes += lines.next().and_then(|l| l.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok((keys, bytes))
}

/// Looks at everything.
pub(crate) async fn take(d: &Deployment, minute: f64, backlog: u64) -> Result<Sample> {
    let mut processes: Vec<ProcessUse> =
        d.pids().into_iter().filter_map(|(name, pid)| of_process(name, pid)).collect();
    processes.extend(servers());
    let (redis_keys, redis_bytes) = redis()?;
    let [live_orders, table_bytes, unrowed] = d.tables()?;
    let unfinished = unrowed + backlog;
    Ok(Sample { minute, processes, live_orders, redis_keys, redis_bytes, table_bytes, unfinished })
}
