//! The cluster's nodes, asked and moved about by hand.
#![allow(dead_code, reason = "each test uses what it needs")]

use async_trait::async_trait;
use domain::CellId;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use sluicegate_lua::access::Access;
use sluicegate_lua::script::Call;
use sluicegate_lua::value::Value;
use sluicegate_lua::{CellResult, Engine, Runner, Wait, fred};
use std::time::Duration;
use testkit::cells::stack;
use tokio::time::{Instant, sleep};

/// What the tests wait for: the one replica that each primary of the stack has.
pub(crate) const WAIT: Wait = Wait { replicas: 1, timeout: Duration::from_millis(300) };

/// How long the nodes may disagree on who is whose primary.
const SETTLES: Duration = Duration::from_secs(20);

/// Every script on the connections that wait.
pub(crate) struct Waits(pub Engine<fred::Fred>);

#[async_trait]
impl Runner for Waits {
    async fn run(&self, cell: &CellId, call: Call) -> CellResult<Value> {
        Ok(self.0.runner().run_waiting(cell, call, WAIT).await?.0)
    }
    async fn ping(&self) -> bool {
        self.0.runner().ping().await
    }
}

/// The gate's backend, waiting.
pub(crate) async fn waits() -> Engine<Waits> {
    Engine::new(Waits(fred::connect(&stack::cells(), &fred::Tuning::default()).await.unwrap()))
}

/// One line of CLUSTER NODES.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    pub id: String,
    pub addr: String,
    pub primary: bool,
    pub of: String,
}

pub(crate) async fn ask<T: FromRedisValue>(
    addr: &str,
    command: &str,
) -> Result<T, redis::RedisError> {
    let fail = |e: String| redis::RedisError::from((redis::ErrorKind::Io, "access", e));
    let operator = Access::of(&stack::operator()).map_err(|e| fail(e.to_string()))?;
    let client = operator.node(addr).map_err(fail)?;
    let mut line: MultiplexedConnection = client.get_multiplexed_async_connection().await?;
    let mut words = command.split(' ').map(|w| if w == "''" { "" } else { w });
    let mut cmd = Cmd::new();
    words.by_ref().for_each(|w| {
        cmd.arg(w);
    });
    cmd.query_async(&mut line).await
}

/// Who is who, when all nodes say the same: that is gossip, and a node learns of a failover up to
/// seconds after it.
pub(crate) async fn topology() -> Vec<Node> {
    let start = Instant::now();
    loop {
        let first = view(&stack::nodes()[0]).await.unwrap();
        let mut agreed = true;
        for node in &first {
            // One that is down says nothing.
            agreed &= view(&node.addr).await.is_none_or(|v| v == first);
        }
        if agreed {
            return first;
        }
        assert!(start.elapsed() < SETTLES, "the nodes do not agree: {first:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// What one node says.
async fn view(addr: &str) -> Option<Vec<Node>> {
    let text: String = ask(addr, "CLUSTER NODES").await.ok()?;
    let node = |line: &str| {
        let f: Vec<&str> = line.split(' ').collect();
        let addr = f[1].split('@').next().unwrap_or_default().to_owned();
        let primary = f[2].contains("master") && !f[2].contains("fail");
        Node { id: f[0].into(), addr, primary, of: f[3].into() }
    };
    let mut nodes: Vec<Node> = text.lines().map(node).collect();
    nodes.sort();
    Some(nodes)
}

/// The primary that has the cell, by its own word, and the cell's slot.
pub(crate) async fn owner(cell: &CellId) -> (Node, u16) {
    let slot: u16 =
        ask(&stack::nodes()[0], &format!("CLUSTER KEYSLOT {{{cell}}}:c")).await.unwrap();
    let start = Instant::now();
    while start.elapsed() < SETTLES {
        for node in topology().await.into_iter().filter(|n| n.primary) {
            let count: Vec<String> =
                ask(&node.addr, &format!("CLUSTER GETKEYSINSLOT {slot} 1")).await.unwrap();
            if !count.is_empty() && is_primary(&node).await {
                return (node, slot);
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody has {cell}");
}

async fn is_primary(node: &Node) -> bool {
    let role: redis::Value = ask(&node.addr, "ROLE").await.unwrap();
    format!("{role:?}").contains("master")
}

/// The replica of `primary`. Who follows whom is gossip, and the node that is asked learns of a
/// failover up to seconds after it.
pub(crate) async fn replica_of(primary: &Node) -> Node {
    let start = Instant::now();
    loop {
        let all = topology().await;
        if let Some(node) = all.iter().find(|n| n.of == primary.id) {
            return node.clone();
        }
        assert!(start.elapsed() < SETTLES, "nobody follows {primary:?}: {all:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn migrate(slot: u16, from: &Node, to: &Node) {
    let say = async |node: &Node, text: String| {
        ask::<redis::Value>(&node.addr, &text).await.unwrap_or_else(|e| panic!("{text}: {e}"))
    };
    say(to, format!("CLUSTER SETSLOT {slot} IMPORTING {}", from.id)).await;
    say(from, format!("CLUSTER SETSLOT {slot} MIGRATING {}", to.id)).await;
    sleep(Duration::from_millis(200)).await;
    let (host, port) = to.addr.split_once(':').unwrap();
    let me = stack::operator();
    let login = match me.user.as_str() {
        "" => String::new(),
        user => format!(" AUTH2 {user} {}", me.password),
    };
    loop {
        let list = format!("CLUSTER GETKEYSINSLOT {slot} 1");
        let keys: Vec<String> = ask(&from.addr, &list).await.unwrap();
        let Some(key) = keys.first() else { break };
        say(from, format!("MIGRATE {host} {port} {key} 0 5000{login}")).await;
        sleep(Duration::from_millis(50)).await;
    }
    for node in [to, from] {
        say(node, format!("CLUSTER SETSLOT {slot} NODE {}", to.id)).await;
    }
    for node in topology().await.iter().filter(|n| n.primary) {
        say(node, format!("CLUSTER SETSLOT {slot} NODE {}", to.id)).await;
    }
}

/// Makes `node` a primary by its own request and waits until it is one.
pub(crate) async fn promote(node: &Node) {
    for _ in 0..5 {
        // Refused while the replica is not in step yet. One that is taken lasts up to 5 s, and must
        // not be asked again meanwhile: that ends the pause of the primary in the middle, and what
        // it takes then is lost.
        if ask::<redis::Value>(&node.addr, "CLUSTER FAILOVER").await.is_err() {
            sleep(Duration::from_millis(500)).await;
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(6) {
            if is_primary(node).await {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    panic!("{node:?} did not become a primary");
}
