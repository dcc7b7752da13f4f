//! What was met how often: reply codes of scripts, kinds of faults, branches of the relay, answers.
//!
//! A run of some thousand schedules that never meets one of [`EXPECTED`] has not tested what it
//! says, and fails. What cannot be met is listed in [`IMPOSSIBLE`] with the reason.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What reserve answers, by letter; `missing` is said of the whole call.
pub const RESERVE: [&str; 13] = [
    "new",
    "new_again",
    "held",
    "verdict",
    "fenced",
    "conflict",
    "late",
    "returning",
    "not_open",
    "closed",
    "paused",
    "limit",
    "sold_out",
];

/// Counts by group and name.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<(&'static str, &'static str), u64>);

/// What every longer run must meet.
pub const EXPECTED: [(&str, &[&str]); 28] = [
    ("reserve", &RESERVE),
    ("reserve", &["missing"]),
    ("apply", &["ok", "missing", "gap", "fork"]),
    ("old_primary", &["reserve", "apply", "resolve", "snapshot", "scan"]),
    ("wait", &["ok", "short", "nothing", "broken"]),
    ("fork", &["entries_lost"]),
    (
        "rewind",
        &["done", "claimed", "rejected", "rows", "refused", "news", "refunds", "owed", "returns"],
    ),
    ("transfer", &["held", "committed", "done", "again", "no_hold"]),
    ("resolve", &["kept", "dropped", "missing"]),
    ("load", &["ok", "changed", "exists"]),
    ("mend", &["ok", "changed"]),
    ("drop", &["ok", "changed"]),
    ("snapshot", &["ok", "missing"]),
    ("call", &["refused", "lost_request", "lost_reply", "late", "twice", "broken"]),
    ("database", &["lock_wait", "cell_left_out", "from_behind"]),
    ("log", &["frame_lost", "unacked_lost", "redelivered", "ack_lost", "session_ended"]),
    (
        "fault",
        &[
            "kill_gate",
            "kill_writer",
            "kill_reconciler",
            "kill_with_frames",
            "stop_gate",
            "stop_writer",
            "stop_reconciler",
            "cut_writer",
            "cut_reconciler",
            "clock_step",
            "slow_process",
            "slow_store",
            "redis_down",
            "database_down",
            "connections_broken",
            "cell_locked",
            "offer_locked",
            "replica_behind",
            "log_down",
            "failover",
            "old_primary",
            "fork",
            "falsified_row",
            "redis_lost",
            "offer_lost",
            "old_snapshot",
            "tombstones_lost",
            "falsified",
            "kill_clerk",
            "stop_clerk",
            "provider_down",
        ],
    ),
    (
        "reconciler",
        &[
            "relayed",
            "swept_claim",
            "phantom_dropped",
            "phantom_was_gone",
            "applied",
            "loaded",
            "load_with_old_ticket",
            "load_of_living_cell",
            "dropped_cell",
            "mended",
            "finished_transfer",
        ],
    ),
    (
        "answer",
        &[
            "accepted",
            "unconfirmed",
            "rejected",
            "sold_out",
            "limit_reached",
            "paused",
            "closed",
            "not_open",
            "key_conflict",
            "dependency_down",
            "overloaded",
            "nothing",
        ],
    ),
    ("writer", &["handed_over"]),
    (
        "life",
        &[
            "captured",
            "late_payment",
            "not_paid",
            "cancelled",
            "shipped",
            "delivered",
            "refund_asked",
            "refund_succeeded",
            "superseding",
            "superseded",
        ],
    ),
    ("callback", &["taken", "forged", "503", "nothing"]),
    ("provider", &["lost", "late", "twice", "contradicted", "pending"]),
    ("session", &["done", "refused"]),
    ("cancel_order", &["done", "refused"]),
    ("refund", &["done", "refused"]),
    ("paid", &["captured", "closed"]),
    ("person", &["resolve", "retry"]),
];

/// What is never met, and why.
pub const IMPOSSIBLE: [(&str, &str, &str); 12] = [
    ("reserve", "fenced", "only carts are fenced, and carts are not built yet"),
    ("reserve", "broken", "a script refuses only arguments that no caller makes"),
    ("cancel", "met", "only carts cancel lines, and carts are not built yet"),
    ("fence", "met", "only carts are fenced, and carts are not built yet"),
    ("unseal", "met", "only carts are unsealed, and carts are not built yet"),
    ("reconciler", "gap", "needs a failover between two calls of one repair: met or not"),
    (
        "reconciler",
        "swept_reject",
        "needs a reject after a loss of Redis whose writer dies before the row: met or not",
    ),
    (
        "life",
        "refund_ended",
        "no operator gives a refund up here: domain/tests/life/refunds.rs does",
    ),
    ("rewind", "refused", "once in some 10,000 schedules: met or not"),
    ("rewind", "owed", "once in some 1,000 schedules that lose commits: met or not"),
    ("rewind", "returns", "once in some 3,000 schedules that lose commits: met or not"),
    ("mend", "missing", "needs a loss between two calls of one repair: met or not, all the same"),
];

impl Coverage {
    /// One more.
    pub fn count(&mut self, group: &'static str, name: &'static str) {
        *self.0.entry((group, name)).or_default() += 1;
    }

    /// Adds another schedule's.
    pub fn add(&mut self, other: &Coverage) {
        for (key, n) in &other.0 {
            *self.0.entry(*key).or_default() += n;
        }
    }

    /// How often.
    pub fn of(&self, group: &'static str, name: &'static str) -> u64 {
        self.0.get(&(group, name)).copied().unwrap_or(0)
    }

    /// What should have been met and was not.
    pub fn missing(&self) -> Vec<String> {
        let all = EXPECTED.iter().flat_map(|(g, names)| names.iter().map(move |n| (*g, *n)));
        let never = |g: &str, n: &str| IMPOSSIBLE.iter().any(|i| (i.0, i.1) == (g, n));
        let unmet = all.filter(|(g, n)| self.of(g, n) == 0 && !never(g, n));
        unmet.map(|(g, n)| format!("{g} {n}")).collect()
    }

    /// A line per group.
    pub fn table(&self) -> String {
        let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((group, name), n) in &self.0 {
            groups.entry(group).or_default().push(format!("{name} {n}"));
        }
        let mut out = String::new();
        for (group, names) in groups {
            let _ = writeln!(out, "  {group:<11} {}", names.join(", "));
        }
        out
    }
}
