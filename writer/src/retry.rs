//! Orders whose database does not answer move to that database's retry partition.
//!
//! From a retry partition an order moves only to one with a higher number, otherwise it waits
//! where it is, so that no order can hop behind a barrier that walks the retry partitions in
//! ascending order.

use std::collections::BTreeMap;

use domain::frame::{self, Item};
use orderlog::port::{LogError, Partition};
use runtime::mutant::{self, Mutant};

use crate::batch::{Flow, Stop};
use crate::metrics::METRICS;
use crate::process::Processor;

/// True when an order that waits for `db` may leave `here`.
pub(crate) fn may_move(here: Partition, db: u16) -> bool {
    match here {
        Partition::Main(_) => true,
        Partition::Retry(now) if mutant::on(Mutant::HopAny) => db != now,
        Partition::Retry(now) => db > now,
    }
}

impl Processor {
    /// Publishes the stopped orders that may move. Their frame may be acked once this is `Ok`.
    pub(crate) async fn hand_over(&self, here: Partition, flows: &[Flow]) -> Result<(), LogError> {
        let mut by_db: BTreeMap<u16, Vec<Item>> = BTreeMap::new();
        for flow in flows {
            if let Some(Stop::Database(db)) = flow.stopped
                && may_move(here, db)
            {
                let item = Item::Order(flow.mode, flow.sealed.clone());
                by_db.entry(db).or_default().push(item);
            }
        }
        for (db, items) in by_db {
            for frame in frame::pack(&items) {
                self.ports.log.publish(Partition::Retry(db), frame).await?;
            }
            METRICS.retried.increment(items.len() as u64);
        }
        Ok(())
    }
}
