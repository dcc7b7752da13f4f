//! Serves the consumers' reads from its own connection, so that a read never waits for an fsync.
//!
//! Reads go through a task because a consumer's `next` may be dropped half-way, and a statement
//! is never dropped half-way.

use std::path::PathBuf;

use bytes::Bytes;
use runtime::{Phase, Tasks};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::file;
use crate::port::{Delivery, DeliveryId};

/// The most frames of one read; with 256 KiB each this bounds a consumer's memory to 8 MiB.
const READ_FRAMES: i64 = 32;

const UNACKED: &str =
    "SELECT seq, at_ms, body FROM frame WHERE part = ? AND seq > ? ORDER BY seq LIMIT ?";
/// By position, past the frames of other partitions: by the index both parts would be sorted whole.
const BOTH: &str = "SELECT seq, at_ms, body FROM frame \
                    WHERE +part IN (?, ?) AND seq > ? AND at_ms >= ? ORDER BY seq LIMIT ?";

/// A consumer's question: what follows a position?
pub(super) struct Fetch {
    /// The partition's number in the table.
    pub part: i64,
    /// The position.
    pub after: i64,
    /// Acked frames too, those published at this time or later, UTC ms.
    pub since: Option<u64>,
    /// For the frames, ascending.
    pub answer: oneshot::Sender<Result<Vec<Delivery>, sqlx::Error>>,
}

/// Answers until all askers are gone or the pools close.
pub(super) async fn run(
    path: PathBuf,
    conn: SqliteConnection,
    mut queue: mpsc::Receiver<Fetch>,
    tasks: Tasks,
) {
    let mut conn = Some(conn);
    while let Some(Some(fetch)) = tasks.unless(Phase::ClosePools, queue.recv()).await {
        let mut open = match conn.take() {
            Some(open) => open,
            None => match file::connect(&path).await {
                Ok(open) => open,
                Err(e) => {
                    let _ = fetch.answer.send(Err(e));
                    continue;
                }
            },
        };
        let frames = read(&mut open, &fetch).await;
        // A connection that failed once is not trusted again.
        conn = frames.is_ok().then_some(open);
        let _ = fetch.answer.send(frames);
    }
    if let Some(conn) = conn {
        file::close(conn).await;
    }
}

async fn read(conn: &mut SqliteConnection, f: &Fetch) -> Result<Vec<Delivery>, sqlx::Error> {
    let rows = match f.since {
        None => sqlx::query(UNACKED).bind(f.part).bind(f.after),
        Some(ms) => {
            let both = sqlx::query(BOTH).bind(f.part).bind(file::acked(f.part)).bind(f.after);
            both.bind(ms as i64)
        }
    };
    let rows = rows.bind(READ_FRAMES).fetch_all(conn);
    let delivery = |row: &sqlx::sqlite::SqliteRow| {
        let (seq, at_ms): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let body: Vec<u8> = row.try_get(2)?;
        Ok(Delivery {
            id: DeliveryId([seq as u64, f.part as u64, 0]),
            frame: Bytes::from(body),
            published_ms: at_ms as u64,
        })
    };
    rows.await?.iter().map(delivery).collect()
}
