//! Poison: what no repetition can finish is parked for a person and never blocks the others.

use bytes::Bytes;
use orderlog::port::Partition;
use store::StoreResult;

use crate::batch::{Flow, Stop};
use crate::metrics::{METRICS, Parked};
use crate::process::Processor;

impl Processor {
    /// Parks single orders. They keep their hold; the relay skips them.
    pub(crate) async fn park_orders(&self, flows: &[Flow]) -> StoreResult<()> {
        for flow in flows {
            if let Some(Stop::Poison(why)) = &flow.stopped {
                tracing::error!(order = %flow.order(), why, "parked an order");
                let park = || self.ports.store.park(flow.order(), why, (flow.mode, &flow.sealed));
                self.patiently(0, park).await?;
                METRICS.parked.of(Parked::Order).increment(1);
            }
        }
        Ok(())
    }

    /// Parks frames that cannot be read.
    pub(crate) async fn park_frames(
        &self,
        here: Partition,
        unreadable: &[(Bytes, String)],
    ) -> StoreResult<()> {
        for (frame, why) in unreadable {
            tracing::error!(partition = %here, why, bytes = frame.len(), "parked a frame");
            let partition = here.to_string();
            self.patiently(0, || self.ports.store.park_frame(&partition, why, frame)).await?;
            METRICS.parked.of(Parked::Frame).increment(1);
        }
        Ok(())
    }
}
