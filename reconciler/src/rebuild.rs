//! Building cells from the ledger (PROTOCOL 6.9).
//!
//! A missing cell may be loaded only when no order that was admitted before the loss can still be
//! on its way without a verdict: ticket, wait for the slowest gate, a barrier through every main
//! partition, then through the retry partitions that can hold its orders, in ascending order. The
//! ticket dies with the node's data, so a load that was prepared before a second loss answers
//! CHANGED.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cells::port::{Cells, Changed, LoadCall};
use domain::drift::DriftKind;
use domain::frame::{self, Item};
use domain::{CellId, Identity, Totals};
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use mutants::Mutant;
use orderlog::port::{OrderLog, Partition};
use runtime::unique::Unique;
use store::fold::part_of_buyers;
use store::{LedgerRead, Marks};
use tokio::time::Instant;
use view::{Follow, Followed, OperateError};

use crate::check::Compare;
use crate::down::down;
use crate::lead::{KeptClaim, Lead};
use crate::quiet::Quiet;
use crate::relay::Relay;
use crate::repair::{Mend, pause_lease};

/// How long a barrier may take; then the next pass starts over.
const BARRIER: Duration = Duration::from_secs(120);
/// How long an operator's rebuild waits for the holds to be decided.
const SETTLE: Duration = Duration::from_secs(60);
/// Buyers of one stage call.
const STAGE: usize = 1000;
/// Buyers in memory at once; for so many more a cell's ledger is read once more.
const AT_ONCE: usize = 1_000_000;
/// Of cells with more entries one is read at a time.
const LARGE: u64 = 100_000;
/// Lua numbers are exact below 2^53; sums of hashes are kept below this.
const HASH_SPACE: u64 = 1 << 46;

/// What became of cells that were to be built.
pub(crate) struct Built {
    /// They exist now.
    pub cells: Vec<CellId>,
    /// Somebody else was building them already.
    pub elsewhere: Vec<CellId>,
}

/// The step.
pub(crate) struct Build {
    pub cells: Arc<dyn Cells>,
    pub ledger: Arc<dyn LedgerRead>,
    pub marks: Arc<dyn Marks>,
    pub log: Arc<dyn OrderLog>,
    pub follow: Follow,
    pub compare: Arc<Compare>,
    pub quiet: Arc<Quiet>,
    pub repair: Arc<Mend>,
    pub relay: Arc<Relay>,
    pub lead: Arc<Lead>,
    pub identity: Identity,
    pub unique: Arc<dyn Unique>,
    /// A gate may still publish a hold this long after it was made (PROTOCOL 6.9's wait).
    pub settle: Duration,
    /// Cells loaded at once.
    pub parallel: usize,
    /// Held while the buyers of a large cell are in memory.
    pub large: Arc<tokio::sync::Mutex<()>>,
}

impl Build {
    /// Rebuilds missing cells behind one barrier.
    pub(crate) async fn missing(&self, cells: &[CellId]) -> Result<Built, OperateError> {
        let ticket = format!("{:016x}", self.unique.next());
        let respect = self.lead.lease_ms();
        let (mut ticketed, mut elsewhere) = (Vec::new(), Vec::new());
        for cell in cells {
            match self.cells.take_ticket(cell, &ticket, Some(respect)).await {
                Ok(Changed::Ok) => ticketed.push(cell.clone()),
                Ok(_) => elsewhere.push(cell.clone()),
                Err(e) => tracing::warn!(%cell, error = %e, "no ticket, the next pass tries again"),
            }
        }
        if ticketed.is_empty() {
            return Ok(Built { cells: Vec::new(), elsewhere });
        }
        let build = self.behind_barrier(&ticketed, &ticket);
        let built = self.lead.holding(KeptClaim::Ticket(&ticketed, &ticket), build).await?;
        Ok(Built { cells: built, elsewhere })
    }

    /// Every one-line order that was in the log before this call has its verdict before its cell
    /// is loaded. Such an order waits without a verdict only in the retry partition of its cell's
    /// database; another database that is down does not hold the build up.
    async fn behind_barrier(
        &self,
        cells: &[CellId],
        ticket: &str,
    ) -> Result<Vec<CellId>, OperateError> {
        self.grace().await;
        let mains: Vec<Partition> = (0..self.log.partitions()).map(Partition::Main).collect();
        self.pass_barrier(&mains).await?;
        let mut by_db: BTreeMap<u16, Vec<CellId>> = BTreeMap::new();
        for cell in cells {
            by_db.entry(self.ledger.cell_db(&cell.offer)).or_default().push(cell.clone());
        }
        let builds = by_db.into_iter().map(|(db, cells)| self.build_of(db, cells, ticket));
        Ok(join_all(builds).await.into_iter().flatten().collect())
    }

    /// The cells of one database, once its retry partition is finished too.
    async fn build_of(&self, db: u16, cells: Vec<CellId>, ticket: &str) -> Vec<CellId> {
        if let Err(e) = self.pass_retry(db).await {
            tracing::warn!(db, error = %e, "not built, the next pass tries again");
            return Vec::new();
        }
        let load = |cell: CellId| async {
            match self.load(&cell, ticket).await {
                Ok(()) => Some(cell),
                Err(e) => {
                    tracing::warn!(%cell, error = %e, "not loaded");
                    None
                }
            }
        };
        let loads = stream::iter(cells).map(load).buffer_unordered(self.parallel);
        loads.filter_map(std::future::ready).collect().await
    }

    /// The slowest gate has published what it held before this.
    async fn grace(&self) {
        if mutants::on(Mutant::NoGrace) {
            return;
        }
        tokio::time::sleep(self.settle).await;
    }

    /// What of a database's orders left the main partitions waits in its retry partition.
    async fn pass_retry(&self, db: u16) -> Result<(), OperateError> {
        if mutants::on(Mutant::BarrierMains) {
            return Ok(());
        }
        self.pass_barrier(&[Partition::Retry(db)]).await
    }

    async fn pass_barrier(&self, partitions: &[Partition]) -> Result<(), OperateError> {
        if mutants::on(Mutant::NoBarrier) {
            return Ok(());
        }
        let id = format!("{:016x}", self.unique.next());
        for p in partitions {
            let frame = frame::encode(&[Item::Barrier(id.clone())]);
            self.log.publish(*p, frame).await.map_err(down)?;
        }
        let until = Instant::now() + BARRIER;
        loop {
            let seen = self.marks.barrier_seen(&id).await.map_err(down)?;
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
        let limited = self.quiet.limited(cell).await?.unwrap_or(true);
        let (totals, sound) = self.row_to_load(cell).await?;
        if !sound {
            return self.broken_row(cell).await;
        }
        let suffix = format!("{:016x}", self.unique.next());
        let (staged_len, adds) = self.stage(cell, totals.seq, &suffix).await?;
        let inc = self.unique.next() % (HASH_SPACE - 1) + 1;
        let staged = (staged_len > 0).then_some(suffix);
        let ticket = Some(ticket.to_owned());
        let call = LoadCall { totals, inc, adds, ticket, staged, staged_len, limited };
        match self.cells.load(cell, call).await.map_err(down)? {
            Changed::Ok | Changed::Exists => {}
            Changed::Changed | Changed::Missing => {
                return Err(down(format!("{cell}: Redis lost its data again, starting over")));
            }
        }
        match self.follow.catch_up(cell).await {
            Followed::Ok { .. } => Ok(()),
            other @ (Followed::Missing | Followed::Fork | Followed::Unknown) => {
                Err(down(format!("{cell}: loaded, but not caught up: {other:?}")))
            }
        }
    }

    /// Read under the row's lock: a row from a replica that is behind would sell again what orders
    /// from before the barrier have claimed.
    async fn row_to_load(&self, cell: &CellId) -> Result<(Totals, bool), OperateError> {
        if mutants::on(Mutant::LoadPlain) {
            return self.plain_row(cell).await;
        }
        self.compare.locked_row(cell).await
    }

    async fn plain_row(&self, cell: &CellId) -> Result<(Totals, bool), OperateError> {
        let head = self.ledger.head(cell).await.map_err(down)?;
        let head = head.ok_or(OperateError::UnknownCell)?;
        let folded = self.ledger.at(cell, head.seq).await.map_err(down)?;
        Ok((head, folded == Some(head)))
    }

    /// Puts the buyers at `seq` into the staging key; (their number, the sum of their hashes).
    async fn stage(
        &self,
        cell: &CellId,
        seq: u64,
        suffix: &str,
    ) -> Result<(u64, u64), OperateError> {
        let (mut staged, mut adds, mut next) = (0u64, 0u64, Some(0));
        // To the end: what is staged does not live for ever.
        let _alone = if seq > LARGE { Some(self.large.lock().await) } else { None };
        while let Some(from) = next {
            let part = part_of_buyers(&*self.ledger, cell, seq, from, AT_ONCE);
            let (sums, rest) = match part.await {
                Ok(part) => part,
                Err(e) if e.is_transient() => return Err(down(e)),
                // A ledger with a hole: nobody knows what was sold.
                Err(e) => {
                    tracing::error!(%cell, error = %e, "the ledger cannot be read");
                    self.repair
                        .stop_selling(cell, DriftKind::Ledger.invariant().unwrap_or_default())
                        .await?;
                    return Err(down(e));
                }
            };
            next = rest;
            let mut sums: Vec<(String, i64)> = sums.into_iter().collect();
            sums.sort_unstable();
            for (buyer, _) in &sums {
                let buyer = cell.buyer(buyer).map_err(down)?;
                adds = (adds + self.identity.buyer_hash(&buyer) % HASH_SPACE) % HASH_SPACE;
            }
            for chunk in sums.chunks(STAGE) {
                self.cells.stage(cell, suffix, chunk).await.map_err(down)?;
            }
            staged += sums.len() as u64;
        }
        Ok((staged, adds))
    }

    /// An operator's rebuild of a living (or missing) cell.
    pub(crate) async fn living(&self, cell: &CellId) -> Result<(), OperateError> {
        let head = self.ledger.head(cell).await.map_err(down)?;
        head.ok_or(OperateError::UnknownCell)?;
        if self.compare.run(cell).await?.kind == Some(DriftKind::Ledger) {
            return self.broken_row(cell).await;
        }
        // A name of its own: the scheduled passes of this very process must respect it too.
        let holder = format!("{:016x}", self.unique.next());
        self.keep_pause(cell, &holder).await?;
        let done = self.paused(cell, &holder).await;
        // A lease of no length is free again; after an error any pass ends the pause.
        let free = self.marks.lease(&pause_lease(cell), &holder, 0).await;
        done?;
        free.map_err(down)?;
        self.repair.restore(cell).await?;
        Ok(())
    }

    /// Built from what is wrong a cell would only look right.
    async fn broken_row(&self, cell: &CellId) -> Result<(), OperateError> {
        self.repair.stop_selling(cell, DriftKind::Ledger.invariant().unwrap_or_default()).await?;
        Err(down(format!("the row of {cell} is not the fold of its ledger")))
    }

    async fn paused(&self, cell: &CellId, holder: &str) -> Result<(), OperateError> {
        self.repair.pause(cell).await?;
        self.follow.catch_up(cell).await;
        tokio::time::sleep(self.settle).await;
        self.empty(cell).await?;
        self.keep_pause(cell, holder).await?;
        let compared = self.compare.run(cell).await?;
        if let Some(view) = compared.view {
            let seen = (view.mark.inc, view.totals.seq, view.totals.tok);
            match self
                .cells
                .drop_cell(cell, seen, drops_holds(compared.kind))
                .await
                .map_err(down)?
            {
                Changed::Ok | Changed::Missing => {}
                Changed::Changed | Changed::Exists => {
                    return Err(down(format!("{cell} changed while it was dropped; repeat")));
                }
            }
        }
        self.missing(std::slice::from_ref(cell)).await?;
        self.built(cell).await?;
        self.repair.restore(cell).await?;
        Ok(())
    }

    /// The schedule may have found the cell missing and be building it already.
    pub(crate) async fn built(&self, cell: &CellId) -> Result<(), OperateError> {
        let until = Instant::now() + self.settle + BARRIER + SETTLE;
        while self.compare.run(cell).await?.view.is_none() {
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
        let mine = self.marks.lease(&pause_lease(cell), holder, ttl).await;
        if mine.map_err(down)? { Ok(()) } else { Err(down(format!("{cell} is being rebuilt"))) }
    }

    /// Relays with X = 0 until no hold is left.
    async fn empty(&self, cell: &CellId) -> Result<(), OperateError> {
        if mutants::on(Mutant::DropUnsettled) {
            return Ok(());
        }
        let until = Instant::now() + SETTLE;
        loop {
            self.relay.all(cell).await?;
            match self.cells.snapshot(cell).await.map_err(down)? {
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

/// A view of another ledger goes with its holds; one of this ledger only when it has none.
fn drops_holds(kind: Option<DriftKind>) -> bool {
    if mutants::on(Mutant::DropUnsettled) {
        return true;
    }
    kind == Some(DriftKind::Fork)
}
