//! What every process counts.

use crate::meter::Described;

crate::metrics! {
    /// What every process counts.
    pub(crate) static METRICS: ProcessMetrics {
        /// 0 running to 6 done
        shutdown_phase: Gauge "sluicegate_shutdown_phase",
        /// Tasks that panicked; every one is a bug
        task_panics: Counter "sluicegate_task_panics_total"
            by task: &'static str = std::convert::identity,
        /// Lines of the log that standard error did not take: a full disk, a closed pipe
        log_lines_lost: Counter "sluicegate_log_lines_lost_total",
    }
}

/// What every process counts, for `docs/metrics.md`.
pub const DESCRIBED: &[Described] = ProcessMetrics::DESCRIBED;
