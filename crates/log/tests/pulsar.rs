//! The log on the stack's Pulsar: conformance, topics, a broker that is not there. Needs the stack
//! of `cargo xtask stack up`.
#![cfg(feature = "pulsar")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::sync::Arc;
use std::time::Duration;

use runtime::unique::{RandomUnique, Unique};
use runtime::{Tasks, clock::system_clock};
use sluicegate_log::LogConfig;
use sluicegate_log::{LogError, OrderLog, Partition, PulsarLog};
use testkit::log::{DATABASES, Subject, conformance, frame};
use testkit::stack;
use tokio::time::Instant;

const TIMEOUT: Duration = Duration::from_millis(2500);

/// Topics of this test alone.
fn config() -> LogConfig {
    let mut cfg = stack::config().unwrap().log;
    cfg.topic_prefix = format!("t{:x}", RandomUnique::new().next());
    cfg
}

async fn connect(cfg: &LogConfig) -> Result<Arc<PulsarLog>, LogError> {
    PulsarLog::connect(cfg, DATABASES, TIMEOUT, &Tasks::new(), system_clock()).await
}

async fn subject() -> Subject {
    let log = connect(&config()).await.unwrap();
    Subject {
        log,
        // A broker waits a second before it sends to a new active consumer.
        quiet: Duration::from_millis(1600),
        settle: Duration::from_millis(300),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let _calm = stack::calm().unwrap();
    conformance(&subject().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_not_ready_before_init() {
    let _calm = stack::calm().unwrap();
    let s = subject().await;
    assert!(matches!(s.log.ready().await, Err(LogError::Unavailable(_))));
    let lost = s.log.publish(Partition::Main(0), frame(1)).await;
    assert!(matches!(lost, Err(LogError::NotStored(..))), "no topic: {lost:?}");
    assert!(s.log.consumer(Partition::Main(0)).await.is_err());
    s.log.init(DATABASES).await.unwrap();
    s.log.ready().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    s.publish(Partition::Main(0), [1]).await.unwrap();
    assert_eq!(s.empty(Partition::Main(0)).await.unwrap(), vec![1]);
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let _calm = stack::calm().unwrap();
    let mut cfg = config();
    connect(&cfg).await.unwrap().init(0).await.unwrap();
    cfg.partitions += 1;
    let refused = connect(&cfg).await.unwrap().init(0).await.unwrap_err().to_string();
    assert!(refused.contains("has 4 partitions, the configuration says 5"), "{refused}");
}

#[tokio::test]
async fn a_broker_that_is_down_is_an_error_soon() {
    let start = Instant::now();
    let cfg = LogConfig {
        url: "pulsar://127.0.0.1:9".into(),
        admin_url: "http://127.0.0.1:9".into(),
        ..LogConfig::default()
    };
    let refused = connect(&cfg).await;
    assert!(matches!(refused, Err(LogError::Unavailable(_))));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Prints the latency of a publish; run with `--ignored --nocapture`, in release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn latency() {
    let _calm = stack::calm().unwrap();
    let log = subject().await.log;
    log.init(DATABASES).await.unwrap();
    for in_flight in [1, 4, 16, 64] {
        println!("{}", testkit::log::latency(&log, in_flight).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_tells_the_broker_how_long_frames_are_kept() {
    let _calm = stack::calm().unwrap();
    let mut cfg = config();
    let kept = async |cfg: &LogConfig, topic: &str| {
        let topic = format!("{}/{}-{topic}", cfg.namespace, cfg.topic_prefix);
        let url = format!("{}/admin/v2/persistent/{topic}/retention", cfg.admin_url);
        let text = std::process::Command::new("curl").args(["-s", &url]).output().unwrap().stdout;
        serde_json::from_slice::<serde_json::Value>(&text).unwrap_or_default()
    };
    for (hours, gib, minutes, mib) in [(5, 3, 300, 3072), (5, 3, 300, 3072), (7, 0, 420, -1)] {
        (cfg.retention_hours, cfg.retention_gib) = (hours, gib);
        connect(&cfg).await.unwrap().init(DATABASES).await.unwrap();
        for topic in ["main", "retry-0", "retry-1"] {
            let until = Instant::now() + Duration::from_secs(20);
            let wanted = serde_json::json!({
                "retentionTimeInMinutes": minutes, "retentionSizeInMB": mib,
            });
            while kept(&cfg, topic).await != wanted {
                assert!(Instant::now() < until, "{topic}: {}", kept(&cfg, topic).await);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
