//! Logs to standard error, metrics to a recorder that the admin listener renders.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, TelemetryConfig};
use crate::counted::DESCRIBED;
use crate::meter::Described;
use crate::tasks::{Phase, Tasks};
use crate::tell::Log;

/// Seconds: from a tenth of a millisecond to ten seconds.
const LATENCY: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Counts per batch.
const SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// What is logged; `Err` when the configuration says it in no way that can be read.
pub fn filter(cfg: &TelemetryConfig) -> Result<EnvFilter, String> {
    EnvFilter::try_new(&cfg.log).map_err(|e| format!("telemetry.log: {e}"))
}

/// Installs the log subscriber; once per process.
pub fn logs(cfg: &TelemetryConfig) -> Result<(), String> {
    let filter = filter(cfg)?;
    let base = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Log)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let done = match cfg.format {
        LogFormat::Text => base.finish().try_init(),
        LogFormat::Json => base.json().finish().try_init(),
    };
    done.map_err(|e| e.to_string())
}

/// Installs the metrics recorder with what the parts of this process count, and its upkeep; once
/// per process, and before anything is counted: a handle that was made earlier counts nothing.
pub fn metrics(tasks: &Tasks, parts: &[&[Described]]) -> Result<PrometheusHandle, String> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCY)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZES))
        .map_err(|e| e.to_string())?
        .install_recorder()
        .map_err(|e| e.to_string())?;
    parts.iter().copied().flatten().chain(DESCRIBED).for_each(Described::tell);
    let (upkeep, stop) = (handle.clone(), tasks.clone());
    tasks.spawn_loop("metrics upkeep", move || {
        let (upkeep, stop) = (upkeep.clone(), stop.clone());
        async move {
            let mut tick = tokio::time::interval(std::time::Duration::from_secs(5));
            while stop.unless(Phase::ClosePools, tick.tick()).await.is_some() {
                upkeep.run_upkeep();
            }
        }
    });
    Ok(handle)
}
