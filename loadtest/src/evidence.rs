//! The facts a verdict is made of, as plain values. Pure; `verify` gathers them.

use std::collections::HashMap;

use domain::order::RejectReason;
use domain::{Entry, Flag, Hold, Kind, OrderId, RowStatus, Tok, Totals};

/// A claim of the ledger, with the key of its row or of the bytes that are kept beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimFact {
    pub order: OrderId,
    pub buyer: String,
    pub key: String,
    pub qty: i64,
    pub released: bool,
    /// Units that came back by refunds.
    pub returned: i64,
}

/// A cell's ledger, read from position 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct CellLedger {
    pub entries: Vec<Entry>,
    /// The ledger at the view's watermark.
    pub at_w: Option<Totals>,
    pub claims: Vec<ClaimFact>,
}

/// The view of a cell in Redis, or as the admin listener shows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub supply: i64,
    pub net: i64,
    pub held: i64,
    pub available: i64,
    pub watermark: u64,
    pub holds: u64,
    /// Token and flag, when Redis was read directly.
    pub deep: Option<(Tok, Flag)>,
    /// Every hold, when Redis was read directly.
    pub all_holds: Option<Vec<Hold>>,
    /// (what b says, what ledger and limit say), when Redis was read directly and b is kept.
    pub buyers: Option<HashMap<String, i64>>,
}

/// One cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct CellFacts {
    pub cell: String,
    /// The cell row.
    pub head: Totals,
    /// `None` without access to the database.
    pub ledger: Option<CellLedger>,
    /// `None` when Redis lacks the cell.
    pub view: Option<View>,
}

/// A row, as the database or the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFact {
    pub status: RowStatus,
    pub reason: Option<RejectReason>,
    /// Empty on the loser of a key conflict, and where the API was asked.
    pub key: String,
}

/// Everything known after the run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub cells: Vec<CellFacts>,
    /// All rows of the offer; from the API only those of this run.
    pub rows: HashMap<OrderId, RowFact>,
    /// Order ids with a second row in another database.
    pub double_rows: Vec<OrderId>,
    /// True when the rows are all rows of the offer.
    pub complete: bool,
    /// Units of one order of the run.
    pub quantity: i64,
    /// True when every order of the offer is of this run.
    pub own_offer: bool,
    /// True when nothing was on its way any more.
    pub quiet: bool,
}

/// The claims of a ledger; a release marks its claim. `key_of` knows whose they are.
pub(crate) fn claims(entries: &[Entry], key_of: impl Fn(&OrderId) -> String) -> Vec<ClaimFact> {
    let mut out: Vec<ClaimFact> = Vec::new();
    let mut index: HashMap<OrderId, usize> = HashMap::new();
    for e in entries {
        let Some(order) = e.order() else { continue };
        match e.kind {
            Kind::Claim => {
                index.insert(order, out.len());
                out.push(ClaimFact {
                    order,
                    buyer: e.buyer.clone(),
                    key: key_of(&order),
                    qty: e.qty,
                    released: false,
                    returned: 0,
                });
            }
            Kind::Release => {
                if let Some(i) = index.get(&order) {
                    out[*i].released = true;
                }
            }
            Kind::Return(_) => {
                if let Some(i) = index.get(&order) {
                    out[*i].returned += e.qty;
                }
            }
            Kind::Supply | Kind::Reject | Kind::TransferOut | Kind::Flag => {}
        }
    }
    out
}
