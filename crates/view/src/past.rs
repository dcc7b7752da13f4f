//! The log's past, read again beside those who consume it: a database came back without its last
//! commits (PROTOCOL 6.10).
//!
//! A mark is put at the end of each partition first, and readers of their own go up to it: no
//! cursor moves, nobody waits, one batch is in memory at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::frame::{self, Item};
use orderlog::port::{LogError, OrderLog, Partition, Reader};
use runtime::Clock;
use store::StoreResult;
use tokio::time::{Instant, sleep, timeout};

/// Frames of one batch.
const FRAMES: usize = 64;
/// Bytes of one batch, plus one frame.
const BYTES: usize = 4 << 20;
/// A frame is read by the time at which it was published; what was lost was committed later, by as
/// much as its consumers lagged, and whoever published may have had a clock that was behind, ms.
pub const EARLIER: u64 = 3_600_000;
/// The mark is in the log: without a frame for this long the reader is made again.
const SILENT: Duration = Duration::from_secs(20);
/// Readers in a row that bring nothing.
const READERS: u32 = 3;

/// Who gives no answer in a rewind is waited for as long.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
pub const AGAIN: Duration = Duration::from_millis(500);

/// What is to be made good.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// The database that lost its last commits.
    pub db: u16,
    /// From when on, UTC ms.
    pub since_ms: u64,
}

/// Why a rewind ended before its end. It may be begun again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RewindError {
    /// The log, or a database for longer than a minute, gives no answer.
    #[error("{0}")]
    Down(String),
    /// A frame of a newer version: this program must not go past it.
    #[error("{0} has frames of a newer version: {1}")]
    Newer(Partition, String),
}

impl From<LogError> for RewindError {
    fn from(e: LogError) -> Self {
        RewindError::Down(e.to_string())
    }
}

impl From<store::StoreError> for RewindError {
    fn from(e: store::StoreError) -> Self {
        RewindError::Down(e.to_string())
    }
}

/// Calls a database until it answers: one that is away, or has rows that somebody else holds, for a
/// minute.
pub async fn patiently<T>(call: impl AsyncFn() -> StoreResult<T>) -> Result<T, RewindError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match call().await {
            Err(e) if e.is_transient() && Instant::now() < until => sleep(AGAIN).await,
            done => return Ok(done?),
        }
    }
}

/// Some partitions, from a time up to marks at their ends.
pub struct LogPast {
    log: Arc<dyn OrderLog>,
    clock: Arc<dyn Clock>,
    since_ms: u64,
    mark: String,
}

impl LogPast {
    /// Puts a mark at the end of each of them; `mark` is a name that nobody used before.
    pub async fn marked(
        log: Arc<dyn OrderLog>,
        clock: Arc<dyn Clock>,
        since_ms: u64,
        mark: String,
        partitions: &[Partition],
    ) -> Result<Self, LogError> {
        for p in partitions {
            log.publish(*p, frame::encode(&[Item::Barrier(mark.clone())])).await?;
        }
        Ok(Self { log, clock, since_ms, mark })
    }

    /// One of them: `give` gets its frames in their order, batch by batch, and the words for where
    /// they are.
    pub async fn read(
        &self,
        p: Partition,
        mut give: impl AsyncFnMut(&[Bytes], &str) -> Result<(), RewindError>,
    ) -> Result<(), RewindError> {
        let (mut since, mut fruitless) = (self.since_ms.saturating_sub(EARLIER), 0);
        'readers: while fruitless < READERS {
            fruitless += 1;
            let mut reader = self.log.reader(p, since).await?;
            loop {
                let Some(read) = read(&mut *reader, &self.mark).await else { continue 'readers };
                fruitless = 0;
                since = since.max(read.last_ms.saturating_sub(EARLIER));
                let ago = self.clock.now_ms().saturating_sub(read.last_ms) / 1000;
                give(&read.frames, &format!("{p}, {ago} s ago")).await?;
                if read.is_last {
                    return Ok(());
                }
            }
        }
        Err(RewindError::Down(format!("{p} brings no frames, and its end is not reached")))
    }
}

/// What a reader brought.
struct Read {
    frames: Vec<Bytes>,
    last_ms: u64,
    /// The mark is among them.
    is_last: bool,
}

/// The next batch of frames; `None` when the reader has to be made again.
async fn read(reader: &mut dyn Reader, mark: &str) -> Option<Read> {
    let mut read = Read { frames: Vec::new(), last_ms: 0, is_last: false };
    let mut bytes = 0;
    while read.frames.len() < FRAMES && bytes < BYTES && !read.is_last {
        match timeout(SILENT, reader.next()).await {
            Ok(Ok(d)) => {
                bytes += d.frame.len();
                read.last_ms = read.last_ms.max(d.published_ms);
                read.is_last = is_mark(&d.frame, mark);
                read.frames.push(d.frame);
            }
            Ok(Err(e)) => {
                tracing::warn!(error = %e, "a reader ended, making a new one");
                return None;
            }
            Err(_) => return None,
        }
    }
    Some(read)
}

fn is_mark(bytes: &Bytes, mark: &str) -> bool {
    let is = |i: &Item| matches!(i, Item::Barrier(id) if id == mark);
    frame::decode(bytes).is_ok_and(|items| items.iter().any(is))
}
