//! The mutants: deliberate faults, which check finds each, and after how many schedules.
//!
//! [`known::KNOWN`] is the one list of that: a test runs each mutant at its seed, `--mutants` looks
//! for every one of them again, and the table of `docs/simulation.md` is made of it. What the
//! product does not have yet cannot be broken yet: [`NOT_BUILT`] says so.

mod case;
mod known;
mod lua;

use mutants::Mutant;
use testkit::memory::StoreMutant;

use crate::plan::Profile;
use crate::plant::Spot;

pub use case::{Case, Known};

/// Schedules that a mutant gets before it counts as a survivor.
pub const SCHEDULES: u64 = 4000;

/// How to make [`known::KNOWN`] anew when a change of the simulator has moved the seeds.
pub const REGENERATE: &str = "run `cargo xtask sim --mutants` and put the lines that it prints at \
                              its end into crates/sim/src/mutants/known.rs";

impl Case {
    /// The family of faults that shows it soonest (`None` = all), and what is known.
    pub fn known(&self) -> Option<(Option<Profile>, Known)> {
        known::KNOWN.iter().find(|k| k.0 == self.name).map(|k| (k.1, k.2))
    }

    /// Why it may survive.
    pub fn why(&self) -> Option<&'static str> {
        known::EXPLAINED.iter().find(|k| k.0 == self.name).map(|k| k.1)
    }

    /// Its line in the table, when this is known of it; a survivor got so many schedules.
    pub fn line(&self, profile: Option<Profile>, known: Known, schedules: u64) -> String {
        let (name, meaning) = (self.name, self.meaning);
        match known {
            Known::Found(check, seed) => {
                let family = profile.map_or(String::new(), |p| format!(", {p:?}"));
                format!("| {name} | {meaning} | {check} (seed {seed}{family}) | {} |", seed + 1)
            }
            Known::Survives => {
                let why = self.why().map_or("SURVIVES".to_owned(), |w| format!("survives: {w}"));
                format!("| {name} | {meaning} | {why} | {schedules} |")
            }
        }
    }
}

/// A line of [`known::KNOWN`].
pub fn source(name: &str, profile: Option<Profile>, known: Known) -> String {
    let profile = profile.map_or("None".to_owned(), |p| format!("Some(P::{p:?})"));
    let found = match known {
        Known::Found(check, seed) => format!("Found(\"{check}\", {seed})"),
        Known::Survives => "Survives".to_owned(),
    };
    format!("    (\"{name}\", {profile}, {found}),")
}

fn stored(mutant: StoreMutant) -> Case {
    use StoreMutant as S;
    let (name, meaning) = match mutant {
        S::NoGuard => ("noguard", "the writer's claim without net + q <= supply"),
        S::ReleaseNotIdempotent => ("release_not_idempotent", "release without its unique key"),
        S::NoKeyUnique => ("no_key_unique", "no UNIQUE(buyer, key)"),
        S::ReadBeforeLock => ("read_before_lock", "verdicts are read before the row lock"),
        S::RowUpsert => ("row_upsert", "a redelivery overwrites the row"),
        S::RejectNotPersisted => ("reject_not_persisted", "a reject is not in the ledger"),
        S::FlagOnlyInRedis => ("flag_only_in_redis", "a flag is not in the ledger"),
        S::NoUnrowed => ("no_unrowed", "verdicts without unrowed ranges"),
        S::ProgressGoesBack => ("progress_goes_back", "a late writer sets progress back"),
        S::KeyConflictLeavesLive => ("conflict_leaves_live", "the loser of a key conflict lives"),
        S::TransferTwoTx => ("transfer_two_tx", "a transfer in two transactions"),
        S::FollowsElsewhere => {
            ("outbox_other_tx", "what follows from a change is another transaction, which is lost")
        }
        S::WorkTaken => ("work_taken", "work is gone when it is taken, not when it is done"),
        S::FirstCellOnly => ("first_cell_only", "of several cells of a commit one is kept"),
    };
    Case { name, meaning, spot: Spot::Store(mutant) }
}

/// All of them, also those in production code that this build may not have.
pub fn every() -> Vec<Case> {
    let code = |m: &Mutant| Case { name: m.name(), meaning: m.meaning(), spot: Spot::Code(*m) };
    let stores = StoreMutant::ALL.map(stored);
    Mutant::ALL.iter().map(code).chain(lua::ALL).chain(stores).collect()
}

/// Those that this build can plant.
pub fn all() -> Vec<Case> {
    let mut out = every();
    out.retain(|c| cfg!(feature = "mutants") || !matches!(c.spot, Spot::Code(_)));
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
    (
        "floor_ignored, pos_before_commit, pos_unfenced, cursor_past_exception, no_fifo",
        "facts are written, and carried out by nobody yet",
    ),
    ("no_archive_lookup", "nothing is archived yet"),
    ("m2_no_ftouch", "only carts are fenced"),
];
