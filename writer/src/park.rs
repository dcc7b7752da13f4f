//! Poison: what no repetition can finish is parked for a person and never blocks the others.

use std::sync::Arc;

use bytes::Bytes;
use orderlog::port::Partition;
use store::port::CATALOG_DB;
use store::{ParkedWrite, StoreResult};

use crate::batch::{Flow, Stop};
use crate::metrics::{METRICS, ParkedWhat};
use view::DatabasePatience;

/// The step.
#[derive(Clone)]
pub(crate) struct Park {
    pub store: Arc<dyn ParkedWrite>,
    pub patience: DatabasePatience,
}

impl Park {
    /// Parks single orders. They keep their hold; the relay skips them.
    pub(crate) async fn orders(&self, flows: &[Flow]) -> StoreResult<()> {
        for flow in flows {
            if let Some(Stop::Poison(why)) = &flow.stopped {
                tracing::error!(order = %flow.order(), why, "parked an order");
                let park = || self.store.park(flow.order(), why, (flow.mode, &flow.sealed));
                self.patience.call(CATALOG_DB, park).await?;
                METRICS.parked.of(ParkedWhat::Order).increment(1);
            }
        }
        Ok(())
    }

    /// Parks frames that cannot be read.
    pub(crate) async fn frames(
        &self,
        here: Partition,
        unreadable: &[(Bytes, String)],
    ) -> StoreResult<()> {
        let partition = here.to_string();
        for (frame, why) in unreadable {
            tracing::error!(%partition, why, bytes = frame.len(), "parked a frame");
            let park = || self.store.park_frame(&partition, why, frame);
            self.patience.call(CATALOG_DB, park).await?;
            METRICS.parked.of(ParkedWhat::Frame).increment(1);
        }
        Ok(())
    }
}
