//! The backend of the gate's hot path: Redis Cluster through fred.
//!
//! No command whose outcome is unknown is sent again (PROTOCOL 10, rule 1): `fail_fast` ends what
//! is in flight when a connection breaks. The library's attempts are above 1 all the same: with
//! 1, an ASK ends its connection task for ever. They serve redirections and writes that failed,
//! none of which ran. A slot that is being migrated answers TRYAGAIN: `NotSent`. Every wait has
//! an end. Calls that WAIT go another way: see `waiting.rs`.

use ::fred::clients::WithOptions;
use ::fred::error::{Error, ErrorKind};
use ::fred::interfaces::ClientLike;
use ::fred::prelude::{Builder, Client, Config, EventInterface, Options, ReconnectPolicy};
use ::fred::types::config::{Server, UnresponsiveConfig};
use ::fred::types::{ClusterHash, ConnectHandle, CustomCommand};
use async_trait::async_trait;
use bytes::Bytes;
use domain::CellId;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::fred::types::Value as Reply;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;

use crate::access::Access;
use crate::config::CellsConfig;
use crate::engine::{Engine, Runner};
use crate::port::{CellError, CellResult, Wait};
use crate::refusal;
use crate::script::{ALL, Call};
use crate::value::Value;
use crate::waiting::WaitClient;

pub use crate::tuning::{ConnectError, Tuning};

/// The most times a command may be written: redirections, and writes that failed.
const WRITES: u32 = 4;

/// A runner over some cluster clients, taken in turn.
#[derive(Clone)]
pub struct Fred {
    lanes: Arc<[FredLane]>,
    turn: Arc<AtomicUsize>,
    hashes: Arc<Vec<String>>,
    waiting: Arc<WaitClient>,
}

struct FredLane {
    client: Client,
    quick: WithOptions<Client>,
    /// The client's connection task; it must never end, but see [`FredLane::revive`].
    task: Mutex<ConnectHandle>,
    faults: Mutex<Faults>,
}

/// What the client says about its connections, which no command's error repeats.
struct Faults {
    said: tokio::sync::broadcast::Receiver<(Error, Option<Server>)>,
    /// When the last of it was logged.
    told: Option<Instant>,
}

/// Between two lines in the log about one client's connections.
const TELL_EVERY: Duration = Duration::from_secs(5);

impl std::fmt::Debug for Fred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fred({} clients)", self.lanes.len())
    }
}

/// Connects to the cluster that `cfg.nodes` (`host:port`, some of them suffice) belong to. Ends
/// with an error when no node lets this client in; the caller decides when to try again.
pub async fn connect(cfg: &CellsConfig, tuning: &Tuning) -> Result<Engine<Fred>, ConnectError> {
    let access = Access::of(cfg)?;
    let builder = builder(access.fred()?, tuning);
    let mut lanes = Vec::new();
    for _ in 0..tuning.clients.max(1) {
        lanes.push(lane(&builder, tuning).await?);
    }
    let hash = |s: &&crate::script::Script| ::fred::util::sha1_hash(s.source);
    let hashes: Arc<Vec<String>> = Arc::new(ALL.iter().map(hash).collect());
    let waiting = Arc::new(WaitClient::new(access, tuning, hashes.clone()));
    Ok(Engine::new(Fred { lanes: lanes.into(), turn: Arc::default(), hashes, waiting }))
}

async fn lane(builder: &Builder, tuning: &Tuning) -> Result<FredLane, ConnectError> {
    let fail = |e: Error| ConnectError(e.to_string());
    let client = builder.build().map_err(fail)?;
    let limit = tuning.connection_timeout * 4 + tuning.command_timeout;
    let task = match tokio::time::timeout(limit, client.init()).await {
        Ok(done) => Mutex::new(done.map_err(fail)?),
        Err(_) => return Err(ConnectError(format!("no node answered within {limit:?}"))),
    };
    let quick = client.with_options(&Options { fail_fast: true, ..Options::default() });
    let faults = Mutex::new(Faults { said: client.error_rx(), told: None });
    Ok(FredLane { client, quick, task, faults })
}

impl FredLane {
    /// After an error. Some errors of a redirection end the library's connection task: start
    /// another one.
    fn revive(&self) {
        self.tell();
        let mut task = self.task.lock();
        if task.is_finished() {
            tracing::warn!("a redis client's connection task ended: it is started again");
            *task = self.client.connect();
        }
    }

    /// Logs the last that the client said about a connection: a certificate, a password.
    fn tell(&self) {
        let mut faults = self.faults.lock();
        let mut last = None;
        loop {
            match faults.said.try_recv() {
                Ok(said) => last = Some(said),
                Err(TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
        let quiet = faults.told.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if let Some((error, node)) = last.filter(|_| quiet) {
            faults.told = Some(Instant::now());
            let node = node.map(|n| n.to_string()).unwrap_or_default();
            tracing::warn!(node, error = %error, "redis: a connection");
        }
    }

    async fn eval(&self, what: &'static str, first: &str, call: &Call) -> Result<Reply, Error> {
        let mut args: Vec<Reply> = Vec::with_capacity(2 + call.keys.len() + call.argc());
        args.push(Reply::from(first));
        args.push(Reply::Integer(call.keys.len() as i64));
        args.extend(call.keys.iter().cloned().chain(call.shared()).map(Reply::Bytes));
        // The slot itself: of a custom command the library takes no other policy into account, and
        // would send it where the script's hash belongs, to be redirected each time.
        let slot = ::fred::util::redis_keyslot(call.keys.first().map_or(&[], |k| &k[..]));
        let command = CustomCommand::new_static(what, ClusterHash::Custom(slot), false);
        self.quick.custom(command, args).await
    }
}

fn builder(config: Config, tuning: &Tuning) -> Builder {
    let mut builder = Builder::from_config(config);
    let max = tuning.reconnect_max.as_millis() as u32;
    builder.set_policy(ReconnectPolicy::new_exponential(0, 50, max.max(50), 2));
    builder.with_performance_config(|c| c.default_command_timeout = tuning.command_timeout);
    builder.with_connection_config(|c| {
        c.connection_timeout = tuning.connection_timeout;
        c.internal_command_timeout = Duration::from_secs(1);
        c.max_command_attempts = WRITES;
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
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let lane = &self.lanes[turn % self.lanes.len()];
        let script = call.script;
        let answer = match lane.eval("EVALSHA", &self.hashes[script.index], &call).await {
            // The node does not know the script, so nothing ran: send the source along.
            Err(e) if e.details().starts_with("NOSCRIPT") => {
                lane.eval("EVAL", script.source, &call).await
            }
            other => other,
        };
        answer.map(value).map_err(|e| {
            lane.revive();
            error(cell, script.name, &e)
        })
    }

    async fn run_waiting(
        &self,
        cell: &CellId,
        call: Call,
        wait: Wait,
    ) -> CellResult<(Value, bool)> {
        self.waiting.run(cell, &call, wait).await
    }

    async fn ping(&self) -> bool {
        let lane = &self.lanes[0];
        let alive = lane.quick.ping::<()>(None).await.is_ok();
        if !alive {
            lane.revive();
        }
        alive
    }
}

impl Fred {
    /// Closes the connections.
    pub async fn close(&self) {
        for lane in self.lanes.iter() {
            let _closed = lane.client.quit().await;
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
fn value(v: Reply) -> Value {
    match v {
        Reply::Integer(i) => Value::Int(i),
        Reply::String(s) => Value::Bytes(s.into_inner()),
        Reply::Bytes(b) => Value::Bytes(b),
        Reply::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        Reply::Null => Value::Nil,
        other => Value::Bytes(Bytes::from(other.as_string().unwrap_or_default())),
    }
}

/// An error kind that only this process can have made before a byte was written is `NotSent`;
/// an answer of the node is judged by its first word; the rest is unknown.
fn error(cell: &CellId, script: &str, e: &Error) -> CellError {
    let unsent = [ErrorKind::Backpressure, ErrorKind::InvalidArgument, ErrorKind::Config];
    // The library refuses so, and only so, before it queues a command of a client that is not
    // connected.
    let early =
        *e.kind() == ErrorKind::Canceled && e.details().starts_with("Connection closed unexp");
    let broken = [ErrorKind::Timeout, ErrorKind::IO, ErrorKind::Canceled, ErrorKind::Routing];
    if early || unsent.contains(e.kind()) {
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
