//! The relay: publishes again what is held and has no verdict (PROTOCOL 6.5).
//!
//! First the ledger: a verdict that is folded in makes the hold a phantom (resolve), one that is
//! not is applied. Only a hold without a verdict is published, with exactly its stored bytes.
//! Safety does not depend on X, nor on the memory of what was relayed; both only save work. A cell
//! may have millions of holds: they are looked at page by page, and never is more than a page here.

use std::collections::{BTreeMap, HashMap};

use cells::port::MAX_BATCH;
use domain::frame::{Item, Mode, Sealed};
use domain::supply::Transfer;
use domain::{CellId, EntryId, Hold, HoldState, OrderId, Payload};
use orderlog::port::Partition;
use runtime::mutant::{self, Mutant};
use store::port::Verdict;
use tokio::time::Instant;
use view::{HoldStatus, OperateError};

use crate::horizon::{Horizon, age};
use crate::metrics::METRICS;
use crate::relayed::Dbs;
use crate::{Reconciler, down};

/// What a walk over holds does with them.
struct Walk<'a> {
    cell: &'a CellId,
    /// `None`: they are only counted.
    horizon: Option<&'a Horizon>,
    /// Its node's time when the walk began.
    redis_now: u64,
}

impl Reconciler {
    /// One pass over the holds of a cell; adds what it saw to `status`. Without a horizon, and
    /// once its database does not answer, they are only counted: the alarms must be right then.
    pub(crate) async fn relay(
        &self,
        cell: &CellId,
        horizon: Option<&Horizon>,
        status: &mut HoldStatus,
    ) -> Result<(), OperateError> {
        let Some(view) = self.ports.cells.snapshot(cell).await.map_err(down)? else {
            return Ok(());
        };
        let mut walk = Walk { cell, horizon, redis_now: view.mark.redis_ms };
        let mut counted = HoldStatus::default();
        let mut failed = Ok(());
        let mut holds = self.holds_of(cell);
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
        let x = self.settings.relay_after.as_millis() as u64;
        let mut due = Vec::new();
        let mut taken: HashMap<Dbs, usize> = HashMap::new();
        for hold in page {
            let age = age(hold.t_ms, walk.redis_now, x);
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
    pub(crate) fn prune_relayed(&self, horizon: &Horizon) {
        let x = self.settings.relay_after.as_millis() as u64;
        let over = |(cell, buyer): Dbs, at: u64| at + x < horizon.of(&[cell, buyer]);
        self.relayed.lock().prune(over);
    }

    /// With X = 0, for a cell that is paused and settled.
    pub(crate) async fn relay_all(&self, cell: &CellId) -> Result<(), OperateError> {
        let mut holds = self.holds_of(cell);
        while let Some(page) = holds.next().await? {
            self.act(cell, page).await?;
        }
        Ok(())
    }

    fn databases_of(&self, cell: &CellId, hold: &Hold) -> Dbs {
        let own = self.ports.store.cell_db(&cell.offer);
        (own, hold.buyer.as_ref().map_or(own, |b| self.ports.store.buyer_db(b)))
    }

    async fn act(&self, cell: &CellId, due: Vec<Hold>) -> Result<(), OperateError> {
        if mutant::on(Mutant::NoRelay) {
            return Ok(());
        }
        for part in due.chunks(MAX_BATCH) {
            // Looked at again here: what is published must not be older than a gate's publish may
            // be, or a rebuild would no longer wait for it.
            let seen = Instant::now();
            let ids: Vec<EntryId> = part.iter().map(|h| h.id).collect();
            let held = self.ports.cells.find_holds(cell, &ids).await.map_err(down)?;
            let ids: Vec<EntryId> = held.iter().flatten().map(|h| h.id).collect();
            let found = self.ports.store.find_verdicts(cell, &ids).await.map_err(down)?;
            let orders: Vec<OrderId> = held.iter().flatten().filter_map(Hold::order).collect();
            let parked = self.ports.store.parked_among(&orders).await.map_err(down)?;
            let mut decided = Vec::new();
            let mut open = Vec::new();
            for (hold, verdict) in held.iter().flatten().zip(found) {
                match verdict {
                    Some(v) => decided.push((hold.id, v)),
                    None if !hold.order().is_some_and(|o| parked.contains(&o)) => open.push(hold),
                    None => {}
                }
            }
            if mutant::on(Mutant::Giveback) {
                let old: Vec<_> = open.iter().map(|h| (h.id, 0)).collect();
                self.ports.cells.resolve(cell, &old).await.map_err(down)?;
                return Ok(());
            }
            self.settle_decided(cell, decided).await?;
            self.publish_open(cell, open, seen).await?;
        }
        Ok(())
    }

    /// The verdict exists: fold it in, then the hold is a phantom if it is still there.
    async fn settle_decided(
        &self,
        cell: &CellId,
        decided: Vec<(EntryId, Verdict)>,
    ) -> Result<(), OperateError> {
        if decided.is_empty() {
            return Ok(());
        }
        self.follow.catch_up(cell).await;
        if mutant::on(Mutant::NoResolve) {
            return Ok(());
        }
        let list: Vec<(EntryId, u64)> = decided.iter().map(|(o, v)| (*o, v.seq)).collect();
        let resolved = self.ports.cells.resolve(cell, &list).await.map_err(down)?;
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
                    items.push((self.home(&payload), Item::Order(Mode::Full, sealed(hold))));
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
            self.publish(items, Some(seen)).await?;
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

    /// Where the frames of an order belong.
    pub(crate) fn home(&self, payload: &Payload) -> Partition {
        let partitions = self.ports.log.partitions();
        Partition::Main(domain::home(payload, &self.ports.identity, partitions))
    }

    /// Publishes entries to their homes in frames within the bounds. Each frame of holds that were
    /// looked at `seen` must start before it is older than a gate's may be; verdicts never grow
    /// old.
    pub(crate) async fn publish(
        &self,
        items: Vec<(Partition, Item)>,
        seen: Option<Instant>,
    ) -> Result<(), OperateError> {
        let mut by_home: BTreeMap<Partition, Vec<Item>> = BTreeMap::new();
        for (home, item) in items {
            by_home.entry(home).or_default().push(item);
        }
        for (to, items) in by_home {
            for frame in domain::frame::pack(&items) {
                if seen.is_some_and(|at| at.elapsed() > self.max_age) {
                    return Err(down(format!("{to}: too slow to publish holds again")));
                }
                let publish = self.ports.log.publish(to, frame);
                let receipt = tokio::time::timeout(self.publish_timeout, publish).await;
                receipt.map_err(|_| down("no receipt in time"))?.map_err(down)?;
            }
        }
        Ok(())
    }

    async fn remember(&self, cell: &CellId, holds: &[&Hold]) {
        // Database 0 has answered a moment ago; its clock is the one that progress is in.
        let Ok(now) = self.ports.store.now_ms().await else { return };
        let mut relayed = self.relayed.lock();
        for hold in holds {
            relayed.add(self.databases_of(cell, hold), hold.id, now);
        }
    }

    /// A coordinator died between the hold and the transaction: run it with the same id.
    async fn finish_transfer(&self, hold: &Hold) -> Result<(), OperateError> {
        let t = Transfer::decode(&hold.payload).map_err(down)?;
        let to = t.to.as_ref();
        self.ports.store.transfer(hold.id, &t.from, to, t.units).await.map_err(down)?;
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
