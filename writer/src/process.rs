//! One batch of frames through all the steps. No consumer and no ack in here, so that tests and
//! the simulator drive exactly this.

use async_trait::async_trait;
use bytes::Bytes;
use mutants::Mutant;
use orderlog::port::Partition;
use store::port::Appended;
use view::{FrameWork, Marking, Processed, WriterPorts};

use crate::apply::Apply;
use crate::batch::{Batch, Flow};
use crate::lines::{Decide, Decided};
use crate::metrics::METRICS;
use crate::park::Park;
use crate::retry::{HandOver, must_stay};
use crate::rows::WriteRows;
use crate::settings::WriterSettings;
use crate::settle::Settle;
use view::DatabasePatience;

/// Runs the steps over its ports. Cheap to clone; clones know the same of silent databases.
#[derive(Clone)]
pub struct Processor {
    pub(crate) decide: Decide,
    rows: WriteRows,
    pub(crate) settle: Settle,
    apply: Apply,
    park: Park,
    hand_over: HandOver,
    pub(crate) mark: Marking,
}

impl Processor {
    /// Each step gets the ports that it needs, and all the same patience.
    pub fn new(ports: &WriterPorts, settings: &WriterSettings) -> Self {
        let patience = DatabasePatience::new(settings.patience);
        let of = || patience.clone();
        let store = &ports.store;
        Self {
            decide: Decide { store: store.clone(), patience: of() },
            rows: WriteRows { store: store.clone(), patience: of() },
            settle: Settle { store: store.clone(), patience: of() },
            apply: Apply { follow: ports.follow(), cells: ports.cells.clone() },
            park: Park { store: store.clone(), patience: of() },
            hand_over: HandOver { log: ports.log.clone() },
            mark: Marking { store: store.clone(), patience: of() },
        }
    }

    /// PROTOCOL 6.4, steps 1 to 6, over frames of one partition in their order.
    pub async fn run(&self, here: Partition, frames: &[Bytes]) -> Processed {
        let mut batch = Batch::of(frames);
        if !barriers_come_last() {
            let _ = self.mark.barriers(here, &batch.barriers).await;
        }
        METRICS.batch_orders.record(batch.flows.len() as f64);
        let flows = &mut batch.flows;
        let decided = self.decide.run(flows).await;
        let released = self.write_rows(flows).await;
        self.end(flows, &decided, released).await;
        // Nothing is parked or handed over before that is the last thing to do: this batch runs
        // again, and each run would park and publish the same orders once more.
        if flows.iter().any(|flow| must_stay(here, flow)) {
            return Processed::Again;
        }
        if let Err(e) = self.leave(here, &batch).await {
            tracing::warn!(partition = %here, error = %e, "what is left of a batch waits");
            return Processed::Again;
        }
        let Some(what) = batch.newer else { return Processed::Finished };
        tracing::error!(partition = %here, what, "waits for a newer writer; nothing is lost");
        Processed::Newer(batch.frames)
    }

    /// Steps 3 and 4: rows, and the releases that follow from them.
    pub(crate) async fn write_rows(&self, flows: &mut [Flow]) -> Vec<Appended> {
        let dead = self.rows.run(flows).await;
        self.settle.release(flows, dead).await
    }

    /// Steps 5 and 6: ranges without rows are forgotten, the views learn what was appended.
    pub(crate) async fn end(&self, flows: &[Flow], decided: &Decided, released: Vec<Appended>) {
        self.settle.ranges(flows, decided).await;
        self.apply.run(flows, decided, released).await;
    }

    /// The views learn what was appended.
    pub(crate) async fn follow(&self, appended: &Appended) {
        self.apply.follow.apply(appended).await;
    }

    /// What could not be finished is stored elsewhere, then the barriers are passed.
    async fn leave(&self, here: Partition, batch: &Batch) -> Result<(), Untaken> {
        let parked = self.park.orders(&batch.flows).await;
        parked.and(self.park.frames(here, &batch.unreadable).await)?;
        self.hand_over.run(here, &batch.flows).await?;
        self.mark.barriers(here, &batch.barriers).await?;
        Ok(())
    }
}

#[async_trait]
impl FrameWork for Processor {
    async fn run(&self, here: Partition, frames: &[Bytes]) -> Processed {
        Processor::run(self, here, frames).await
    }

    async fn is_acked_early(&self, frames: &[Bytes]) -> bool {
        match ack_comes_after() {
            AckAfter::Everything => return false,
            AckAfter::Verdicts => {
                self.decide.run(&mut Batch::of(frames).flows).await;
            }
            AckAfter::Nothing => {}
        }
        true
    }
}

/// What is finished before the frames of a batch are acked.
enum AckAfter {
    Nothing,
    Verdicts,
    Everything,
}

/// INV-2: an acked frame is never seen again, so whatever it asks for is done or stored elsewhere.
fn ack_comes_after() -> AckAfter {
    if mutants::on(Mutant::AckBeforeCommit) {
        return AckAfter::Nothing;
    }
    if mutants::on(Mutant::AckBeforeRow) {
        return AckAfter::Verdicts;
    }
    AckAfter::Everything
}

/// Who did not take what was to be stored elsewhere.
#[derive(Debug, thiserror::Error)]
enum Untaken {
    #[error("database 0: {0}")]
    Database(#[from] store::StoreError),
    #[error("a retry partition: {0}")]
    Log(#[from] orderlog::port::LogError),
}

/// INV-2: a barrier says that everything before it is finished, so it is marked when that is so.
fn barriers_come_last() -> bool {
    if mutants::on(Mutant::BarrierEarly) {
        return false;
    }
    true
}
