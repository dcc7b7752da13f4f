//! The relay: publishes again what is held and has no verdict (PROTOCOL 6.5).
//!
//! First the ledger: a verdict that is folded in makes the hold a phantom (resolve), one that is
//! not is applied. Only a hold without a verdict is published, with exactly its stored bytes.
//! Safety does not depend on X, nor on the memory of what was relayed; both only save work.

use cells::port::MAX_BATCH;
use domain::frame::{Item, Mode, Sealed};
use domain::supply::Transfer;
use domain::{CellId, Hold, HoldState, OrderId, Payload};
use orderlog::port::Partition;
use runtime::mutant::{self, Mutant};
use store::port::Verdict;
use tokio::time::Instant;
use view::{HoldStatus, OperateError};

use crate::horizon::Horizon;
use crate::{Reconciler, down, metrics};

/// Orders remembered as relayed; beyond that the memory starts over.
const MEMORY: usize = 200_000;

impl Reconciler {
    /// One pass over the holds of a cell; adds what it saw to `status`.
    pub(crate) async fn relay(
        &self,
        cell: &CellId,
        horizon: &Horizon,
        status: &mut HoldStatus,
    ) -> Result<(), OperateError> {
        let Some(holds) = self.holds_of(cell).await? else { return Ok(()) };
        let now = self.ports.clock.now_ms();
        let x = self.settings.relay_after.as_millis() as u64;
        let mut due = Vec::new();
        for hold in holds {
            status.oldest_ms = status.oldest_ms.max(now.saturating_sub(hold.t_ms));
            let until = horizon.of(&self.databases_of(cell, &hold));
            let last = self.relayed.lock().get(&hold.order).copied().unwrap_or(0);
            if hold.t_ms.max(last) + x < until {
                due.push(hold);
            }
        }
        status.overdue += due.len() as u64;
        self.act(cell, due).await
    }

    /// With X = 0, for a cell that is paused and settled.
    pub(crate) async fn relay_all(&self, cell: &CellId) -> Result<(), OperateError> {
        match self.holds_of(cell).await? {
            Some(holds) => self.act(cell, holds).await,
            None => Ok(()),
        }
    }

    fn databases_of(&self, cell: &CellId, hold: &Hold) -> Vec<u16> {
        let own = self.ports.store.cell_db(&cell.offer);
        match &hold.buyer {
            Some(buyer) => vec![own, self.ports.store.buyer_db(buyer)],
            None => vec![own],
        }
    }

    async fn act(&self, cell: &CellId, due: Vec<Hold>) -> Result<(), OperateError> {
        if mutant::on(Mutant::NoRelay) {
            return Ok(());
        }
        for part in due.chunks(MAX_BATCH) {
            // Looked at again here: what is published must not be older than a gate's publish may
            // be, or a rebuild would no longer wait for it.
            let seen = Instant::now();
            let orders: Vec<OrderId> = part.iter().map(|h| h.order).collect();
            let held = self.ports.cells.find_holds(cell, &orders).await.map_err(down)?;
            let orders: Vec<OrderId> = held.iter().flatten().map(|h| h.order).collect();
            let found = self.ports.store.find_verdicts(cell, &orders).await.map_err(down)?;
            let parked = self.ports.store.parked_among(&orders).await.map_err(down)?;
            let mut decided = Vec::new();
            let mut open = Vec::new();
            for (hold, verdict) in held.iter().flatten().zip(found) {
                match verdict {
                    Some(v) => decided.push((hold.order, v)),
                    None if !parked.contains(&hold.order) => open.push(hold),
                    None => {}
                }
            }
            if mutant::on(Mutant::Giveback) {
                let old: Vec<_> = open.iter().map(|h| (h.order, 0)).collect();
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
        decided: Vec<(OrderId, Verdict)>,
    ) -> Result<(), OperateError> {
        if decided.is_empty() {
            return Ok(());
        }
        self.follow.catch_up(cell).await;
        if mutant::on(Mutant::NoResolve) {
            return Ok(());
        }
        let list: Vec<(OrderId, u64)> = decided.iter().map(|(o, v)| (*o, v.seq)).collect();
        metrics::resolved(self.ports.cells.resolve(cell, &list).await.map_err(down)?);
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
                HoldState::Sealed if one_line(hold) => {
                    items.push((hold.order, sealed(hold)));
                    orders.push(hold.order);
                }
                HoldState::Transfer => transfers.push(hold),
                // Carts: their anchor decides, by the rules of the cart flow.
                HoldState::Sealed | HoldState::Line | HoldState::Fenced => {
                    tracing::debug!(order = %hold.order, "a cart's hold is left alone");
                }
            }
        }
        let partitions = self.ports.log.partitions();
        let home = Partition::Main(self.ports.identity.partition(&cell.offer, partitions));
        let items: Vec<Item> = items.into_iter().map(|(_, s)| Item::Order(Mode::Full, s)).collect();
        self.publish(home, items, Some(seen)).await?;
        metrics::relayed(orders.len());
        self.remember(&orders);
        for hold in transfers {
            if let Err(e) = self.finish_transfer(hold).await {
                tracing::warn!(request = %hold.order, error = %e, "a transfer has to wait");
            }
        }
        Ok(())
    }

    /// Publishes entries in frames within the bounds. Each frame of holds that were looked at
    /// `seen` must start before it is older than a gate's may be; verdicts never grow old.
    pub(crate) async fn publish(
        &self,
        to: Partition,
        items: Vec<Item>,
        seen: Option<Instant>,
    ) -> Result<(), OperateError> {
        for frame in domain::frame::pack(&items) {
            if seen.is_some_and(|at| at.elapsed() > self.max_age) {
                return Err(down(format!("{to}: too slow to publish holds again")));
            }
            let publish = self.ports.log.publish(to, frame);
            let receipt = tokio::time::timeout(self.publish_timeout, publish).await;
            receipt.map_err(|_| down("no receipt in time"))?.map_err(down)?;
        }
        Ok(())
    }

    fn remember(&self, orders: &[OrderId]) {
        let now = self.ports.clock.now_ms();
        let mut relayed = self.relayed.lock();
        if relayed.len() + orders.len() > MEMORY {
            relayed.clear();
        }
        relayed.extend(orders.iter().map(|o| (*o, now)));
    }

    /// A coordinator died between the hold and the transaction: run it with the same id.
    async fn finish_transfer(&self, hold: &Hold) -> Result<(), OperateError> {
        let t = Transfer::decode(&hold.payload).map_err(down)?;
        let to = t.to.as_ref();
        self.ports.store.transfer(hold.order, &t.from, to, t.units).await.map_err(down)?;
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

fn one_line(hold: &Hold) -> bool {
    match Payload::decode(&hold.payload) {
        Ok(p) => p.lines.len() == 1,
        Err(e) => {
            tracing::error!(order = %hold.order, error = %e, "a hold's payload cannot be read");
            false
        }
    }
}
