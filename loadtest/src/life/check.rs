//! Reads what is stored and what the provider has, and lets `money` judge.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use anyhow::Context;
use domain::life::Life;
use domain::{CellId, OfferId, OrderId, Totals};
use store::SqlStore;
use store::port::{LedgerRead, LifeRead, MAX_ORDERS, Shards, TasksWanted};

use super::money::{self, LifeFacts, LifeVerdict};
use super::steps::LifeCrowd;

/// One look at everything.
pub(super) async fn judge(store: &SqlStore, crowd: &LifeCrowd) -> anyhow::Result<LifeVerdict> {
    let known: Vec<Option<OrderId>> = crowd.orders.iter().map(|o| *o.lock()).collect();
    let mut lives = lives(store, known.iter().flatten().copied()).await?;
    let next: Vec<OrderId> =
        lives.values().filter_map(|l| l.order.as_ref()?.superseded_by).collect();
    lives.extend(self::lives(store, next.into_iter()).await?);
    let mut cells = BTreeMap::<CellId, Totals>::new();
    for offer in &crowd.offers {
        let offer: OfferId = offer.parse().map_err(|e| anyhow::anyhow!("{offer}: {e}"))?;
        let cell = offer.cell(0);
        let head = store.head(&cell).await?.context("an offer of this run has no cell")?;
        cells.insert(cell, head);
    }
    let mut tasks = 0;
    for db in 0..store.databases() {
        let wanted = TasksWanted { is_open: true, kind: None, after: None, limit: 1000 };
        tasks += store.tasks(db, &wanted).await?.len();
    }
    let (untold, given_up) = (crowd.provider.untold(), crowd.lost.load(Ordering::Relaxed));
    let facts = LifeFacts { known, lives, cells, tasks, untold, given_up };
    Ok(crowd.provider.books(|books| money::judge(crowd.to.seed, &facts, books)))
}

async fn lives(
    store: &SqlStore,
    orders: impl Iterator<Item = OrderId>,
) -> anyhow::Result<HashMap<OrderId, Life>> {
    let mut by_db = BTreeMap::<u16, Vec<OrderId>>::new();
    for order in orders {
        by_db.entry(store.order_db(order)).or_default().push(order);
    }
    let mut out = HashMap::new();
    for (db, orders) in by_db {
        for piece in orders.chunks(MAX_ORDERS) {
            let found = store.lives(db, piece).await?;
            out.extend(found.into_iter().map(|life| (life.id, life)));
        }
    }
    Ok(out)
}
