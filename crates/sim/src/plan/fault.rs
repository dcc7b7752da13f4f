//! What may happen to processes and stores.

/// Which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A gate (with its operators' listener).
    Gate,
    /// A writer.
    Writer,
    /// A reconciler.
    Reconciler,
    /// A clerk.
    Clerk,
    /// Who moves units between buckets; lives for one transfer.
    Coordinator,
}

/// What answers calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// All of Redis.
    Redis,
    /// A database.
    Db(u16),
    /// The log.
    Log,
    /// The payment provider.
    Provider,
}

/// One process, or all of them.
pub type Who = Option<(Role, u64)>;

/// A row of a database that a client may have locked when it vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// A bucket of an offer.
    Cell(usize, u8),
    /// The offer in the catalog.
    Offer(usize),
}

/// A fault of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`; a new one starts after so many ms.
    Kill(Role, u64, u64),
    /// A writer dies, and the log loses what it had and had not acked.
    KillWithFrames(u64, u64),
    /// SIGSTOP for so many ms.
    Stop(Role, u64, u64),
    /// Nothing that this process sends to this store arrives any more, and nobody mends it.
    Cut(Role, u64, Target),
    /// The clock of a process is set by so many ms.
    Step(Role, u64, i64),
    /// A process is so many times slower, for so many ms.
    Slow(Role, u64, (u64, u64)),
    /// A store is so many times slower, for so many ms.
    SlowTarget(Target, u64, u64),
    /// A store does not answer for so many ms.
    Down(Target, u64),
    /// Connections of processes to a database break for so many ms: calls are refused, or carried
    /// out and not answered.
    Break(u16, Who, u64),
    /// A client vanished with a transaction; its session ends after so many ms.
    Locked(Row, u64),
    /// For `.1` ms plain reads of a database go to a replica that gets what is committed every
    /// `.0` ms.
    Behind(u16, Who, (u64, u64)),
    /// Each slot loses up to so many of its last writes.
    Failover(u64),
    /// As `Failover`, and some processes talk to the old primaries for so many ms more.
    OldPrimary(u64, u64),
    /// A database comes back with its state of so many ms before.
    Fork(u16, u64),
    /// All cells are gone (`None`) or those of one offer.
    Lose(Option<usize>),
    /// Redis comes back with the state of so many ms ago.
    OldSnapshot(u64),
    /// The caches of verdicts are gone.
    Tombstones,
    /// A hand adds so many units to the row of a cell of this offer, beside its ledger.
    FalsifyRow(usize, i64),
    /// A hand writes nonsense into a cell's counters.
    Falsify(usize),
}
