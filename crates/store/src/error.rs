//! Why a store call failed, and whether running it again can help.

use sea_orm::{DbErr, RuntimeErr, SqlErr, SqlxError};

/// Shorthand.
pub type StoreResult<T> = Result<T, StoreError>;

/// A failed store call.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer, or the outcome of a commit is unknown: run it again.
    #[error("database {db}: {what}")]
    Transient {
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
    /// Running it again gives the same: bad data or a bug.
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
    /// The database that failed.
    pub fn db(&self) -> u16 {
        match self {
            StoreError::Transient { db, .. }
            | StoreError::Taken { db, .. }
            | StoreError::Permanent { db, .. } => *db,
        }
    }
    /// Data in a table that no code of ours wrote.
    pub fn corrupt(db: u16, what: impl Into<String>) -> Self {
        StoreError::Permanent { db, what: what.into() }
    }
    /// Sorts a driver's error.
    pub fn from_driver(db: u16, e: &DbErr) -> Self {
        let what = e.to_string();
        if matches!(e.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) {
            StoreError::Taken { db, what }
        } else if is_transient(e) {
            StoreError::Transient { db, what }
        } else {
            StoreError::Permanent { db, what }
        }
    }
}

fn is_transient(e: &DbErr) -> bool {
    match e {
        DbErr::ConnectionAcquire(_) => true,
        DbErr::Conn(e) | DbErr::Exec(e) | DbErr::Query(e) => runtime_is_transient(e),
        _ => false,
    }
}

fn runtime_is_transient(e: &RuntimeErr) -> bool {
    let RuntimeErr::SqlxError(e) = e else {
        return false;
    };
    match &**e {
        SqlxError::Database(d) => {
            TRANSIENT.contains(&d.code().as_deref().unwrap_or(""))
                || transient_number(&d.to_string())
        }
        SqlxError::Configuration(_) | SqlxError::ColumnDecode { .. } | SqlxError::Decode(_) => {
            false
        }
        SqlxError::Encode(_) | SqlxError::TypeNotFound { .. } | SqlxError::RowNotFound => false,
        _ => true,
    }
}

/// SQLSTATEs of MySQL and result codes of SQLite that pass by themselves.
const TRANSIENT: [&str; 9] = ["40001", "08S01", "08004", "5", "6", "10", "13", "261", "517"];

/// MySQL numbers behind the general SQLSTATE HY000: lock wait, disk full, shutdown, read-only.
fn transient_number(text: &str) -> bool {
    ["1205", "1021", "1053", "1290", "1836", "1114", "3024", "1317", "1969"]
        .iter()
        .any(|n| text.contains(&format!("{n} (")))
}
