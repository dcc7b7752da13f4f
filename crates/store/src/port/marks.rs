//! Progress, barriers, leases: [`super::CATALOG_DB`].

use async_trait::async_trait;

use super::Shards;
use super::declare::port;
use crate::error::StoreResult;

port! { $
    /// How far the processes are, and which of them does what.
    trait Marks, handed on by each_mark {
        /// The database's clock, UTC ms: the one that all processes share.
        reads fn now_ms() -> u64, on CATALOG_DB;
        /// Stores the publish time up to which a partition is finished (never goes back).
        writes fn set_progress(partition: &str, finished_until: u64) -> (), on CATALOG_DB;
        /// Progress of all partitions.
        reads fn progress() -> Vec<(String, u64)>, on CATALOG_DB;
        /// A partition's writer passed a barrier.
        writes fn mark_barrier(barrier: &str, partition: &str) -> (), on CATALOG_DB;
        /// The partitions that passed it.
        reads fn barrier_seen(barrier: &str) -> Vec<String>, on CATALOG_DB;
        /// Takes or renews a lease by the database's clock; false when another holds it.
        writes fn lease(name: &str, holder: &str, ttl_ms: u64) -> bool, on CATALOG_DB;
    }
}
