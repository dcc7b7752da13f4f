//! The sweeper: verdicts whose rows are missing are published again (PROTOCOL 6.6).
//!
//! It repairs a frame that the log lost, or that an operator skipped, after the verdict was
//! written. The mode is the one that the verdict was asked with, so that a rejected order keeps its
//! reason. Ranges whose orders are complete are forgotten.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::frame::{Item, Mode, Sealed};
use domain::kept::Kept;
use domain::ledger::Class;
use domain::{CellId, Entry, Giveback, Kind, OrderId, Payload, RowStatus};
use mutants::Mutant;
use orderlog::port::Partition;
use parking_lot::Mutex;
use store::port::{RowState, UnrowedRange};
use store::{LedgerRead, LedgerWrite, OrdersRead, ParkedRead};
use view::{Follow, OperateError};

use crate::down::down;
use crate::metrics::METRICS;
use crate::publish::Republish;
use view::Horizon;

/// No time of a range lies behind it.
const FAR: u64 = u64::MAX >> 1;
/// Ranges of one pass.
const RANGES: u64 = 256;
/// A verdict transaction has at most this many entries per cell.
const WIDEST: u64 = 1024;

struct Anchor {
    order: OrderId,
    kind: Kind,
    mode: Mode,
    sealed: Sealed,
    /// The cells of all its lines.
    cells: Vec<CellId>,
    /// Where its frames belong.
    home: Partition,
}

/// What became of the orders of a range.
enum Swept {
    /// All have their rows.
    Complete,
    /// All but parked ones.
    Parked,
    /// Some were published again.
    Waits,
}

/// The step.
pub(crate) struct Sweep {
    pub ledger: Arc<dyn LedgerRead>,
    pub entries: Arc<dyn LedgerWrite>,
    pub orders: Arc<dyn OrdersRead>,
    pub parked: Arc<dyn ParkedRead>,
    pub follow: Follow,
    pub publish: Arc<Republish>,
    /// Y.
    pub after: Duration,
    /// Ranges without rows whose time lies in the future, and when each was seen first.
    pub ahead: Mutex<BTreeMap<u16, HashMap<UnrowedRange, u64>>>,
}

impl Sweep {
    /// One pass over a database's ranges. False when one had to be left although it is due: what
    /// this process does not reach, another one may.
    pub(crate) async fn run(&self, db: u16, horizon: &Horizon) -> Result<bool, OperateError> {
        if mutants::on(Mutant::NoSweep) {
            return Ok(true);
        }
        let y = self.after.as_millis() as u64;
        let found = self.ledger.unrowed(db, FAR, RANGES).await.map_err(down)?;
        let full = found.len() as u64 == RANGES;
        let since = self.first_seen(db, &found, horizon.now());
        let (mut complete, mut whole) = (Vec::new(), true);
        for (range, since) in found.into_iter().zip(since) {
            if since + y >= horizon.of(&[db]) {
                continue;
            }
            let all = match self.anchors(&range).await {
                Ok(Some(all)) => all,
                // No other process would know more of it.
                Ok(None) => continue,
                Err(e) => {
                    tracing::warn!(cell = %range.cell, error = %e, "a range has to wait");
                    whole = false;
                    continue;
                }
            };
            let readable = all.iter().all(Option::is_some);
            // Slow is not dead: an order may wait in the retry partition of any of its databases.
            let due = |a: &Anchor| since + y < horizon.of(&self.databases_of_order(a));
            let (due, waiting): (Vec<_>, Vec<_>) = all.into_iter().flatten().partition(due);
            let seen_whole = readable && waiting.is_empty();
            // A range whose orders live on a database that is down must not stop the others.
            match self.range(due).await {
                Ok(Swept::Complete) if seen_whole => complete.push(range),
                // Its bytes are kept for whoever asks, unless younger ranges would wait for them.
                Ok(Swept::Parked) if seen_whole && full => complete.push(range),
                Ok(_) => {}
                Err(e) => {
                    tracing::debug!(cell = %range.cell, error = %e, "a range has to wait");
                    whole = false;
                }
            }
        }
        self.entries.finish_unrowed(db, &complete).await.map_err(down)?;
        Ok(whole)
    }

    /// Since when each range is known to be there. Its own time is of the writer that made it: one
    /// from the future counts from when this process saw the range first.
    fn first_seen(&self, db: u16, ranges: &[UnrowedRange], now: u64) -> Vec<u64> {
        let mut ahead = self.ahead.lock();
        let of_db = ahead.entry(db).or_default();
        let seen = |r: &UnrowedRange| of_db.get(r).copied().unwrap_or(now);
        let future: HashMap<UnrowedRange, u64> =
            ranges.iter().filter(|r| r.at_ms > now).map(|r| (r.clone(), seen(r))).collect();
        let since = |r: &UnrowedRange| future.get(r).copied().unwrap_or(r.at_ms);
        let all = ranges.iter().map(since).collect();
        *of_db = future;
        all
    }

    fn databases_of_order(&self, a: &Anchor) -> Vec<u16> {
        let of_lines = a.cells.iter().map(|c| self.ledger.cell_db(&c.offer));
        of_lines.chain([self.ledger.order_db(a.order)]).collect()
    }

    /// The anchor verdicts of a range, `None` in place of one whose bytes nobody can read: a range
    /// is not forgotten over it, and the others in it go on. `None` as a whole when the reads know
    /// nothing of its orders: it was finished in between, or a replica that is behind was asked. In
    /// both cases it is not for this pass to forget it.
    async fn anchors(
        &self,
        range: &UnrowedRange,
    ) -> Result<Option<Vec<Option<Anchor>>>, OperateError> {
        let orders = self.ledger.kept(&range.cell, range.first_seq).await.map_err(down)?;
        let limit = (range.last_seq + 1 - range.first_seq).min(WIDEST);
        let page = self.ledger.after(&range.cell, range.first_seq - 1, limit).await;
        let entries = page.map_err(down)?.map(|p| p.entries).unwrap_or_default();
        let kinds: BTreeMap<u64, &Entry> = entries.iter().map(|e| (e.seq, e)).collect();
        let missing = orders.iter().any(|k| !kinds.contains_key(&k.seq));
        if orders.is_empty() || missing && self.reaches(range).await? {
            return Ok(None);
        }
        let mut out = Vec::new();
        for Kept { seq, mode, sealed } in orders {
            let Some(e) = kinds.get(&seq).filter(|e| e.kind.class() == Class::Verdict) else {
                continue;
            };
            let payload = match Payload::decode(&sealed.payload) {
                Ok(payload) => payload,
                Err(e) => {
                    let cell = &range.cell;
                    tracing::error!(%cell, seq, error = %e, "an order cannot be read");
                    out.push(None);
                    continue;
                }
            };
            let order = payload.order;
            if payload.anchor_line().cell == range.cell && e.order() == Some(order) {
                let home = self.publish.home(&payload);
                let cells = payload.lines.into_iter().map(|l| l.cell).collect();
                out.push(Some(Anchor { order, kind: e.kind, mode, sealed, cells, home }));
            }
        }
        Ok(Some(out))
    }

    /// True when the ledger has the positions of a range, whatever plain reads say.
    async fn reaches(&self, range: &UnrowedRange) -> Result<bool, OperateError> {
        let proven = self.ledger.locked(&range.cell, 0).await.map_err(down)?;
        Ok(proven.is_some_and(|p| p.last.seq >= range.last_seq))
    }

    /// Publishes what has no row, releases what is dead.
    async fn range(&self, all: Vec<Anchor>) -> Result<Swept, OperateError> {
        let mut by_db: BTreeMap<u16, Vec<Anchor>> = BTreeMap::new();
        for a in all {
            by_db.entry(self.ledger.order_db(a.order)).or_default().push(a);
        }
        let mut missing = Vec::new();
        let mut dead: BTreeMap<CellId, Vec<OrderId>> = BTreeMap::new();
        for (db, anchors) in by_db {
            let ids: Vec<OrderId> = anchors.iter().map(|a| a.order).collect();
            let states = self.orders.statuses(db, &ids).await.map_err(down)?;
            for (anchor, state) in anchors.into_iter().zip(states) {
                match state {
                    None => missing.push(anchor),
                    // Every line that was claimed: only the anchor's verdict is at hand here.
                    Some(row) if is_dead(&row, anchor.kind) => anchor
                        .cells
                        .into_iter()
                        .for_each(|cell| dead.entry(cell).or_default().push(anchor.order)),
                    Some(_) => {}
                }
            }
        }
        for (cell, orders) in dead {
            let gives: Vec<Giveback> = orders.into_iter().map(Giveback::release).collect();
            let given = self.entries.give_back(&cell, &gives).await.map_err(down)?;
            if let Some(first) = given.refused.first() {
                tracing::error!(%cell, order = %first.order, "a release was refused");
            }
            self.follow.apply(&given.appended).await;
        }
        let parked: Vec<OrderId> = missing.iter().map(|a| a.order).collect();
        let parked = self.parked.parked_among(&parked).await.map_err(down)?;
        // A parked order is a person's now.
        missing.retain(|a| !parked.contains(&a.order));
        let swept = match (missing.is_empty(), parked.is_empty()) {
            (false, _) => Swept::Waits,
            (true, false) => Swept::Parked,
            (true, true) => Swept::Complete,
        };
        self.publish_again(missing).await?;
        Ok(swept)
    }

    async fn publish_again(&self, all: Vec<Anchor>) -> Result<(), OperateError> {
        if all.is_empty() {
            return Ok(());
        }
        METRICS.swept.increment(all.len() as u64);
        let items = all.into_iter().map(|a| (a.home, Item::Order(a.mode, a.sealed))).collect();
        self.publish.run(items, None).await
    }
}

fn is_dead(row: &RowState, verdict: Kind) -> bool {
    row.status == RowStatus::Rejected && verdict == Kind::Claim
}
