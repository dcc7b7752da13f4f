//! Falsified counters: pause by a marked ledger entry, set the view right from the ledger, give
//! the flag back (PROTOCOL 6.6).
//!
//! The pause entry stores the flag that was in force. Any reconciler that finds the view exact and
//! such a pause as the last flag entry restores it; an operator's entry ends the chain.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cells::port::{Cells, Changed, MAX_MEND, MendCall};
use domain::drift::{self, DriftKind};
use domain::{CellId, EntryId, Flag, Identity};
use runtime::unique::Unique;
use store::fold::buyer_units;
use store::{LedgerRead, LedgerWrite, Marks};
use view::{Follow, Followed, OperateError};

use crate::check::Compare;
use crate::down::down;

/// The step.
pub(crate) struct Mend {
    pub cells: Arc<dyn Cells>,
    pub ledger: Arc<dyn LedgerRead>,
    pub entries: Arc<dyn LedgerWrite>,
    pub marks: Arc<dyn Marks>,
    pub follow: Follow,
    pub compare: Arc<Compare>,
    pub identity: Identity,
    pub unique: Arc<dyn Unique>,
    /// This process, for leases.
    pub holder: String,
}

impl Mend {
    fn fresh_id(&self, cell: &CellId, kind: &str) -> EntryId {
        let unique = format!("{}.{}", cell.bucket, self.unique.next());
        self.identity.request_id(&cell.offer, kind, &unique)
    }

    /// Pauses the cell in the ledger with a repair's mark, unless it is paused already.
    pub(crate) async fn pause(&self, cell: &CellId) -> Result<(), OperateError> {
        let head = self.ledger.head(cell).await.map_err(down)?;
        let former = head.ok_or(OperateError::UnknownCell)?.open;
        if former == Flag::Paused {
            return Ok(());
        }
        let id = self.fresh_id(cell, "repair");
        // Only from the flag that the note stores: if it changes meanwhile, the next pass pauses.
        let to: (Flag, &[Flag]) = (Flag::Paused, &[former]);
        let note = drift::repair_note(former);
        let cells = std::slice::from_ref(cell);
        self.entries.flag(cells, id, to, &note).await.map_err(down)?;
        Ok(())
    }

    /// Who paused a paused cell: a repair that is over, a broken invariant, or (`None`) a person.
    /// A repair's pause may have covered a falsified row: such a pause is not over.
    pub(crate) async fn paused_by(&self, cell: &CellId) -> Result<Option<DriftKind>, OperateError> {
        let last = self.ledger.last_flag(cell).await.map_err(down)?;
        let Some(note) = last.map(|e| e.payload) else { return Ok(None) };
        Ok(match drift::repaired_flag(&note) {
            Some(_) if self.compare.folds(cell).await? => Some(DriftKind::RepairPause),
            Some(_) => Some(DriftKind::Ledger),
            None => drift::is_broken(&note).then_some(DriftKind::Ledger),
        })
    }

    /// An invariant of the ledger is broken: nothing more is sold from this cell until a person
    /// has looked. The entry says why, and no reconciler ends this pause.
    pub(crate) async fn stop_selling(
        &self,
        cell: &CellId,
        invariant: &str,
    ) -> Result<(), OperateError> {
        tracing::error!(
            %cell, invariant,
            "broken: the cell is paused; see `An invariant is broken` in docs/operations.md"
        );
        let id = self.fresh_id(cell, "broken");
        let to: (Flag, &[Flag]) = (Flag::Paused, &[Flag::Open]);
        let cells = std::slice::from_ref(cell);
        let note = drift::broken_note(invariant);
        self.entries.flag(cells, id, to, &note).await.map_err(down)?;
        self.follow.catch_up(cell).await;
        Ok(())
    }

    /// Restores the flag of a repair's pause, if that pause is the last word and the ledger folds
    /// since. True when it did.
    pub(crate) async fn restore(&self, cell: &CellId) -> Result<bool, OperateError> {
        let last = self.ledger.last_flag(cell).await.map_err(down)?;
        let Some(pause) = last.filter(|e| drift::repaired_flag(&e.payload).is_some()) else {
            return Ok(false);
        };
        if !self.compare.folds(cell).await? {
            return Ok(false);
        }
        // A rebuild under way holds this lease and restores by itself.
        let lease = pause_lease(cell);
        if !self.marks.lease(&lease, &self.holder, 1000).await.map_err(down)? {
            return Ok(false);
        }
        let id = self.fresh_id(cell, "restore");
        let done = self.entries.restore_flag(cell, id, pause.seq).await;
        // A lease of no length is free again.
        self.marks.lease(&lease, &self.holder, 0).await.map_err(down)?;
        done.map_err(down)?;
        self.follow.catch_up(cell).await;
        Ok(true)
    }

    /// What the ledger says at W of these buyers.
    async fn at_w(
        &self,
        cell: &CellId,
        w: u64,
        buyers: Vec<String>,
    ) -> Result<Vec<(String, i64)>, OperateError> {
        if buyers.is_empty() {
            return Ok(Vec::new());
        }
        let asked: BTreeSet<String> = buyers.into_iter().collect();
        let mut sums = HashMap::new();
        let keep = |name: &str| asked.contains(name);
        buyer_units(&*self.ledger, cell, (0, w), keep, &mut sums).await.map_err(down)?;
        let of = |n: String| (sums.get(&n).copied().unwrap_or(0), n);
        Ok(asked.into_iter().map(of).map(|(units, n)| (n, units)).collect())
    }

    /// Sets supply, net, open, held and b right. `buyers`: those whose b is wrong. False when the
    /// cell changed meanwhile; the next pass tries again.
    pub(crate) async fn mend(
        &self,
        cell: &CellId,
        buyers: Vec<String>,
    ) -> Result<bool, OperateError> {
        self.pause(cell).await?;
        match self.follow.catch_up(cell).await {
            Followed::Ok { .. } => {}
            Followed::Missing | Followed::Fork | Followed::Unknown => return Ok(false),
        }
        let Some(view) = self.cells.snapshot(cell).await.map_err(down)? else {
            return Ok(false);
        };
        let w = view.totals.seq;
        let Some(totals) = self.ledger.at(cell, w).await.map_err(down)? else {
            return Ok(false);
        };
        // What the ledger says may have moved since the scan: read it at this W.
        let mut buyers = self.at_w(cell, w, buyers).await?;
        // At least one call, also without buyers: it sets the counters.
        loop {
            let rest = buyers.split_off(buyers.len().min(MAX_MEND));
            let (inc, seen_tok) = (view.mark.inc, view.totals.tok);
            let call = MendCall { inc, totals, seen_tok, buyers, buyers_full: false };
            if self.cells.mend(cell, call).await.map_err(down)? != Changed::Ok {
                return Ok(false);
            }
            if rest.is_empty() {
                break;
            }
            buyers = rest;
        }
        self.restore(cell).await?;
        Ok(true)
    }
}

/// Held by a rebuild while the cell is paused for it.
pub(crate) fn pause_lease(cell: &CellId) -> String {
    format!("pause:{cell}")
}
