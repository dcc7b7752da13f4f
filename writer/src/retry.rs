//! Orders whose database does not answer move to that database's retry partition.
//!
//! From a retry partition an order moves only to one with a higher number, otherwise it waits
//! where it is, so that no order can hop behind a barrier that walks the retry partitions in
//! ascending order.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::frame::{self, Item};
use mutants::Mutant;
use orderlog::port::{LogError, OrderLog, Partition};

use crate::batch::{Flow, Stop};
use crate::metrics::METRICS;

/// True when an order that waits for `db` may leave `here`.
fn may_move(here: Partition, db: u16) -> bool {
    if mutants::on(Mutant::HopAny) {
        return here != Partition::Retry(db);
    }
    match here {
        Partition::Main(_) => true,
        Partition::Retry(now) => db > now,
        // No order is there.
        Partition::Life(_) => false,
    }
}

/// True when an order has to wait where it is.
pub(crate) fn must_stay(here: Partition, flow: &Flow) -> bool {
    match flow.stopped {
        Some(Stop::Database(db)) => !may_move(here, db),
        Some(Stop::Poison(_)) | None => false,
    }
}

/// Where an order goes that cannot be finished here.
fn goes_to(here: Partition, flow: &Flow) -> Option<u16> {
    if mutants::on(Mutant::HandOverLost) {
        return None;
    }
    match flow.stopped {
        Some(Stop::Database(db)) if may_move(here, db) => Some(db),
        Some(Stop::Database(_) | Stop::Poison(_)) | None => None,
    }
}

/// The step.
#[derive(Clone)]
pub(crate) struct HandOver {
    pub log: Arc<dyn OrderLog>,
}

impl HandOver {
    /// Publishes the stopped orders that may move. Their frame may be acked once this is `Ok`.
    pub(crate) async fn run(&self, here: Partition, flows: &[Flow]) -> Result<(), LogError> {
        let mut by_db: BTreeMap<u16, Vec<Item>> = BTreeMap::new();
        for flow in flows {
            if let Some(db) = goes_to(here, flow) {
                let item = Item::Order(flow.mode, flow.sealed.clone());
                by_db.entry(db).or_default().push(item);
            }
        }
        for (db, items) in by_db {
            for frame in frame::pack(&items) {
                self.log.publish(Partition::Retry(db), frame).await?;
            }
            METRICS.retried.increment(items.len() as u64);
        }
        Ok(())
    }
}
