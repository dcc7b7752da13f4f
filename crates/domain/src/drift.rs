//! Drift: Redis and the ledger disagree at the same watermark. This module plans, it never acts.
//!
//! The comparison is exact at any time (INV-3): the ledger up to W is immutable, so the entry at
//! W says what the view must be, however far the ledger has moved on.

use crate::ledger::{Flag, Totals};

/// What is wrong with a cell's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftKind {
    /// The cell is not in Redis.
    Missing,
    /// W is behind the ledger: normal between a commit and its apply.
    Behind,
    /// W is ahead of the ledger or the token differs: the ledger was cut and went on differently.
    Fork,
    /// supply, net or the flag are not the ledger's at W.
    Counters,
    /// held is not the sum of the holds.
    Held,
    /// A buyer's quantity is not ledger plus holds.
    Buyers,
    /// A hold whose verdict is folded in.
    Phantom,
    /// A hold that a claim in the ledger expected is gone; only the log knows. Informative.
    LostHold,
    /// A repair left the cell paused and the view is exact again.
    RepairPause,
    /// An order's row is live, and the ledger has no verdict of one of its lines (INV-5): a
    /// database lost commits.
    RowUnclaimed,
    /// An order's row is live, and a line of it was rejected or given back (INV-5, INV-6).
    RowRefused,
    /// An order's row is dead, and a line of it keeps its units (INV-6).
    RowUnreleased,
    /// An order's row is dead, and a refund gave units of it back (INV-15): a database lost
    /// commits.
    RowReturned,
    /// The cell's row is not the fold of its ledger (INV-2), now or when it was paused for that.
    Ledger,
}

impl DriftKind {
    /// Name in reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            DriftKind::Missing => "missing",
            DriftKind::Behind => "behind",
            DriftKind::Fork => "fork",
            DriftKind::Counters => "counters",
            DriftKind::Held => "held",
            DriftKind::Buyers => "buyers",
            DriftKind::Phantom => "phantom",
            DriftKind::LostHold => "lost_hold",
            DriftKind::RepairPause => "repair_pause",
            DriftKind::RowUnclaimed => "row_unclaimed",
            DriftKind::RowRefused => "row_refused",
            DriftKind::RowUnreleased => "row_unreleased",
            DriftKind::RowReturned => "row_returned",
            DriftKind::Ledger => "ledger",
        }
    }

    /// What the reconciler does about it.
    pub fn repair(self) -> Repair {
        match self {
            DriftKind::Missing => Repair::Rebuild,
            DriftKind::Behind => Repair::Apply,
            DriftKind::Fork => Repair::DropAndRebuild,
            DriftKind::Counters | DriftKind::Held | DriftKind::Buyers => Repair::PauseAndMend,
            DriftKind::Phantom => Repair::Resolve,
            DriftKind::RepairPause => Repair::RestoreFlag,
            DriftKind::LostHold | DriftKind::RowReturned => Repair::Alarm,
            DriftKind::RowUnclaimed => Repair::PublishAgain,
            DriftKind::RowRefused => Repair::Rewind,
            DriftKind::RowUnreleased => Repair::Release,
            DriftKind::Ledger => Repair::StopSelling,
        }
    }
}

/// One fix for one drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repair {
    /// Build the cell from the ledger behind a barrier.
    Rebuild,
    /// Fold the missing entries in.
    Apply,
    /// Drop the view (a fork drops holds), then rebuild.
    DropAndRebuild,
    /// Pause by a marked ledger entry, then mend.
    PauseAndMend,
    /// Drop the phantom.
    Resolve,
    /// Append the flag that the repair's pause stored.
    RestoreFlag,
    /// Pause the cell until a person has looked: an invariant of the ledger itself is broken.
    StopSelling,
    /// Give the order to the writers again, as its row has it.
    PublishAgain,
    /// Append the release that is missing.
    Release,
    /// Only an operator's `reconciler rewind` ends such an order.
    Rewind,
    /// Nothing can be repaired here; tell.
    Alarm,
}

impl DriftKind {
    /// The invariant that this drift breaks; `None` for what is normal after a fault.
    pub fn invariant(self) -> Option<&'static str> {
        match self {
            DriftKind::Counters => Some("INV-3"),
            DriftKind::Held | DriftKind::Buyers => Some("INV-4"),
            DriftKind::Ledger => Some("INV-2"),
            DriftKind::RowUnclaimed | DriftKind::RowRefused => Some("INV-5"),
            DriftKind::RowUnreleased => Some("INV-6"),
            DriftKind::RowReturned => Some("INV-15"),
            DriftKind::Missing
            | DriftKind::Behind
            | DriftKind::Fork
            | DriftKind::Phantom
            | DriftKind::LostHold
            | DriftKind::RepairPause => None,
        }
    }
}

impl Repair {
    /// Name in reports and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Repair::Rebuild => "rebuild",
            Repair::Apply => "apply",
            Repair::DropAndRebuild => "drop_and_rebuild",
            Repair::PauseAndMend => "pause_and_mend",
            Repair::Resolve => "resolve",
            Repair::RestoreFlag => "restore_flag",
            Repair::StopSelling => "stop_selling",
            Repair::PublishAgain => "publish_again",
            Repair::Release => "release",
            Repair::Rewind => "rewind",
            Repair::Alarm => "alarm",
        }
    }
}

/// Compares a view with the ledger at the view's own watermark. `at_w` is the ledger's fold at
/// W, `None` when the ledger has no entry W; `head` is the cell row.
pub fn compare(view: Totals, at_w: Option<Totals>, head: Totals) -> Option<DriftKind> {
    let Some(at_w) = at_w else {
        return Some(DriftKind::Fork);
    };
    if view.seq > head.seq || view.tok != at_w.tok {
        return Some(DriftKind::Fork);
    }
    if (view.supply, view.net, view.open) != (at_w.supply, at_w.net, at_w.open) {
        return Some(DriftKind::Counters);
    }
    (view.seq < head.seq).then_some(DriftKind::Behind)
}

/// The note of a repair's pause entry: it stores the flag that was in force.
pub fn repair_note(former: Flag) -> Vec<u8> {
    format!("repair:{}", former as i8).into_bytes()
}

/// The note of the pause entry that follows a broken invariant; only an operator ends it.
pub fn broken_note(invariant: &str) -> Vec<u8> {
    format!("broken:{invariant}").into_bytes()
}

/// True for a [`broken_note`].
pub fn is_broken(note: &[u8]) -> bool {
    note.starts_with(b"broken:")
}

/// Reads [`repair_note`]; `None` when the entry is an operator's.
pub fn repaired_flag(note: &[u8]) -> Option<Flag> {
    let digit = note.strip_prefix(b"repair:")?;
    std::str::from_utf8(digit).ok()?.parse().ok().and_then(Flag::from_number)
}
