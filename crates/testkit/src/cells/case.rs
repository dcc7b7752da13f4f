//! A cell under test, and the items and calls of the directed cases.

use bytes::Bytes;
use cells::port::{
    Applied, ApplyCall, ApplyEntry, Cells, Changed, LoadCall, Refusal, ReserveCall, ReserveItem,
    Reserved,
};
use domain::ledger::{Draft, Flag};
use domain::{CampaignNo, CellId, HoldState, Kind, Nonce, OrderId, Tok, Totals};

/// A cell under test and its ledger.
pub struct Case<'a> {
    cells: &'a dyn Cells,
    pub(super) cell: CellId,
    head: Totals,
    limit: u32,
}

/// An order of a buyer: (buyer, key, content).
pub fn order(buyer: u16, key: u64, content: u32) -> OrderId {
    OrderId::compose(CampaignNo(2), buyer, key, content)
}

/// A sealed item of one unit, ready to be changed.
pub fn item(order: OrderId, nonce: u64) -> ReserveItem {
    ReserveItem {
        id: order.into(),
        buyer: Some(format!("b{}", order.shard()).parse().expect("a short name")),
        buyer_hash: u64::from(order.shard()) + 1,
        qty: 1,
        nonce: Nonce(nonce),
        state: HoldState::Sealed,
        payload: Bytes::from(format!("payload of {nonce}")),
        checked: true,
        relay: false,
    }
}

/// A call without window and deadline.
pub fn call(limit: u32, items: Vec<ReserveItem>) -> ReserveCall {
    ReserveCall { limit, deadline_ms: 0, opens_at_ms: 0, closes_at_ms: 0, wait: None, items }
}

impl<'a> Case<'a> {
    /// Loads a new cell with `supply` units.
    pub async fn new(cells: &'a dyn Cells, cell: CellId, supply: i64, limit: u32) -> Self {
        let head = Totals { supply, open: Flag::Open, seq: 2, tok: Tok(9), ..Totals::default() };
        let load = LoadCall {
            totals: head,
            inc: 5,
            adds: 0,
            ticket: None,
            staged: None,
            staged_len: 0,
            limited: limit > 0,
        };
        assert_eq!(cells.load(&cell, load.clone()).await.expect("load"), Changed::Ok);
        assert_eq!(cells.load(&cell, load).await.expect("load"), Changed::Exists);
        Self { cells, cell, head, limit }
    }

    pub(super) async fn reserve(&self, call: ReserveCall) -> Vec<Reserved> {
        self.cells.reserve(&self.cell, &call).await.expect("reserve").results
    }

    /// One item alone.
    pub async fn one(&self, item: ReserveItem) -> Reserved {
        self.reserve(call(self.limit, vec![item])).await.remove(0)
    }

    /// Appends to the ledger and folds the entry in.
    pub async fn fold(&mut self, kind: Kind, order: OrderId, qty: i64) -> Applied {
        let before = self.head;
        let buyer = match kind {
            Kind::Claim | Kind::Reject | Kind::Release | Kind::Return(_) => {
                format!("b{}", order.shard())
            }
            Kind::Supply | Kind::TransferOut | Kind::Flag => String::new(),
        };
        let draft = Draft { kind, id: order.into(), buyer, qty, payload: Vec::new() };
        let entry = self.head.append(draft, 0).expect("a legal entry");
        let entries = vec![ApplyEntry::of(&entry, u64::from(order.shard()) + 1)];
        let call = ApplyCall { prev_seq: before.seq, prev_tok: before.tok, entries };
        let first = self.cells.apply(&self.cell, call.clone()).await.expect("apply");
        let again = self.cells.apply(&self.cell, call).await.expect("apply");
        assert_eq!(again, Applied::Ok { watermark: self.head.seq, without_hold: 0 });
        first
    }
}

pub(super) fn is_new(r: &Reserved) -> bool {
    matches!(r, Reserved::New { .. })
}

pub(super) fn refused(why: Refusal, known_buyer: bool) -> Reserved {
    Reserved::Refused { why, known_buyer }
}
