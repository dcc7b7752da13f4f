//! A pass that somebody asked for: over everything, or over one offer.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{CellId, OfferId};
use view::{OperateError, Report};

use crate::cell::{How, is_built};
use crate::down::down;
use crate::rebuild::Built;
use crate::rows::Which;
use crate::steps::{CELLS, Steps};

/// On demand.
pub(crate) struct Demand(pub Arc<Steps>);

impl Demand {
    /// All cells, or those of an offer; also builds what is missing unless it is a dry run.
    pub(crate) async fn run(
        &self,
        offer: Option<&OfferId>,
        dry_run: bool,
    ) -> Result<Report, OperateError> {
        let how = How { dry_run, quiet: true };
        let mut report = Report::default();
        let only = offer.map(|o| self.0.ledger.cell_db(o));
        let dbs = 0..self.0.ledger.databases();
        for db in dbs.filter(|db| only.is_none_or(|o| o == *db)) {
            if let Err(e) = self.cells(db, offer, how, &mut report).await {
                tracing::warn!(db, error = %e, "its cells are not in the report");
                report.unread.push(db);
            }
        }
        if !dry_run {
            self.build(&mut report).await?;
        }
        for db in 0..self.0.ledger.databases() {
            if let Err(e) = self.0.rows.all(db, Which { offer, dry_run }, &mut report).await {
                tracing::warn!(db, error = %e, "its rows are not in the report");
                report.unread.push(db);
            }
        }
        report.unread.sort_unstable();
        report.unread.dedup();
        Ok(report)
    }

    /// The cells of one database, into the report.
    async fn cells(
        &self,
        db: u16,
        offer: Option<&OfferId>,
        how: How,
        report: &mut Report,
    ) -> Result<(), OperateError> {
        let mut after: Option<CellId> = None;
        loop {
            let page = self.0.ledger.cells(db, after.as_ref(), CELLS).await.map_err(down)?;
            let Some(last) = page.last().cloned() else { return Ok(()) };
            after = Some(last);
            let wanted = |c: &CellId| offer.is_none_or(|o| c.offer == *o);
            let cells: Vec<CellId> = page.into_iter().filter(wanted).collect();
            for (cell, found) in self.0.look.run(&cells, how).await {
                report.cells += 1;
                match found {
                    Ok((_, drift)) => {
                        report.compared += 1;
                        report.drift.extend(drift);
                    }
                    Err(e) => tracing::warn!(%cell, error = %e, "not compared"),
                }
            }
        }
    }

    async fn build(&self, report: &mut Report) -> Result<(), OperateError> {
        let cells: Vec<CellId> =
            report.drift.iter().filter(|d| is_built(d)).map(|d| d.cell.clone()).collect();
        if cells.is_empty() {
            return Ok(());
        }
        let Built { cells: mut built, elsewhere } = self.0.build.missing(&cells).await?;
        // Somebody was at it already: starting over would only take longer.
        for cell in elsewhere {
            match self.0.build.built(&cell).await {
                Ok(()) => built.push(cell),
                Err(e) => tracing::warn!(%cell, error = %e, "another reconciler's build"),
            }
        }
        let built: BTreeSet<CellId> = built.into_iter().collect();
        for d in report.drift.iter_mut().filter(|d| is_built(d)) {
            d.applied = built.contains(&d.cell);
        }
        Ok(())
    }
}
