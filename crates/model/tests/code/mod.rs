//! The real cells (embedded engine) and the store in memory, driven by the model's operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use cells::embedded::{Embedded, Saved};
use cells::port::{
    Applied, ApplyCall, ApplyEntry, Cells, FenceReply, LoadCall, Refusal, ReserveCall, ReserveItem,
    Reserved,
};
use cells::{Changed, Engine};
use domain::frame::{Mode, Sealed};
use domain::order::RejectReason;
use domain::{
    CampaignNo, CellId, Giveback, HoldState, Identity, Kind, Line, Nonce, Payload, RowStatus,
};
use model::ledger::{FIRST, buyer, id};
use model::redis::SHARED;
use model::state::Row;
use model::{Op, Reply, Scope, State};
use store::fold::buyer_units;
use store::port::{Ask, CellAsks, RowAsk};
use store::{Init, LedgerRead, LedgerWrite, OrdersWrite, Verdicts};
use testkit::cells::HandClock;
use testkit::memory::MemoryStore;

const NOW: u64 = 1_800_000_000_000;

/// A deployment as large as the scope.
pub(crate) struct Code {
    scope: Scope,
    cells: Arc<Engine<Embedded>>,
    store: MemoryStore,
    names: Vec<CellId>,
    saved: Vec<Saved>,
    loads: u64,
}

fn nonce(n: u8) -> Nonce {
    Nonce(u64::from(n) + 1)
}

fn att(n: u8) -> String {
    let shared = if n & SHARED != 0 { "shared:" } else { "" };
    format!("{shared}{}", nonce(n & !SHARED))
}

fn fence_reply(r: FenceReply) -> Reply {
    match r {
        FenceReply::Fenced => Reply::Fenced,
        FenceReply::Sealed => Reply::Sealed,
        FenceReply::Verdict(Kind::Claim) => Reply::Claimed,
        FenceReply::Verdict(_) => Reply::Rejected,
        FenceReply::Changed => Reply::Changed,
        FenceReply::Missing => Reply::Missing,
    }
}

fn changed(c: Changed) -> Reply {
    match c {
        Changed::Ok => Reply::Ok,
        Changed::Changed => Reply::Changed,
        Changed::Exists => Reply::Exists,
        Changed::Missing => Reply::Missing,
    }
}

fn reserved(r: &Reserved) -> Reply {
    match r {
        Reserved::New { .. } => Reply::New,
        Reserved::Held { .. } => Reply::Held,
        Reserved::Verdict(Kind::Claim) => Reply::Claimed,
        Reserved::Verdict(_) => Reply::Rejected,
        Reserved::Fenced => Reply::Fenced,
        Reserved::Missing => Reply::Missing,
        Reserved::Refused { why: Refusal::Limit, .. } => Reply::Limit,
        Reserved::Refused { why: Refusal::SoldOut, .. } => Reply::SoldOut,
        other @ (Reserved::Conflict(_)
        | Reserved::Late
        | Reserved::Returning
        | Reserved::NotOpen
        | Reserved::Refused { .. }) => panic!("the model has no {other:?}"),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    got: T,
    want: T,
    what: impl Fn() -> String,
) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{}: got {got:?}, want {want:?}", what())) }
}

impl Code {
    /// One engine for many runs, one after the other.
    pub(crate) fn engine() -> Arc<Engine<Embedded>> {
        Arc::new(cells::embedded::new(HandClock::at(NOW)))
    }

    /// Cells with their units, loaded, nothing sold.
    pub(crate) async fn new(scope: &Scope, cells: &Arc<Engine<Embedded>>) -> Self {
        cells.runner().wipe_all();
        let clock = HandClock::at(NOW);
        let identity = Identity::new(b"a secret of the tests");
        let store = MemoryStore::new(1, identity, clock);
        store.init("f").await.unwrap();
        let names: Vec<CellId> =
            (0..scope.units.len()).map(|n| format!("model.{n}").parse().unwrap()).collect();
        let units: Vec<(CellId, i64)> =
            names.iter().cloned().zip(scope.units.iter().map(|u| i64::from(*u))).collect();
        store.create_cells(&units, (id(98).into(), id(99).into())).await.unwrap();
        let (scope, cells) = (scope.clone(), Arc::clone(cells));
        let mut code = Self { scope, cells, store, names, saved: Vec::new(), loads: 0 };
        for n in 0..code.names.len() {
            assert_eq!(code.load(n, FIRST, None).await, Reply::Ok);
        }
        code
    }

    fn payload(&self, order: u8) -> Payload {
        let def = self.scope.order(order);
        let cells: Vec<usize> = (0..self.names.len()).filter(|c| def.has(*c)).collect();
        let line = |c: &usize| Line { cell: self.names[*c].clone(), qty: 1, unit_minor: 1 };
        Payload {
            order: id(order.into()),
            buyer: buyer(def.buyer).parse().unwrap(),
            key: Some("k".parse().unwrap()),
            lines: cells.iter().map(line).collect(),
            anchor: cells.iter().position(|c| *c == def.anchor()).unwrap(),
            metadata: String::new(),
            currency: "EUR".into(),
            campaign: CampaignNo(1),
            window_ms: 1000,
            supersedes: None,
        }
    }

    async fn load(&mut self, cell: usize, seq: u8, ticket: Option<u8>) -> Reply {
        let name = &self.names[cell];
        self.loads += 1;
        let mut units = std::collections::HashMap::new();
        buyer_units(&self.store, name, (0, seq.into()), |_| true, &mut units).await.unwrap();
        let mut sums: Vec<(String, i64)> = units.into_iter().collect();
        sums.sort_unstable();
        let suffix = format!("load-{}", self.loads);
        if !sums.is_empty() {
            self.cells.stage(name, &suffix, &sums).await.unwrap();
        }
        let call = LoadCall {
            totals: self.store.at(name, seq.into()).await.unwrap().unwrap(),
            inc: self.loads,
            adds: 0,
            ticket: ticket.map(|t| format!("ticket-{t}")),
            staged: (!sums.is_empty()).then_some(suffix),
            staged_len: sums.len() as u64,
            limited: true,
        };
        changed(self.cells.load(name, call).await.unwrap())
    }

    /// One operation of the model.
    pub(crate) async fn run(&mut self, op: Op) -> Reply {
        match op {
            Op::Reserve(c, o, state, n, relay) => self.reserve((c, o), state, n, relay).await,
            Op::Apply(c, upto) => self.apply(c, upto).await,
            Op::Resolve(c, o, seq) => {
                let list = [(id(o.into()).into(), u64::from(seq))];
                let dropped = self.cells.resolve(self.name(c), &list).await.unwrap();
                Reply::Count(dropped.min(1) as u8)
            }
            Op::Cancel(c, o, n) => {
                changed(self.cells.cancel(self.name(c), id(o.into()), nonce(n)).await.unwrap())
            }
            Op::Fence(c, o) => {
                let bytes = self.payload(o).encode();
                let fenced = self.cells.fence(self.name(c), id(o.into()), &bytes).await;
                fence_reply(fenced.unwrap())
            }
            Op::Unseal(c, o, a) => {
                fence_reply(self.cells.unseal(self.name(c), id(o.into()), &att(a)).await.unwrap())
            }
            Op::Ticket(c, t) => {
                self.cells.ticket(self.name(c), &format!("ticket-{t}")).await.unwrap();
                Reply::Ok
            }
            Op::Load(c, seq, t) => self.load(c.into(), seq, Some(t)).await,
            Op::Lose(c) => {
                self.cells.runner().wipe_cell(self.name(c));
                Reply::Ok
            }
            Op::Save => {
                self.saved = self.names.iter().map(|n| self.cells.runner().save(n)).collect();
                Reply::Ok
            }
            Op::Restore => {
                let slots = self.names.iter().zip(&self.saved);
                slots.for_each(|(n, s)| self.cells.runner().restore(n, s));
                Reply::Ok
            }
            Op::Verdict(c, o, full, anchor) => self.verdict((c, o), full, anchor).await,
            Op::Row(o, rejected) => {
                let rejected = rejected.then_some(RejectReason::SoldOut);
                let ask = RowAsk { payload: self.payload(o), t_ms: NOW, rejected, least_ms: 0 };
                let row = self.store.rows(0, &[ask]).await.unwrap().remove(0);
                Reply::Row(row.status == RowStatus::Pending, row.fresh)
            }
            Op::Release(c, o) => {
                let gives = [Giveback::release(id(o.into()))];
                let done = self.store.give_back(self.name(c), &gives).await.unwrap();
                Reply::Count(done.appended.entries.len() as u8)
            }
        }
    }

    fn name(&self, cell: u8) -> &CellId {
        &self.names[usize::from(cell)]
    }

    async fn reserve(&self, (c, o): (u8, u8), state: u8, n: u8, relay: bool) -> Reply {
        let p = self.payload(o);
        let item = ReserveItem {
            id: p.order.into(),
            buyer: Some(p.buyer.clone()),
            buyer_hash: 1,
            qty: 1,
            nonce: nonce(n),
            state: if state == b'S' { HoldState::Sealed } else { HoldState::Line },
            payload: p.encode().into(),
            checked: true,
            relay,
        };
        let limit = model::redis::LIMIT as u32;
        let call = ReserveCall {
            limit,
            deadline_ms: 0,
            opens_at_ms: 0,
            closes_at_ms: 0,
            wait: None,
            items: vec![item],
        };
        reserved(&self.cells.reserve(self.name(c), &call).await.unwrap().results[0])
    }

    /// The whole ledger up to a position, so that what is folded in already comes again.
    async fn apply(&self, c: u8, upto: u8) -> Reply {
        let name = self.name(c);
        let page = self.store.after(name, FIRST.into(), 100).await.unwrap().unwrap();
        let prev = page.base.unwrap();
        let wanted = page.entries.iter().filter(|e| e.seq <= upto.into());
        let entries: Vec<ApplyEntry> = wanted.map(|e| ApplyEntry::of(e, 1)).collect();
        if entries.is_empty() {
            let seen = self.cells.snapshot(name).await.unwrap();
            return seen.map_or(Reply::Missing, |v| Reply::Count(v.totals.seq as u8));
        }
        let call = ApplyCall { prev_seq: prev.seq, prev_tok: prev.tok, entries };
        match self.cells.apply(name, call).await.unwrap() {
            Applied::Ok { watermark, .. } => Reply::Count(watermark as u8),
            Applied::Missing => Reply::Missing,
            other @ (Applied::Gap { .. } | Applied::Fork) => panic!("{other:?}"),
        }
    }

    async fn verdict(&self, (c, o): (u8, u8), full: bool, anchor: bool) -> Reply {
        let p = self.payload(o);
        let ask = Ask {
            order: p.order,
            buyer: p.buyer.clone(),
            qty: 1,
            mode: if full { Mode::Full } else { Mode::Abort },
            anchor,
            sealed: Sealed { t_ms: NOW, payload: p.encode().into() },
        };
        let batch = [CellAsks { cell: self.name(c).clone(), asks: vec![ask] }];
        let v = self.store.verdicts(&batch).await.unwrap()[0].verdicts[0];
        Reply::Verdict(v.seq as u8, v.kind == Kind::Claim, v.fresh)
    }

    /// Everything of the model's state that the outside shows.
    pub(crate) async fn compare(&self, s: &State) -> Result<(), String> {
        for (c, name) in self.names.iter().enumerate() {
            self.compare_cell(s, c, name).await?;
            let (_, entries) = self.store.ledger_of(name).unwrap();
            let rest = entries.iter().skip(usize::from(FIRST));
            let got: Vec<_> = rest.map(|e| (e.seq as u8, e.kind.code() as u8, e.id)).collect();
            let want: Vec<_> =
                s.ledger[c].entries().map(|(seq, kind, o)| (seq, kind, id(o).into())).collect();
            same(got, want, || format!("ledger of {name}"))?;
        }
        for o in 0..self.scope.orders.len() {
            let got = self.store.row_of(id(o)).map(|r| (r.status, r.reason));
            let dead = |why| Some((RowStatus::Rejected, Some(why)));
            let want = match s.rows[o] {
                Row::None => None,
                Row::Pending => Some((RowStatus::Pending, None)),
                Row::Rejected => dead(RejectReason::SoldOut),
                Row::KeyConflict => dead(RejectReason::KeyConflict),
            };
            same(got, want, || format!("row of order {o}"))?;
        }
        Ok(())
    }

    async fn compare_cell(&self, s: &State, c: usize, name: &CellId) -> Result<(), String> {
        let want = &s.redis[c];
        let seen = self.cells.snapshot(name).await.unwrap();
        same(seen.is_some(), want.exists, || format!("{name} exists"))?;
        let Some(seen) = seen else { return Ok(()) };
        let t = seen.totals;
        let got = (t.supply as i8, t.net as i8, seen.held as i8, t.seq as u8);
        let counters = (want.supply, want.net, want.held, want.w);
        same(got, counters, || format!("counters of {name}"))?;
        let page = self.cells.scan_holds(name, 0, 1000).await.unwrap();
        let got: BTreeMap<_, _> =
            page.items.into_iter().map(|h| ((h.id, h.state.code()), h.att)).collect();
        let mut holds = BTreeMap::new();
        for o in 0..self.scope.orders.len() {
            let hold = want.hold[o];
            if hold.state != 0 {
                holds.insert((id(o).into(), char::from(hold.state)), att(hold.att));
            }
            if want.fenced(o) {
                // A fence belongs to nobody; its att is of no meaning.
                let key = (id(o).into(), 'F');
                holds.insert(key, got.get(&key).cloned().unwrap_or_default());
            }
        }
        same(got, holds, || format!("holds of {name}"))?;
        let names: Vec<String> = (0..self.scope.orders.len() as u8).map(buyer).collect();
        let b = self.cells.buyers(name, &names).await.unwrap();
        let got: Vec<i8> = b.into_iter().map(|q| q.unwrap_or(0) as i8).collect();
        let len = got.len();
        same(got, want.b[..len].to_vec(), || format!("b of {name}"))
    }
}
