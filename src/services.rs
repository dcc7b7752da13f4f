//! The services as processes of their own, and how each of them ends.

use std::sync::Arc;
use std::time::Duration;

use desk::{Desk, DeskWith};
use gate::Gate;
use metrics_exporter_prometheus::PrometheusHandle;
use reconciler::Reconciler;
use runtime::probe::Ready;
use runtime::{Phase, Tasks, tasks, telemetry};
use tokio::net::TcpListener;
use view::{CatalogCache, Ports, Reconcile};
use web::Probes;

use crate::cli::{ReconcilerArgs, ReconcilerCommand};
use crate::config::Config;
use crate::exit::Exit;
use crate::secrets;
use crate::wire::{self, RedisClient};

/// Logs and metrics; once per process.
pub(crate) fn begin(config: &Config, tasks: &Tasks) -> Result<PrometheusHandle, Exit> {
    // Metrics first: lines of the log that are lost are counted.
    let parts =
        [gate::METRICS, writer::METRICS, clerk::METRICS, reconciler::METRICS, view::METRICS];
    let metrics = telemetry::metrics(tasks, &parts).map_err(Exit::unavailable)?;
    telemetry::logs(&config.telemetry).map_err(Exit::usage)?;
    Ok(metrics)
}

/// Binds a listener; a port in use is one clear line.
pub(crate) async fn bind(key: &str, address: &str) -> Result<TcpListener, Exit> {
    web::bind(address).await.map_err(|e| Exit::unavailable(format!("{key} = {e}")))
}

fn probes(tasks: &Tasks, ready: &Ready, metrics: PrometheusHandle) -> Probes {
    Probes { tasks: tasks.clone(), ready: ready.clone(), metrics }
}

fn not_embedded(config: &Config, service: &str) -> Result<(), Exit> {
    if config.is_embedded() {
        return Err(Exit::usage(format!(
            "`sluicegate {service}` alone needs cells.backend = \"redis\"; \
             the embedded default runs everything in one process: `sluicegate dev`"
        )));
    }
    Ok(())
}

/// `sluicegate gate`.
pub(crate) async fn gate(config: Config) -> Result<(), Exit> {
    not_embedded(&config, "gate")?;
    let buyers = bind("gate.listen", &config.gate.listen).await?;
    let operators = bind("admin.listen", &config.admin.listen).await?;
    let tasks = Tasks::new();
    let handle = begin(&config, &tasks)?;
    let hot = wire::ports(&config, &tasks, RedisClient::Hot).await?;
    let tools = wire::tools(&config, &hot).await?;
    let settings = config.of_reconciler();
    let reconciler = Reconciler::new(&tools.reconciler(), &settings);
    let with = GateWith { ports: hot, buyers, operators, reconciler, handle };
    let gate = start_gate(&config, &tasks, with).await?;
    runtime::say!("gate on {}, admin on {}", config.gate.listen, config.admin.listen);
    until_end(&config, &tasks, Some(&gate)).await
}

/// What a gate's process has opened before it.
pub(crate) struct GateWith {
    pub ports: Ports,
    pub buyers: TcpListener,
    pub operators: TcpListener,
    pub reconciler: Arc<Reconciler>,
    pub handle: PrometheusHandle,
}

/// Makes the gate, opens its listeners, says that it is ready.
pub(crate) async fn start_gate(
    config: &Config,
    tasks: &Tasks,
    with: GateWith,
) -> Result<Arc<Gate>, Exit> {
    let GateWith { ports, buyers, operators, reconciler, handle } = with;
    let log = ports.log.clone();
    let calls = life::http::HttpProviders::new(ports.clock.clone());
    let gate = Gate::new(&config.of_gate(), ports.gate(), calls, tasks);
    let gate = gate.map_err(|e| Exit::usage(e.0))?;
    gate.start().await.map_err(|e| Exit::unavailable(e.0))?;
    gate::listen(&gate, buyers);
    let reconciler: Arc<dyn Reconcile> = reconciler;
    let probes = probes(tasks, gate.ready(), handle);
    let with = DeskWith {
        catalog: gate.catalog().clone(),
        tokens: gate.tokens().clone(),
        probes,
        wait: gate.wait(),
    };
    let desk = Desk::new(ports.desk(), with, reconciler);
    desk::listen(&desk, operators, config.admin.max_connections);
    // A topic without its durable subscription forgets what it takes: not a single order before.
    while let Err(e) = log.ready().await {
        tracing::warn!(error = %e, "not ready: the log");
        if tasks.unless(Phase::NotReady, tokio::time::sleep(Duration::from_secs(1))).await.is_none()
        {
            break;
        }
    }
    gate.set_ready();
    Ok(gate)
}

/// Until a signal, or the loss of a task that the process cannot do without; then the shutdown.
pub(crate) async fn until_end(
    config: &Config,
    tasks: &Tasks,
    gate: Option<&Arc<Gate>>,
) -> Result<(), Exit> {
    let lost = tokio::select! {
        () = tasks::signal() => None,
        name = tasks.lost() => Some(name),
    };
    if let Some(name) = lost {
        tracing::error!(task = name, "the process ends: it cannot go on without this task");
    }
    drain(config, tasks, gate).await;
    lost.map_or(Ok(()), |name| Err(Exit::bug(format!("the task {name:?} panicked; see the log"))))
}

/// The phases of a shutdown, each with its deadline.
async fn drain(config: &Config, tasks: &Tasks, gate: Option<&Arc<Gate>>) {
    tasks.enter(Phase::NotReady);
    if gate.is_some() {
        tokio::time::sleep(Duration::from_millis(config.gate.not_ready_ms)).await;
    }
    tasks.enter(Phase::StopAccept);
    tasks.enter(Phase::DrainRequests);
    let until = tokio::time::Instant::now() + Duration::from_millis(config.gate.drain_ms);
    while let Some(gate) = gate
        && (!gate.is_flushed() || gate.has_connections())
        && tokio::time::Instant::now() < until
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tasks.enter(Phase::FlushLog);
    // Writers end after their batch; what they do not finish stays in the log.
    tokio::time::sleep(Duration::from_millis(50)).await;
    tasks.enter(Phase::ClosePools);
    if !tasks.wait(Duration::from_secs(5)).await {
        tracing::warn!("some tasks did not end in time");
    }
    tasks.enter(Phase::Done);
}

/// `sluicegate writer`.
pub(crate) async fn writer(config: Config) -> Result<(), Exit> {
    not_embedded(&config, "writer")?;
    let listener = bind("writer.listen", &config.writer.listen).await?;
    let tasks = Tasks::new();
    let handle = begin(&config, &tasks)?;
    let ports = wire::ports(&config, &tasks, RedisClient::Tools).await?;
    let ready = writer::spawn(&tasks, &ports.writer(), &(&config.writer).into());
    probes(&tasks, &ready, handle).spawn(listener);
    runtime::say!("writer, probes on {}", config.writer.listen);
    until_end(&config, &tasks, None).await
}

/// `sluicegate clerk`.
pub(crate) async fn clerk(config: Config) -> Result<(), Exit> {
    not_embedded(&config, "clerk")?;
    let listener = bind("clerk.listen", &config.clerk.listen).await?;
    let tasks = Tasks::new();
    let handle = begin(&config, &tasks)?;
    let ports = wire::ports(&config, &tasks, RedisClient::Tools).await?;
    let catalog = CatalogCache::new(ports.store.clone());
    catalog.refresh().await.map_err(|e| Exit::unavailable(e.to_string()))?;
    catalog.spawn(&tasks);
    let with = config.of_clerk(catalog, ports.clock.clone());
    let ready = clerk::spawn(&tasks, &ports.clerk(), &with);
    probes(&tasks, &ready, handle).spawn(listener);
    runtime::say!("clerk, probes on {}", config.clerk.listen);
    until_end(&config, &tasks, None).await
}

/// `sluicegate reconciler`.
pub(crate) async fn reconciler(mut config: Config, args: &ReconcilerArgs) -> Result<(), Exit> {
    if let Some(ReconcilerCommand::Rewind(args)) = &args.what {
        return crate::rewind::run(config, args).await;
    }
    if let Some(ReconcilerCommand::Money(args)) = &args.what {
        return crate::money::run(config, args).await;
    }
    if args.once && config.is_embedded() {
        secrets::fill(&mut config)?;
        return crate::once::over_http(&config, args).await;
    }
    not_embedded(&config, "reconciler")?;
    let tasks = Tasks::new();
    if args.once {
        telemetry::logs(&config.telemetry).map_err(Exit::usage)?;
        let ports = wire::ports(&config, &tasks, RedisClient::Tools).await?;
        return crate::once::here(&config, ports, args).await;
    }
    let listener = bind("reconciler.listen", &config.reconciler.listen).await?;
    let handle = begin(&config, &tasks)?;
    let ports = wire::ports(&config, &tasks, RedisClient::Tools).await?;
    let settings = config.of_reconciler();
    let reconciler = Reconciler::new(&ports.reconciler(), &settings);
    probes(&tasks, &reconciler.ready(), handle).spawn(listener);
    reconciler.spawn(&tasks);
    reconciler.spawn_money(&tasks);
    runtime::say!("reconciler, probes on {}", config.reconciler.listen);
    until_end(&config, &tasks, None).await
}

/// `sluicegate loadtest`.
pub(crate) async fn loadtest(
    mut config: Config,
    args: Box<loadtest::LoadtestArgs>,
) -> Result<(), Exit> {
    secrets::fill(&mut config)?;
    match loadtest::run(&config.of_deployment(), *args).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Exit::no("")),
        Err(e) if e.downcast_ref::<loadtest::Misuse>().is_some() => {
            Err(Exit::usage(format!("{e:#}")))
        }
        Err(e) => Err(Exit::unavailable(format!("{e:#}"))),
    }
}
