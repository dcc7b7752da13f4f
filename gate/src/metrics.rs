//! The gate's metrics: names, help, and one function per thing that is counted.

use std::collections::HashMap;

use cells::port::CellError;
use domain::Reason;
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use parking_lot::RwLock;

/// Names and help texts.
pub(crate) fn describe() {
    describe_counter!("sluicegate_requests_total", "Finished requests by route and outcome");
    describe_histogram!("sluicegate_reserve_batch_size", "Orders per reserve call");
    describe_counter!("sluicegate_reserve_errors_total", "Reserve calls without an answer");
    describe_histogram!("sluicegate_frame_orders_size", "Orders per frame");
    describe_counter!("sluicegate_publish_failures_total", "Frames without a receipt");
    describe_counter!("sluicegate_publish_too_old_total", "Orders left to the relay by age");
    describe_counter!("sluicegate_accepted_missing_total", "Receipts without order (INV-7 alarm)");
    describe_gauge!("sluicegate_connections", "Open connections of the buyers' listener");
    describe_counter!("sluicegate_connections_refused_total", "Connections over a bound");
    let help = "From the request's head to its answer";
    describe_histogram!("sluicegate_request_seconds", Unit::Seconds, help);
    describe_gauge!("sluicegate_shutdown_phase", "0 running to 6 done");
}

/// How a request ended, for the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 202 with a receipt or the anchor's claim.
    Accepted,
    /// 202 without.
    Unconfirmed,
    /// 200.
    Answered,
    /// A problem.
    Problem(Reason),
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Unconfirmed => "unconfirmed",
            Outcome::Answered => "answered",
            Outcome::Problem(r) => r.as_str(),
        }
    }
}

/// Handles of the request metrics, made when first counted: a look-up in the registry costs more
/// than a refusal by path.
#[derive(Default)]
pub(crate) struct Requests {
    counters: RwLock<HashMap<(&'static str, &'static str), Counter>>,
    seconds: RwLock<HashMap<&'static str, Histogram>>,
}

impl Requests {
    pub fn ended(&self, route: &'static str, outcome: Outcome, seconds: f64) {
        let key = (route, outcome.label());
        if let Some(counter) = self.counters.read().get(&key) {
            counter.increment(1);
        } else {
            let fresh = counter!("sluicegate_requests_total", "route" => key.0, "outcome" => key.1);
            fresh.increment(1);
            self.counters.write().insert(key, fresh);
        }
        if let Some(histogram) = self.seconds.read().get(route) {
            histogram.record(seconds);
        } else {
            let fresh = histogram!("sluicegate_request_seconds", "route" => route);
            fresh.record(seconds);
            self.seconds.write().insert(route, fresh);
        }
    }
}

pub(crate) fn reserve_batch(n: usize) {
    histogram!("sluicegate_reserve_batch_size").record(n as f64);
}
pub(crate) fn reserve_error(e: &CellError) {
    let kind = match e {
        CellError::Unknown(_) => "unknown",
        CellError::NotSent(..) => "not_sent",
        CellError::Broken(..) => "broken",
    };
    counter!("sluicegate_reserve_errors_total", "kind" => kind).increment(1);
}
pub(crate) fn frame(orders: usize) {
    histogram!("sluicegate_frame_orders_size").record(orders as f64);
}
pub(crate) fn publish_failed() {
    counter!("sluicegate_publish_failures_total").increment(1);
}
pub(crate) fn too_old() {
    counter!("sluicegate_publish_too_old_total").increment(1);
}
pub(crate) fn accepted_missing() {
    counter!("sluicegate_accepted_missing_total").increment(1);
}
pub(crate) fn connections(delta: f64) {
    gauge!("sluicegate_connections").increment(delta);
}
pub(crate) fn connection_refused(why: &'static str) {
    counter!("sluicegate_connections_refused_total", "why" => why).increment(1);
}
