//! Rules that the in-memory store can be told to break.
//!
//! A check that never fails proves nothing; a simulator switches one of these on and must find it.
//! Each is one rule of the protocol left out, in the one place where the rule is applied.

/// One broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum StoreMutant {
    /// A full order is claimed although `net + q > supply` (INV-1).
    NoGuard,
    /// A second release of a claim is appended too (INV-2).
    ReleaseNotIdempotent,
    /// `(buyer, key)` is not unique (INV-8).
    NoKeyUnique,
    /// Verdicts are read, another writer may commit, then the cell is locked (INV-2).
    ReadBeforeLock,
    /// A redelivery overwrites the row (INV-5).
    RowUpsert,
    /// A reject is answered but not written (INV-5).
    RejectNotPersisted,
    /// A flag call answers its entries but does not keep them (INV-3).
    FlagOnlyInRedis,
    /// The list of verdicts whose rows may be missing is not written with them (INV-7).
    NoUnrowed,
    /// A late writer sets progress back to its own.
    ProgressGoesBack,
    /// The loser of a key conflict gets a live row (INV-8).
    KeyConflictLeavesLive,
    /// A transfer's units leave in a transaction of their own; the second one is lost (INV-10).
    TransferTwoTx,
    /// Of a transaction over several cells only the first cell's entries are kept (INV-3).
    FirstCellOnly,
    /// What must follow from a change of an order is written by a transaction of its own, and some
    /// of these are lost (INV-20).
    FollowsElsewhere,
    /// Work that is taken is gone, whoever took it (INV-20).
    WorkTaken,
}

impl StoreMutant {
    /// All of them.
    pub const ALL: [StoreMutant; 14] = [
        StoreMutant::NoGuard,
        StoreMutant::ReleaseNotIdempotent,
        StoreMutant::NoKeyUnique,
        StoreMutant::ReadBeforeLock,
        StoreMutant::RowUpsert,
        StoreMutant::RejectNotPersisted,
        StoreMutant::FlagOnlyInRedis,
        StoreMutant::NoUnrowed,
        StoreMutant::ProgressGoesBack,
        StoreMutant::KeyConflictLeavesLive,
        StoreMutant::TransferTwoTx,
        StoreMutant::FirstCellOnly,
        StoreMutant::FollowsElsewhere,
        StoreMutant::WorkTaken,
    ];
}

/// Which rules are broken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mutants(u32);

impl Mutants {
    pub(super) fn has(self, m: StoreMutant) -> bool {
        self.0 & (1 << m as u32) != 0
    }
    pub(super) fn set(&mut self, m: StoreMutant, on: bool) {
        let bit = 1 << m as u32;
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }
}
