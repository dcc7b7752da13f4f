//! Publishes orders again, in frames, to the partitions where they belong.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::frame::Item;
use domain::{Identity, Payload};
use orderlog::port::{OrderLog, Partition};
use tokio::time::Instant;
use view::{OperateError, PublishTimes};

use crate::down::down;

/// The step.
pub(crate) struct Republish {
    pub log: Arc<dyn OrderLog>,
    pub identity: Identity,
    pub times: PublishTimes,
}

impl Republish {
    /// Where the frames of an order belong.
    pub(crate) fn home(&self, payload: &Payload) -> Partition {
        let partitions = self.log.partitions();
        Partition::Main(domain::home(payload, &self.identity, partitions))
    }

    /// Publishes entries to their homes in frames within the bounds. Each frame of holds that were
    /// looked at `seen` must start before it is older than a gate's may be; verdicts never grow
    /// old.
    pub(crate) async fn run(
        &self,
        items: Vec<(Partition, Item)>,
        seen: Option<Instant>,
    ) -> Result<(), OperateError> {
        let mut by_home: BTreeMap<Partition, Vec<Item>> = BTreeMap::new();
        for (home, item) in items {
            by_home.entry(home).or_default().push(item);
        }
        for (to, items) in by_home {
            for frame in domain::frame::pack(&items) {
                if seen.is_some_and(|at| at.elapsed() > self.times.max_age) {
                    return Err(down(format!("{to}: too slow to publish holds again")));
                }
                let publish = self.log.publish(to, frame);
                let receipt = tokio::time::timeout(self.times.timeout, publish).await;
                receipt.map_err(|_| down("no receipt in time"))?.map_err(down)?;
            }
        }
        Ok(())
    }
}
