//! Building cells from the ledger (PROTOCOL 6.9).
//!
//! A missing cell may be loaded only when no order that was admitted before the loss can still be
//! on its way without a verdict: ticket, wait for the slowest gate, a barrier through every main
//! partition, then through the retry partitions that can hold its orders, in ascending order. The
//! ticket dies with the node's data, so a load that was prepared before a second loss answers
//! CHANGED.

use std::collections::BTreeSet;
use std::time::Duration;

use cells::port::{Changed, LoadCall};
use domain::CellId;
use domain::drift::DriftKind;
use domain::frame::{self, Item};
use futures::stream::{self, StreamExt};
use orderlog::port::Partition;
use runtime::mutant::{self, Mutant};
use tokio::time::Instant;
use view::{Followed, OperateError};

use crate::repair::pause_lease;
use crate::{Reconciler, down};

/// How long a barrier may take; then the next pass starts over.
const BARRIER: Duration = Duration::from_secs(120);
/// How long an operator's rebuild waits for the holds to be decided.
const SETTLE: Duration = Duration::from_secs(60);
/// Buyers of one stage call.
const STAGE: usize = 1000;
/// Lua numbers are exact below 2^53; sums of hashes are kept below this.
const HASH_SPACE: u64 = 1 << 46;

impl Reconciler {
    /// Rebuilds missing cells behind one barrier; answers those that exist afterwards.
    pub(crate) async fn rebuild_missing(
        &self,
        cells: &[CellId],
    ) -> Result<Vec<CellId>, OperateError> {
        let ticket = format!("{:016x}", self.ports.unique.next());
        let mut ticketed = Vec::new();
        for cell in cells {
            match self.ports.cells.ticket(cell, &ticket).await {
                Ok(()) => ticketed.push(cell),
                Err(e) => tracing::warn!(%cell, error = %e, "no ticket, the next pass tries again"),
            }
        }
        if ticketed.is_empty() {
            return Ok(Vec::new());
        }
        if !mutant::on(Mutant::NoGrace) {
            tokio::time::sleep(self.settle).await;
        }
        let dbs = ticketed.iter().map(|c| self.ports.store.cell_db(&c.offer)).collect();
        self.barrier(dbs).await?;
        let load = |cell: CellId| async {
            match self.load(&cell, &ticket).await {
                Ok(()) => Some(cell),
                Err(e) => {
                    tracing::warn!(%cell, error = %e, "not loaded");
                    None
                }
            }
        };
        let cells: Vec<CellId> = ticketed.into_iter().cloned().collect();
        let loads = stream::iter(cells).map(load).buffer_unordered(self.settings.parallel);
        Ok(loads.filter_map(std::future::ready).collect().await)
    }

    /// Every one-line order of cells on these databases that was in the log before this call has
    /// its verdict afterwards. Such an order waits without a verdict only in the retry partition
    /// of its cell's database; another database that is down does not hold the build up.
    async fn barrier(&self, dbs: BTreeSet<u16>) -> Result<(), OperateError> {
        if mutant::on(Mutant::NoBarrier) {
            return Ok(());
        }
        let mains: Vec<Partition> = (0..self.ports.log.partitions()).map(Partition::Main).collect();
        self.pass_barrier(&mains).await?;
        if mutant::on(Mutant::BarrierMains) {
            return Ok(());
        }
        for db in dbs {
            self.pass_barrier(&[Partition::Retry(db)]).await?;
        }
        Ok(())
    }

    async fn pass_barrier(&self, partitions: &[Partition]) -> Result<(), OperateError> {
        let id = format!("{:016x}", self.ports.unique.next());
        for p in partitions {
            let frame = frame::encode(&[Item::Barrier(id.clone())]);
            self.ports.log.publish(*p, frame).await.map_err(down)?;
        }
        let until = Instant::now() + BARRIER;
        loop {
            let seen = self.ports.store.barrier_seen(&id).await.map_err(down)?;
            if partitions.iter().all(|p| seen.contains(&p.to_string())) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(down(format!("no writer passed the barrier in {partitions:?}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Loads one cell from the ledger at its head. A living cell is left alone.
    pub(crate) async fn load(&self, cell: &CellId, ticket: &str) -> Result<(), OperateError> {
        // Without its offer's row: as with a limit, which serves an offer of either sort.
        let limited = self.limited(cell).await?.unwrap_or(true);
        let head = self.ports.store.head(cell).await.map_err(down)?;
        let totals = head.ok_or(OperateError::UnknownCell)?;
        if self.ports.store.at(cell, totals.seq).await.map_err(down)? != Some(totals) {
            return self.broken_row(cell).await;
        }
        let suffix = format!("{:016x}", self.ports.unique.next());
        let (staged_len, adds) = self.stage(cell, totals.seq, &suffix).await?;
        let inc = self.ports.unique.next() % (HASH_SPACE - 1) + 1;
        let staged = (staged_len > 0).then_some(suffix);
        let ticket = Some(ticket.to_owned());
        let call = LoadCall { totals, inc, adds, ticket, staged, staged_len, limited };
        match self.ports.cells.load(cell, call).await.map_err(down)? {
            Changed::Ok | Changed::Exists => {}
            Changed::Changed | Changed::Missing => {
                return Err(down(format!("{cell}: Redis lost its data again, starting over")));
            }
        }
        match self.follow.catch_up(cell).await {
            Followed::Ok { .. } => Ok(()),
            other => Err(down(format!("{cell}: loaded, but not caught up: {other:?}"))),
        }
    }

    /// Puts the buyers at `seq` into the staging key; (their number, the sum of their hashes).
    async fn stage(
        &self,
        cell: &CellId,
        seq: u64,
        suffix: &str,
    ) -> Result<(u64, u64), OperateError> {
        let mut sums: Vec<(String, i64)> = self.sums(cell, seq).await?.into_iter().collect();
        sums.sort_unstable();
        let mut adds = 0u64;
        for (buyer, _) in &sums {
            let buyer = buyer.parse().map_err(down)?;
            adds = (adds + self.ports.identity.buyer_hash(&buyer) % HASH_SPACE) % HASH_SPACE;
        }
        for chunk in sums.chunks(STAGE) {
            self.ports.cells.stage(cell, suffix, chunk).await.map_err(down)?;
        }
        Ok((sums.len() as u64, adds))
    }

    /// An operator's rebuild of a living (or missing) cell.
    pub(crate) async fn rebuild_living(&self, cell: &CellId) -> Result<(), OperateError> {
        let head = self.ports.store.head(cell).await.map_err(down)?;
        head.ok_or(OperateError::UnknownCell)?;
        if self.compare(cell).await?.kind == Some(DriftKind::Ledger) {
            return self.broken_row(cell).await;
        }
        // A name of its own: the scheduled passes of this very process must respect it too.
        let holder = format!("{:016x}", self.ports.unique.next());
        self.keep_pause(cell, &holder).await?;
        let done = self.rebuild_paused(cell, &holder).await;
        // A lease of no length is free again; after an error any pass ends the pause.
        let free = self.ports.store.lease(&pause_lease(cell), &holder, 0).await;
        done?;
        free.map_err(down)?;
        self.restore(cell).await?;
        Ok(())
    }

    /// Built from what is wrong a cell would only look right.
    async fn broken_row(&self, cell: &CellId) -> Result<(), OperateError> {
        self.stop_selling(cell, DriftKind::Ledger.invariant().unwrap_or_default()).await?;
        Err(down(format!("the row of {cell} is not the fold of its ledger")))
    }

    async fn rebuild_paused(&self, cell: &CellId, holder: &str) -> Result<(), OperateError> {
        self.pause(cell).await?;
        self.follow.catch_up(cell).await;
        tokio::time::sleep(self.settle).await;
        if !mutant::on(Mutant::DropUnsettled) {
            self.empty(cell).await?;
        }
        self.keep_pause(cell, holder).await?;
        let compared = self.compare(cell).await?;
        if let Some(view) = compared.view {
            let seen = (view.mark.inc, view.totals.seq, view.totals.tok);
            let fork = compared.kind == Some(DriftKind::Fork);
            let fork = fork || mutant::on(Mutant::DropUnsettled);
            match self.ports.cells.drop_cell(cell, seen, fork).await.map_err(down)? {
                Changed::Ok | Changed::Missing => {}
                Changed::Changed | Changed::Exists => {
                    return Err(down(format!("{cell} changed while it was dropped; repeat")));
                }
            }
        }
        self.rebuild_missing(std::slice::from_ref(cell)).await?;
        self.built(cell).await?;
        self.restore(cell).await?;
        Ok(())
    }

    /// The schedule may have found the cell missing and put its own ticket over ours: then ours
    /// answers CHANGED and the schedule's builds the cell, which takes as long again.
    async fn built(&self, cell: &CellId) -> Result<(), OperateError> {
        let until = Instant::now() + self.settle * 2 + SETTLE;
        while self.compare(cell).await?.view.is_none() {
            if Instant::now() > until {
                return Err(down(format!("{cell} was not built; the schedule goes on with it")));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// While this lease lasts nobody else takes the pause for a finished repair's.
    async fn keep_pause(&self, cell: &CellId, holder: &str) -> Result<(), OperateError> {
        let ttl = (self.settle + SETTLE + BARRIER).as_millis() as u64;
        let mine = self.ports.store.lease(&pause_lease(cell), holder, ttl).await;
        if mine.map_err(down)? { Ok(()) } else { Err(down(format!("{cell} is being rebuilt"))) }
    }

    /// Relays with X = 0 until no hold is left.
    async fn empty(&self, cell: &CellId) -> Result<(), OperateError> {
        let until = Instant::now() + SETTLE;
        loop {
            self.relay_all(cell).await?;
            match self.ports.cells.snapshot(cell).await.map_err(down)? {
                Some(view) if view.holds > 0 => {}
                _ => return Ok(()),
            }
            if Instant::now() > until {
                return Err(down(format!("{cell} still has holds; is a writer running?")));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
