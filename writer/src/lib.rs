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
mod mark;
mod metrics;
mod park;
mod patience;
mod pipe;
mod process;
mod retry;
mod rewind;
mod rewound;
mod rows;
mod settings;
mod settle;

use std::sync::Arc;

use orderlog::port::Partition;
use runtime::Tasks;
use runtime::probe::Ready;
use view::WriterPorts;

use health::Health;

pub use process::{Processed, Processor};
pub use rewind::{Lost, Rewind, RewindError};
pub use rewound::Rewound;
pub use settings::{WriterConfig, WriterSettings};

/// What the writer counts, for the recorder and for `docs/metrics.md`.
pub const METRICS: &[runtime::meter::Described] = metrics::WriterMetrics::DESCRIBED;

/// Starts one consumer per main partition and per retry partition; they end at `FlushLog`,
/// each after its batch. The answer says whether all partitions make progress.
pub fn spawn(tasks: &Tasks, ports: &WriterPorts, settings: &WriterSettings) -> Ready {
    // One processor: what one partition learns of a silent database, all know.
    let processor = Processor::new(ports, settings);
    let databases = ports.store.databases();
    let all: Vec<Partition> = Partition::all(ports.log.partitions(), databases).collect();
    let ready = Ready::default();
    let health = Health::new(settings.give_up_after, all.iter().copied(), ready.clone());
    let health = Arc::new(health);
    for partition in all {
        let intake = intake::Intake {
            partition,
            ports: ports.clone(),
            settings: settings.clone(),
            processor: processor.clone(),
            health: health.clone(),
        };
        let (intake, t) = (Arc::new(intake), tasks.clone());
        tasks.spawn_loop("writer partition", move || {
            let (intake, t) = (intake.clone(), t.clone());
            async move { intake.run(&t).await }
        });
    }
    ready
}
