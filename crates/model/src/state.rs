//! The state of a scope, small and flat, and what a scope is made of.

use crate::ledger::Ledger;
use crate::redis::View;

/// The most cells of a scope.
pub const CELLS: usize = 2;
/// The most orders of a scope.
pub const ORDERS: usize = 3;
/// The most attempts of gates in a scope.
pub const ATTEMPTS: usize = 4;
/// The most writers of a scope.
pub const WRITERS: usize = 2;
/// The most rebuilders of a scope.
pub const REBUILDERS: usize = 2;
/// The nonce of the relay's reserves; attempts have their own number.
pub const RELAY_NONCE: u8 = 7;

/// One order of a scope: one unit on each of its cells.
#[derive(Debug, Clone, Copy)]
pub struct OrderDef {
    /// Which cells, one bit each.
    pub lines: u8,
    /// The cell of its anchor.
    pub anchor: u8,
    /// Who buys; orders of one buyer have one idempotency key.
    pub buyer: u8,
}

impl OrderDef {
    /// The cell of the one line that is not the anchor.
    pub fn line(&self) -> Option<usize> {
        (0..CELLS).find(|c| self.has(*c) && *c != usize::from(self.anchor))
    }
    /// True when the order wants a unit of this cell.
    pub fn has(&self, cell: usize) -> bool {
        self.lines & (1 << cell) != 0
    }
    /// The cell of the anchor.
    pub fn anchor(&self) -> usize {
        usize::from(self.anchor)
    }
}

/// A rule of the protocol that a model leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The verdict claims without `net + q <= supply`.
    NoGuard,
    /// resolve drops a hold although its verdict is not folded in.
    ResolveUnchecked,
    /// The writer acks when it takes a frame.
    AckBeforeCommit,
    /// cancel drops a line hold whoever made or touched it.
    CancelWithoutNonce,
    /// A retry takes a hold over instead of sharing it.
    NonceOverwritten,
    /// unseal does not compare att.
    UnsealUnchecked,
    /// The relay publishes a sealed cart without completing it.
    NoCompletion,
    /// The relay publishes the whole cart from a line's hold.
    RelayFullCart,
    /// The relay aborts without a fence.
    NoFence,
    /// The rebuilder does not wait for the frames before its barrier.
    NoBarrier,
    /// A gate publishes however old its hold is.
    NoMaxAge,
    /// load does not compare the ticket.
    NoTicket,
    /// A dead row's claims are not released.
    NoRelease,
    /// Nobody looks for verdicts without rows.
    NoSweeper,
}

/// What a scope contains.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Its name in reports.
    pub name: &'static str,
    /// Units of each cell; its length is the number of cells.
    pub units: Vec<i8>,
    /// The orders.
    pub orders: Vec<OrderDef>,
    /// The order of each gate attempt.
    pub attempts: Vec<u8>,
    /// Writers, 0 to 2 (recovery always has one).
    pub writers: usize,
    /// Rebuilders, 0 to 2.
    pub rebuilders: usize,
    /// True when a relay runs among the others (recovery always has one).
    pub relay: bool,
    /// How often a command of one attempt may have no answer; 0: the writers' calls to Redis are
    /// not lost either.
    pub tries: u8,
    /// Copies of one order's `full` frame that may lie in the log at once, 1 or 2.
    pub copies: u8,
    /// Commands that run later than their sender thinks, over all.
    pub ghosts: u8,
    /// Acked frames that come again, over all.
    pub redeliveries: u8,
    /// Failovers of Redis that lose any suffix of the writes.
    pub failovers: u8,
    /// Total losses of Redis.
    pub losses: u8,
    /// Frames that the log loses.
    pub lost_frames: u8,
    /// INV-13 must hold.
    pub no_rejection: bool,
    /// INV-14 must hold.
    pub coverage: bool,
    /// The rule that is broken.
    pub mutant: Option<Mutant>,
}

impl Scope {
    /// True when this rule is broken.
    pub fn broken(&self, m: Mutant) -> bool {
        self.mutant == Some(m)
    }
    /// The same scope with a rule broken.
    pub fn with(mut self, m: Mutant) -> Self {
        self.mutant = Some(m);
        self
    }
    /// An order.
    pub fn order(&self, o: u8) -> &OrderDef {
        &self.orders[usize::from(o)]
    }
}

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
