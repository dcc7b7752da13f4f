//! The reconciler's metrics.

use domain::drift::{DriftKind, Repair};
use metrics::{counter, describe_counter, describe_gauge, gauge};

pub(crate) fn describe() {
    describe_counter!("sluicegate_reconciler_passes_total", "Finished passes over a database");
    describe_counter!("sluicegate_drift_total", "Differences found between Redis and the ledger");
    describe_counter!("sluicegate_repairs_total", "Repairs made");
    describe_counter!("sluicegate_relayed_total", "Orders published again from a hold");
    describe_counter!("sluicegate_swept_total", "Orders published again from a verdict");
    describe_counter!("sluicegate_resolved_total", "Phantom holds dropped");
    describe_gauge!("sluicegate_oldest_hold_seconds", "Age of the oldest hold");
    describe_gauge!("sluicegate_holds_overdue", "Holds the relay acts on");
    describe_gauge!("sluicegate_cells_diverged", "Cells whose view is not the ledger's");
}

pub(crate) fn pass() {
    counter!("sluicegate_reconciler_passes_total").increment(1);
}
pub(crate) fn drift(kind: DriftKind) {
    counter!("sluicegate_drift_total", "kind" => kind.as_str()).increment(1);
}
pub(crate) fn repaired(repair: Repair) {
    counter!("sluicegate_repairs_total", "repair" => repair.as_str()).increment(1);
}
pub(crate) fn relayed(n: usize) {
    counter!("sluicegate_relayed_total").increment(n as u64);
}
pub(crate) fn swept(n: usize) {
    counter!("sluicegate_swept_total").increment(n as u64);
}
pub(crate) fn resolved(n: u32) {
    counter!("sluicegate_resolved_total").increment(u64::from(n));
}
pub(crate) fn holds(status: &view::HoldStatus) {
    gauge!("sluicegate_oldest_hold_seconds").set(status.oldest_ms as f64 / 1000.0);
    gauge!("sluicegate_holds_overdue").set(status.overdue as f64);
    gauge!("sluicegate_cells_diverged").set(status.diverged as f64);
}
