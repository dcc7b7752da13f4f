//! Units that go back: from what an order's life left as rows to the ledgers of their cells, then
//! to Redis, which may be lost. A ledger finds what it has already (INV-6, INV-15).

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{CellId, Giveback};
use futures::future::join_all;
use store::port::{Appended, GivebackRow};
use store::{LedgerWrite, LifeWrite, StoreResult};
use view::{Follow, Followed};

use crate::metrics::METRICS;

/// Rows of one page.
const PAGE: u64 = 512;

/// Gives units back.
pub(crate) struct GiveUnits {
    pub ledger: Arc<dyn LedgerWrite>,
    pub lives: Arc<dyn LifeWrite>,
    pub follow: Follow,
    pub lease_ms: u64,
}

/// What became of a page.
#[derive(Default)]
struct GivenPage {
    done: Vec<GivebackRow>,
    refused: Vec<GivebackRow>,
    appended: Vec<Appended>,
}

impl GiveUnits {
    /// A page of what orders of `db` give to cells of `to`; true when there may be more.
    pub(crate) async fn page(&self, db: u16, to: u16) -> StoreResult<bool> {
        let rows = self.lives.take_givebacks(db, to, PAGE, self.lease_ms).await?;
        let more = rows.len() as u64 == PAGE;
        let mut cells: BTreeMap<CellId, Vec<GivebackRow>> = BTreeMap::new();
        for row in rows {
            cells.entry(row.cell.clone()).or_default().push(row);
        }
        let mut page = GivenPage::default();
        for (cell, rows) in cells {
            if !self.cell(&cell, rows, &mut page).await {
                break;
            }
        }
        if !page.done.is_empty() || !page.refused.is_empty() {
            self.lives.end_givebacks(db, &page.done, &page.refused).await?;
        }
        METRICS.givebacks.increment(page.done.len() as u64);
        METRICS.givebacks_refused.increment(page.refused.len() as u64);
        // Best effort: the next apply meets a gap and replays, the reconciler repeats.
        join_all(page.appended.iter().map(|one| applied(&self.follow, one))).await;
        Ok(more)
    }

    /// What fails waits for its lease: a cell that is busy or broken holds up no other. False when
    /// its database is away.
    async fn cell(&self, cell: &CellId, rows: Vec<GivebackRow>, page: &mut GivenPage) -> bool {
        let gives: Vec<Giveback> = rows.iter().map(|row| row.give).collect();
        match self.ledger.give_back(cell, &gives).await {
            Ok(given) => {
                let (refused, done): (Vec<_>, Vec<_>) =
                    rows.into_iter().partition(|row| given.refused.contains(&row.give));
                if let Some(first) = refused.first() {
                    let order = first.give.order;
                    tracing::error!(%cell, %order, "a ledger refused units that came back");
                }
                page.done.extend(done);
                page.refused.extend(refused);
                page.appended.push(given.appended);
                true
            }
            Err(e) => {
                tracing::warn!(%cell, error = %e, "units wait for their ledger");
                e.is_answer()
            }
        }
    }
}

/// Redis follows, if it can now.
pub(crate) async fn applied(follow: &Follow, appended: &Appended) {
    match follow.apply(appended).await {
        Followed::Ok { without_hold, .. } => view::count_without_hold(without_hold),
        Followed::Missing | Followed::Fork | Followed::Unknown => {}
    }
}
