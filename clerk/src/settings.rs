//! What a clerk needs to know besides its ports.

use std::time::Duration;

use runtime::config::told;

runtime::section! {
    /// The clerk.
    pub struct ClerkConfig, checked by wrong {
        /// Probe listener of `sluicegate clerk`.
        listen: String = "127.0.0.1:9093".into(), listen;
        /// Between two looks for work that is due, when the last one found none.
        pass_ms: u64 = 500, range(10..=60_000);
        /// An order that was not paid expires this long after its time: what was told in time is
        /// read first.
        expire_grace_ms: u64 = 60_000, range(0..=3_600_000);
        /// A refund without an answer is asked about, and sent again, after each of these; then it
        /// is a person's.
        refund_pauses_ms: Vec<u64> = vec![1000, 2000, 4000, 8000, 16_000];
        /// How long a provider knows the key of a refund: later it is only asked, never sent again.
        refund_key_hours: u64 = 24, range(1..=8760);
        /// How long a late payment may take to buy its order again before it goes back.
        late_deadline_ms: u64 = 60_000, range(1..=3_600_000);
        /// How long the order that a late payment bought may wait for that payment: its money is
        /// there already.
        late_window_ms: u64 = 300_000, range(1000..=86_400_000);
        /// Work that a clerk has taken is free for others after this.
        lease_ms: u64 = 10_000, range(100..=3_600_000);
        /// A database that does not answer for this long makes its news wait.
        patience_ms: u64 = 2000, range(10..=3_600_000);
        /// Rounds without progress after which a partition is given up to another clerk.
        give_up_after: u32 = 5, range(1..=1000);
    }
}

fn wrong(c: &ClerkConfig) -> Vec<String> {
    let pauses = &c.refund_pauses_ms;
    let fine =
        (1..=32).contains(&pauses.len()) && pauses.iter().all(|p| (1..=86_400_000).contains(p));
    told(&[(!fine, "refund_pauses_ms: 1 to 32 pauses of 1 to 86400000 ms")])
}

/// What a clerk needs to know besides its ports.
#[derive(Debug, Clone)]
pub struct ClerkSettings {
    /// Between two looks for work.
    pub pass: Duration,
    /// After an order's time, before it expires.
    pub grace_ms: u64,
    /// Before a refund is asked about again, ms.
    pub refund_pauses_ms: Vec<u64>,
    /// How long a provider knows the key of a refund, ms.
    pub refund_key_ms: u64,
    /// How long a late payment may take.
    pub late_deadline_ms: u64,
    /// How long its successor may stay unpaid, ms.
    pub late_window_ms: u64,
    /// How long work that was taken is left alone.
    pub lease_ms: u64,
    /// How long a database may take.
    pub patience: Duration,
    /// Rounds without progress after which a partition is given up.
    pub give_up_after: u32,
}

impl From<&ClerkConfig> for ClerkSettings {
    fn from(c: &ClerkConfig) -> Self {
        Self {
            pass: Duration::from_millis(c.pass_ms),
            grace_ms: c.expire_grace_ms,
            refund_pauses_ms: c.refund_pauses_ms.clone(),
            refund_key_ms: c.refund_key_hours.saturating_mul(3_600_000),
            late_deadline_ms: c.late_deadline_ms,
            late_window_ms: c.late_window_ms,
            lease_ms: c.lease_ms,
            patience: Duration::from_millis(c.patience_ms),
            give_up_after: c.give_up_after,
        }
    }
}
