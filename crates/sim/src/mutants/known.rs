//! What finds each mutant, by family of faults and seed. `cargo xtask sim --mutants`
//! prints the lines of [`KNOWN`] when they are not what it found.
//!
//! A survivor stays only with its reason in [`EXPLAINED`].

use super::case::Known::{self, Found, Survives};
use crate::plan::Profile::{self, self as P};

/// (mutant, family of faults or all, what finds it).
#[rustfmt::skip]
pub(super) const KNOWN: [(&str, Option<Profile>, Known); 108] = [
    ("random_ids", None, Found("INV-8", 0)),
    ("retry_bytes", None, Found("6.1 bytes", 131)),
    ("age_from_answer", Some(P::Log), Found("6.1 age", 2)),
    ("verdict_own_price", Some(P::Process), Found("6.1 bytes", 8442)),
    ("returning_no_ledger", Some(P::Forget), Survives),
    ("max_age_ignored", Some(P::Process), Found("6.1 age", 177)),
    ("drop_hold_on_publish", None, Found("INV-14", 2)),
    ("indefinite", None, Found("6.3", 28)),
    ("no_lookup", None, Found("6.3", 399)),
    ("flag_no_filter", None, Found("6.3", 3)),
    ("accept_without_receipt", Some(P::All), Found("INV-7", 53)),
    ("wait_ignored", Some(P::Failover), Found("INV-13", 57)),
    ("receipt_ignored", None, Found("6.1 receipt", 177)),
    ("ack_before_commit", Some(P::All), Found("6.9", 72)),
    ("ack_before_row", Some(P::Log), Survives),
    ("no_resolve", None, Found("INV-11", 74)),
    ("hop_any", Some(P::All), Survives),
    ("barrier_early", Some(P::All), Survives),
    ("newer_parked", None, Survives),
    ("consumer_kept", Some(P::Grey), Found("INV-11", 9)),
    ("ack_before_retry", Some(P::All), Found("6.9", 14)),
    ("no_release", None, Found("INV-6", 76)),
    ("no_ticks", None, Found("INV-11", 9)),
    ("lease_kept", Some(P::Grey), Found("INV-11", 12616)),
    ("tick_own_clock", Some(P::Grey), Found("INV-11", 3)),
    ("no_horizon", None, Survives),
    ("no_relay", None, Found("INV-11", 9)),
    ("no_sweeper", Some(P::Log), Found("INV-11", 2)),
    ("timeout_giveback", None, Found("INV-11", 74)),
    ("no_barrier", Some(P::All), Found("6.9", 65)),
    ("barrier_no_retry", Some(P::All), Found("6.9", 493)),
    ("no_grace", Some(P::All), Survives),
    ("fork_kept", Some(P::Fork), Found("INV-11", 2)),
    ("rewind_dead", Some(P::Fork), Survives),
    ("rewind_keeps", Some(P::Fork), Found("INV-5", 99)),
    ("rewind_loser", Some(P::Fork), Survives),
    ("rewind_unasked", Some(P::Fork), Found("INV-18", 303)),
    ("rewind_newsless", Some(P::Fork), Found("INV-11", 67)),
    ("rewind_no_returns", Some(P::Fork), Survives),
    ("rewind_paid", Some(P::Fork), Found("INV-5", 652)),
    ("lost_unknown", Some(P::Fork), Found("INV-18", 122)),
    ("key_amountless", Some(P::Fork), Found("INV-18", 2577)),
    ("no_stop_selling", Some(P::Fork), Found("INV-11", 1)),
    ("ledger_trusted", Some(P::Fork), Found("INV-11", 7)),
    ("transfer_no_hold", None, Found("INV-13", 211)),
    ("fork_plain", Some(P::Database), Found("INV-14", 12)),
    ("stop_plain", None, Found("6.6", 282)),
    ("load_plain", Some(P::Loss), Found("6.6", 3587)),
    ("told_early", Some(P::Lives), Found("INV-18", 0)),
    ("new_refund_key", Some(P::Lives), Found("INV-18", 0)),
    ("key_unscoped", Some(P::Lives), Found("INV-16", 12)),
    ("pay_no_cas", Some(P::Lives), Found("INV-11", 11)),
    ("last_wins", Some(P::Lives), Found("INV-16", 0)),
    ("no_sum_check", Some(P::Lives), Found("INV-16", 67)),
    ("lines_unsummed", Some(P::Lives), Found("INV-15", 2363)),
    ("return_no_guard", Some(P::Lives), Found("INV-15", 2363)),
    ("expire_no_close", Some(P::Lives), Found("LIFE 3", 2)),
    ("no_close_after", Some(P::Lives), Found("INV-18", 2)),
    ("close_part", Some(P::Lives), Found("LIFE 3", 0)),
    ("answers_dropped", Some(P::Lives), Found("INV-18", 2)),
    ("reclaim_two_ends", Some(P::Lives), Found("INV-16", 914)),
    ("release_after_paid", Some(P::Lives), Found("INV-6", 2)),
    ("return_on_part", Some(P::Lives), Found("INV-15", 279)),
    ("ordinal_fixed", Some(P::Lives), Found("INV-15", 459)),
    ("fate_forgotten", Some(P::Lives), Found("INV-17", 0)),
    ("death_keeps", Some(P::Lives), Found("INV-17", 2)),
    ("need_once", Some(P::Lives), Found("INV-17", 13)),
    ("no_life_horizon", Some(P::Lives), Found("INV-21", 100)),
    ("acked_early", Some(P::Lives), Found("INV-11", 58)),
    ("ack_before_join", Some(P::Lives), Found("INV-11", 24)),
    ("opreb_nowait", Some(P::Hand), Found("6.10", 1)),
    ("apply_no_watermark", None, Found("INV-3", 2)),
    ("gap_ignored", None, Found("INV-3", 9)),
    ("claim_skips_buyer", None, Found("INV-4", 83)),
    ("release_keeps_units", None, Found("INV-3", 3)),
    ("reject_keeps_hold", None, Survives),
    ("resolve_no_w", None, Found("INV-13", 112)),
    ("resolve_keeps_held", None, Found("INV-4", 74)),
    ("no_conflict", None, Found("INV-7", 190)),
    ("no_touch", Some(P::Failover), Found("INV-13", 381)),
    ("b_dropped", None, Found("6.3", 3)),
    ("d_one_generation", None, Survives),
    ("sells_what_is_held", None, Found("INV-13", 0)),
    ("no_limit", None, Found("INV-12", 6)),
    ("batch_no_overlay", None, Found("INV-13", 564)),
    ("load_no_ticket", Some(P::Loss), Survives),
    ("ticket_any_primary", None, Survives),
    ("ticket_over", Some(P::Loss), Survives),
    ("ticket_renewed", Some(P::All), Survives),
    ("load_over", Some(P::All), Survives),
    ("mend_held_0", Some(P::Hand), Found("INV-4", 10)),
    ("mend_uncond", Some(P::Hand), Found("INV-3", 238)),
    ("drop_uncond", Some(P::Hand), Found("INV-14", 1046)),
    ("apply_no_token", Some(P::Fork), Survives),
    ("noguard", Some(P::Failover), Found("INV-1", 12)),
    ("release_not_idempotent", None, Found("INV-1", 55)),
    ("no_key_unique", None, Found("INV-8", 76)),
    ("read_before_lock", None, Found("INV-2", 47)),
    ("row_upsert", None, Found("INV-19", 18)),
    ("reject_not_persisted", None, Found("INV-11", 27)),
    ("flag_only_in_redis", None, Found("INV-11", 16)),
    ("no_unrowed", Some(P::Log), Found("INV-7", 5)),
    ("progress_goes_back", None, Survives),
    ("conflict_leaves_live", None, Found("INV-8", 76)),
    ("transfer_two_tx", None, Found("INV-10", 2)),
    ("first_cell_only", None, Found("INV-11", 10)),
    ("outbox_other_tx", Some(P::Lives), Found("INV-11", 2)),
    ("work_taken", Some(P::Lives), Found("INV-11", 5)),
];

/// Why a survivor is no hole.
pub(super) const EXPLAINED: [(&str, &str); 19] = [
    (
        "returning_no_ledger",
        "rarely found: the cache of verdicts must be lost between a verdict and its row, and the \
         price change before the retry; gate/tests/answers.rs holds the rule",
    ),
    (
        "rewind_dead",
        "needs a dead row whose verdict is lost while its units are free; \
         reconciler/tests/lost_commits.rs holds the rule",
    ),
    (
        "rewind_loser",
        "needs a lost row of the loser of a key whose ledger is elsewhere, read before the winner; \
         reconciler/tests/lost_commits.rs holds the rule",
    ),
    (
        "rewind_no_returns",
        "needs a return in another database than its order, once in some 3,000 schedules that lose \
         commits; clerk/tests/lives.rs holds the rule",
    ),
    ("ack_before_row", "the sweeper publishes again what has a verdict and no row"),
    ("hop_any", "needs two databases down in turn during a rebuild"),
    (
        "barrier_early",
        "a load comes 50 ms after the mark at the earliest, and a batch rarely takes longer",
    ),
    (
        "newer_parked",
        "no program of the simulator writes a newer version; writer/tests/newer.rs holds the rule",
    ),
    ("no_horizon", "only costs work: frames are published again that a slow writer still has"),
    ("no_grace", "only widens the window of section 8: a gate publishes after the barrier"),
    (
        "reject_keeps_hold",
        "the relay resolves the hold that stays (no_resolve is found): units are only blocked \
         for a while",
    ),
    (
        "d_one_generation",
        "d may be lost at any time (RETURNING, row and ledger answer then); how long it lasts is \
         held by a test of the cells",
    ),
    (
        "load_no_ticket",
        "needs a load that is late by a whole loss and its rebuild; the conformance suite of \
         the cells holds the rule on every backend",
    ),
    (
        "ticket_any_primary",
        "two schedules of a million, 502854 and 585487, break 6.9 with it; a failover of the real \
         cluster in lua/tests/disrupt.rs holds the rule",
    ),
    (
        "ticket_over",
        "only costs time: the other build starts over; reconciler/tests/rebuild.rs counts \
         barriers",
    ),
    (
        "ticket_renewed",
        "needs a failover between a renewal and a repeated load; the conformance suite of the \
         cells holds the rule on every backend",
    ),
    (
        "load_over",
        "rarely found: it loses the holds made between two loads after one loss (INV-14); the \
         ledger replays the rest",
    ),
    (
        "apply_no_token",
        "two layers, rarely found: each pass compares the token at W, and keeping such a view is \
         fork_kept, which is found",
    ),
    ("progress_goes_back", "only delays the relay until the next tick"),
];
