//! Comparing one cell: exact at any time, because the ledger up to W is immutable (INV-3).

use std::sync::Arc;
use std::time::Duration;

use cells::port::{CellView, Cells};
use domain::drift::{self, DriftKind};
use domain::ledger::refold;
use domain::{CellId, Kind, Totals};
use mutants::Mutant;
use store::port::Proven;
use store::{LedgerRead, Marks};
use view::{Drift, OperateError};

use crate::down::down;

/// Entries of one read of a ledger that may be broken.
const PAGE: u64 = 512;

/// How a cell's view stands to its ledger.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    /// The view, when there is one.
    pub view: Option<CellView>,
    /// The ledger at the view's W.
    pub at_w: Option<Totals>,
    /// The cell row.
    pub head: Totals,
    /// False when the cell row is not what the ledger's last entry says.
    pub row_is_sound: bool,
    /// What is wrong, if anything.
    pub kind: Option<DriftKind>,
}

/// The step.
pub(crate) struct Compare {
    pub cells: Arc<dyn Cells>,
    pub ledger: Arc<dyn LedgerRead>,
    pub marks: Arc<dyn Marks>,
    /// An apply on a bad day takes as long.
    pub late_after: Duration,
}

impl Compare {
    /// Reads the view, then the ledger at its W, then the cell row.
    pub(crate) async fn run(&self, cell: &CellId) -> Result<Compared, OperateError> {
        let view = self.cells.snapshot(cell).await.map_err(down)?;
        let at_w = match &view {
            Some(v) => self.ledger.at(cell, v.totals.seq).await.map_err(down)?,
            None => None,
        };
        // Read before the row: an entry that is beyond it then was there when it was written.
        let last = self.ledger.last(cell).await.map_err(down)?;
        let head = self.ledger.head(cell).await.map_err(down)?;
        let head = head.ok_or(OperateError::UnknownCell)?;
        // The entry at W is the last one most of the time: it is not read twice.
        let folded = match at_w {
            Some(t) if t.seq == head.seq => Some(t),
            _ => self.ledger.at(cell, head.seq).await.map_err(down)?,
        };
        let mut compared = judge(view, at_w, &RowRead { head, folded, last });
        if must_be_proven(compared.kind) {
            compared = self.proven(cell, view).await?;
        }
        // Which of the two is wrong? Only a ledger that folds says what a view must be.
        if compared.kind == Some(DriftKind::Counters) && !self.folds(cell).await? {
            compared.kind = Some(DriftKind::Ledger);
        }
        Ok(compared)
    }

    /// The same from one transaction that locks the row. A fork costs the cell its holds, a false
    /// row stops its sale: plain reads may come from a replica that is behind, or some from it and
    /// some not.
    async fn proven(
        &self,
        cell: &CellId,
        view: Option<CellView>,
    ) -> Result<Compared, OperateError> {
        let proven = self.locked(cell, view.map_or(0, |v| v.totals.seq)).await?;
        let compared = judge(view, view.and(proven.at), &RowRead::proven(&proven));
        if !must_be_proven(compared.kind) {
            tracing::warn!(%cell, "reads are behind the database that locks: is a replica asked?");
        }
        Ok(compared)
    }

    /// The cell row, and whether it is what its ledger says, which ends with it.
    pub(crate) async fn locked_row(&self, cell: &CellId) -> Result<(Totals, bool), OperateError> {
        let proven = self.locked(cell, 0).await?;
        Ok((proven.head, RowRead::proven(&proven).is_sound()))
    }

    async fn locked(&self, cell: &CellId, seq: u64) -> Result<Proven, OperateError> {
        let proven = self.ledger.locked(cell, seq).await.map_err(down)?;
        proven.ok_or(OperateError::UnknownCell)
    }

    /// False when an entry since the last flag entry is not the fold of what was before it: a row
    /// that was falsified, and an entry that covered it before anybody looked. A repair's or a
    /// rebuild's pause may itself stand above such an entry, so it is not what counts, but the flag
    /// before it. Once the cell is paused for that, the view follows the ledger whatever it says.
    pub(crate) async fn folds(&self, cell: &CellId) -> Result<bool, OperateError> {
        if mutants::on(Mutant::LedgerTrusted) {
            return Ok(true);
        }
        let last = self.ledger.last_flag(cell).await.map_err(down)?;
        if last.as_ref().is_some_and(|e| drift::is_broken(&e.payload)) {
            return Ok(true);
        }
        let mut at = match last {
            None => 0,
            Some(e) if drift::repaired_flag(&e.payload).is_some() => {
                self.before_flag(cell, e.seq).await?
            }
            Some(e) => e.seq.saturating_sub(1),
        };
        loop {
            let page = self.ledger.after(cell, at, PAGE).await.map_err(down)?;
            let Some((base, entries)) = page.and_then(|p| Some((p.base?, p.entries))) else {
                return Ok(true);
            };
            if let Err(what) = refold(base, &entries) {
                tracing::error!(%cell, what, "the ledger does not fold");
                return Ok(false);
            }
            match entries.last() {
                Some(e) => at = e.seq,
                None => return Ok(true),
            }
        }
    }

    /// The position before the last flag entry that is older than `seq`; of a long sale without
    /// one, a page back.
    async fn before_flag(&self, cell: &CellId, seq: u64) -> Result<u64, OperateError> {
        let from = seq.saturating_sub(PAGE + 1);
        let page = self.ledger.after(cell, from, PAGE).await.map_err(down)?;
        let entries = page.map_or(Vec::new(), |p| p.entries);
        let flag = entries.iter().rev().find(|e| e.kind == Kind::Flag && e.seq < seq);
        Ok(flag.map_or(from, |e| e.seq.saturating_sub(1)))
    }

    /// True when the view has been behind for longer than an apply takes on a bad day.
    pub(crate) async fn is_late(&self, cell: &CellId, w: u64) -> Result<bool, OperateError> {
        let page = self.ledger.after(cell, w, 1).await.map_err(down)?;
        let first = page.and_then(|p| p.entries.into_iter().next());
        let now = self.marks.now_ms().await.map_err(down)?;
        let limit = self.late_after.as_millis() as u64;
        Ok(first.is_some_and(|e| (e.at_ms as u64).saturating_add(limit) < now))
    }
}

/// A cell row, and what the ledger says of it.
struct RowRead {
    head: Totals,
    /// The ledger at the row's position.
    folded: Option<Totals>,
    /// The ledger's last entry.
    last: Option<Totals>,
}

impl RowRead {
    fn proven(p: &Proven) -> Self {
        Self { head: p.head, folded: p.folded, last: Some(p.last) }
    }

    /// The row is what the ledger says at its position, and nothing follows.
    fn is_sound(&self) -> bool {
        self.folded == Some(self.head) && self.last.is_none_or(|l| l.seq <= self.head.seq)
    }
}

/// What reads say.
fn judge(view: Option<CellView>, at_w: Option<Totals>, row: &RowRead) -> Compared {
    let (head, row_is_sound) = (row.head, row.is_sound());
    let kind = match &view {
        _ if !row_is_sound => Some(DriftKind::Ledger),
        Some(v) => drift::compare(v.totals, at_w, head),
        None => Some(DriftKind::Missing),
    };
    Compared { view, at_w, head, row_is_sound, kind }
}

/// What is not believed from plain reads.
fn must_be_proven(kind: Option<DriftKind>) -> bool {
    if mutants::on(Mutant::ForkPlain) {
        return kind == Some(DriftKind::Ledger);
    }
    if mutants::on(Mutant::StopPlain) {
        return kind == Some(DriftKind::Fork);
    }
    matches!(kind, Some(DriftKind::Fork | DriftKind::Ledger))
}

impl Compared {
    /// A line of a report.
    pub(crate) fn drift(&self, cell: &CellId, kind: DriftKind, applied: bool) -> Drift {
        let show = |t: &Totals| {
            format!(
                "supply {} net {} open {:?} seq {} tok {}",
                t.supply, t.net, t.open, t.seq, t.tok
            )
        };
        let ledger = match &self.at_w {
            Some(t) if kind != DriftKind::Behind => show(t),
            _ => show(&self.head),
        };
        Drift {
            cell: cell.clone(),
            kind,
            ledger,
            redis: self.view.as_ref().map_or("missing".to_owned(), |v| show(&v.totals)),
            repair: kind.repair(),
            applied,
        }
    }
}
