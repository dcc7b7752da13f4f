//! The facts a verdict is made of, as plain values. Pure; `verify` gathers them.

use std::collections::HashMap;

use domain::{Entry, Flag, Hold, Kind, OfferId, OrderId, Status, Tok, Totals};

/// A claim of the ledger, with what its payload says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub order: OrderId,
    pub buyer: String,
    pub key: String,
    pub qty: i64,
    pub released: bool,
    /// True when another offer's cell is the order's anchor: its row is filed there.
    pub elsewhere: bool,
}

/// A cell's ledger, read from position 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct CellLedger {
    pub entries: Vec<Entry>,
    /// The ledger at the view's watermark.
    pub at_w: Option<Totals>,
    pub claims: Vec<Claim>,
    /// Entries whose payload is not one.
    pub unreadable: u64,
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
pub(crate) struct Row {
    pub status: Status,
    pub reason: Option<String>,
}

/// Everything known after the run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub cells: Vec<CellFacts>,
    /// All rows of the offer; from the API only those of this run.
    pub rows: HashMap<OrderId, Row>,
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

/// The claims of a ledger; a release marks its claim.
pub(crate) fn claims(offer: &OfferId, entries: &[Entry]) -> (Vec<Claim>, u64) {
    let mut out: Vec<Claim> = Vec::new();
    let mut index: HashMap<OrderId, usize> = HashMap::new();
    let mut unreadable = 0;
    for e in entries {
        match e.kind {
            Kind::Claim => {
                let sealed = domain::frame::Sealed::from_ledger(&e.payload);
                let payload = sealed.and_then(|s| domain::Payload::decode(&s.payload).ok());
                let payload = payload.filter(|p| p.order == e.order);
                unreadable += u64::from(payload.is_none());
                index.insert(e.order, out.len());
                let anchor = payload.as_ref().map(|p| &p.anchor_line().cell.offer);
                out.push(Claim {
                    order: e.order,
                    buyer: e.buyer.clone(),
                    elsewhere: anchor.is_some_and(|a| a != offer),
                    key: payload.map(|p| p.key.as_str().to_owned()).unwrap_or_default(),
                    qty: e.qty,
                    released: false,
                });
            }
            Kind::Release => {
                if let Some(i) = index.get(&e.order) {
                    out[*i].released = true;
                }
            }
            Kind::Supply | Kind::Reject | Kind::TransferOut | Kind::Flag => {}
        }
    }
    (out, unreadable)
}
