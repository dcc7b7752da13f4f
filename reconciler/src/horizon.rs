//! How far the log is finished: the relay and the sweeper act only behind this (PROTOCOL 6.5).
//!
//! A partition without traffic tells nothing by itself, so ticks are put into it.

use std::collections::HashMap;

use domain::frame::{self, Item};
use orderlog::port::Partition;
use runtime::mutant::{self, Mutant};

use crate::Reconciler;

/// Publish times, UTC ms, up to which partitions are finished.
#[derive(Debug, Clone, Default)]
pub(crate) struct Horizon {
    mains: u64,
    retries: HashMap<u16, u64>,
}

impl Horizon {
    /// The time before which an order that touches these databases is finished in the log.
    pub fn of(&self, dbs: &[u16]) -> u64 {
        if mutant::on(Mutant::NoHorizon) {
            return u64::MAX;
        }
        let retry = |db: &u16| self.retries.get(db).copied().unwrap_or(0);
        dbs.iter().map(retry).fold(self.mains, u64::min)
    }
}

impl Reconciler {
    fn partitions(&self) -> Vec<Partition> {
        let mains = (0..self.ports.log.partitions()).map(Partition::Main);
        mains.chain((0..self.ports.store.databases()).map(Partition::Retry)).collect()
    }

    /// Reads progress. `None` when database 0 does not answer: nobody is declared dead then.
    pub(crate) async fn horizon(&self) -> Option<Horizon> {
        let progress: HashMap<String, u64> =
            self.ports.store.progress().await.ok()?.into_iter().collect();
        let until = |p: Partition| progress.get(&p.to_string()).copied().unwrap_or(0);
        let mains = (0..self.ports.log.partitions()).map(|n| until(Partition::Main(n))).min();
        let retries = (0..self.ports.store.databases()).map(|d| (d, until(Partition::Retry(d))));
        Some(Horizon { mains: mains.unwrap_or(0), retries: retries.collect() })
    }

    /// Puts a tick into every partition whose progress is older than a second.
    pub(crate) async fn tick_idle(&self) {
        if mutant::on(Mutant::NoTicks) {
            return;
        }
        let Ok(progress) = self.ports.store.progress().await else { return };
        let progress: HashMap<String, u64> = progress.into_iter().collect();
        let now = self.ports.clock.now_ms();
        for p in self.partitions() {
            let until = progress.get(&p.to_string()).copied().unwrap_or(0);
            if until + 1000 > now {
                continue;
            }
            let tick = frame::encode(&[Item::Tick(now)]);
            if let Err(e) = self.ports.log.publish(p, tick).await {
                tracing::debug!(partition = %p, error = %e, "no tick");
            }
        }
    }
}
