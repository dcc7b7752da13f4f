//! What the gate counts.

use cells::port::CellError;
use contract::{Buyers, Reason};
use domain::limit::Dimension;
use tokio::time::Instant;
use web::Bound;

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
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Unconfirmed => "unconfirmed",
            Outcome::Answered => "answered",
            Outcome::Problem(r) => r.as_str(),
        }
    }
}

/// A route, or what is none.
pub(crate) type Route = Option<Buyers>;

fn route(route: Route) -> &'static str {
    route.map_or("none", |r| r.spec().label)
}

/// How a reserve call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Nobody knows whether it ran.
    Unknown,
    /// It did not run.
    NotSent,
    /// The cell is not what it should be.
    Broken,
}

impl From<&CellError> for Failed {
    fn from(e: &CellError) -> Self {
        match e {
            CellError::Unknown(_) => Failed::Unknown,
            CellError::NotSent(..) => Failed::NotSent,
            CellError::Broken(..) => Failed::Broken,
        }
    }
}

impl Failed {
    fn as_str(self) -> &'static str {
        match self {
            Failed::Unknown => "unknown",
            Failed::NotSent => "not_sent",
            Failed::Broken => "broken",
        }
    }
}

/// What a callback came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewsOf {
    /// News of a payment.
    Payment,
    /// News of goods.
    Parcel,
    /// Of no concern.
    Nothing,
    /// Authentic, and nobody can read it.
    Unreadable,
    /// Not the provider's, or too old.
    Forged,
}

impl NewsOf {
    fn as_str(self) -> &'static str {
        match self {
            NewsOf::Payment => "payment",
            NewsOf::Parcel => "parcel",
            NewsOf::Nothing => "nothing",
            NewsOf::Unreadable => "unreadable",
            NewsOf::Forged => "forged",
        }
    }
}

runtime::metrics! {
    /// What the gate counts.
    pub(crate) static METRICS: GateMetrics {
        /// Finished requests by route and outcome
        requests: Counter "sluicegate_requests_total"
            by route: Route = route, outcome: Outcome = Outcome::as_str,
        /// From the request's head to its answer
        request_seconds: Histogram "sluicegate_request_seconds" by route: Route = route,
        /// Open connections of the buyers' listener
        connections: Gauge "sluicegate_connections",
        /// Connections over a bound
        connections_refused: Counter "sluicegate_connections_refused_total"
            by why: Bound = Bound::as_str,
        /// Keys of a limit that were not idle and had to go (`limits.max_keys`)
        keys_forgotten: Counter "sluicegate_limit_keys_forgotten_total"
            by limit: Dimension = Dimension::as_str,
        /// Orders per reserve call
        reserve_batch: Histogram "sluicegate_reserve_batch_size",
        /// Reserve calls without an answer
        reserve_errors: Counter "sluicegate_reserve_errors_total"
            by kind: Failed = Failed::as_str,
        /// Reserve calls whose holds fewer than `reserve.wait_replicas` replicas had in time
        not_replicated: Counter "sluicegate_reserve_not_replicated_total",
        /// Orders per frame
        frame_orders: Histogram "sluicegate_frame_orders_size",
        /// Frames without a receipt
        publish_failures: Counter "sluicegate_publish_failures_total",
        /// Orders left to the relay by age
        too_old: Counter "sluicegate_publish_too_old_total",
        /// Callbacks of payment providers and warehouses, by what they tell
        news: Counter "sluicegate_callbacks_total" by what: NewsOf = NewsOf::as_str,
        /// Frames of callbacks without a receipt
        news_failures: Counter "sluicegate_callback_failures_total",
        /// Receipts without order (INV-7 alarm)
        accepted_missing: Counter "sluicegate_accepted_missing_total",
    }
}

/// Counts a request that ended.
pub(crate) fn ended(route: Route, outcome: Outcome, began: Instant) {
    METRICS.requests.of((route, outcome)).increment(1);
    METRICS.request_seconds.of(route).record(began.elapsed().as_secs_f64());
}
