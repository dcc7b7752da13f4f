//! The backend of the reconciler and the tools: Redis Cluster through redis-rs.
//!
//! The library gets one attempt (its retries are off), so an error says what happened to that
//! attempt. A MOVED is followed here, because its slot refresh is the library's. Timeouts do not
//! make the library look for a new primary while the old one is black-holed, so an attempt
//! without an answer drops the connection, at most once a second; the next call opens another.

use async_trait::async_trait;
use bytes::Bytes;
use domain::CellId;
use redis::cluster_async::ClusterConnection;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::access::Access;
use crate::config::CellsConfig;
use crate::engine::{Engine, Runner};
use crate::port::{CellError, CellResult};
use crate::refusal;
use crate::script::{ALL, Call, Script};
use crate::tuning::ConnectError;
use crate::value::Value;

const RESPONSE: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(1);
const OPEN: Duration = Duration::from_secs(4);
const REBUILD_EVERY: Duration = Duration::from_secs(1);
const REDIRECTIONS: u32 = 5;

/// A runner over one cluster connection.
#[derive(Clone)]
pub struct RedisRs {
    access: Access,
    line: Arc<Mutex<NodeLine>>,
    hashes: Arc<Vec<String>>,
}

impl std::fmt::Debug for RedisRs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisRs")
    }
}

struct NodeLine {
    connection: Option<ClusterConnection>,
    /// Counts the connections, so that an old failure does not drop a new connection.
    number: u64,
    /// When the last attempt to open one began.
    opened: Option<Instant>,
}

/// Connects to the cluster that `cfg.nodes` (`host:port`) belong to.
pub async fn connect(cfg: &CellsConfig) -> Result<Engine<RedisRs>, ConnectError> {
    let hash = |s: &&Script| redis::Script::new(s.source).get_hash().to_owned();
    let line = NodeLine { connection: None, number: 0, opened: None };
    let runner = RedisRs {
        access: Access::of(cfg)?,
        line: Arc::new(Mutex::new(line)),
        hashes: Arc::new(ALL.iter().map(hash).collect()),
    };
    runner.connection().await.map_err(ConnectError)?;
    Ok(Engine::new(runner))
}

impl RedisRs {
    async fn connection(&self) -> Result<(ClusterConnection, u64), String> {
        let mut line = self.line.lock().await;
        if let Some(c) = &line.connection {
            return Ok((c.clone(), line.number));
        }
        if line.opened.is_some_and(|at| at.elapsed() < REBUILD_EVERY) {
            return Err("no connection; the next attempt is less than a second away".to_owned());
        }
        line.opened = Some(Instant::now());
        let connection = self.open().await.inspect_err(|e| {
            tracing::warn!(error = %e, "redis: no connection");
        })?;
        line.number += 1;
        line.connection = Some(connection.clone());
        Ok((connection, line.number))
    }

    /// With the password and certificates as they are now.
    async fn open(&self) -> Result<ClusterConnection, String> {
        let builder = self.access.cluster()?;
        let builder = builder.connection_timeout(CONNECT).response_timeout(RESPONSE).retries(0);
        let client = builder.build().map_err(|e| e.to_string())?;
        match tokio::time::timeout(OPEN, client.get_async_connection()).await {
            Ok(done) => done.map_err(|e| e.to_string()),
            Err(_) => Err(format!("no connection within {OPEN:?}")),
        }
    }

    /// Drops connection `number`, unless it is younger than a second.
    async fn suspect(&self, number: u64) {
        let mut line = self.line.lock().await;
        let old = line.opened.is_none_or(|at| at.elapsed() >= REBUILD_EVERY);
        if line.number == number && old {
            tracing::warn!("a redis node does not answer: the cluster connection is made anew");
            line.connection = None;
        }
    }

    async fn attempt(&self, call: &Call, source: bool) -> Result<redis::Value, Failure> {
        let (mut connection, number) = self.connection().await.map_err(Failure::NoLine)?;
        let mut cmd = redis::cmd(if source { "EVAL" } else { "EVALSHA" });
        if source {
            cmd.arg(call.script.source);
        } else {
            cmd.arg(self.hashes[call.script.index].as_str());
        }
        cmd.arg(call.keys.len());
        for part in call.keys.iter().map(|k| &k[..]).chain(call.args()) {
            cmd.arg(part);
        }
        // The library's own timeout does not cover its reconnecting, so this one is ours.
        let query = tokio::time::timeout(RESPONSE, cmd.query_async(&mut connection));
        let answer = query.await.unwrap_or_else(|_| Err((ErrorKind::Io, "timed out").into()));
        if answer.as_ref().is_err_and(|e| !matches!(e.kind(), ErrorKind::Server(_))) {
            self.suspect(number).await;
        }
        answer.map_err(Failure::Redis)
    }
}

enum Failure {
    NoLine(String),
    Redis(RedisError),
}

#[async_trait]
impl Runner for RedisRs {
    #[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
    async fn run(&self, cell: &CellId, call: Call) -> CellResult<Value> {
        let mut source = false;
        // A connection that broke while nobody used it shows at the first call. All scripts may be
        // repeated, and of all but reserve nobody needs to know how often they ran.
        let mut again = call.script.name != "reserve";
        for turn in 0..=REDIRECTIONS {
            let failure = match self.attempt(&call, source).await {
                Ok(v) => return value(v).map_err(|t| CellError::Broken(cell.clone(), t)),
                Err(failure) => failure,
            };
            let Failure::Redis(e) = &failure else {
                return Err(error(cell, &call, failure));
            };
            match e.kind() {
                ErrorKind::Server(ServerErrorKind::NoScript) => source = true,
                ErrorKind::Server(ServerErrorKind::Moved) if turn < REDIRECTIONS => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                _ if again && e.is_connection_dropped() => again = false,
                _ => return Err(error(cell, &call, failure)),
            }
        }
        Err(CellError::NotSent(cell.clone(), "redirected too often".to_owned()))
    }

    async fn ping(&self) -> bool {
        let Ok((mut connection, number)) = self.connection().await else {
            return false;
        };
        let ping = redis::cmd("PING");
        let answer = tokio::time::timeout(RESPONSE, ping.query_async::<String>(&mut connection));
        let alive = matches!(answer.await, Ok(Ok(_)));
        if !alive {
            self.suspect(number).await;
        }
        alive
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
pub(crate) fn value(v: redis::Value) -> Result<Value, String> {
    Ok(match v {
        redis::Value::Nil => Value::Nil,
        redis::Value::Int(i) => Value::Int(i),
        redis::Value::BulkString(b) => Value::Bytes(Bytes::from(b)),
        redis::Value::SimpleString(s) => Value::Bytes(Bytes::from(s)),
        redis::Value::Array(items) => {
            Value::Array(items.into_iter().map(value).collect::<Result<_, _>>()?)
        }
        other => return Err(format!("{other:?} is no reply of a script")),
    })
}

fn error(cell: &CellId, call: &Call, failure: Failure) -> CellError {
    match failure {
        Failure::NoLine(text) => CellError::NotSent(cell.clone(), text),
        Failure::Redis(e) => match (e.kind(), e.code()) {
            (ErrorKind::ClusterConnectionNotFound, _) => {
                CellError::NotSent(cell.clone(), e.to_string())
            }
            (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => {
                let text = format!("{code} {}", e.detail().unwrap_or_default());
                refusal::of_server(cell, call.script.name, &text)
            }
            _ => CellError::Unknown(cell.clone()),
        },
    }
}
