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
mod lines;
mod metrics;
mod park;
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
use view::{Intake, IntakeCount, IntakeSettings, WriterPorts};

pub use process::Processor;
pub use rewind::Rewind;
pub use rewound::Rewound;
pub use settings::{WriterConfig, WriterSettings};
pub use view::Processed;

/// What the writer counts, for the recorder and for `docs/metrics.md`.
pub const METRICS: &[runtime::meter::Described] = metrics::WriterMetrics::DESCRIBED;

/// Starts one consumer per main partition and per retry partition; they end at `FlushLog`,
/// each after its batch. The answer says whether all partitions make progress.
pub fn spawn(tasks: &Tasks, ports: &WriterPorts, settings: &WriterSettings) -> Ready {
    // One processor: what one partition learns of a silent database, all know.
    let processor = Processor::new(ports, settings);
    let intake = Intake {
        log: ports.log.clone(),
        marking: processor.mark.clone(),
        clock: ports.clock.clone(),
        settings: IntakeSettings {
            batch_frames: settings.batch_frames,
            batch_entries: settings.batch_orders,
            give_up_after: settings.give_up_after,
        },
        work: Arc::new(processor),
        count,
    };
    let databases = ports.store.databases();
    let all = Partition::of_orders(ports.log.partitions(), databases);
    intake.spawn(tasks, "writer partition", all)
}

fn count(what: IntakeCount) {
    let of = &metrics::METRICS;
    match what {
        IntakeCount::Lag(seconds) => of.lag.record(seconds),
        IntakeCount::GaveUp => of.gave_up.increment(1),
        IntakeCount::Newer(partitions) => of.partitions_newer.set(partitions as f64),
    }
}
