//! The table of mutants: deliberate faults, and which check finds each after how many schedules.
//!
//! A mutant that survives is either explained in the table or fails the run. What the product does
//! not have yet cannot be broken yet: [`NOT_BUILT`] says so.

use runtime::mutant::Mutant;
use testkit::memory::StoreMutant;

use crate::plan::Profile;
use crate::plant::{Edit, Spot};

/// One mutant.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Where it is.
    pub spot: Spot,
    /// The family of faults that shows it soonest; `None` = all.
    pub profile: Option<Profile>,
    /// Why it may survive; empty = it must be found.
    pub excuse: &'static str,
}

const fn lua(
    (name, meaning): (&'static str, &'static str),
    script: &'static str,
    from: &'static str,
    to: &'static str,
) -> Case {
    let spot = Spot::Lua(Edit { script, from, to });
    Case { name, meaning, spot, profile: None, excuse: "" }
}

/// The family that shows a script's mutant soonest, or why it may survive.
fn known(case: Case) -> Case {
    let profile = match case.name {
        "mend_held_0" | "mend_uncond" | "drop_uncond" => Some(Profile::Hand),
        "load_no_ticket" => Some(Profile::Loss),
        "load_over" => Some(Profile::All),
        _ => None,
    };
    let excuse = match case.name {
        "drop_uncond" => {
            "two layers: the rebuild empties a paused cell before it drops it; without that layer \
             it is opreb_nowait, which is found"
        }
        "reject_keeps_hold" => {
            "the relay resolves the hold that stays (no_resolve is found): units are only blocked \
             for a while"
        }
        "load_over" => {
            "rarely found: it loses the holds made between two loads after one loss (INV-14); the \
             ledger replays the rest"
        }
        "load_no_ticket" => {
            "needs a load that is late by a whole loss and its rebuild; the conformance suite of \
             the cells holds the rule on every backend"
        }
        _ => "",
    };
    Case { profile, excuse, ..case }
}

/// Mutants of the scripts.
const LUA: [Case; 16] = [
    lua(
        ("apply_no_watermark", "apply folds in what it has already"),
        "apply",
        "if W >= prev + count then return { 0, W, 0 } end",
        "W = prev",
    ),
    lua(
        ("gap_ignored", "apply accepts a gap"),
        "apply",
        "if prev > W then return { 2, W, 0 } end",
        "if prev > W then W, c[7] = prev, ARGV[2] end",
    ),
    lua(
        ("claim_skips_buyer", "a claim without a hold forgets b[buyer]"),
        "apply",
        "give(ARGV[a + 3], q, ARGV[a + 4])\n  elseif kind == 'R' then",
        "if covered then give(ARGV[a + 3], q, ARGV[a + 4]) end\n  elseif kind == 'R' then",
    ),
    lua(
        ("release_keeps_units", "apply of a release leaves net as it is"),
        "apply",
        "net = net - q",
        "net = net",
    ),
    lua(
        ("reject_keeps_hold", "apply of a reject leaves the hold"),
        "apply",
        "(kind == 'C' or kind == 'X' or kind == 'T') and drop(key, id)",
        "(kind == 'C' or kind == 'T') and drop(key, id)",
    ),
    lua(
        ("resolve_no_w", "resolve without s <= W"),
        "resolve",
        "if tonumber(ARGV[a + 2]) <= W then",
        "if W then",
    ),
    lua(
        ("resolve_keeps_held", "resolve drops a hold and leaves held"),
        "resolve",
        "call('HINCRBY', KEYS[1], 'held', string.format('%.0f', -q))",
        "q = q",
    ),
    lua(
        ("no_conflict", "reserve takes other content under a key for the same request"),
        "reserve",
        "if sub(v, 2, 5) ~= sub(ARGV[a + 1], 13) or sub(v, 49,",
        "if sub(v, 49,",
    ),
    lua(
        ("sells_what_is_held", "reserve looks at supply - net only"),
        "reserve",
        "local left = c[1] - c[2] - held",
        "local left = c[1] - c[2]",
    ),
    lua(
        ("no_limit", "reserve without the buyer's limit"),
        "reserve",
        "(has or 0) + qty > limit then return 10, plus end",
        "(has or 0) + qty > limit + 9 then return 10, plus end",
    ),
    lua(
        ("batch_no_overlay", "two reserves of a call do not see each other's units"),
        "reserve",
        "held, left = held + qty, left - qty",
        "held = held + qty",
    ),
    lua(
        ("load_no_ticket", "load without its ticket"),
        "load",
        "if (call('GET', KEYS[7]) or '') ~= ARGV[9] then return { 1 } end",
        "",
    ),
    lua(
        ("load_over", "load overwrites a living cell"),
        "load",
        "if call('EXISTS', KEYS[1]) == 1 then return { 2 } end",
        "",
    ),
    lua(("mend_held_0", "mend sets held to 0"), "mend", "held = held + q", "held = 0"),
    lua(
        ("mend_uncond", "mend without comparing inc, W and tok"),
        "mend",
        "if c[1] ~= ARGV[1] or c[2] ~= ARGV[2] or c[3] ~= ARGV[3] then return { 1 } end",
        "",
    ),
    lua(
        ("drop_uncond", "drop of a cell that has holds"),
        "drop",
        "if ARGV[4] ~= '1' and call('HLEN', KEYS[2]) > 0 then return { 1 } end",
        "",
    ),
];

fn code(mutant: Mutant) -> Case {
    use Mutant as M;
    let profile = match mutant {
        M::MaxAgeIgnored => Some(Profile::Process),
        M::AckBeforeCommit | M::AcceptWithoutReceipt => Some(Profile::All),
        M::AckBeforeRow | M::NoSweep => Some(Profile::Log),
        M::HopAny | M::HandOverLost => Some(Profile::All),
        M::BarrierEarly | M::NoBarrier | M::BarrierMains | M::NoGrace => Some(Profile::All),
        M::DropUnsettled => Some(Profile::Hand),
        _ => None,
    };
    let excuse = match mutant {
        M::NoHorizon => "only costs work: frames are published again that a slow writer still has",
        M::AckBeforeCommit | M::HandOverLost => {
            "the hold stays until its verdict, so the relay publishes again; lost only together \
             with Redis"
        }
        M::AckBeforeRow => "the sweeper publishes again what has a verdict and no row",
        M::BarrierEarly => {
            "a load comes 50 ms after the mark at the earliest, and a batch rarely takes longer"
        }
        M::HopAny => "needs two databases down in turn during a rebuild",
        M::BarrierMains => "needs a database that is down before a loss and answers after it",
        M::NoGrace => "only widens the window of section 8: a gate publishes after the barrier",
        _ => "",
    };
    let (name, meaning) = (mutant.name(), mutant.meaning());
    Case { name, meaning, spot: Spot::Code(mutant), profile, excuse }
}

fn stored(mutant: StoreMutant) -> Case {
    use StoreMutant as S;
    let (name, meaning, excuse) = match mutant {
        S::NoGuard => ("noguard", "the writer's claim without net + q <= supply", ""),
        S::ReleaseNotIdempotent => ("release_not_idempotent", "release without its unique key", ""),
        S::NoKeyUnique => ("no_key_unique", "no UNIQUE(buyer, key)", ""),
        S::ReadBeforeLock => ("read_before_lock", "verdicts are read before the row lock", ""),
        S::RowUpsert => (
            "row_upsert",
            "a redelivery overwrites the row",
            "writes the same again: nothing changes a row before payments are built",
        ),
        S::RejectNotPersisted => ("reject_not_persisted", "a reject is not in the ledger", ""),
        S::FlagOnlyInRedis => ("flag_only_in_redis", "a flag is not in the ledger", ""),
        S::NoUnrowed => ("no_unrowed", "verdicts without unrowed ranges", ""),
        S::ProgressGoesBack => (
            "progress_goes_back",
            "a late writer sets progress back",
            "only delays the relay until the next tick",
        ),
        S::KeyConflictLeavesLive => {
            ("conflict_leaves_live", "the loser of a key conflict lives", "")
        }
    };
    let profile = match mutant {
        S::NoGuard => Some(Profile::Failover),
        S::NoUnrowed => Some(Profile::Log),
        _ => None,
    };
    Case { name, meaning, spot: Spot::Store(mutant), profile, excuse }
}

/// All of them; those in production code only where they were compiled in.
pub fn all() -> Vec<Case> {
    let mut out: Vec<Case> = Vec::new();
    if cfg!(feature = "mutants") {
        out.extend(Mutant::ALL.iter().map(|m| code(*m)));
    }
    out.extend(LUA.map(known));
    out.extend(StoreMutant::ALL.map(stored));
    out
}

/// Mutants of what the product does not have yet.
pub const NOT_BUILT: [(&str, &str); 5] = [
    (
        "relay_full_cart, relay_no_complete, emit_on_sealed, abort_without_fence, unseal_no_cas, \
         anchor_reserved_first, anchor_not_first, no_fencecheck, sweep_full",
        "orders of several lines",
    ),
    (
        "cancel_no_nonce, cancel_nonce_overwrite, cancel_unknown_anchor",
        "cancel is called by carts only; a nonce decides nothing for one line",
    ),
    ("transfer_no_hold, transfer_two_tx", "transfers between buckets"),
    ("no_cas, outbox_other_tx", "payment, expiry, refund"),
    ("m2_no_touch, m2_no_ftouch", "WAIT: the cells in process have no replicas"),
];
