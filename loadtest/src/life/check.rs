//! Reads what is stored and what the provider has, and lets `money` judge.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context;
use domain::life::Life;
use domain::{CellId, Identity, OfferId, OrderId, Totals};
use store::port::{MAX_ORDERS, TasksWanted};
use store::{LedgerRead, LifeRead, Shards, SqlStore, StoreConfig};

use super::money::{self, LifeFacts};
pub(super) use super::money::LifeVerdict;
use super::steps::LifeCrowd;
use crate::deployment::Deployment;

/// The databases of the deployment.
pub(super) fn open(to: &Deployment, crowd: &LifeCrowd) -> Result<SqlStore, String> {
    let mut cfg = StoreConfig::of(&to.store, Duration::from_secs(20));
    cfg.connections = cfg.connections.min(4);
    if cfg.databases.is_empty() {
        let file = to.data_dir.join("db-0.sqlite");
        if !file.is_file() {
            return Err(format!("{} is not here", file.display()));
        }
        cfg.databases.push(format!("sqlite://{}", file.display()));
    }
    let identity = Identity::new(to.identity_secret.as_bytes());
    SqlStore::new(&cfg, identity, crowd.ground.clock.clone()).map_err(|e| e.to_string())
}

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
    let facts = LifeFacts { known, lives, cells, tasks };
    Ok(crowd.provider.books(|books| money::judge(crowd.ground.seed, &facts, books)))
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
