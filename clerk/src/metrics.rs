//! What the clerk counts.

/// What a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallOf {
    /// To close a payment.
    Close,
    /// To send money back.
    Refund,
    /// What became of a refund.
    Query,
}

impl CallOf {
    fn as_str(self) -> &'static str {
        match self {
            CallOf::Close => "close",
            CallOf::Refund => "refund",
            CallOf::Query => "query",
        }
    }
}

runtime::metrics! {
    /// What the clerk counts.
    pub(crate) static METRICS: ClerkMetrics {
        /// News of payments and parcels that were joined
        news: Counter "sluicegate_clerk_news_total",
        /// News of a life parked for a person: they are their own fault
        parked: Counter "sluicegate_clerk_parked_total",
        /// Orders that expired
        expired: Counter "sluicegate_clerk_expired_total",
        /// Units given back to ledgers, by order and cell
        givebacks: Counter "sluicegate_clerk_givebacks_total",
        /// Givebacks that a ledger refused; each is a task
        givebacks_refused: Counter "sluicegate_clerk_givebacks_refused_total",
        /// Calls of providers, by what was asked
        calls: Counter "sluicegate_clerk_provider_calls_total" by call: CallOf = CallOf::as_str,
        /// Calls of providers without a clear answer, by what was asked
        unclear: Counter "sluicegate_clerk_provider_unclear_total"
            by call: CallOf = CallOf::as_str,
        /// Rounds that failed: a database, the log or Redis did not answer
        failed_rounds: Counter "sluicegate_clerk_failed_rounds_total",
        /// Consumers given up after rounds without progress
        gave_up: Counter "sluicegate_clerk_gave_up_total",
        /// Partitions whose next frame only a newer clerk can read
        partitions_newer: Gauge "sluicegate_clerk_partitions_newer",
        /// From the publish of news to their ack
        lag: Histogram "sluicegate_clerk_lag_seconds",
    }
}
