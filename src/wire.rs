//! From the configuration to ports.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cells::port::Cells;
use domain::Identity;
use orderlog::embedded::Keep;
use orderlog::port::OrderLog;
use orderlog::{EmbeddedLog, LogBackend};
use runtime::{Clock, Tasks, clock};
use store::port::InitOutcome;
use store::{Init, Marks, SqlStore, StoreConfig};
use view::Ports;

use crate::config::Config;
use crate::exit::Exit;

/// Which client talks to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedisClient {
    /// fred: the gate's hot path.
    Hot,
    /// redis-rs: everything else.
    Tools,
}

/// The lock on the data folder; one process owns it.
pub(crate) struct DataLock(#[expect(dead_code, reason = "the lock ends with the file")] File);

/// Takes the data folder, making it when needed.
pub(crate) fn own_data_dir(dir: &Path) -> Result<DataLock, Exit> {
    let fail = |what: &dyn std::fmt::Display| {
        Exit::unavailable(format!("data folder {}: {what}", dir.display()))
    };
    std::fs::create_dir_all(dir).map_err(|e| fail(&e))?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("lock"))
        .map_err(|e| fail(&e))?;
    match file.try_lock() {
        Ok(()) => Ok(DataLock(file)),
        Err(_) => Err(fail(&"another sluicegate process uses it")),
    }
}

/// The store of a configuration; database URLs default to SQLite in the data folder.
pub(crate) fn store(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<SqlStore>, Exit> {
    let timeout = Duration::from_millis(config.store.timeout_ms);
    let mut cfg = StoreConfig::of(&config.store, timeout);
    if cfg.databases.is_empty() {
        let file = config.data_dir.join("db-0.sqlite");
        cfg.databases.push(format!("sqlite://{}", file.display()));
    }
    let store = SqlStore::new(&cfg, identity(config), clock.clone());
    store.map(Arc::new).map_err(|e| Exit::usage(format!("store.databases: {e}")))
}

/// Refuses backends that are not compiled in, before anything is opened.
pub(crate) fn built(config: &Config) -> Result<(), Exit> {
    let servers = !config.is_embedded() || config.log.backend == LogBackend::Pulsar;
    if servers && !cfg!(feature = "pulsar") { Err(lacking()) } else { Ok(()) }
}

/// What a start refuses before it asks a server: `--check-config` says the same.
pub(crate) fn check(config: &Config) -> Result<(), Exit> {
    let file = |key: &'static str| move |e: String| Exit::usage(format!("{key}: {e}"));
    runtime::telemetry::filter(&config.telemetry).map_err(Exit::usage)?;
    let clock = clock::system_clock();
    web::Tokens::new(&config.auth, &config.admin.token, clock.clone()).map_err(Exit::usage)?;
    config.store.secret().read().map_err(file("store.password_file"))?;
    store(config, &clock)?;
    config.cells.secret().read().map_err(file("cells.password_file"))?;
    config.log.secret().read().map_err(file("log.token_file"))?;
    if let Some(files) = config.cells.files() {
        files.trusted().map_err(file("cells.ca_file"))?;
        files.identity().map_err(file("cells.cert_file, cells.key_file"))?;
    }
    config.log.files().trusted().map_err(file("log.ca_file"))?;
    Ok(())
}

fn lacking() -> Exit {
    Exit::usage(
        "cells.backend, log.backend: this build has neither Redis nor Pulsar; build with \
         `--features pulsar`",
    )
}

pub(crate) fn identity(config: &Config) -> Identity {
    Identity::new(config.identity.secret.as_bytes())
}

/// All ports of a process, initialised (migrations, topics, subscriptions).
pub(crate) async fn ports(
    config: &Config,
    tasks: &Tasks,
    client: RedisClient,
) -> Result<Ports, Exit> {
    if config.identity.secret.is_empty() {
        return Err(Exit::usage("identity.secret is needed"));
    }
    let clock = clock::system_clock();
    let identity = identity(config);
    let store = store(config, &clock)?;
    init_store(&store, &identity).await?;
    let databases = store::Shards::databases(&*store);
    let log = log(config, tasks, &clock, databases).await?;
    let unique = runtime::unique::random();
    let holder = format!("{:016x}", unique.next());
    if config.is_embedded() {
        // The folder's lock keeps others out; a lease would outlive a killed process.
        log.init(databases).await.map_err(|e| Exit::unavailable(e.to_string()))?;
    } else {
        init_log(&store, &*log, &holder).await?;
    }
    let cells = cells(config, client, &clock).await?;
    Ok(Ports { cells, store, log, identity, clock, unique })
}

/// The same ports with redis-rs in place of the gate's client.
pub(crate) async fn tools(config: &Config, ports: &Ports) -> Result<Ports, Exit> {
    let cells = cells(config, RedisClient::Tools, &ports.clock).await?;
    Ok(Ports { cells, ..ports.clone() })
}

async fn init_store(store: &SqlStore, identity: &Identity) -> Result<(), Exit> {
    match store.init(&identity.fingerprint_hex()).await {
        Ok(InitOutcome::Ready(_)) => Ok(()),
        Ok(InitOutcome::OtherIdentity) => Err(Exit::usage(
            "identity.secret is not the one these databases were made with; it never changes",
        )),
        Ok(InitOutcome::OtherDatabases(n)) => Err(Exit::usage(format!(
            "store.databases: this deployment was made with {n} databases"
        ))),
        Err(e) => Err(Exit::unavailable(e.to_string())),
    }
}

/// Topics and subscriptions, one process at a time: two that create the same subscription at once
/// disturb each other.
async fn init_log(store: &SqlStore, log: &dyn OrderLog, holder: &str) -> Result<(), Exit> {
    const TTL_MS: u64 = 20_000;
    let until = tokio::time::Instant::now() + Duration::from_millis(2 * TTL_MS);
    let fail = |e: &dyn std::fmt::Display| Exit::unavailable(e.to_string());
    while !store.lease("init", holder, TTL_MS).await.map_err(|e| fail(&e))? {
        if tokio::time::Instant::now() > until {
            return Err(Exit::unavailable("another process is in its init and does not end"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let done = log.init(store::Shards::databases(store)).await.map_err(|e| fail(&e));
    // A lease of no length is free again.
    store.lease("init", holder, 0).await.map_err(|e| fail(&e))?;
    done
}

async fn cells(
    config: &Config,
    client: RedisClient,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Cells>, Exit> {
    if config.is_embedded() {
        return Ok(Arc::new(cells::embedded::new(clock.clone())));
    }
    cluster(config, client).await
}

#[cfg(feature = "pulsar")]
async fn cluster(config: &Config, client: RedisClient) -> Result<Arc<dyn Cells>, Exit> {
    let fail = |e: cells::fred::ConnectError| Exit::unavailable(e.to_string());
    match client {
        RedisClient::Hot => {
            let tuning = cells::fred::Tuning {
                command_timeout: Duration::from_millis(config.cells.timeout_ms),
                ..Default::default()
            };
            Ok(Arc::new(cells::fred::connect(&config.cells, &tuning).await.map_err(fail)?))
        }
        RedisClient::Tools => {
            Ok(Arc::new(cells::redisrs::connect(&config.cells).await.map_err(fail)?))
        }
    }
}

#[cfg(not(feature = "pulsar"))]
async fn cluster(_: &Config, _: RedisClient) -> Result<Arc<dyn Cells>, Exit> {
    Err(lacking())
}

async fn log(
    config: &Config,
    tasks: &Tasks,
    clock: &Arc<dyn Clock>,
    databases: u16,
) -> Result<Arc<dyn OrderLog>, Exit> {
    match config.log.backend {
        LogBackend::Embedded => {
            let keep = Keep::of(config.log.retention_hours, config.log.retention_gib);
            let (dir, partitions) = (&config.data_dir, config.log.partitions);
            let log = EmbeddedLog::open_keeping(dir, partitions, keep, tasks, clock.clone()).await;
            let log: Arc<dyn OrderLog> = log.map_err(|e| Exit::unavailable(e.to_string()))?;
            Ok(log)
        }
        LogBackend::Pulsar => pulsar(config, tasks, clock, databases).await,
    }
}

#[cfg(feature = "pulsar")]
async fn pulsar(
    config: &Config,
    tasks: &Tasks,
    clock: &Arc<dyn Clock>,
    databases: u16,
) -> Result<Arc<dyn OrderLog>, Exit> {
    let timeout = Duration::from_millis(config.publish.timeout_ms);
    let log =
        orderlog::PulsarLog::connect(&config.log, databases, timeout, tasks, clock.clone()).await;
    let log: Arc<dyn OrderLog> = log.map_err(|e| Exit::unavailable(e.to_string()))?;
    Ok(log)
}

#[cfg(not(feature = "pulsar"))]
async fn pulsar(
    _: &Config,
    _: &Tasks,
    _: &Arc<dyn Clock>,
    _: u16,
) -> Result<Arc<dyn OrderLog>, Exit> {
    Err(lacking())
}
