//! Redis Cluster: six nodes, three primaries with a replica each, every write in the AOF.
//!
//! The cluster is formed once; a marker says so, and from then on the topology is in each node's
//! nodes.conf. Healthy means that every node by itself says so: full coverage is reported by some
//! nodes before all of them agree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::layout::{Layout, REDIS_NODES, Server};
use super::net;
use super::proc::{self, Launch};
use super::secure::{self, Secure};
use super::tools::Tools;
use crate::progress::Progress;

/// A node with its data loaded; generous, since the AOF of a long test run is read first.
const NODE_LIMIT: Duration = Duration::from_secs(60);

/// Agreement of all nodes, failovers included.
const CLUSTER_LIMIT: Duration = Duration::from_secs(40);

/// How a node is started.
pub(super) fn launch(layout: &Layout, tools: &Tools, n: u8) -> Launch {
    let server = Server::Redis(n);
    let (port, bus) = (layout.port(server).to_string(), layout.redis_bus_port(n).to_string());
    let home = layout.home(server).display().to_string();
    let mut listens = vec![("--port".to_owned(), port.clone())];
    if let Some(secure) = secure::of(layout) {
        listens = with_tls(&secure, &port);
    }
    let args = [
        ("--dir", home.as_str()),
        ("--cluster-port", &bus),
        ("--bind", "127.0.0.1"),
        ("--cluster-enabled", "yes"),
        ("--cluster-config-file", "nodes.conf"),
        ("--cluster-node-timeout", "2000"),
        ("--appendonly", "yes"),
        ("--appendfsync", "everysec"),
        // The AOF holds everything; snapshots beside it would only fork during a measurement.
        ("--save", ""),
        // Nor may a rewrite of the AOF in the middle of a sale, which 64 MB would start.
        ("--auto-aof-rewrite-min-size", "1gb"),
        ("--maxmemory-policy", "noeviction"),
        // The default waits 5 s for more replicas before each full copy; here there is only one.
        ("--repl-diskless-sync-delay", "0"),
        // The command line must keep naming the home: that is how the process is recognised.
        ("--set-proc-title", "no"),
    ];
    let args = args.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let args = listens.into_iter().chain(args).flat_map(|(key, value)| [key, value]);
    Launch { program: tools.redis_server.clone(), args: args.collect() }
}

/// Clients, replicas and the cluster's gossip over TLS alone; users by the access list.
fn with_tls(secure: &Secure, port: &str) -> Vec<(String, String)> {
    let args = [
        ("--port", "0"),
        ("--tls-port", port),
        ("--tls-cert-file", &secure.path("server.pem")),
        ("--tls-key-file", &secure.path("server.key")),
        ("--tls-ca-cert-file", &secure.path("ca.pem")),
        ("--tls-auth-clients", "optional"),
        ("--tls-replication", "yes"),
        ("--tls-cluster", "yes"),
        ("--aclfile", &secure.path("users.acl")),
        ("--masteruser", "operator"),
        ("--masterauth", secure::OPERATOR_PASSWORD),
    ];
    args.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
}

/// Waits until one node has loaded its data and answers.
pub(super) fn wait_node(layout: &Layout, n: u8) -> Result<()> {
    let server = Server::Redis(n);
    let port = layout.port(server);
    proc::wait_until(layout, server, NODE_LIMIT, || net::redis(layout, port, "PING").map(|_| ()))
}

/// Waits until every node says that the cluster is whole.
pub(super) fn wait_cluster(layout: &Layout) -> Result<()> {
    let began = Instant::now();
    while let Err(error) = check_cluster(layout) {
        if began.elapsed() > CLUSTER_LIMIT {
            return Err(error.context("the Redis cluster does not become whole"));
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

pub(super) fn formed_marker(layout: &Layout) -> PathBuf {
    layout.folder().join("redis-cluster-formed")
}

/// Makes one cluster of nodes that have never served; an attempt that broke off is undone first.
pub(super) fn form(layout: &Layout, tools: &Tools, progress: &Progress) -> Result<()> {
    progress.say("redis", "forming the cluster");
    let mut addresses = Vec::new();
    for server in Server::redis_nodes() {
        let port = layout.port(server);
        net::redis(layout, port, "CLUSTER RESET HARD")?;
        addresses.push(format!("127.0.0.1:{port}"));
    }
    let output = Command::new(&tools.redis_cli)
        .args(secure::of(layout).map(|s| s.redis_cli()).unwrap_or_default())
        .args(["--cluster", "create"])
        .args(&addresses)
        .args(["--cluster-replicas", "1", "--cluster-yes"])
        .output()
        .context("cannot run redis-cli")?;
    if !output.status.success() {
        bail!(
            "redis-cli could not form the cluster:\n{}{}",
            proc::last_lines(&String::from_utf8_lossy(&output.stdout), 15),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    wait_cluster(layout)?;
    fs::write(formed_marker(layout), "").context("cannot write the cluster's marker")
}

/// Asks every node; the first one that disagrees is the error.
fn check_cluster(layout: &Layout) -> Result<()> {
    let mut primaries = 0;
    for n in 1..=REDIS_NODES {
        let port = layout.port(Server::Redis(n));
        let is_primary = check_info(&net::redis(layout, port, "CLUSTER INFO")?)
            .and_then(|()| check_peers(&net::redis(layout, port, "CLUSTER NODES")?))
            .and_then(|()| check_replication(&net::redis(layout, port, "INFO replication")?))
            .with_context(|| format!("redis-{n}"))?;
        primaries += u8::from(is_primary);
    }
    ensure!(primaries == REDIS_NODES / 2, "{primaries} primaries instead of {}", REDIS_NODES / 2);
    Ok(())
}

fn check_info(info: &str) -> Result<()> {
    let known = REDIS_NODES.to_string();
    for (key, want) in
        [("cluster_state", "ok"), ("cluster_slots_ok", "16384"), ("cluster_known_nodes", &known)]
    {
        let got = field(info, key).unwrap_or("missing");
        ensure!(got == want, "{key} is {got} instead of {want}");
    }
    Ok(())
}

fn check_peers(nodes: &str) -> Result<()> {
    let failing = nodes.lines().find(|line| {
        let flags = line.split(' ').nth(2).unwrap_or_default();
        ["fail", "noaddr", "handshake"].iter().any(|bad| flags.contains(bad))
    });
    match failing {
        Some(line) => bail!("it does not reach a peer: {line}"),
        None => Ok(()),
    }
}

/// Whether the node is a primary; an error when replication does not run.
fn check_replication(info: &str) -> Result<bool> {
    match field(info, "role") {
        Some("master") => {
            let online =
                info.lines().any(|line| line.starts_with("slave") && line.contains("state=online"));
            ensure!(online, "a primary without a replica in sync");
            Ok(true)
        }
        Some("slave") => {
            ensure!(field(info, "master_link_status") == Some("up"), "a replica without a link");
            Ok(false)
        }
        role => bail!("it has the odd role {role:?}"),
    }
}

/// The value of a `key:value` line.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.split_once(':').filter(|(k, _)| *k == key)).map(|(_, v)| v)
}

/// Kills all nodes, deletes what they stored, keeps what they know of each other: a cluster that
/// comes back empty, as after the loss of all its disks.
pub(super) fn forget_all(layout: &Layout, progress: &Progress) -> Result<()> {
    ensure!(formed_marker(layout).exists(), "the cluster was never formed: run `stack up` first");
    for server in Server::redis_nodes() {
        proc::kill(layout, server)?;
    }
    progress.say("redis", "all nodes killed; deleting their data, not their nodes.conf");
    for server in Server::redis_nodes() {
        forget_data(layout, server)?;
    }
    Ok(())
}

/// Copies every node's data aside. The nodes go on writing: a copy may end in half a command,
/// which Redis cuts off when it loads the file, as after a crash.
pub(super) fn keep(layout: &Layout, progress: &Progress) -> Result<()> {
    for server in Server::redis_nodes() {
        let kept = kept(layout, server);
        if kept.exists() {
            fs::remove_dir_all(&kept)
                .with_context(|| format!("cannot delete {}", kept.display()))?;
        }
        copy(&layout.home(server).join("appendonlydir"), &kept)?;
    }
    progress.say("redis", "data of all nodes kept");
    Ok(())
}

/// Kills all nodes and gives them what [`keep`] copied: an old snapshot everywhere at once.
pub(super) fn put_back(layout: &Layout, progress: &Progress) -> Result<()> {
    for server in Server::redis_nodes() {
        ensure!(kept(layout, server).exists(), "nothing was kept of {server}: `stack keep redis`");
    }
    for server in Server::redis_nodes() {
        proc::kill(layout, server)?;
    }
    for server in Server::redis_nodes() {
        forget_data(layout, server)?;
        copy(&kept(layout, server), &layout.home(server).join("appendonlydir"))?;
    }
    progress.say("redis", "all nodes killed; they come back with what was kept");
    Ok(())
}

fn kept(layout: &Layout, server: Server) -> PathBuf {
    layout.folder().join(format!("{server}.kept"))
}

/// Copies the files of a folder; one that goes away meanwhile (a rewrite) is left out.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries {
        let file = entry.context("cannot list a data folder")?;
        if let Err(e) = fs::copy(file.path(), to.join(file.file_name()))
            && e.kind() != std::io::ErrorKind::NotFound
        {
            return Err(e).with_context(|| format!("cannot copy {}", file.path().display()));
        }
    }
    Ok(())
}

fn forget_data(layout: &Layout, server: Server) -> Result<()> {
    let home = layout.home(server);
    let entries = fs::read_dir(&home).with_context(|| format!("{server} has never run"))?;
    for entry in entries {
        let path = entry.context("cannot list a data folder")?.path();
        if path.ends_with("nodes.conf") {
            continue;
        }
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot delete {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_info_must_be_whole() {
        let whole = "cluster_state:ok\r\ncluster_slots_ok:16384\r\ncluster_known_nodes:6\r\n";
        assert!(check_info(whole).is_ok());
        assert!(check_info(&whole.replace(":ok", ":fail")).is_err());
        assert!(check_info(&whole.replace(":6", ":5")).is_err());
    }

    #[test]
    fn a_suspected_peer_is_no_agreement() {
        assert!(check_peers("id a:1@2 myself,master - 0\nid b:1@2 slave id 0\n").is_ok());
        assert!(check_peers("id a:1@2 master,fail? - 0\n").is_err());
    }

    #[test]
    fn replication_must_run_on_both_sides() {
        let primary = "role:master\r\nslave0:ip=127.0.0.1,port=1,state=online,offset=1\r\n";
        assert!(check_replication(primary).unwrap());
        assert!(check_replication("role:master\r\nconnected_slaves:0\r\n").is_err());
        assert!(!check_replication("role:slave\r\nmaster_link_status:up\r\n").unwrap());
        assert!(check_replication("role:slave\r\nmaster_link_status:down\r\n").is_err());
    }
}
