//! Sharded MySQL or MariaDB, or SQLite, through SeaORM: the ledger, the orders, the catalog.
//!
//! The database decides (INV-1, INV-2, INV-5 to INV-10); everything else is a view of it. The
//! transactions of the protocol are the port's methods, each idempotent, so that any of them may
//! be run again after an unknown commit. What is deliberately absent: any knowledge of Redis or of
//! the log.

mod config;
pub mod entity;
mod error;
mod fault;
pub mod fold;
mod ladder;
mod migrations;
pub mod port;
pub mod sql;

pub use config::StoreSection;
pub use error::{StoreError, StoreResult};
pub use port::{
    CatalogRead, CatalogWrite, DetailRead, DetailWrite, Init, LedgerRead, LedgerWrite, LifeRead,
    LifeWrite, Marks, MoneyRead, MoneyWrite, OrdersRead, OrdersWrite, ParkedRead, ParkedWrite,
    Shards, Store, Verdicts,
};
pub use sql::{SqlStore, StoreConfig};
