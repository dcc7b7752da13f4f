//! Brings a Redis cell forward to the ledger: apply, and on a gap read the ledger and go on.
//!
//! Safe at any time, from any number of processes (INV-3): the script skips what it has, refuses
//! gaps, and knows a fork by the token. Nothing here is needed for safety of the sale; an apply
//! that is lost is repeated by the next one or by the reconciler.

use std::sync::Arc;

use cells::port::{Applied, ApplyCall, ApplyEntry, CellError, Cells, MAX_BATCH};
use domain::{CellId, Entry, Identity, Totals};
use runtime::seldom::{Seldom, Subject};
use store::port::Appended;
use store::{LedgerRead, StoreError};

use crate::failed;

/// How far following got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// The view is at least at the last entry that was to be applied.
    Ok {
        /// W now.
        watermark: u64,
        /// Fresh claims that found no hold.
        without_hold: u32,
    },
    /// The cell is not in Redis: a rebuild is needed.
    Missing,
    /// The view is not of this ledger: drop and rebuild.
    Fork,
    /// Redis or the database did not answer; try later.
    Unknown,
}

/// Applies ledger entries. Cheap to clone.
#[derive(Clone)]
pub struct Follow {
    cells: Arc<dyn Cells>,
    store: Arc<dyn LedgerRead>,
    identity: Identity,
}

/// Entries of one read of the ledger.
const PAGE: u64 = 512;

impl Follow {
    /// What is read there is applied here.
    pub fn new(store: Arc<dyn LedgerRead>, cells: Arc<dyn Cells>, identity: Identity) -> Self {
        Self { cells, store, identity }
    }

    /// Applies entries that a transaction has just appended.
    pub async fn apply(&self, appended: &Appended) -> Followed {
        let Some(last) = appended.entries.last() else {
            return Followed::Ok { watermark: appended.prev.seq, without_hold: 0 };
        };
        match self.fold(&appended.cell, appended.prev, &appended.entries).await {
            Ok(FoldStep::At { watermark, without_hold }) => {
                Followed::Ok { watermark, without_hold }
            }
            Ok(FoldStep::Gap(w)) => self.replay(&appended.cell, w, last.seq).await,
            Ok(FoldStep::Stop(followed)) => followed,
            Err(e) => unknown(&e),
        }
    }

    /// Applies everything the ledger has beyond the view; the view's W is read first.
    pub async fn catch_up(&self, cell: &CellId) -> Followed {
        match self.cells.snapshot(cell).await {
            Ok(Some(view)) => self.replay(cell, view.totals.seq, u64::MAX).await,
            Ok(None) => Followed::Missing,
            Err(e) => unknown(&e),
        }
    }

    /// Reads the ledger after `w` and applies until `until` or the head is reached. A page that
    /// ends at the head also proves that the token at W is the ledger's: with nothing to apply,
    /// the caller's W is compared with the cell row.
    async fn replay(&self, cell: &CellId, mut w: u64, until: u64) -> Followed {
        let mut lost = 0;
        loop {
            let page = match self.store.after(cell, w, PAGE).await {
                Ok(Some(page)) => page,
                Ok(None) => return Followed::Missing,
                Err(e) => return no_database(&e),
            };
            let Some(base) = page.base else { return Followed::Fork };
            if w > page.head.seq {
                return Followed::Fork;
            }
            if page.entries.is_empty() {
                return Followed::Ok { watermark: w, without_hold: lost };
            }
            match self.fold(cell, base, &page.entries).await {
                Ok(FoldStep::At { watermark, without_hold }) => {
                    lost += without_hold;
                    w = watermark.max(page.entries.last().map_or(w, |e| e.seq));
                }
                Ok(FoldStep::Gap(back)) => w = back,
                Ok(FoldStep::Stop(followed)) => return followed,
                Err(e) => return unknown(&e),
            }
            if w >= until.min(page.head.seq) {
                return Followed::Ok { watermark: w, without_hold: lost };
            }
        }
    }

    async fn fold(
        &self,
        cell: &CellId,
        prev: Totals,
        all: &[Entry],
    ) -> Result<FoldStep, CellError> {
        let (mut prev_seq, mut prev_tok) = (prev.seq, prev.tok);
        let (mut watermark, mut lost) = (prev.seq, 0);
        for chunk in all.chunks(MAX_BATCH) {
            let entries: Vec<ApplyEntry> = chunk.iter().map(|e| self.entry(cell, e)).collect();
            let call = ApplyCall { prev_seq, prev_tok, entries };
            match self.cells.apply(cell, call).await? {
                Applied::Ok { watermark: w, without_hold } => {
                    watermark = w;
                    lost += without_hold;
                }
                Applied::Gap { watermark } => return Ok(FoldStep::Gap(watermark)),
                Applied::Missing => return Ok(FoldStep::Stop(Followed::Missing)),
                Applied::Fork => return Ok(FoldStep::Stop(Followed::Fork)),
            }
            if let Some(last) = chunk.last() {
                (prev_seq, prev_tok) = (last.seq, last.tok);
            }
        }
        Ok(FoldStep::At { watermark, without_hold: lost })
    }

    fn entry(&self, cell: &CellId, e: &Entry) -> ApplyEntry {
        let hash = cell.buyer(&e.buyer).map(|b| self.identity.buyer_hash(&b)).unwrap_or(0);
        ApplyEntry::of(e, hash)
    }
}

enum FoldStep {
    At { watermark: u64, without_hold: u32 },
    Gap(u64),
    Stop(Followed),
}

fn unknown(e: &CellError) -> Followed {
    not_followed(("redis", 0), e)
}

fn no_database(e: &StoreError) -> Followed {
    not_followed(("database", e.db()), e)
}

/// Who follows hears only that it did not work; why is counted, and in the log once a second.
fn not_followed(subject: Subject, error: &dyn std::fmt::Display) -> Followed {
    static SAID: Seldom = Seldom::new();
    failed::note(&SAID, subject, "a ledger could not be followed", error);
    Followed::Unknown
}
