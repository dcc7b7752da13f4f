//! How long acked frames stay readable.

use std::time::Duration;

use sqlx::SqliteConnection;

/// Between two looks.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
/// Between two looks while there is more to let go.
pub(super) const SOON: Duration = Duration::from_millis(100);
/// Frames of one partition and one look.
const MOST: i64 = 256;

/// How long, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Acked frames younger than this stay, ms.
    pub ms: u64,
    /// Unless the file has more bytes than this in use.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self::of(168, 16)
    }
}

impl Keep {
    /// So many hours, and so many GiB; 0 GiB for any number.
    pub fn of(hours: u32, gib: u32) -> Self {
        let bytes = if gib == 0 { u64::MAX } else { u64::from(gib) << 30 };
        Self { ms: u64::from(hours) * 3_600_000, bytes }
    }
}

/// Deletes some of the acked frames published before `oldest`, or the oldest ones while the file is
/// too large. True when there may be more.
pub(super) async fn prune(
    conn: &mut SqliteConnection,
    parts: &[i64],
    oldest: u64,
    bytes: u64,
) -> Result<bool, sqlx::Error> {
    let is_large = used(conn).await? > bytes;
    let mut more = false;
    for part in parts {
        let sql = "SELECT seq, at_ms FROM frame WHERE part = ? ORDER BY seq LIMIT ?";
        let found: Vec<(i64, i64)> = sqlx::query_as(sql)
            .bind(super::file::acked(*part))
            .bind(MOST)
            .fetch_all(&mut *conn)
            .await?;
        let goes = |(_, at): &&(i64, i64)| is_large || (*at as u64) < oldest;
        let list: Vec<String> = found.iter().take_while(goes).map(|f| f.0.to_string()).collect();
        if !list.is_empty() {
            more |= list.len() as i64 == MOST;
            let sql = "DELETE FROM frame WHERE seq IN (SELECT value FROM json_each(?))";
            let list = format!("[{}]", list.join(","));
            sqlx::query(sql).bind(list).execute(&mut *conn).await?;
        }
    }
    Ok(more)
}

/// Bytes of the pages that hold something.
async fn used(conn: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let mut numbers = [0i64; 3];
    let asks = ["PRAGMA page_count", "PRAGMA freelist_count", "PRAGMA page_size"];
    for (n, ask) in numbers.iter_mut().zip(asks) {
        *n = sqlx::query_scalar(ask).fetch_one(&mut *conn).await?;
    }
    let [pages, free, size] = numbers;
    Ok((pages.saturating_sub(free).max(0) * size) as u64)
}
