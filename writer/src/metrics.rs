//! What the writer counts.

use domain::{Kind, RowStatus};
use store::port::Skipped;

/// What is parked for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParkedWhat {
    /// An order that is its own fault.
    Order,
    /// A frame that cannot be read.
    Frame,
}

impl ParkedWhat {
    fn as_str(self) -> &'static str {
        match self {
            ParkedWhat::Order => "order",
            ParkedWhat::Frame => "frame",
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    if kind == Kind::Claim { "claim" } else { "reject" }
}

fn skipped(why: Skipped) -> &'static str {
    match why {
        Skipped::NoCell => "no_cell",
        Skipped::Busy => "busy",
        Skipped::Broken => "broken",
    }
}

runtime::metrics! {
    /// What the writer counts.
    pub(crate) static METRICS: WriterMetrics {
        /// Fresh verdicts by kind
        verdicts: Counter "sluicegate_writer_verdicts_total" by kind: Kind = kind,
        /// Orders that had a verdict already
        redelivered: Counter "sluicegate_writer_redelivered_total",
        /// Order rows inserted, by status
        rows: Counter "sluicegate_writer_rows_total" by status: RowStatus = RowStatus::as_str,
        /// Applies left to the reconciler
        apply_failures: Counter "sluicegate_writer_apply_failures_total",
        /// Orders sent to a retry partition
        retried: Counter "sluicegate_writer_retried_total",
        /// Cells left out of a transaction: busy (locked by somebody), broken, no_cell
        skipped_cells: Counter "sluicegate_writer_skipped_cells_total" by why: Skipped = skipped,
        /// Orders and frames parked for a person
        parked: Counter "sluicegate_writer_parked_total" by what: ParkedWhat = ParkedWhat::as_str,
        /// Consumers given up after rounds without progress
        gave_up: Counter "sluicegate_writer_gave_up_total",
        /// Partitions whose next frame only a newer writer can read
        partitions_newer: Gauge "sluicegate_writer_partitions_newer",
        /// Orders per batch
        batch_orders: Histogram "sluicegate_writer_batch_orders_size",
        /// From the publish of a frame to its ack
        lag: Histogram "sluicegate_writer_lag_seconds",
    }
}
