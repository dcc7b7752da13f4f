//! What a step does to Redis and to the database, written down so that it can be repeated on the
//! real ones.

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// A hold is asked for: cell, order, `S` or `L`, nonce; the relay's passes.
    Reserve(u8, u8, u8, u8, bool),
    /// Entries up to this position are folded into a cell.
    Apply(u8, u8),
    /// Cell, order, position of its verdict.
    Resolve(u8, u8, u8),
    /// Cell, order, nonce.
    Cancel(u8, u8, u8),
    /// Cell, order.
    Fence(u8, u8),
    /// Cell, order, att.
    Unseal(u8, u8, u8),
    /// Cell, ticket.
    Ticket(u8, u8),
    /// Cell, position, ticket.
    Load(u8, u8, u8),
    /// A cell is lost.
    Lose(u8),
    /// Redis as it is now is what a failover will fall back to.
    Save,
    /// The failover.
    Restore,
    /// Cell, order, full, anchor.
    Verdict(u8, u8, bool, bool),
    /// Order, whether a line was rejected.
    Row(u8, bool),
    /// Cell, order.
    Release(u8, u8),
}

/// What it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// No cell.
    Missing,
    /// A hold of this attempt.
    New,
    /// A hold of another attempt.
    Held,
    /// Decided: yes.
    Claimed,
    /// Decided: no.
    Rejected,
    /// Fenced.
    Fenced,
    /// fence: held.
    Sealed,
    /// The buyer's limit.
    Limit,
    /// No units.
    SoldOut,
    /// Done.
    Ok,
    /// Not as seen, or kept.
    Changed,
    /// load: the cell is there.
    Exists,
    /// How many; a position.
    Count(u8),
    /// A verdict: position, claim, fresh.
    Verdict(u8, bool, bool),
    /// A row: live, fresh.
    Row(bool, bool),
}

impl Reply {
    /// True when a line may be counted on.
    pub fn is_held(self) -> bool {
        matches!(self, Reply::New | Reply::Held | Reply::Claimed)
    }
}

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answer {
    /// It runs and is answered.
    #[default]
    Heard,
    /// It runs, the answer is lost.
    Lost,
    /// It will run later.
    Late,
    /// It runs, is answered, and will run again.
    Twice,
}
