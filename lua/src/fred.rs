//! The backend of the gate's hot path: Redis Cluster through fred.
//!
//! One attempt per command inside the library (PROTOCOL 10, rule 1): a command in flight when
//! its connection breaks ends as [`CellError::Unknown`] and is not sent again. MOVED and ASK are
//! followed; a slot that is being migrated answers TRYAGAIN, which is `NotSent`. Every wait has
//! an end. Absent: WAIT, which would block all that shares a pipelined connection.

use ::fred::error::{Error, ErrorKind};
use ::fred::interfaces::{ClientLike, LuaInterface};
use ::fred::prelude::{Builder, Config, Pool, ReconnectPolicy, ServerConfig};
use ::fred::types::config::{ClusterDiscoveryPolicy, Server, UnresponsiveConfig};
use async_trait::async_trait;
use bytes::Bytes;
use domain::CellId;
use std::time::Duration;

use crate::engine::{Engine, Runner};
use crate::port::{CellError, CellResult};
use crate::refusal;
use crate::script::{ALL, Call};
use crate::value::Value;

/// What may be tuned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// Connections to each node (clients of the pool), at least 1.
    pub clients: usize,
    /// Until a command without an answer is given up; 1 s or less on the hot path.
    pub command_timeout: Duration,
    /// Until a connection attempt is given up.
    pub connection_timeout: Duration,
    /// Until a node that answers nothing loses its connection.
    pub unresponsive: Duration,
    /// The most commands in flight per client; more are refused at once as `NotSent`.
    pub max_in_flight: usize,
    /// The longest pause between two attempts to reconnect.
    pub reconnect_max: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            clients: 1,
            command_timeout: Duration::from_secs(1),
            connection_timeout: Duration::from_secs(1),
            unresponsive: Duration::from_secs(2),
            max_in_flight: 10_000,
            reconnect_max: Duration::from_millis(500),
        }
    }
}

/// A cluster that cannot be reached, or a node's address that is none.
#[derive(Debug, thiserror::Error)]
#[error("redis cluster: {0}")]
pub struct ConnectError(pub String);

/// A runner over a pool of cluster clients.
#[derive(Clone)]
pub struct Fred {
    pool: Pool,
    hashes: std::sync::Arc<Vec<String>>,
}

impl std::fmt::Debug for Fred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fred({} clients)", self.pool.size())
    }
}

/// Connects to the cluster that `nodes` (`host:port`, some of them suffice) belong to. Ends with
/// an error when no node answers; the caller decides when to try again.
pub async fn connect(nodes: &[String], tuning: &Tuning) -> Result<Engine<Fred>, ConnectError> {
    let fail = |e: Error| ConnectError(e.to_string());
    let hosts = nodes.iter().map(|n| server(n)).collect::<Result<Vec<_>, _>>()?;
    let policy = ClusterDiscoveryPolicy::UseCache;
    let server = ServerConfig::Clustered { hosts, policy };
    let pool = builder(Config { server, ..Config::default() }, tuning)
        .build_pool(tuning.clients.max(1))
        .map_err(fail)?;
    let limit = tuning.connection_timeout * 4 + tuning.command_timeout;
    match tokio::time::timeout(limit, pool.init()).await {
        Ok(done) => done.map_err(fail)?,
        Err(_) => return Err(ConnectError(format!("no node answered within {limit:?}"))),
    };
    let hash = |s: &&crate::script::Script| ::fred::util::sha1_hash(s.source);
    Ok(Engine::new(Fred { pool, hashes: std::sync::Arc::new(ALL.iter().map(hash).collect()) }))
}

fn server(node: &str) -> Result<Server, ConnectError> {
    let bad = || ConnectError(format!("{node:?} is not host:port"));
    let (host, port) = node.rsplit_once(':').ok_or_else(bad)?;
    Ok(Server::new(host, port.parse().map_err(|_| bad())?))
}

fn builder(config: Config, tuning: &Tuning) -> Builder {
    let mut builder = Builder::from_config(config);
    let max = tuning.reconnect_max.as_millis() as u32;
    builder.set_policy(ReconnectPolicy::new_exponential(0, 50, max.max(50), 2));
    builder.with_performance_config(|c| c.default_command_timeout = tuning.command_timeout);
    builder.with_connection_config(|c| {
        c.connection_timeout = tuning.connection_timeout;
        c.internal_command_timeout = Duration::from_secs(1);
        c.max_command_attempts = 1;
        c.max_redirections = 5;
        c.max_command_buffer_len = tuning.max_in_flight;
        c.tcp.nodelay = Some(true);
        c.unresponsive = UnresponsiveConfig {
            max_timeout: Some(tuning.unresponsive),
            interval: Duration::from_millis(500),
        };
    });
    builder
}

#[async_trait]
impl Runner for Fred {
    async fn run(&self, cell: &CellId, call: Call) -> CellResult<Value> {
        let Call { script, keys, args } = call;
        let hash = self.hashes[script.index].as_str();
        let first: Result<::fred::types::Value, Error> =
            self.pool.evalsha(hash, keys.clone(), args.clone()).await;
        let answer = match first {
            // The node does not know the script, so nothing ran: send the source along.
            Err(e) if e.details().starts_with("NOSCRIPT") => {
                self.pool.eval(script.source, keys, args).await
            }
            other => other,
        };
        answer.map(value).map_err(|e| error(cell, script.name, &e))
    }

    async fn ping(&self) -> bool {
        self.pool.next().ping::<()>(None).await.is_ok()
    }
}

impl Fred {
    /// Closes the connections.
    pub async fn close(&self) {
        let _closed = self.pool.quit().await;
    }
}

fn value(v: ::fred::types::Value) -> Value {
    match v {
        ::fred::types::Value::Integer(i) => Value::Int(i),
        ::fred::types::Value::String(s) => Value::Bytes(s.into_inner()),
        ::fred::types::Value::Bytes(b) => Value::Bytes(b),
        ::fred::types::Value::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        ::fred::types::Value::Null => Value::Nil,
        other => Value::Bytes(Bytes::from(other.as_string().unwrap_or_default())),
    }
}

/// An error kind that only this process can have made before a byte was written is `NotSent`;
/// an answer of the node is judged by its first word; the rest is unknown.
fn error(cell: &CellId, script: &str, e: &Error) -> CellError {
    let unsent = [ErrorKind::Backpressure, ErrorKind::InvalidArgument, ErrorKind::Config];
    let broken = [ErrorKind::Timeout, ErrorKind::IO, ErrorKind::Canceled, ErrorKind::Routing];
    if unsent.contains(e.kind()) {
        CellError::NotSent(cell.clone(), e.to_string())
    } else if broken.contains(e.kind()) || !looks_like_an_answer(e.details()) {
        CellError::Unknown(cell.clone())
    } else {
        refusal::of_server(cell, script, e.details())
    }
}

/// Errors of a node start with a word in capitals; the library's own texts do not.
fn looks_like_an_answer(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    first.len() > 1 && first.bytes().all(|b| b.is_ascii_uppercase())
}
