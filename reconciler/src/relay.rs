//! The relay: publishes again what is held and has no verdict (PROTOCOL 6.5).
//!
//! First the ledger: a verdict that is folded in makes the hold a phantom (resolve), one that is
//! not is applied. Only a hold without a verdict is published, with exactly its stored bytes.
//! Safety does not depend on X, nor on the memory of what was relayed; both only save work. A cell
//! may have millions of holds: they are looked at page by page, and never is more than a page here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cells::port::{Cells, MAX_BATCH};
use domain::frame::{Item, Mode, Sealed};
use domain::supply::Transfer;
use domain::{CellId, EntryId, Hold, HoldState, OrderId, Payload};
use mutants::Mutant;
use parking_lot::Mutex;
use store::{LedgerRead, LedgerWrite, Marks, ParkedRead};
use tokio::time::Instant;
use view::{Follow, HoldStatus, OperateError};

use crate::down::down;
use crate::metrics::METRICS;
use crate::publish::Republish;
use crate::relayed::{Dbs, Relayed};
use crate::scan::Scan;
use view::{Horizon, horizon_age};

/// What a walk over holds does with them.
struct Walk<'a> {
    cell: &'a CellId,
    /// `None`: they are only counted.
    horizon: Option<&'a Horizon>,
    /// Its node's time when the walk began.
    redis_now: u64,
}

/// Holds of a cell with what the ledger says of them.
struct Due<'a> {
    /// Those with a verdict, at this position.
    decided: Vec<(EntryId, u64)>,
    open: Vec<&'a Hold>,
    /// When they were looked at.
    seen: Instant,
}

/// The step.
pub(crate) struct Relay {
    pub cells: Arc<dyn Cells>,
    pub scan: Scan,
    pub ledger: Arc<dyn LedgerRead>,
    pub entries: Arc<dyn LedgerWrite>,
    pub parked: Arc<dyn ParkedRead>,
    pub marks: Arc<dyn Marks>,
    pub follow: Follow,
    pub publish: Arc<Republish>,
    /// X.
    pub after: Duration,
    /// What this process published again; bounded, may be lost.
    pub relayed: Mutex<Relayed>,
}

impl Relay {
    /// One pass over the holds of a cell; adds what it saw to `status`. Without a horizon, and
    /// once its database does not answer, they are only counted: the alarms must be right then.
    pub(crate) async fn run(
        &self,
        cell: &CellId,
        horizon: Option<&Horizon>,
        status: &mut HoldStatus,
    ) -> Result<(), OperateError> {
        let Some(view) = self.cells.snapshot(cell).await.map_err(down)? else {
            return Ok(());
        };
        let mut walk = Walk { cell, horizon, redis_now: view.mark.redis_ms };
        let mut counted = HoldStatus::default();
        let mut failed = Ok(());
        let mut holds = self.scan.holds(cell);
        while view.holds > 0
            && let Some(page) = holds.next().await?
        {
            let due = self.look(&walk, page, &mut counted);
            if let Err(e) = self.act(cell, due).await {
                (walk.horizon, failed) = (None, Err(e));
            }
        }
        // While Redis rehashes a scan shows some holds twice.
        counted.overdue = counted.overdue.min(view.holds);
        status.add(&counted);
        failed
    }

    /// Counts a page; answers what the relay acts on.
    fn look(&self, walk: &Walk<'_>, page: Vec<Hold>, status: &mut HoldStatus) -> Vec<Hold> {
        let x = self.after.as_millis() as u64;
        let mut due = Vec::new();
        let mut taken: HashMap<Dbs, usize> = HashMap::new();
        for hold in page {
            let age = horizon_age(hold.t_ms, walk.redis_now, x);
            // Since when is not known of a hold whose clock was wrong.
            let shown = if age == walk.redis_now { x } else { age };
            status.oldest_ms = status.oldest_ms.max(shown);
            status.overdue += u64::from(age > x);
            let Some(horizon) = walk.horizon else { continue };
            let dbs = self.databases_of(walk.cell, &hold);
            let relayed = self.relayed.lock();
            let since = horizon.before(age).max(relayed.at(dbs, hold.id));
            let taken = taken.entry(dbs).or_default();
            if since + x < horizon.of(&[dbs.0, dbs.1]) && *taken < relayed.room(dbs) {
                *taken += 1;
                due.push(hold);
            }
        }
        due
    }

    /// Makes room for more: forgets what writers had their chance at.
    pub(crate) fn prune(&self, horizon: &Horizon) {
        let x = self.after.as_millis() as u64;
        let over = |(cell, buyer): Dbs, at: u64| at + x < horizon.of(&[cell, buyer]);
        self.relayed.lock().prune(over);
    }

    /// With X = 0, for a cell that is paused and settled.
    pub(crate) async fn all(&self, cell: &CellId) -> Result<(), OperateError> {
        let mut holds = self.scan.holds(cell);
        while let Some(page) = holds.next().await? {
            self.act(cell, page).await?;
        }
        Ok(())
    }

    fn databases_of(&self, cell: &CellId, hold: &Hold) -> Dbs {
        let own = self.ledger.cell_db(&cell.offer);
        (own, hold.buyer.as_ref().map_or(own, |b| self.ledger.buyer_db(b)))
    }

    async fn act(&self, cell: &CellId, due: Vec<Hold>) -> Result<(), OperateError> {
        if mutants::on(Mutant::NoRelay) {
            return Ok(());
        }
        for part in due.chunks(MAX_BATCH) {
            // Looked at again here: what is published must not be older than a gate's publish may
            // be, or a rebuild would no longer wait for it.
            let seen = Instant::now();
            let ids: Vec<EntryId> = part.iter().map(|h| h.id).collect();
            let held = self.cells.find_holds(cell, &ids).await.map_err(down)?;
            let ids: Vec<EntryId> = held.iter().flatten().map(|h| h.id).collect();
            let found = self.ledger.find_verdicts(cell, &ids).await.map_err(down)?;
            let orders: Vec<OrderId> = held.iter().flatten().filter_map(Hold::order).collect();
            let parked = self.parked.parked_among(&orders).await.map_err(down)?;
            let mut due = Due { decided: Vec::new(), open: Vec::new(), seen };
            for (hold, verdict) in held.iter().flatten().zip(found) {
                let is_parked = hold.order().is_some_and(|o| parked.contains(&o));
                match verdict {
                    Some(v) => due.decided.push((hold.id, v.seq)),
                    None if is_parked => {}
                    None => due.open.push(hold),
                }
            }
            self.finish(cell, due).await?;
        }
        Ok(())
    }

    /// Slow is not dead (PROTOCOL 6.5): what nobody has decided is asked for again, never freed.
    async fn finish(&self, cell: &CellId, due: Due<'_>) -> Result<(), OperateError> {
        if mutants::on(Mutant::Giveback) {
            return self.free(cell, due.open).await;
        }
        self.settle_decided(cell, &due.decided).await?;
        self.publish_open(cell, due.open, due.seen).await
    }

    /// The verdict exists: fold it in, then the hold is a phantom if it is still there.
    async fn settle_decided(
        &self,
        cell: &CellId,
        decided: &[(EntryId, u64)],
    ) -> Result<(), OperateError> {
        if decided.is_empty() {
            return Ok(());
        }
        self.follow.catch_up(cell).await;
        self.drop_phantoms(cell, decided).await
    }

    async fn drop_phantoms(
        &self,
        cell: &CellId,
        list: &[(EntryId, u64)],
    ) -> Result<(), OperateError> {
        if mutants::on(Mutant::NoResolve) {
            return Ok(());
        }
        let resolved = self.cells.resolve(cell, list).await.map_err(down)?;
        METRICS.resolved.increment(resolved.into());
        Ok(())
    }

    async fn publish_open(
        &self,
        cell: &CellId,
        open: Vec<&Hold>,
        seen: Instant,
    ) -> Result<(), OperateError> {
        let mut items = Vec::new();
        let mut orders = Vec::new();
        let mut transfers = Vec::new();
        for hold in open {
            match hold.state {
                HoldState::Sealed if let Some(payload) = one_line(hold) => {
                    items
                        .push((self.publish.home(&payload), Item::Order(Mode::Full, sealed(hold))));
                    orders.push(hold);
                }
                HoldState::Transfer => transfers.push(hold),
                // Carts: their anchor decides, by the rules of the cart flow.
                HoldState::Sealed | HoldState::Line | HoldState::Fenced => {
                    tracing::debug!(order = %hold.id, "a cart's hold is left alone");
                }
            }
        }
        if !items.is_empty() {
            self.publish.run(items, Some(seen)).await?;
            METRICS.relayed.increment(orders.len() as u64);
            self.remember(cell, &orders).await;
        }
        for hold in transfers {
            if let Err(e) = self.finish_transfer(hold).await {
                tracing::warn!(request = %hold.id, error = %e, "a transfer has to wait");
            }
        }
        Ok(())
    }

    async fn free(&self, cell: &CellId, open: Vec<&Hold>) -> Result<(), OperateError> {
        let old: Vec<_> = open.iter().map(|h| (h.id, 0)).collect();
        self.cells.resolve(cell, &old).await.map(drop).map_err(down)
    }

    async fn remember(&self, cell: &CellId, holds: &[&Hold]) {
        // Database 0 has answered a moment ago; its clock is the one that progress is in.
        let Ok(now) = self.marks.now_ms().await else { return };
        let mut relayed = self.relayed.lock();
        for hold in holds {
            relayed.add(self.databases_of(cell, hold), hold.id, now);
        }
    }

    /// A coordinator died between the hold and the transaction: run it with the same id.
    async fn finish_transfer(&self, hold: &Hold) -> Result<(), OperateError> {
        let t = Transfer::decode(&hold.payload).map_err(down)?;
        let to = t.to.as_ref();
        self.entries.transfer(hold.id, &t.from, to, t.units).await.map_err(down)?;
        self.follow.catch_up(&t.from).await;
        if let Some(to) = to {
            self.follow.catch_up(to).await;
        }
        Ok(())
    }
}

fn sealed(hold: &Hold) -> Sealed {
    Sealed { t_ms: hold.t_ms, payload: hold.payload.clone().into() }
}

/// The payload of an order of one line.
fn one_line(hold: &Hold) -> Option<Payload> {
    match Payload::decode(&hold.payload) {
        Ok(p) => (p.lines.len() == 1).then_some(p),
        Err(e) => {
            tracing::error!(order = %hold.id, error = %e, "a hold's payload cannot be read");
            None
        }
    }
}
