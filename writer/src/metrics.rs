//! The writer's metrics: names, help, and one function per thing that is counted.

use domain::Kind;
use metrics::{Unit, counter, gauge, histogram};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use store::port::Skipped;

/// Names and help texts; `docs/metrics.md` is made from these.
pub(crate) fn describe() {
    describe_counter!("sluicegate_writer_verdicts_total", "Fresh verdicts by kind");
    describe_counter!("sluicegate_writer_redelivered_total", "Orders that had a verdict already");
    describe_counter!("sluicegate_writer_rows_total", "Order rows inserted, by status");
    describe_counter!("sluicegate_apply_without_hold_total", "Fresh claims that found no hold");
    describe_counter!("sluicegate_writer_apply_failures_total", "Applies left to the reconciler");
    describe_counter!("sluicegate_writer_retried_total", "Orders sent to a retry partition");
    let skipped = "Cells left out of a transaction: busy (locked by somebody), broken, no_cell";
    describe_counter!("sluicegate_writer_skipped_cells_total", skipped);
    describe_counter!("sluicegate_writer_parked_total", "Orders and frames parked for a person");
    let help = "Consumers given up after rounds without progress";
    describe_counter!("sluicegate_writer_gave_up_total", help);
    let help = "Partitions whose next frame only a newer writer can read";
    describe_gauge!("sluicegate_writer_partitions_newer", help);
    describe_histogram!("sluicegate_writer_batch_orders_size", "Orders per batch");
    let lag = "From the publish of a frame to its ack";
    describe_histogram!("sluicegate_writer_lag_seconds", Unit::Seconds, lag);
}

pub(crate) fn verdict(kind: Kind) {
    let kind = if kind == Kind::Claim { "claim" } else { "reject" };
    counter!("sluicegate_writer_verdicts_total", "kind" => kind).increment(1);
}
pub(crate) fn redelivered() {
    counter!("sluicegate_writer_redelivered_total").increment(1);
}
pub(crate) fn row(status: &'static str) {
    counter!("sluicegate_writer_rows_total", "status" => status).increment(1);
}
pub(crate) fn apply_failed() {
    counter!("sluicegate_writer_apply_failures_total").increment(1);
}
pub(crate) fn retried(n: usize) {
    counter!("sluicegate_writer_retried_total").increment(n as u64);
}
pub(crate) fn skipped(why: Skipped) {
    let why = match why {
        Skipped::NoCell => "no_cell",
        Skipped::Busy => "busy",
        Skipped::Broken => "broken",
    };
    counter!("sluicegate_writer_skipped_cells_total", "why" => why).increment(1);
}
pub(crate) fn parked(what: &'static str) {
    counter!("sluicegate_writer_parked_total", "what" => what).increment(1);
}
pub(crate) fn gave_up() {
    counter!("sluicegate_writer_gave_up_total").increment(1);
}
pub(crate) fn newer(partitions: usize) {
    gauge!("sluicegate_writer_partitions_newer").set(partitions as f64);
}
pub(crate) fn batch(orders: usize) {
    histogram!("sluicegate_writer_batch_orders_size").record(orders as f64);
}
pub(crate) fn lag(ms: u64) {
    histogram!("sluicegate_writer_lag_seconds").record(ms as f64 / 1000.0);
}
