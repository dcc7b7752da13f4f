//! The reconciler's metrics.

use domain::drift::{DriftKind, Repair};
use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::check::Compared;

pub(crate) fn describe() {
    describe_counter!("sluicegate_reconciler_passes_total", "Finished passes over a database");
    describe_counter!("sluicegate_drift_total", "Differences found between Redis and the ledger");
    let help = "Broken invariants found in a cell, by id; see docs/operations.md";
    describe_counter!("sluicegate_invariant_violations_total", help);
    describe_counter!("sluicegate_repairs_total", "Repairs made");
    describe_counter!("sluicegate_relayed_total", "Orders published again from a hold");
    describe_counter!("sluicegate_swept_total", "Orders published again from a verdict");
    describe_counter!("sluicegate_resolved_total", "Phantom holds dropped");
    let help = "Leases given up after rounds without progress";
    describe_counter!("sluicegate_reconciler_gave_up_total", help);
    let help = "Comparisons of held and b left out because the cell is too large";
    describe_counter!("sluicegate_cells_too_large_total", help);
    describe_gauge!("sluicegate_oldest_hold_seconds", "Age of the oldest hold");
    describe_gauge!("sluicegate_holds_overdue", "Holds older than reconciler.relay_after_ms");
    describe_gauge!("sluicegate_cells_diverged", "Cells whose view is not the ledger's");
    describe_gauge!("sluicegate_units", "Units of the cells of this process's last pass, by state");
    let help = "Ledger entries that the furthest view is behind its ledger";
    describe_gauge!("sluicegate_watermark_lag_entries", help);
}

pub(crate) fn pass() {
    counter!("sluicegate_reconciler_passes_total").increment(1);
}
pub(crate) fn drift(kind: DriftKind) {
    counter!("sluicegate_drift_total", "kind" => kind.as_str()).increment(1);
    if let Some(id) = kind.invariant() {
        counter!("sluicegate_invariant_violations_total", "id" => id).increment(1);
    }
}
pub(crate) fn repaired(repair: Repair) {
    counter!("sluicegate_repairs_total", "repair" => repair.as_str()).increment(1);
}
pub(crate) fn gave_up() {
    counter!("sluicegate_reconciler_gave_up_total").increment(1);
}
pub(crate) fn too_large() {
    counter!("sluicegate_cells_too_large_total").increment(1);
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

/// What the cells of a pass hold together, from their views.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Units {
    supply: i64,
    net: i64,
    held: i64,
    available: i64,
    /// Entries between the watermark and the ledger's end, at most.
    lag: u64,
}

impl Units {
    /// One more cell; a missing one has no units to show.
    pub fn add(&mut self, compared: &Compared) {
        let Some(view) = &compared.view else { return };
        self.supply += view.totals.supply;
        self.net += view.totals.net;
        self.held += view.held;
        self.available += view.available();
        self.lag = self.lag.max(compared.head.seq.saturating_sub(view.totals.seq));
    }

    /// Shows them.
    pub fn show(&self) {
        let Self { supply, net, held, available, lag } = *self;
        let states = [("supply", supply), ("net", net), ("held", held), ("available", available)];
        for (state, units) in states {
            gauge!("sluicegate_units", "state" => state).set(units as f64);
        }
        gauge!("sluicegate_watermark_lag_entries").set(lag as f64);
    }
}
