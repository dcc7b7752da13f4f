//! What database 0 is told of a partition: barriers that were passed, and how far it is finished.

use std::sync::Arc;

use orderlog::port::Partition;
use store::port::CATALOG_DB;
use store::{Marks, StoreResult};

use crate::patience::DatabasePatience;

/// Tells database 0.
#[derive(Clone)]
pub struct Marking {
    /// Who is told.
    pub store: Arc<dyn Marks>,
    /// How long that may take.
    pub patience: DatabasePatience,
}

impl Marking {
    /// Everything before these barriers in this partition is finished.
    pub async fn barriers(&self, here: Partition, barriers: &[String]) -> StoreResult<()> {
        let name = here.to_string();
        for id in barriers {
            self.patience.call(CATALOG_DB, || self.store.mark_barrier(id, &name)).await?;
        }
        Ok(())
    }

    /// Everything up to this tick, in the clock of database 0, is finished in this partition.
    pub async fn progress(&self, here: Partition, until: u64) -> StoreResult<()> {
        let name = here.to_string();
        self.patience.call(CATALOG_DB, || self.store.set_progress(&name, until)).await
    }
}
