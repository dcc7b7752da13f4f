//! The last look at the stock of each offer: looked at again at most so often, by one request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cells::port::Cells;
use domain::{Flag, OfferId};
use parking_lot::Mutex;
use tokio::time::Instant;
use view::{Known, failed};

/// A look is good for this long.
const FRESH: Duration = Duration::from_millis(500);

/// What a look found, over all buckets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stock {
    pub flag: Flag,
    pub available: i64,
    /// The time of the Redis node.
    pub redis_ms: u64,
    at: Instant,
}

type Slot = Arc<tokio::sync::Mutex<Option<Stock>>>;

/// As many as the catalog has offers.
#[derive(Default)]
pub(crate) struct Stocks(Mutex<HashMap<OfferId, Slot>>);

impl Stocks {
    /// The stock of an offer; `None` when it cannot be read now.
    pub(crate) async fn of(&self, cells: &dyn Cells, known: &Known) -> Option<Stock> {
        let slot: Slot = self.0.lock().entry(known.offer.id.clone()).or_default().clone();
        let mut seen = slot.lock().await;
        if let Some(stock) = seen.filter(|s| s.at.elapsed() < FRESH) {
            return Some(stock);
        }
        let mut sum = Stock { flag: Flag::Closed, available: 0, redis_ms: 0, at: Instant::now() };
        for bucket in 0..known.offer.buckets {
            let view = cells.snapshot(&known.offer.id.cell(bucket)).await;
            let view = view.map_err(failed::redis).ok()??;
            sum.flag = view.totals.open;
            sum.available += view.available();
            sum.redis_ms = sum.redis_ms.max(view.mark.redis_ms);
        }
        *seen = Some(sum);
        Some(sum)
    }
}
