//! What a database's error code blames: the data, a unique key, a lock, or the server.
//!
//! The server is the default. A code that is not known here is a server's, and the order waits: a
//! wrong guess the other way would put accepted orders aside.

use sea_orm::{DbErr, RuntimeErr, SqlxError};
use sqlx::mysql::MySqlDatabaseError;

/// Who is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A value that this database will never take.
    Data,
    /// A unique key, or another writer in some other way: run again, it reads what is there.
    Taken,
    /// A lock that somebody holds.
    Lock,
    /// The server, the way to it, its configuration, its disk.
    Server,
}

/// Blames by a MySQL or MariaDB error. `state` is empty when the server sent none, as before the
/// handshake is over.
fn of_mysql(number: u16, state: &str) -> Fault {
    match number {
        // ER_DUP_ENTRY and its forms with a key's name, with a sequence that ran out, for a write
        // that was delayed.
        1062 | 1169 | 1557 | 1569 | 1586 | 1859 => Fault::Taken,
        // A deadlock: the other one of two writers goes on, and this one runs again.
        1213 => Fault::Taken,
        // Lock wait timeout, NOWAIT.
        1205 | 3572 => Fault::Lock,
        // Incorrect string value (MySQL says HY000, MariaDB 22007), a CHECK in MySQL and MariaDB.
        // NULL, or no default, in a column that takes none is not among them: statements name every
        // column, so such a column is one that this version does not know.
        1366 | 3819 | 4025 => Fault::Data,
        // Class 22 is "data exception".
        _ if state.starts_with("22") => Fault::Data,
        _ => Fault::Server,
    }
}

/// Blames by an extended result code of SQLite; the primary code is its low byte.
fn of_sqlite(code: i64) -> Fault {
    const BUSY: i64 = 5;
    const LOCKED: i64 = 6;
    const TOO_BIG: i64 = 18;
    const MISMATCH: i64 = 20;
    match code {
        // SQLITE_CONSTRAINT_CHECK, _DATATYPE.
        275 | 3091 => Fault::Data,
        // SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE, _ROWID.
        1555 | 2067 | 2579 => Fault::Taken,
        _ => match code & 0xff {
            BUSY | LOCKED => Fault::Lock,
            TOO_BIG | MISMATCH => Fault::Data,
            _ => Fault::Server,
        },
    }
}

/// Blames by what the driver says.
pub(crate) fn of_driver(e: &DbErr) -> Fault {
    let (DbErr::Conn(e) | DbErr::Exec(e) | DbErr::Query(e)) = e else {
        return Fault::Server;
    };
    match e {
        RuntimeErr::SqlxError(e) => of_sqlx(e),
        RuntimeErr::Internal(_) => Fault::Server,
    }
}

fn of_sqlx(e: &SqlxError) -> Fault {
    let SqlxError::Database(d) = e else {
        // Encoding a value failed before the server saw it: nobody else is to blame.
        return if matches!(e, SqlxError::Encode(_)) { Fault::Data } else { Fault::Server };
    };
    match d.try_downcast_ref::<MySqlDatabaseError>() {
        Some(m) => of_mysql(m.number(), m.code().unwrap_or("")),
        None => d.code().and_then(|c| c.parse().ok()).map_or(Fault::Server, of_sqlite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (number, SQLSTATE as the servers send it, blame).
    const MYSQL: &[(u16, &str, Fault)] = &[
        // Before and around the handshake: no SQLSTATE, or one of connection.
        (1040, "", Fault::Server),
        (1040, "08004", Fault::Server),
        (1042, "08S01", Fault::Server),
        (1043, "08S01", Fault::Server),
        (1044, "42000", Fault::Server),
        (1045, "28000", Fault::Server),
        (1049, "42000", Fault::Server),
        (1129, "HY000", Fault::Server),
        (1130, "HY000", Fault::Server),
        (1203, "42000", Fault::Server),
        (1226, "42000", Fault::Server),
        (1698, "28000", Fault::Server),
        (3118, "HY000", Fault::Server),
        (3159, "HY000", Fault::Server),
        // Rights and passwords that changed while connections were open.
        (1142, "42000", Fault::Server),
        (1143, "42000", Fault::Server),
        (1227, "42000", Fault::Server),
        (1820, "HY000", Fault::Server),
        (1862, "HY000", Fault::Server),
        // Shutdown, kill, time-outs, a lost connection.
        (1053, "08S01", Fault::Server),
        (1077, "HY000", Fault::Server),
        (1152, "08S01", Fault::Server),
        (1158, "08S01", Fault::Server),
        (1159, "08S01", Fault::Server),
        (1161, "08S01", Fault::Server),
        (1184, "08S01", Fault::Server),
        (1317, "70100", Fault::Server),
        (1927, "70100", Fault::Server),
        (1969, "70100", Fault::Server),
        (2006, "", Fault::Server),
        (2013, "", Fault::Server),
        (3024, "HY000", Fault::Server),
        (3168, "HY000", Fault::Server),
        (4031, "HY000", Fault::Server),
        // Read-only, failover, cluster members that left.
        (1047, "08S01", Fault::Server),
        (1290, "HY000", Fault::Server),
        (1792, "25006", Fault::Server),
        (1836, "HY000", Fault::Server),
        (3100, "HY000", Fault::Server),
        (3101, "HY000", Fault::Server),
        (3098, "HY000", Fault::Server),
        // Disk, memory, quotas, files.
        (1005, "HY000", Fault::Server),
        (1016, "HY000", Fault::Server),
        (1021, "HY000", Fault::Server),
        (1026, "HY000", Fault::Server),
        (1030, "HY000", Fault::Server),
        (1037, "HY001", Fault::Server),
        (1041, "HY000", Fault::Server),
        (1114, "HY000", Fault::Server),
        (1135, "HY000", Fault::Server),
        (1206, "HY000", Fault::Server),
        (1297, "HY000", Fault::Server),
        (1534, "HY000", Fault::Server),
        // Statements and tables that are not as they should be.
        (1054, "42S22", Fault::Server),
        (1064, "42000", Fault::Server),
        (1136, "21S01", Fault::Server),
        (1146, "42S02", Fault::Server),
        (1153, "08S01", Fault::Server),
        (1243, "HY000", Fault::Server),
        (1267, "HY000", Fault::Server),
        (1305, "42000", Fault::Server),
        (1412, "HY000", Fault::Server),
        (1461, "42000", Fault::Server),
        (1615, "HY000", Fault::Server),
        (1665, "HY000", Fault::Server),
        (1712, "HY000", Fault::Server),
        (1815, "HY000", Fault::Server),
        (1874, "HY000", Fault::Server),
        (1877, "HY000", Fault::Server),
        (1932, "42S02", Fault::Server),
        (4047, "HY000", Fault::Server),
        // A column that this version does not know, and that takes no NULL or has no default.
        (1048, "23000", Fault::Server),
        (1364, "HY000", Fault::Server),
        // Other integrity errors than a CHECK: no table of ours has such a rule.
        (1451, "23000", Fault::Server),
        (1452, "23000", Fault::Server),
        // A code from the future.
        (65_535, "ZZ999", Fault::Server),
        // Locks.
        (1205, "HY000", Fault::Lock),
        (3572, "HY000", Fault::Lock),
        // Another writer was there: a unique key, a deadlock.
        (1213, "40001", Fault::Taken),
        (1062, "23000", Fault::Taken),
        (1169, "23000", Fault::Taken),
        (1586, "23000", Fault::Taken),
        // The row's own.
        (1264, "22003", Fault::Data),
        (1292, "22007", Fault::Data),
        (1366, "22007", Fault::Data),
        (1366, "HY000", Fault::Data),
        (1406, "22001", Fault::Data),
        (1690, "22003", Fault::Data),
        (3140, "22032", Fault::Data),
        (3819, "HY000", Fault::Data),
        (4025, "23000", Fault::Data),
    ];

    #[test]
    fn mysql_codes_blame_whom_they_should() {
        for (number, state, want) in MYSQL {
            assert_eq!(of_mysql(*number, state), *want, "{number} ({state})");
        }
    }

    #[test]
    fn no_code_without_a_data_state_is_the_rows_fault_but_three() {
        let blamed: Vec<u16> =
            (0..=u16::MAX).filter(|n| of_mysql(*n, "HY000") == Fault::Data).collect();
        assert_eq!(blamed, [1366, 3819, 4025]);
    }

    const SQLITE: &[(i64, Fault)] = &[
        (1, Fault::Server),    // error: no such table
        (4, Fault::Server),    // abort
        (7, Fault::Server),    // no memory
        (8, Fault::Server),    // read-only
        (9, Fault::Server),    // interrupted
        (10, Fault::Server),   // input or output
        (11, Fault::Server),   // corrupt
        (13, Fault::Server),   // disk full
        (14, Fault::Server),   // cannot open
        (15, Fault::Server),   // locking protocol
        (17, Fault::Server),   // schema changed
        (21, Fault::Server),   // misuse
        (22, Fault::Server),   // no large files
        (23, Fault::Server),   // not authorised
        (26, Fault::Server),   // not a database
        (266, Fault::Server),  // read
        (267, Fault::Server),  // virtual table
        (522, Fault::Server),  // short read
        (778, Fault::Server),  // write
        (787, Fault::Server),  // foreign key
        (1032, Fault::Server), // read-only: the database moved
        (1034, Fault::Server), // fsync
        (1290, Fault::Server), // fsync of a folder
        (1538, Fault::Server), // truncate
        (3338, Fault::Server), // access
        (3850, Fault::Server), // lock
        (5, Fault::Lock),
        (6, Fault::Lock),
        (261, Fault::Lock), // recovery
        (262, Fault::Lock), // shared cache
        (517, Fault::Lock), // snapshot
        (773, Fault::Lock), // time-out
        (1555, Fault::Taken),
        (2067, Fault::Taken),
        (2579, Fault::Taken),
        (18, Fault::Data), // too big
        (20, Fault::Data), // mismatch
        (275, Fault::Data),
        (1299, Fault::Server),
        (3091, Fault::Data),
    ];

    #[test]
    fn sqlite_codes_blame_whom_they_should() {
        for (code, want) in SQLITE {
            assert_eq!(of_sqlite(*code), *want, "{code}");
        }
    }

    #[test]
    fn what_is_no_databases_answer_is_the_servers() {
        let closed = || RuntimeErr::SqlxError(SqlxError::PoolClosed.into());
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let cases = [
            DbErr::Conn(closed()),
            DbErr::Exec(closed()),
            DbErr::Query(RuntimeErr::SqlxError(SqlxError::Io(io).into())),
            DbErr::Query(RuntimeErr::SqlxError(SqlxError::Protocol("x".into()).into())),
            DbErr::Query(RuntimeErr::SqlxError(SqlxError::WorkerCrashed.into())),
            DbErr::Query(RuntimeErr::SqlxError(SqlxError::RowNotFound.into())),
            DbErr::Conn(RuntimeErr::Internal("x".into())),
            DbErr::Custom("x".into()),
            DbErr::Type("x".into()),
        ];
        for e in cases {
            assert_eq!(of_driver(&e), Fault::Server, "{e}");
        }
    }
}
