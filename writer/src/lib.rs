//! The writer: frames -> verdicts -> rows -> apply and resolve -> ack. The ack is last.
//!
//! Every step only reads facts or adds missing ones, so two writers on one partition, redelivery
//! in any order and a stale batch resumed hours later are harmless (INV-2, INV-5, INV-7). One
//! database that is down must not stop the orders of the others: they move to its retry
//! partition. Deliberately absent: any answer to a client, and any decision that is not in the
//! ledger.

mod again;
mod apply;
mod batch;
mod health;
mod intake;
mod lines;
mod metrics;
mod park;
mod patience;
mod process;
mod retry;
mod rewind;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use orderlog::port::Partition;
use runtime::Tasks;
use runtime::config::WriterConfig;
use runtime::probe::Ready;
use view::WriterPorts;

use health::Health;

pub use process::{Outcome, Processor};
pub use rewind::{Rewind, RewindError, Rewound};

/// What the writer counts, for the recorder and for `docs/metrics.md`.
pub const METRICS: &[runtime::meter::Described] = metrics::WriterMetrics::DESCRIBED;

/// What a writer needs to know besides its ports.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most frames of one batch.
    pub batch_frames: usize,
    /// The most orders of one batch.
    pub batch_orders: usize,
    /// A database silent for this long sends its orders to its retry partition.
    pub patience: Duration,
    /// Rounds without progress after which a partition is given up.
    pub give_up_after: u32,
}

impl From<&WriterConfig> for Settings {
    fn from(c: &WriterConfig) -> Self {
        Self {
            batch_frames: c.batch_frames,
            batch_orders: c.batch_orders,
            patience: Duration::from_millis(c.patience_ms),
            give_up_after: c.give_up_after,
        }
    }
}

/// Starts one consumer per main partition and per retry partition; they end at `FlushLog`,
/// each after its batch. The answer says whether all partitions make progress.
pub fn spawn(tasks: &Tasks, ports: &WriterPorts, settings: &Settings) -> Ready {
    let mains = (0..ports.log.partitions()).map(Partition::Main);
    let retries = (0..ports.store.databases()).map(Partition::Retry);
    // One processor: what one partition learns of a silent database, all know.
    let processor = Processor::new(ports.clone(), settings.clone());
    let all: Vec<Partition> = mains.chain(retries).collect();
    let ready = Ready::default();
    let health = Health::new(settings.give_up_after, all.iter().copied(), ready.clone());
    let health = Arc::new(health);
    for partition in all {
        let intake = intake::Intake::new(partition, processor.clone(), health.clone());
        let (intake, t) = (Arc::new(intake), tasks.clone());
        tasks.spawn_loop("writer partition", move || {
            let (intake, t) = (intake.clone(), t.clone());
            async move { intake.run(&t).await }
        });
    }
    ready
}
