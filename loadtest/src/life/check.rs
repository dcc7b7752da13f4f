//! Reads what is stored and what the provider has, and lets `money` judge.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use anyhow::Context;
use domain::life::Life;
use domain::{CellId, OfferId, OrderId, Totals};
use store::SqlStore;
use store::port::{LedgerRead, LifeRead, MAX_ORDERS, Shards, TasksWanted};

use super::money::{Judging, LifeFacts, LifeVerdict};
use super::role::LifeRole;
use super::steps::{BoughtOrder, LifeCrowd};

/// One look at everything.
pub(super) async fn judge(store: &SqlStore, crowd: &LifeCrowd) -> anyhow::Result<LifeVerdict> {
    let mut judging = Judging::default();
    let begun = (0u32..).zip(&crowd.orders).filter_map(|(n, order)| match *order.lock() {
        BoughtOrder::Unasked => None,
        BoughtOrder::Unheard => Some((n, crowd.role(n), None)),
        BoughtOrder::Known(order) => Some((n, crowd.role(n), Some(order))),
        BoughtOrder::TooLate(order) => Some((n, LifeRole::Unpaid, Some(order))),
    });
    let begun: Vec<(u32, LifeRole, Option<OrderId>)> = begun.collect();
    for piece in begun.chunks(MAX_ORDERS) {
        let lives = lives(store, piece.iter().filter_map(|(_, _, order)| *order)).await?;
        let after = |life: &Life| life.order.as_ref()?.superseded_by;
        let next = self::lives(store, lives.values().filter_map(after)).await?;
        for (number, role, order) in piece {
            let life = order.and_then(|id| lives.get(&id));
            let both = life.map(|life| (life, after(life).and_then(|id| next.get(&id))));
            judging.order(*number, *role, both);
        }
    }
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
    let facts = LifeFacts { cells, tasks, untold, given_up };
    Ok(crowd.provider.books(|books| judging.end(&facts, books)))
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
        let found = store.lives(db, &orders).await?;
        out.extend(found.into_iter().map(|life| (life.id, life)));
    }
    Ok(out)
}
