//! One batch of frames through all the steps. No consumer and no ack in here, so that tests and
//! the simulator drive exactly this.

use std::sync::Arc;

use bytes::Bytes;
use orderlog::port::Partition;
use runtime::mutant::{self, Mutant};
use view::{Follow, WriterPorts};

use crate::Settings;
use crate::batch::{Batch, Stop};
use crate::metrics::METRICS;
use crate::patience::Silent;
use crate::retry;

/// Runs the steps over its ports. Cheap to clone.
#[derive(Clone)]
pub struct Processor {
    pub(crate) ports: WriterPorts,
    pub(crate) follow: Follow,
    pub(crate) settings: Settings,
    pub(crate) silent: Arc<Silent>,
}

/// What may be done with the frames of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in them is finished or stored elsewhere: ack.
    Finished,
    /// Something has to wait here: run the same batch again later.
    Again,
    /// This many frames are finished: ack them. The next one is of a newer version or has an entry
    /// of an unknown kind; it and what follows wait for a program that reads it.
    Newer(usize),
}

impl Processor {
    /// Over these ports.
    pub fn new(ports: WriterPorts, settings: Settings) -> Self {
        Self {
            follow: Follow::new(ports.store.clone(), ports.cells.clone(), ports.identity.clone()),
            ports,
            settings,
            silent: Arc::default(),
        }
    }

    /// PROTOCOL 6.4, steps 1 to 6, over frames of one partition in their order.
    pub async fn run(&self, here: Partition, frames: &[Bytes]) -> Outcome {
        let mut batch = Batch::default();
        frames.iter().for_each(|f| batch.add(f));
        if mutant::on(Mutant::BarrierEarly) {
            self.mark(here, &batch.barriers).await;
        }
        METRICS.batch_orders.record(batch.flows.len() as f64);
        let flows = &mut batch.flows;
        let decided = self.decide(flows).await;
        let released = self.write_rows(flows).await;
        self.finish_ranges(flows, &decided).await;
        self.apply_all(flows, &decided, released).await;
        let waits = flows.iter().any(|f| match f.stopped {
            Some(Stop::Database(db)) => !retry::may_move(here, db),
            Some(Stop::Poison(_)) | None => false,
        });
        // Nothing is parked or handed over before that is the last thing to do: this batch runs
        // again, and each run would park and publish the same orders once more.
        if waits {
            return Outcome::Again;
        }
        let parked = self.park_orders(flows).await;
        let parked = parked.and(self.park_frames(here, &batch.unreadable).await);
        if let Err(e) = parked {
            tracing::warn!(partition = %here, error = %e, "parking waits for database 0");
            return Outcome::Again;
        }
        if mutant::on(Mutant::HandOverLost) {
            return self.mark(here, &batch.barriers).await;
        }
        if let Err(e) = self.hand_over(here, flows).await {
            tracing::warn!(partition = %here, error = %e, "a retry partition took no frame");
            return Outcome::Again;
        }
        let marked = self.mark(here, &batch.barriers).await;
        let Some(what) = batch.newer.filter(|_| marked == Outcome::Finished) else {
            return marked;
        };
        tracing::error!(partition = %here, what, "waits for a newer writer; nothing is lost");
        Outcome::Newer(batch.frames)
    }

    /// What a mutant does before its early ack.
    pub(crate) async fn verdicts_only(&self, frames: &[Bytes]) {
        let mut batch = Batch::default();
        frames.iter().for_each(|f| batch.add(f));
        self.decide(&mut batch.flows).await;
    }

    /// Everything before these barriers in this partition is finished.
    async fn mark(&self, here: Partition, barriers: &[String]) -> Outcome {
        for id in barriers {
            let name = here.to_string();
            if let Err(e) = self.patiently(0, || self.ports.store.mark_barrier(id, &name)).await {
                tracing::warn!(partition = %here, error = %e, "a barrier waits for database 0");
                return Outcome::Again;
            }
        }
        Outcome::Finished
    }
}
