//! The verdict over small made-up worlds: each promise broken once, each exception allowed once.

use super::*;
use crate::answer::{HeardAnswer, RequestOutcome};
use crate::evidence::{CellLedger, RowFact, claims};
use contract::Reason;
use domain::Kind;
use domain::ledger::Draft;
use domain::order::{RejectReason, RowStatus};

const CELL: &str = "load.0";

fn names() -> Names {
    Names { run: "t".into(), buyers: 100 }
}

fn id(n: u8) -> OrderId {
    OrderId::compose(domain::CampaignNo(0), 0, u64::from(n), u32::from(n))
}

/// A world: a ledger that grows, the rows and the tracks that go with it.
struct World {
    head: Totals,
    entries: Vec<domain::Entry>,
    facts: Facts,
    tracks: Vec<Track>,
    keys: HashMap<OrderId, String>,
}

impl World {
    fn new(supply: i64, requests: usize) -> Self {
        let facts =
            Facts { complete: true, quantity: 1, own_offer: true, quiet: true, ..Facts::default() };
        let (head, entries) = (Totals::default(), Vec::new());
        let (tracks, keys) = (vec![Track::default(); requests], HashMap::new());
        let mut w = World { head, entries, facts, tracks, keys };
        w.append(Kind::Supply, id(200), supply, "");
        w
    }

    fn append(&mut self, kind: Kind, order: OrderId, qty: i64, buyer: &str) {
        let draft =
            Draft { kind, id: order.into(), buyer: buyer.to_owned(), qty, payload: Vec::new() };
        let entry = self.head.append(draft, 1).expect("the test keeps the bounds");
        self.entries.push(entry);
    }

    fn claim(&mut self, track: u32, order: OrderId) {
        self.keys.insert(order, names().key(track));
        self.append(Kind::Claim, order, 1, &names().buyer(track));
    }

    fn row(&mut self, order: OrderId, status: RowStatus, reason: Option<RejectReason>) {
        let key = self.keys.get(&order).cloned().unwrap_or_default();
        let row = RowFact { status, reason, key };
        self.facts.rows.insert(order, row);
    }

    fn told(&mut self, track: usize, outcome: RequestOutcome, order: Option<OrderId>) {
        self.tracks[track].learn(&HeardAnswer { order, ..HeardAnswer::none(outcome) });
    }

    /// Accepted, claimed, pending: the good life.
    fn sell(&mut self, track: u32, order: OrderId) {
        self.claim(track, order);
        self.row(order, RowStatus::Pending, None);
        self.told(track as usize, RequestOutcome::Accepted, Some(order));
    }

    fn judge(mut self) -> RunVerdict {
        let t = self.head;
        let view = View {
            supply: t.supply,
            net: t.net,
            available: t.supply - t.net,
            watermark: t.seq,
            ..View::default()
        };
        let key = |o: &OrderId| self.keys.get(o).cloned().unwrap_or_default();
        let claims = claims(&self.entries, key);
        let ledger = CellLedger { entries: self.entries, at_w: Some(t), claims };
        self.facts.cells.push(CellFacts {
            cell: CELL.into(),
            head: t,
            ledger: Some(ledger),
            view: Some(view),
        });
        judge(&self.tracks, &names(), &self.facts)
    }
}

fn ids(v: &RunVerdict) -> Vec<&'static str> {
    v.violations.iter().map(|x| x.id).collect()
}

#[test]
fn a_good_run_is_conserved() {
    let mut w = World::new(2, 3);
    w.sell(0, id(1));
    w.sell(1, id(2));
    w.told(2, RequestOutcome::Refused(Reason::SoldOut), None);
    let v = w.judge();
    assert!(v.is_conserved(), "{:?}", v.violations);
    let t = v.table;
    assert_eq!((t.supply, t.claimed, t.net, t.available), (2, Some(2), 2, 0));
    assert_eq!((t.rows_pending, t.accepted, t.lost, t.doubled), (2, 2, 0, 0));
}

#[test]
fn an_accepted_order_without_a_row_is_lost() {
    let mut w = World::new(2, 1);
    w.told(0, RequestOutcome::Accepted, Some(id(1)));
    let v = w.judge();
    assert_eq!((ids(&v), v.table.lost), (vec!["INV-7"], 1));
}

#[test]
fn a_claim_without_a_row_is_lost_too() {
    let mut w = World::new(2, 1);
    w.claim(0, id(1));
    w.told(0, RequestOutcome::Accepted, Some(id(1)));
    let v = w.judge();
    assert!(ids(&v).contains(&"INV-7"));
    assert_eq!(v.table.lost, 1);
}

#[test]
fn two_live_orders_of_one_key_are_doubled() {
    let mut w = World::new(2, 1);
    w.sell(0, id(1));
    w.claim(0, id(2));
    w.row(id(2), RowStatus::Pending, None);
    let v = w.judge();
    assert_eq!((ids(&v), v.table.doubled), (vec!["INV-8"], 1));
}

#[test]
fn two_promises_under_one_key_are_doubled() {
    let mut w = World::new(2, 1);
    w.sell(0, id(1));
    w.row(id(2), RowStatus::Rejected, Some(RejectReason::KeyConflict));
    w.told(0, RequestOutcome::Accepted, Some(id(2)));
    let v = w.judge();
    assert!(ids(&v).contains(&"INV-8") && ids(&v).contains(&"INV-13"));
}

#[test]
fn a_refusal_leaves_nothing_behind_unless_there_was_a_doubt() {
    let world = |doubt: bool| {
        let mut w = World::new(2, 1);
        w.claim(0, id(1));
        w.row(id(1), RowStatus::Pending, None);
        if doubt {
            w.told(0, RequestOutcome::NoAnswer, None);
        }
        w.told(0, RequestOutcome::Refused(Reason::SoldOut), None);
        w.judge()
    };
    assert_eq!(ids(&world(false)), ["INV-8"]);
    assert!(world(true).is_conserved());
    assert_eq!(world(true).fates.get("not_asked"), Some(&1));
}

#[test]
fn redis_losing_data_is_counted_and_no_failure() {
    let mut w = World::new(2, 2);
    for (track, reason) in [(0, RejectReason::SoldOut), (1, RejectReason::LimitReached)] {
        let order = id(track + 1);
        w.append(Kind::Reject, order, 0, "");
        w.row(order, RowStatus::Rejected, Some(reason));
        w.told(usize::from(track), RequestOutcome::Accepted, Some(order));
    }
    let v = w.judge();
    assert!(v.is_conserved(), "{:?}", v.violations);
    assert_eq!(v.accepted_rejected.values().sum::<u64>(), 2);
}

#[test]
fn a_cancelled_order_gives_its_units_back() {
    let mut w = World::new(2, 1);
    w.sell(0, id(1));
    w.row(id(1), RowStatus::Cancelled, None);
    let mut again = World::new(2, 1);
    again.sell(0, id(1));
    again.append(Kind::Release, id(1), 1, "load-t-b0");
    again.row(id(1), RowStatus::Cancelled, None);
    assert!(ids(&w.judge()).contains(&"INV-6"));
    let v = again.judge();
    assert!(v.is_conserved(), "{:?}", v.violations);
    assert_eq!((v.table.released, v.table.rows_dead), (Some(1), 1));
}

#[test]
fn a_view_that_is_not_the_ledger_breaks_it() {
    let mut w = World::new(5, 1);
    w.sell(0, id(1));
    let head = w.head;
    let view = View { supply: 5, net: 0, available: 5, watermark: head.seq, ..View::default() };
    let cell = CellFacts { cell: CELL.into(), head, ledger: None, view: Some(view) };
    w.facts.cells.push(cell);
    let mut v = RunVerdict::default();
    judge_cell(&w.facts.cells[0], &w.facts, &mut v);
    assert_eq!(ids(&v), ["INV-3"]);
}

#[test]
fn holds_at_the_end_and_an_unquiet_end_break_it() {
    let mut w = World::new(5, 0);
    w.facts.quiet = false;
    assert_eq!(ids(&w.judge()), ["INV-11"]);
    let w = World::new(5, 0);
    let view = View { supply: 5, held: 1, holds: 1, available: 4, watermark: 1, ..View::default() };
    let cell = CellFacts { cell: CELL.into(), head: w.head, ledger: None, view: Some(view) };
    let mut v = RunVerdict::default();
    judge_cell(&cell, &w.facts, &mut v);
    assert_eq!(ids(&v), ["INV-11"]);
}

#[test]
fn more_sold_than_there_was_is_oversold() {
    let head = Totals { supply: 1, net: 3, seq: 4, ..Totals::default() };
    let facts = Facts {
        cells: vec![CellFacts { cell: CELL.into(), head, ..CellFacts::default() }],
        quiet: true,
        ..Facts::default()
    };
    let v = judge(&[], &names(), &facts);
    assert_eq!(v.table.oversold, 2);
    assert!(ids(&v).contains(&"INV-1"));
}

#[test]
fn somebody_elses_order_in_our_own_offer_is_told() {
    let mut w = World::new(2, 1);
    w.told(0, RequestOutcome::Refused(Reason::SoldOut), None);
    w.claim(7, id(9));
    w.row(id(9), RowStatus::Pending, None);
    let v = w.judge();
    assert_eq!(v.table.rows_foreign, 1);
    assert_eq!(ids(&v), ["INV-8"]);
}

#[test]
fn from_the_api_alone_rows_and_net_must_agree() {
    let mut tracks = vec![Track::default()];
    let order = id(1);
    tracks[0]
        .learn(&HeardAnswer { order: Some(order), ..HeardAnswer::none(RequestOutcome::Accepted) });
    let head = Totals { supply: 2, net: 1, seq: 3, ..Totals::default() };
    let view = View { supply: 2, net: 1, available: 1, watermark: 3, ..View::default() };
    let cell = CellFacts { cell: CELL.into(), head, ledger: None, view: Some(view) };
    let row = RowFact { status: RowStatus::Pending, reason: None, key: String::new() };
    let mut facts = Facts {
        cells: vec![cell],
        rows: [(order, row)].into(),
        quantity: 1,
        own_offer: true,
        quiet: true,
        ..Facts::default()
    };
    assert!(judge(&tracks, &names(), &facts).is_conserved());
    facts.rows.clear();
    let v = judge(&tracks, &names(), &facts);
    assert_eq!((ids(&v), v.table.lost), (vec!["INV-11", "INV-7"], 1));
}
