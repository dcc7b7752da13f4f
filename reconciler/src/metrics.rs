//! What the reconciler counts and shows.

use std::convert::identity;

use domain::drift::{DriftKind, Repair};

/// A part of a cell's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitsPart {
    /// What was put in.
    Supply,
    /// What is sold.
    Net,
    /// What is on hold.
    Held,
    /// What is on sale.
    Available,
}

impl UnitsPart {
    fn as_str(self) -> &'static str {
        match self {
            UnitsPart::Supply => "supply",
            UnitsPart::Net => "net",
            UnitsPart::Held => "held",
            UnitsPart::Available => "available",
        }
    }
}

runtime::metrics! {
    /// What the reconciler counts and shows.
    pub(crate) static METRICS: ReconcilerMetrics {
        /// Finished passes over a database
        passes: Counter "sluicegate_reconciler_passes_total",
        /// Differences found between Redis and the ledger
        drift: Counter "sluicegate_drift_total" by kind: DriftKind = DriftKind::as_str,
        /// Broken invariants found in a cell, by id; see docs/operations.md
        violations: Counter "sluicegate_invariant_violations_total"
            by id: &'static str = identity,
        /// Repairs made
        repairs: Counter "sluicegate_repairs_total" by repair: Repair = Repair::as_str,
        /// Orders published again from a hold
        relayed: Counter "sluicegate_relayed_total",
        /// Orders published again from a verdict
        swept: Counter "sluicegate_swept_total",
        /// Phantom holds dropped
        resolved: Counter "sluicegate_resolved_total",
        /// Leases given up after rounds without progress
        gave_up: Counter "sluicegate_reconciler_gave_up_total",
        /// Comparisons of held and b left out because the cell is too large
        too_large: Counter "sluicegate_cells_too_large_total",
        /// Age of the oldest hold
        oldest_hold: Gauge "sluicegate_oldest_hold_seconds",
        /// Holds older than reconciler.relay_after_ms
        holds_overdue: Gauge "sluicegate_holds_overdue",
        /// Cells whose view is not the ledger's
        cells_diverged: Gauge "sluicegate_cells_diverged",
        /// Units of the cells of this process's last pass, by state
        units: Gauge "sluicegate_units" by state: UnitsPart = UnitsPart::as_str,
        /// Ledger entries that the furthest view is behind its ledger
        watermark_lag: Gauge "sluicegate_watermark_lag_entries",
    }
}

/// Counts a difference, and the invariant that it breaks.
pub(crate) fn drift(kind: DriftKind) {
    METRICS.drift.of(kind).increment(1);
    if let Some(id) = kind.invariant() {
        METRICS.violations.of(id).increment(1);
    }
}

/// Shows how holds and cells are.
pub(crate) fn holds(status: &view::HoldStatus) {
    METRICS.oldest_hold.set(status.oldest_ms as f64 / 1000.0);
    METRICS.holds_overdue.set(status.overdue as f64);
    METRICS.cells_diverged.set(status.diverged as f64);
}
