//! The gate's metrics: names, help, and one function per thing that is counted.

use std::sync::OnceLock;

use cells::port::CellError;
use contract::{Buyers, Reason};
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// Names and help texts.
pub(crate) fn describe() {
    describe_counter!("sluicegate_requests_total", "Finished requests by route and outcome");
    describe_histogram!("sluicegate_reserve_batch_size", "Orders per reserve call");
    describe_counter!("sluicegate_reserve_errors_total", "Reserve calls without an answer");
    let help = "Reserve calls whose holds fewer than `reserve.wait_replicas` replicas had in time";
    describe_counter!("sluicegate_reserve_not_replicated_total", help);
    describe_histogram!("sluicegate_frame_orders_size", "Orders per frame");
    describe_counter!("sluicegate_publish_failures_total", "Frames without a receipt");
    describe_counter!("sluicegate_publish_too_old_total", "Orders left to the relay by age");
    describe_counter!("sluicegate_accepted_missing_total", "Receipts without order (INV-7 alarm)");
    describe_gauge!("sluicegate_connections", "Open connections of the buyers' listener");
    describe_counter!("sluicegate_connections_refused_total", "Connections over a bound");
    let help = "Calls of a database, of Redis, of the log or of the reconciler that failed";
    describe_counter!("sluicegate_dependency_errors_total", help);
    let help = "Keys of a limit that were not idle and had to go (`limits.max_keys`)";
    describe_counter!("sluicegate_limit_keys_forgotten_total", help);
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

    /// Its place in a row of [`Requests`].
    fn index(self) -> usize {
        match self {
            Outcome::Accepted => 0,
            Outcome::Unconfirmed => 1,
            Outcome::Answered => 2,
            Outcome::Problem(r) => 3 + r as usize,
        }
    }
}

/// Handles of the request metrics, made when first counted: a look-up in the registry costs more
/// than a refusal by path.
pub(crate) struct Requests {
    /// By route, and last what is none.
    routes: [Handles; Buyers::ALL.len() + 1],
}

struct Handles {
    by_outcome: Box<[OnceLock<Counter>]>,
    seconds: OnceLock<Histogram>,
}

impl Default for Requests {
    fn default() -> Self {
        let routes = std::array::from_fn(|_| Handles {
            by_outcome: (0..3 + Reason::ALL.len()).map(|_| OnceLock::new()).collect(),
            seconds: OnceLock::new(),
        });
        Self { routes }
    }
}

impl Requests {
    /// Counts a request of a route, or of none.
    pub fn ended(&self, route: Option<Buyers>, outcome: Outcome, seconds: f64) {
        let place = route.map_or(Buyers::ALL.len(), |r| r as usize);
        let (handles, label) = (&self.routes[place], route.map_or("none", |r| r.spec().label));
        let fresh = || {
            let outcome = outcome.label();
            counter!("sluicegate_requests_total", "route" => label, "outcome" => outcome)
        };
        handles.by_outcome[outcome.index()].get_or_init(fresh).increment(1);
        let fresh = || histogram!("sluicegate_request_seconds", "route" => label);
        handles.seconds.get_or_init(fresh).record(seconds);
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
pub(crate) fn not_replicated() {
    counter!("sluicegate_reserve_not_replicated_total").increment(1);
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
pub(crate) fn keys_forgotten(limit: &'static str, n: usize) {
    counter!("sluicegate_limit_keys_forgotten_total", "limit" => limit).increment(n as u64);
}
