//! The port over SeaORM: N databases, one pool each, MySQL, MariaDB or SQLite.
//!
//! A logical shard (0 to 4,095) is sent to a database by the shard map. Nothing here keeps state
//! between calls but the pools.

mod catalog;
mod charset;
mod convert;
pub(crate) mod db;
mod details;
mod facts;
mod find;
mod init;
mod insert;
mod kept_rows;
mod ledger;
mod life;
mod lock;
mod marks;
mod meta;
mod on_cells;
mod orders;
mod parked;
mod reads;
mod rows;
mod session;
mod supply;
mod url;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{Buyer, Identity, LogicalShard, OfferId, OrderId, ShardMap};
use runtime::{Clock, Secret};

use crate::config::StoreSection;
use crate::error::{StoreError, StoreResult};
use crate::port::Shards;
pub(crate) use db::Db;

/// How to reach the databases.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// One URL per database (`mysql://` or `sqlite://`), 1 to 256; database 0 has the catalog.
    pub databases: Vec<String>,
    /// The password of URLs that have none, read at every new pool.
    pub password: Secret,
    /// Connections per database, 1 to 64.
    pub connections: u32,
    /// The most time a transaction may take; its connection is not used again after that.
    pub timeout: Duration,
}

/// The store over SQL databases. Cheap to clone.
#[derive(Clone)]
pub struct SqlStore {
    dbs: Arc<Vec<Db>>,
    map: ShardMap,
    identity: Identity,
    clock: Arc<dyn Clock>,
}

impl StoreConfig {
    /// The databases of a configuration, with as much patience as the caller has.
    pub fn of(cfg: &StoreSection, timeout: Duration) -> Self {
        let (databases, password) = (cfg.databases.clone(), cfg.secret());
        Self { databases, password, connections: cfg.connections, timeout }
    }
}

impl SqlStore {
    /// Makes the pools; connects when first used. Call [`crate::port::Init::init`] before anything
    /// else.
    pub fn new(cfg: &StoreConfig, identity: Identity, clock: Arc<dyn Clock>) -> StoreResult<Self> {
        let dbs: StoreResult<Vec<Db>> =
            (0u16..).zip(&cfg.databases).map(|(no, url)| Db::new(no, url, cfg)).collect();
        let map = ShardMap::even(cfg.databases.len() as u16);
        Ok(Self { dbs: Arc::new(dbs?), map, identity, clock })
    }

    pub(crate) fn db(&self, no: u16) -> StoreResult<&Db> {
        self.dbs.get(usize::from(no)).ok_or_else(|| {
            StoreError::corrupt(no, "the shard map names a database that is not configured")
        })
    }

    pub(crate) fn db_of_offer(&self, offer: &OfferId) -> u16 {
        self.map.database(self.identity.offer_shard(offer))
    }
    pub(crate) fn db_of_buyer(&self, buyer: &Buyer) -> u16 {
        self.map.database(self.identity.buyer_shard(buyer))
    }
    pub(crate) fn db_of_order(&self, order: OrderId) -> u16 {
        self.map.database(LogicalShard(order.shard()))
    }
}

#[async_trait]
impl Shards for SqlStore {
    fn cell_db(&self, offer: &OfferId) -> u16 {
        self.db_of_offer(offer)
    }
    fn databases(&self) -> u16 {
        self.dbs.len() as u16
    }
    async fn ping(&self, db: u16) -> bool {
        match self.db(db) {
            Ok(db) => db.ping().await,
            Err(_) => false,
        }
    }
    fn order_db(&self, order: OrderId) -> u16 {
        self.db_of_order(order)
    }
    fn buyer_db(&self, buyer: &Buyer) -> u16 {
        self.db_of_buyer(buyer)
    }
}
