//! Why a store call failed, and what may help.
//!
//! One rule decides: only what is proven to be the order's own fault is permanent, because an order
//! with a permanent error is put aside for a person. A server that is full, restarted, locked out,
//! read-only, of another version or wrongly configured says so with hundreds of codes, and new
//! ones come; none of them is an order's fault, so an order waits for the server. Which code means
//! what is in `fault.rs`.

use domain::CellId;
use sea_orm::DbErr;

use crate::fault::{Fault, of_driver};

/// Shorthand.
pub type StoreResult<T> = Result<T, StoreError>;

/// A failed store call.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, refused, or the outcome of a commit is unknown: run it again.
    #[error("database {db}: {what}")]
    Transient {
        /// The database's number.
        db: u16,
        /// What happened.
        what: String,
    },
    /// Somebody else holds a lock that this call needs, for longer than is usual, or the server
    /// that answered is behind. The database is well: other calls go on, this one is repeated.
    #[error("database {db}: {what}")]
    Busy {
        /// The database's number.
        db: u16,
        /// What happened.
        what: String,
    },
    /// A unique key is taken: another writer was first, or an earlier call of ours. Run it again
    /// and it reads what is there.
    #[error("database {db}: {what}")]
    Taken {
        /// The database's number.
        db: u16,
        /// What happened.
        what: String,
    },
    /// A cell's row is not what its ledger's last entry says (INV-2): nothing is appended to it
    /// until the reconciler has set it right. Other cells go on, this call is repeated.
    #[error("database {db}: the row of {cell} is not the fold of its ledger")]
    Broken {
        /// The database's number.
        db: u16,
        /// The cell.
        cell: CellId,
    },
    /// Running it again gives the same: data that the database refuses, or a bug.
    #[error("database {db}: {what}")]
    Permanent {
        /// The database's number.
        db: u16,
        /// What happened.
        what: String,
    },
}

impl StoreError {
    /// True when running the whole transaction again can help.
    pub fn is_transient(&self) -> bool {
        !matches!(self, StoreError::Permanent { .. })
    }
    /// True when the database answered: what failed is this call, not the connection to the
    /// server, and calls that touch other rows may go on.
    pub fn is_answer(&self) -> bool {
        !matches!(self, StoreError::Transient { .. })
    }
    /// The database that failed.
    pub fn db(&self) -> u16 {
        match self {
            StoreError::Transient { db, .. }
            | StoreError::Busy { db, .. }
            | StoreError::Taken { db, .. }
            | StoreError::Broken { db, .. }
            | StoreError::Permanent { db, .. } => *db,
        }
    }
    /// A ledger that ends (first) before a position that a caller knows of (second): the server
    /// that answered is a replica that is behind.
    pub fn behind(db: u16, cell: &CellId, ends: u64, asked: u64) -> Self {
        let what = format!("the ledger of {cell} ends at {ends}, not at {asked}: is it a replica?");
        StoreError::Busy { db, what }
    }
    /// Data in a table that no code of ours wrote.
    pub fn corrupt(db: u16, what: impl Into<String>) -> Self {
        StoreError::Permanent { db, what: what.into() }
    }
    /// Sorts a driver's error.
    pub fn from_driver(db: u16, e: &DbErr) -> Self {
        let what = e.to_string();
        match of_driver(e) {
            Fault::Data => StoreError::Permanent { db, what },
            Fault::Taken => StoreError::Taken { db, what },
            Fault::Lock => StoreError::Busy { db, what },
            Fault::Server => StoreError::Transient { db, what },
        }
    }
}
