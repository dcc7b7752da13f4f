//! What whoever follows a ledger or reads the catalog counts.

use std::convert::identity;

runtime::metrics! {
    /// What whoever follows a ledger or reads the catalog counts.
    pub(crate) static METRICS: ViewMetrics {
        /// Calls of a database, of Redis, of the log or of the reconciler that failed
        dependency_errors: Counter "sluicegate_dependency_errors_total"
            by dependency: &'static str = identity,
        /// Fresh claims that found no hold
        apply_without_hold: Counter "sluicegate_apply_without_hold_total",
        /// Reads of the catalog that failed; the last one stays in force
        catalog_errors: Counter "sluicegate_catalog_errors_total",
    }
}
