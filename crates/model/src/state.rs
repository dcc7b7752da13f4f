//! The state of a scope, small and flat.

use crate::ledger::Ledger;
use crate::redis::View;
pub use crate::scope::{
    ATTEMPTS, CELLS, Mutant, ORDERS, OrderDef, REBUILDERS, RELAY_NONCE, Scope, WRITERS,
};

/// What a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Row {
    /// No row.
    #[default]
    None,
    /// Awaits payment.
    Pending,
    /// A line was rejected.
    Rejected,
    /// Another order has the key.
    KeyConflict,
}

/// The frames of one order. A copy that is acked leaves the log and may come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Frames {
    /// Copies 0 and 1 are `full`, copy 2 is `abort`: bits.
    pub there: u8,
    /// Copies that were acked: bits.
    pub acked: u8,
    /// A `full` frame was published once.
    pub published: bool,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Gate {
    /// Not begun, or about to reserve its line.
    #[default]
    Line,
    /// About to reserve the anchor.
    Anchor,
    /// Everything is held.
    Publish,
    /// Refused; about to cancel its line.
    Cancel,
    /// Answered, or dead.
    Done,
}

/// One attempt of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attempt {
    /// Where it stands.
    pub at: Gate,
    /// The present command was sent so often.
    pub tries: u8,
    /// The present command has a try whose outcome is unknown.
    pub unknown: bool,
    /// Its line was answered NEW.
    pub made: bool,
    /// Commands of it that may still run: 1 line, 2 anchor, 4 cancel.
    pub ghosts: u8,
}

/// Where a writer stands with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Step {
    /// Has no frame.
    #[default]
    Idle,
    /// The anchor's verdict.
    Anchor,
    /// The other line's verdict.
    Line,
    /// The row.
    Row,
    /// The release on a cell.
    Release(u8),
    /// The list of verdicts without rows.
    Unrowed,
    /// apply on a cell.
    Apply(u8),
    /// resolve on a cell.
    Resolve(u8),
    /// The ack.
    Ack,
}

/// One writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Writer {
    /// Where it stands.
    pub at: Step,
    /// The order of its frame.
    pub order: u8,
    /// Which copy of the frame.
    pub copy: u8,
    /// Per cell: 0 unknown, 1 claim, 2 reject.
    pub verdict: [u8; CELLS],
    /// Per cell: position of a verdict that was there before, 0 = none.
    pub old: [u8; CELLS],
    /// Per cell: apply up to here, 0 = nothing.
    pub upto: [u8; CELLS],
}

/// Where the relay stands with a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pass {
    /// Has no hold.
    #[default]
    Idle,
    /// Scanned; about to read the ledger.
    Read,
    /// The verdict is at this position: apply, then resolve.
    Apply(u8),
    /// About to resolve.
    Resolve(u8),
    /// About to reserve the other line.
    Complete,
    /// The other line refused: read again, then unseal.
    Unseal,
    /// About to fence the anchor.
    Fence,
    /// Fenced: read the anchor's verdict.
    Fenced,
    /// About to publish `full`.
    Full,
    /// About to publish `abort`.
    Abort,
}

/// The relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Relay {
    /// Where it stands.
    pub at: Pass,
    /// The cell it scanned.
    pub cell: u8,
    /// The order of the hold.
    pub order: u8,
    /// What it saw: `S`, `L` or `F`.
    pub state: u8,
    /// The hold's att.
    pub att: u8,
}

/// Where a rebuilder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Build {
    /// Nothing to do.
    #[default]
    Idle,
    /// The ticket is stored; the grace runs.
    Ticket,
    /// The barrier is in the log.
    Barrier,
    /// The ledger was read at this position.
    Loaded(u8),
}

/// One rebuilder of one cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rebuilder {
    /// Where it stands.
    pub at: Build,
    /// The cell.
    pub cell: u8,
    /// Its ticket.
    pub ticket: u8,
    /// Per order: copies that lie before the barrier and are not acked.
    pub before: [u8; ORDERS],
}

/// Faults that are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Left {
    /// See [`Scope::ghosts`].
    pub ghosts: u8,
    /// See [`Scope::redeliveries`].
    pub redeliveries: u8,
    /// See [`Scope::failovers`].
    pub failovers: u8,
    /// See [`Scope::losses`].
    pub losses: u8,
    /// See [`Scope::lost_frames`].
    pub lost_frames: u8,
}

/// One state of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The cells in Redis.
    pub redis: [View; CELLS],
    /// What a coming failover falls back to: any former state, guessed when it was the present
    /// one. One guess stands for every suffix of lost writes.
    pub saved: Option<[View; CELLS]>,
    /// The ledgers.
    pub ledger: [Ledger; CELLS],
    /// Orders on the list of verdicts without rows: bits.
    pub unrowed: u8,
    /// The rows.
    pub rows: [Row; ORDERS],
    /// The log.
    pub log: [Frames; ORDERS],
    /// Gate attempts.
    pub attempts: [Attempt; ATTEMPTS],
    /// Writers.
    pub writers: [Writer; WRITERS],
    /// The relay.
    pub relay: Relay,
    /// Rebuilders.
    pub rebuilders: [Rebuilder; REBUILDERS],
    /// Orders that a client was told are accepted: bits.
    pub accepted: u8,
    /// Faults to come.
    pub left: Left,
    /// The invariant that a step broke, by number; 0 = none.
    pub broken: u8,
}
