//! What a scope is made of: its size, its actors, its faults, and the rule it breaks.

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
