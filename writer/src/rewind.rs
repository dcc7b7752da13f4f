//! `sluicegate reconciler rewind`: a database came back without its last commits (PROTOCOL 6.10).
//!
//! Every frame that the log still has since some time is given to the transactions again, then
//! every row without what it says of the ledger. The log is read beside the writers, by readers of
//! their own up to a mark that is put at the end of each partition first: no cursor moves, nobody
//! waits. One batch is in memory at a time. Killed anywhere and begun again it only finds less to
//! do. Deliberately absent: what the log never had (supply, flags, offers), which an operator
//! repeats by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use domain::drift::DriftKind;
use domain::frame::{self, Item, Mode};
use domain::{CellId, Giveback, OrderId, rows};
use orderlog::port::{LogError, Partition, Reader};
use store::port::{KeptRow, MAX_ORDERS};
use tokio::time::{Instant, timeout};
use view::WriterPorts;

use crate::again::{Again, MustWait};
use crate::batch::Batch;
use crate::process::Processor;
use crate::rewound::Rewound;
use crate::settings::WriterSettings;

/// Frames of one batch.
const FRAMES: usize = 64;
/// Bytes of one batch, plus one frame.
const BYTES: usize = 4 << 20;
/// A frame is read by the time at which it was published; what was lost was committed later, by as
/// much as the writers lagged, and whoever published may have had a clock that was behind, ms.
const EARLIER: u64 = 3_600_000;
/// The mark is in the log: without a frame for this long the reader is made again.
const SILENT: Duration = Duration::from_secs(20);
/// Readers in a row that bring nothing.
const READERS: u32 = 3;
/// A database that gives no answer is waited for as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(500);

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

/// One rewind.
pub struct Rewind {
    ports: WriterPorts,
    again: Again,
    lost: Lost,
}

/// What is to be made good.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// The database that lost its last commits.
    pub db: u16,
    /// From when on, UTC ms.
    pub since_ms: u64,
}

/// How far it is, for who waits.
struct Telling<F> {
    sums: Rewound,
    tell: F,
}

impl<F: FnMut(&str, &Rewound)> Telling<F> {
    fn at(&mut self, place: &str) {
        (self.tell)(place, &self.sums);
    }
}

impl Rewind {
    /// Over its ports.
    pub fn new(ports: WriterPorts, settings: &WriterSettings, lost: Lost) -> Self {
        let steps = Processor::new(&ports, settings);
        let again = Again {
            rows: ports.store.clone(),
            refused: ports.store.clone(),
            ledger: ports.store.clone(),
            patience: steps.decide.patience.clone(),
            steps,
        };
        Self { ports, again, lost }
    }

    /// To the end. `tell` hears how far it is: the place and the sums so far.
    pub async fn run(&self, tell: impl FnMut(&str, &Rewound)) -> Result<Rewound, RewindError> {
        let mut told = Telling { sums: Rewound::default(), tell };
        let mark = format!("rewind-{:016x}", self.ports.unique.next());
        let databases = self.ports.store.databases();
        let all: Vec<Partition> =
            Partition::of_orders(self.ports.log.partitions(), databases).collect();
        for p in &all {
            self.ports.log.publish(*p, frame::encode(&[Item::Barrier(mark.clone())])).await?;
        }
        for p in all {
            told.at(&p.to_string());
            self.partition(p, &mark, &mut told).await?;
        }
        for db in 0..databases {
            self.rows(db, &mut told).await?;
        }
        Ok(told.sums)
    }

    /// One partition up to its mark.
    async fn partition(
        &self,
        p: Partition,
        mark: &str,
        told: &mut Telling<impl FnMut(&str, &Rewound)>,
    ) -> Result<(), RewindError> {
        let (mut since, mut fruitless) = (self.lost.since_ms.saturating_sub(EARLIER), 0);
        'readers: while fruitless < READERS {
            fruitless += 1;
            let mut reader = self.ports.log.reader(p, since).await?;
            loop {
                let Some(read) = read(&mut *reader, mark).await else { continue 'readers };
                fruitless = 0;
                since = since.max(read.last_ms.saturating_sub(EARLIER));
                told.sums.frames += read.frames.len() as u64;
                self.give(p, &read.frames, &mut told.sums).await?;
                let ago = self.ports.clock.now_ms().saturating_sub(read.last_ms) / 1000;
                told.at(&format!("{p}, {ago} s ago"));
                if read.is_last {
                    return Ok(());
                }
            }
        }
        Err(RewindError::Down(format!("{p} brings no frames, and its end is not reached")))
    }

    async fn give(
        &self,
        p: Partition,
        frames: &[Bytes],
        out: &mut Rewound,
    ) -> Result<(), RewindError> {
        let mut batch = Batch::of(frames);
        out.unreadable += batch.unreadable.len() as u64;
        let newer = batch.newer.take();
        self.finish(batch, out).await?;
        newer.map_or(Ok(()), |what| Err(RewindError::Newer(p, what)))
    }

    /// One batch, again until its databases answer.
    async fn finish(&self, batch: Batch, out: &mut Rewound) -> Result<(), RewindError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut sums = out.clone();
            match self.again.run(self.lost.db, batch.clone(), &mut sums).await {
                Ok(()) => {
                    *out = sums;
                    return Ok(());
                }
                Err(MustWait(why)) if Instant::now() > until => return Err(RewindError::Down(why)),
                Err(MustWait(_)) => {
                    // What was appended stays.
                    (out.claimed, out.rejected, out.refused) =
                        (sums.claimed, sums.rejected, sums.refused);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// The rows of a database that concern the one that lost commits, against the ledger.
    async fn rows(
        &self,
        db: u16,
        told: &mut Telling<impl FnMut(&str, &Rewound)>,
    ) -> Result<(), RewindError> {
        let mut after = None;
        loop {
            let page = self.ports.store.kept_rows(db, after, MAX_ORDERS as u64).await?;
            told.sums.left += page.unreadable;
            let on_it = |c: &CellId| self.ports.store.cell_db(&c.offer) == self.lost.db;
            let concern = |r: &KeptRow| db == self.lost.db || r.cells.iter().any(on_it);
            let rows: Vec<KeptRow> = page.rows.into_iter().filter(concern).collect();
            told.sums.compared += rows.len() as u64;
            self.compare(rows, &mut told.sums).await?;
            told.at(&format!("rows of database {db}"));
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn compare(&self, all: Vec<KeptRow>, out: &mut Rewound) -> Result<(), RewindError> {
        let lines = all.iter().flat_map(|r| r.cells.iter().map(|c| (r.order, c)));
        let traces = self.again.traces(lines).await?;
        let (mut items, mut dead) = (Vec::new(), BTreeMap::<CellId, Vec<OrderId>>::new());
        for row in all {
            let of = |c: &CellId| traces.get(&(row.order, c.clone())).copied().unwrap_or_default();
            let lines: Vec<rows::Trace> = row.cells.iter().map(of).collect();
            match (rows::compare(row.status, &lines), row.sealed) {
                (None, _) => {}
                (Some(kind @ DriftKind::RowReturned), _) => out.leave(row.order, kind.as_str()),
                (Some(DriftKind::RowUnreleased), _) => {
                    row.cells.into_iter().for_each(|c| dead.entry(c).or_default().push(row.order));
                }
                (Some(_), Some(sealed)) => items.push(Item::Order(Mode::Full, sealed)),
                (Some(kind), None) => out.leave(row.order, kind.as_str()),
            }
        }
        for (cell, orders) in dead {
            let gives: Vec<Giveback> = orders.into_iter().map(Giveback::release).collect();
            let given = self.ports.store.give_back(&cell, &gives).await?;
            given.refused.iter().for_each(|give| out.leave(give.order, "a release was refused"));
            self.again.steps.follow(&given.appended).await;
        }
        for frame in frame::pack(&items) {
            self.finish(Batch::of(&[frame]), out).await?;
        }
        Ok(())
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
