//! A script and the WAIT that covers it, on one connection that nobody else uses meanwhile.
//!
//! WAIT speaks for the connection that wrote, and blocks everything behind it. On fred's shared
//! pipelined connections it would hold up all other calls, and after a reconnect or a MOVED it
//! would vouch for nothing. So there is a pool of plain connections to each primary: one call
//! takes one, sends script and WAIT in one write and reads both answers. A connection that broke,
//! or whose answer did not come in time, is never used again. Nothing that may have run is sent
//! again here. The topology is this file's own: what nobody sends through fred, fred does not miss.

use domain::CellId;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, Value as Reply};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::access::Access;
use crate::port::{CellError, CellResult, Wait};
use crate::redisrs::value;
use crate::refusal;
use crate::script::Call;
use crate::tuning::Tuning;
use crate::value::Value;

/// Connections to one primary, so calls that wait at once.
const LINES: usize = 64;
/// Redirections that one call follows; none of them ran.
const REDIRECTIONS: usize = 5;
/// Between two looks at the topology.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Until a node asked for the topology is passed over.
const LOOK: Duration = Duration::from_millis(500);
const SLOTS: usize = 16_384;

/// Connections to the primaries of one cluster.
pub(crate) struct WaitClient {
    access: Access,
    tuning: Tuning,
    hashes: Arc<Vec<String>>,
    map: Mutex<Map>,
    /// When the topology was last asked for; held while it is.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Map {
    nodes: HashMap<String, Arc<Node>>,
    /// The primary of each slot; empty before the first look.
    owners: Vec<Option<Arc<Node>>>,
    /// Every address of the last look, replicas too.
    known: Vec<String>,
}

struct Node {
    addr: String,
    places: Semaphore,
    idle: Mutex<Vec<MultiplexedConnection>>,
}

/// The node's word on a script that did not run to an answer.
struct WaitRefused(String);

impl WaitClient {
    pub(crate) fn new(access: Access, tuning: &Tuning, hashes: Arc<Vec<String>>) -> Self {
        let (map, looked) = (Mutex::default(), tokio::sync::Mutex::new(None));
        Self { access, tuning: tuning.clone(), hashes, map, looked }
    }

    /// One attempt; true when enough replicas had its writes in time.
    pub(crate) async fn run(
        &self,
        cell: &CellId,
        call: &Call,
        wait: Wait,
    ) -> CellResult<(Value, bool)> {
        let slot = ::fred::util::redis_keyslot(&call.keys[0]);
        let mut node = self.owner(cell, slot).await?;
        let (mut source, mut asking) = (false, false);
        for _ in 0..=REDIRECTIONS {
            let pipeline = self.pipeline(call, source, asking, wait);
            let (WaitRefused(text), from) = match self.attempt(cell, &node, &pipeline, wait).await {
                Ok(Ok((answer, have))) => {
                    let answer = value(answer).map_err(|t| CellError::Broken(cell.clone(), t))?;
                    return Ok((answer, have >= i64::from(wait.replicas)));
                }
                Ok(Err(refused)) => (refused, node.clone()),
                Err(e) => {
                    self.look(&node.addr).await;
                    return Err(e);
                }
            };
            match (text.split(' ').next().unwrap_or_default(), target(&text, &from.addr)) {
                ("NOSCRIPT", _) => source = true,
                ("ASK", Some(addr)) => (node, asking) = (self.node(&addr), true),
                ("MOVED", Some(addr)) => {
                    self.look(&from.addr).await;
                    (node, asking) = (self.moved(slot, &addr), false);
                }
                _ => {
                    self.look(&from.addr).await;
                    return Err(refusal::of_server(cell, call.script.name, &text));
                }
            }
        }
        Err(CellError::NotSent(cell.clone(), "redirected too often".to_owned()))
    }

    fn pipeline(&self, call: &Call, source: bool, asking: bool, wait: Wait) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(3);
        if asking {
            pipeline.cmd("ASKING");
        }
        if source {
            pipeline.cmd("EVAL").arg(call.script.source);
        } else {
            pipeline.cmd("EVALSHA").arg(self.hashes[call.script.index].as_str());
        }
        pipeline.arg(call.keys.len());
        for part in call.keys.iter().map(|k| &k[..]).chain(call.args()) {
            pipeline.arg(part);
        }
        // 0 would be for ever.
        let ms = (wait.timeout.as_millis() as u64).max(1);
        pipeline.cmd("WAIT").arg(wait.replicas).arg(ms);
        pipeline
    }

    /// The script's answer and how many replicas have it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
    async fn attempt(
        &self,
        cell: &CellId,
        node: &Node,
        pipeline: &Pipeline,
        wait: Wait,
    ) -> CellResult<Result<(Reply, i64), WaitRefused>> {
        let unsent = |text: String| CellError::NotSent(cell.clone(), text);
        let limit = self.tuning.command_timeout;
        let Ok(Ok(_place)) = timeout(limit, node.places.acquire()).await else {
            return Err(unsent(format!("{}: all connections that wait are in use", node.addr)));
        };
        let idle = node.idle.lock().pop();
        let mut line = match idle {
            Some(line) => line,
            None => self.connect(&node.addr).await.map_err(unsent)?,
        };
        let count = pipeline.len();
        let sent = timeout(limit + wait.timeout, line.send_packed_commands(pipeline, 0, count));
        let (script, waited) = match sent.await.map(|r| r.map(last_two)) {
            Ok(Ok(Some(both))) => both,
            _ => {
                // What broke one connection to a node most likely broke them all.
                node.idle.lock().clear();
                return Err(CellError::Unknown(cell.clone()));
            }
        };
        node.idle.lock().push(line);
        Ok(match script {
            Reply::ServerError(e) => {
                Err(WaitRefused(format!("{} {}", e.code(), e.details().unwrap_or_default())))
            }
            // A node that became a replica meanwhile answers WAIT with an error: nobody vouches.
            answer => Ok((answer, if let Reply::Int(have) = waited { have } else { 0 })),
        })
    }

    async fn connect(&self, addr: &str) -> Result<MultiplexedConnection, String> {
        let client = self.access.node(addr)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.tuning.connection_timeout))
            .set_response_timeout(None);
        let line = client.get_multiplexed_async_connection_with_config(&config).await;
        line.map_err(|e| format!("{addr}: {e}"))
    }

    async fn owner(&self, cell: &CellId, slot: u16) -> CellResult<Arc<Node>> {
        if let Some(node) = self.map.lock().owner(slot) {
            return Ok(node);
        }
        self.look("").await;
        let found = self.map.lock().owner(slot);
        found.ok_or_else(|| CellError::NotSent(cell.clone(), format!("slot {slot} has no primary")))
    }

    fn node(&self, addr: &str) -> Arc<Node> {
        self.map.lock().node(addr)
    }

    /// The node says so itself, and a look may have been too early to see it.
    fn moved(&self, slot: u16, addr: &str) -> Arc<Node> {
        let mut map = self.map.lock();
        let node = map.node(addr);
        if let Some(owner) = map.owners.get_mut(usize::from(slot)) {
            *owner = Some(node.clone());
        }
        node
    }

    /// Asks the cluster who has which slot, `last` after all others; not more often than
    /// [`LOOK_EVERY`]. What was known stays in force when nobody answers.
    async fn look(&self, last: &str) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        let known = self.map.lock().known.clone();
        let mut nodes: Vec<&String> = known.iter().chain(&self.access.nodes).collect();
        nodes.sort_by_key(|n| n.as_str() == last);
        let until = Instant::now() + 2 * LOOK;
        for addr in nodes {
            match timeout(LOOK, self.slots_of(addr)).await {
                Ok(Some(ranges)) => {
                    self.map.lock().take(ranges);
                    break;
                }
                _ if Instant::now() > until => break,
                _ => {}
            }
        }
        *looked = Some(Instant::now());
    }

    async fn slots_of(&self, addr: &str) -> Option<Vec<Range>> {
        let mut line = self.connect(addr).await.ok()?;
        let reply: Reply = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut line).await.ok()?;
        let ranges: Vec<Range> = list(&reply).iter().filter_map(|r| range(r, addr)).collect();
        (!ranges.is_empty()).then_some(ranges)
    }
}

impl Map {
    fn owner(&self, slot: u16) -> Option<Arc<Node>> {
        self.owners.get(usize::from(slot)).cloned().flatten()
    }

    fn node(&mut self, addr: &str) -> Arc<Node> {
        let fresh = || Node {
            addr: addr.to_owned(),
            places: Semaphore::new(LINES),
            idle: Mutex::default(),
        };
        self.nodes.entry(addr.to_owned()).or_insert_with(|| Arc::new(fresh())).clone()
    }

    /// Connections to nodes that own nothing any more end with the last call that uses them.
    fn take(&mut self, ranges: Vec<Range>) {
        let mut owners = vec![None; SLOTS];
        self.known = ranges.iter().flat_map(|r| r.nodes.clone()).collect();
        self.known.sort();
        self.known.dedup();
        let primaries: Vec<&String> = ranges.iter().filter_map(|r| r.nodes.first()).collect();
        self.nodes.retain(|addr, _| primaries.contains(&addr));
        for range in &ranges {
            let Some(primary) = range.nodes.first() else { continue };
            let node = self.node(primary);
            for owner in owners.iter_mut().take(range.last + 1).skip(range.first) {
                *owner = Some(node.clone());
            }
        }
        self.owners = owners;
    }
}

/// Slots `first` to `last`; the primary first, then its replicas.
struct Range {
    first: usize,
    last: usize,
    nodes: Vec<String>,
}

fn list(reply: &Reply) -> &[Reply] {
    reply.as_sequence().unwrap_or_default()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
fn range(reply: &Reply, asked: &str) -> Option<Range> {
    let [Reply::Int(first), Reply::Int(last), nodes @ ..] = list(reply) else { return None };
    let address = |node: &Reply| {
        let [host, Reply::Int(port), ..] = list(node) else { return None };
        let host = match host {
            Reply::BulkString(h) => String::from_utf8_lossy(h).into_owned(),
            Reply::SimpleString(h) => h.clone(),
            _ => String::new(),
        };
        Some(whole(&format!("{host}:{port}"), asked))
    };
    let nodes = nodes.iter().filter_map(address).collect();
    Some(Range { first: usize::try_from(*first).ok()?, last: usize::try_from(*last).ok()?, nodes })
}

/// A node that does not know its own name leaves the host out: it is the one that was asked.
fn whole(addr: &str, asked: &str) -> String {
    match (addr.strip_prefix(':'), asked.rsplit_once(':')) {
        (Some(port), Some((host, _))) => format!("{host}:{port}"),
        _ => addr.to_owned(),
    }
}

/// Where `MOVED slot host:port` or `ASK slot host:port` points.
fn target(text: &str, from: &str) -> Option<String> {
    text.split(' ').nth(2).map(|addr| whole(addr, from))
}

fn last_two(mut replies: Vec<Reply>) -> Option<(Reply, Reply)> {
    let waited = replies.pop()?;
    Some((replies.pop()?, waited))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_name_their_node() {
        let at = |text| target(text, "10.0.0.1:1");
        assert_eq!(at("MOVED 3999 10.0.0.2:6381").as_deref(), Some("10.0.0.2:6381"));
        assert_eq!(at("ASK 3999 :6381").as_deref(), Some("10.0.0.1:6381"));
        assert_eq!(at("MOVED"), None);
    }

    #[test]
    fn a_new_topology_keeps_the_connections_of_nodes_that_stay() {
        let range = |first, last, node: &str| Range { first, last, nodes: vec![node.to_owned()] };
        let mut map = Map::default();
        map.take(vec![range(0, 99, "a:1"), range(100, SLOTS - 1, "b:1")]);
        let (a, b) = (map.owner(99).unwrap(), map.owner(100).unwrap());
        assert_eq!((a.addr.as_str(), b.addr.as_str()), ("a:1", "b:1"));
        map.take(vec![range(0, SLOTS - 2, "a:1")]);
        assert!(Arc::ptr_eq(&a, &map.owner(100).unwrap()));
        assert!(map.owner(16_383).is_none() && !map.nodes.contains_key("b:1"));
    }
}
