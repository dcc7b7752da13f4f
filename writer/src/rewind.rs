//! `sluicegate reconciler rewind`: a database came back without its last commits (PROTOCOL 6.10).
//!
//! Every frame that the log still has since some time is given to the transactions again, then
//! every row without what it says of the ledger, beside the writers. Killed anywhere and begun
//! again it only finds less to do. Deliberately absent: what the log never had (supply, flags,
//! offers), which an operator repeats by hand.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::drift::DriftKind;
use domain::frame::{self, Item, Mode};
use domain::{CellId, Giveback, OrderId, rows};
use orderlog::port::Partition;
use store::port::{KeptRow, MAX_ORDERS};
use tokio::time::Instant;
use view::past::{AGAIN, PATIENCE, patiently};
use view::{LogPast, Lost, RewindError, WriterPorts};

use crate::again::{Again, MustWait};
use crate::batch::Batch;
use crate::process::Processor;
use crate::rewound::Rewound;
use crate::settings::WriterSettings;

/// One rewind.
pub struct Rewind {
    ports: WriterPorts,
    again: Again,
    lost: Lost,
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
        let ports = &self.ports;
        let databases = ports.store.databases();
        let all: Vec<Partition> = Partition::of_orders(ports.log.partitions(), databases).collect();
        let mark = format!("rewind-{:016x}", ports.unique.next());
        let since = self.lost.since_ms;
        let past =
            LogPast::marked(ports.log.clone(), ports.clock.clone(), since, mark, &all).await?;
        for p in all {
            told.at(&p.to_string());
            let give = async |frames: &[Bytes], place: &str| {
                told.sums.frames += frames.len() as u64;
                self.give(p, frames, &mut told.sums).await?;
                told.at(place);
                Ok(())
            };
            past.read(p, give).await?;
        }
        for db in 0..databases {
            self.rows(db, &mut told).await?;
        }
        Ok(told.sums)
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
            let store = &self.ports.store;
            let page =
                patiently(async || store.kept_rows(db, after, MAX_ORDERS as u64).await).await?;
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
            let store = &self.ports.store;
            let given = patiently(async || store.give_back(&cell, &gives).await).await?;
            given.refused.iter().for_each(|give| out.leave(give.order, "a release was refused"));
            self.again.steps.follow(&given.appended).await;
        }
        for frame in frame::pack(&items) {
            self.finish(Batch::of(&[frame]), out).await?;
        }
        Ok(())
    }
}
