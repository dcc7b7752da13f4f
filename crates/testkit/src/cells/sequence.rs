//! Random sequences of operations, run on a backend and on the model side by side.
//!
//! Names, units and times come from small sets, so that requests of one key, one buyer and one
//! nonce meet often. The ledger is kept here as a database would keep it (one verdict per order,
//! a release only after a claim). Every reply, every snapshot and the scans at the end must be
//! equal; INV-4 is checked against the ledger itself. A backend with its own time gets no waits,
//! and its times are not compared.

use bytes::Bytes;
use cells::port::{
    ApplyCall, ApplyEntry, Cells, LoadCall, MendCall, ReserveCall, ReserveItem, ReserveReply,
    Reserved,
};
use domain::ledger::{Class, Draft};
use domain::{CellId, Entry, HoldState, Kind, Nonce, OrderId, Ordinal, Tok, Totals};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use super::HandClock;
use super::model::Model;
pub use super::ops::{Item, Op, Who, id, sequences};
use super::ops::{buyer, hash, units};

/// What a run stands on.
#[derive(Clone)]
pub struct Bench<'a> {
    /// The backend.
    pub cells: &'a dyn Cells,
    /// A cell nobody else uses.
    pub cell: CellId,
    /// The backend's clock; `None` when it has its own time.
    pub clock: Option<Arc<HandClock>>,
}

pub(super) struct Run<'a> {
    pub(super) bench: Bench<'a>,
    pub(super) model: Model,
    pub(super) limited: bool,
    ledger: Vec<Entry>,
    head: Totals,
    taken: HashSet<(OrderId, Class)>,
    loads: u64,
}

/// Runs a sequence; `Err` says where backend and model differ.
pub async fn run(bench: Bench<'_>, limited: bool, ops: &[Op]) -> Result<(), String> {
    let mut run = Run {
        bench,
        model: Model::default(),
        limited,
        ledger: Vec::new(),
        head: Totals::default(),
        taken: HashSet::new(),
        loads: 0,
    };
    run.append(Kind::Supply, (4, 3, 0), 6);
    run.append(Kind::Flag, (4, 3, 1), 1);
    run.step(&Op::Load { ticket: 0, short: false }).await?;
    for (i, op) in ops.iter().enumerate() {
        run.step(op).await.map_err(|e| format!("step {i} {op:?}: {e}"))?;
        run.snapshot().await.map_err(|e| format!("after step {i} {op:?}: {e}"))?;
    }
    run.audit().await
}

pub(super) fn same<T: PartialEq + Debug>(got: &T, want: &T) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("got {got:?}, want {want:?}")) }
}

impl Run<'_> {
    fn now(&self) -> u64 {
        self.bench.clock.as_ref().map_or(1_700_000_000_000, |c| runtime::Clock::now_ms(&**c))
    }

    /// Times are compared only where the clock is ours.
    fn times(&self, mut r: ReserveReply) -> ReserveReply {
        if self.bench.clock.is_none() {
            r.mark.redis_ms = 0;
            for result in &mut r.results {
                if let Reserved::New { t_ms } | Reserved::Held { t_ms, .. } = result {
                    *t_ms = 0;
                }
            }
        }
        r
    }

    fn append(&mut self, kind: Kind, who: Who, qty: i64) {
        let (order, class) = (id(who), kind.class());
        if !self.may_give_back(order, kind, qty) {
            return;
        }
        let once = matches!(class, Class::Verdict | Class::Release | Class::Return(_));
        if once && self.taken.contains(&(order, class)) {
            return;
        }
        // Some returns leave the buyer's limit as it is.
        let frees = !matches!(kind, Kind::Return(n) if n.number() % 3 == 2);
        let buyer = if once && frees { buyer(who).unwrap_or_default() } else { String::new() };
        let draft = Draft { kind, id: order.into(), buyer, qty, payload: Vec::new() };
        if let Ok(entry) = self.head.append(draft, 0) {
            self.taken.insert((order, class));
            self.ledger.push(entry);
        }
    }

    /// A release needs a claim without returns, a return what is left of one without a release.
    fn may_give_back(&self, order: OrderId, kind: Kind, qty: i64) -> bool {
        let of = |e: &&Entry| e.id == order.into();
        let units = |e: &Entry| match e.kind {
            Kind::Release => i64::MAX,
            Kind::Return(_) => e.qty,
            Kind::Supply | Kind::Claim | Kind::Reject | Kind::TransferOut | Kind::Flag => 0,
        };
        let back = self.ledger.iter().filter(of).map(units).fold(0, i64::saturating_add);
        let claim = self.ledger.iter().filter(of).find(|e| e.kind == Kind::Claim);
        match (kind, claim) {
            (Kind::Release | Kind::Return(_), None) => false,
            (Kind::Release, Some(_)) => back == 0,
            (Kind::Return(_), Some(claim)) => qty > 0 && back.saturating_add(qty) <= claim.qty,
            (Kind::Supply | Kind::Claim | Kind::Reject | Kind::TransferOut | Kind::Flag, _) => true,
        }
    }

    /// What the ledger says of the buyers at a position.
    pub(super) fn buyers_at(&self, seq: u64) -> BTreeMap<String, i64> {
        let mut b = BTreeMap::new();
        for e in self.ledger.iter().filter(|e| e.seq <= seq && e.moves_buyer()) {
            *b.entry(e.buyer.clone()).or_default() += e.kind.moves(e.qty);
        }
        b
    }

    fn seen(&self) -> (u64, u64, Tok) {
        let cell = self.model.snapshot(0);
        cell.map_or((0, 0, Tok(0)), |c| (c.mark.inc, c.totals.seq, c.totals.tok))
    }

    async fn step(&mut self, op: &Op) -> Result<(), String> {
        let (cells, cell) = (self.bench.cells, self.bench.cell.clone());
        let now = self.now();
        let broken = |e: cells::CellError| e.to_string();
        match op {
            Op::Reserve { items, late, window } => self.reserve(items, *late, *window).await,
            Op::Ledger { kind, who, units } => {
                self.ledger_op(*kind, *who, *units);
                Ok(())
            }
            Op::Apply { back, take, fork } => self.apply(*back, *take, *fork).await,
            Op::Resolve(orders) => {
                let ids: Vec<_> =
                    orders.iter().map(|(w, s)| (id(*w).into(), u64::from(*s))).collect();
                let got = cells.resolve(&cell, &ids).await.map_err(broken)?;
                same(&got, &self.model.resolve(&ids))
            }
            Op::Cancel(who, nonce) => {
                let nonce = Nonce(u64::from(*nonce));
                let got = cells.cancel(&cell, id(*who), nonce).await.map_err(broken)?;
                same(&got, &self.model.cancel(id(*who), nonce))
            }
            Op::Fence(who) => {
                let got = cells.fence(&cell, id(*who), b"\xff fence").await.map_err(broken)?;
                same(&got, &self.model.fence(now, id(*who), b"\xff fence"))
            }
            Op::Unseal(who, seen) => {
                let known = self.model.cell.as_ref().and_then(|c| c.find(id(*who).into()));
                let att = known.filter(|_| *seen).map(|h| h.att.clone());
                let att = att.unwrap_or_else(|| Nonce(77).to_string());
                let got = cells.unseal(&cell, id(*who), &att).await.map_err(broken)?;
                same(&got, &self.model.unseal(now, id(*who), &att))
            }
            Op::Ticket(first) => {
                let ticket = if *first { "t1" } else { "t2" };
                self.model.ticket(ticket);
                cells.ticket(&cell, ticket).await.map_err(broken)
            }
            Op::Load { ticket, short } => self.load(*ticket, *short).await,
            Op::Mend { full, stale } => self.mend(*full, *stale).await,
            Op::Drop { stale, fork } => {
                let mut seen = self.seen();
                seen.0 += u64::from(*stale);
                let got = cells.drop_cell(&cell, seen, *fork).await.map_err(broken)?;
                same(&got, &self.model.drop_cell(seen, *fork))
            }
            Op::Wait(how) => {
                let ms = [1_000, 600_000, 600_000, 86_400_000][usize::from(*how) % 4];
                self.bench.clock.iter().for_each(|c| c.advance(ms));
                Ok(())
            }
        }
    }

    async fn reserve(&mut self, items: &[Item], late: bool, window: u8) -> Result<(), String> {
        let far = 4_000_000_000_000;
        let item = |&(who, nonce, state, checked, relay): &Item| ReserveItem {
            id: id(who).into(),
            buyer: buyer(who).map(|b| b.parse().expect("a short name")),
            buyer_hash: buyer(who).map_or(0, |b| hash(&b)),
            qty: units(who),
            nonce: Nonce(u64::from(nonce)),
            state: match (who.0, state) {
                (4, _) => HoldState::Transfer,
                (_, 0) => HoldState::Sealed,
                _ => HoldState::Line,
            },
            payload: Bytes::from(vec![nonce, 0, 255, who.1]),
            checked,
            relay,
        };
        let call = ReserveCall {
            limit: if self.limited { 4 } else { 0 },
            deadline_ms: if late { 1 } else { far },
            opens_at_ms: if window == 1 { far } else { 0 },
            closes_at_ms: [far, 0, 1][usize::from(window) % 3 * usize::from(window < 3)],
            wait: None,
            items: items.iter().map(item).collect(),
        };
        let got = self.bench.cells.reserve(&self.bench.cell, &call).await;
        let got = got.map_err(|e| e.to_string())?;
        let want = self.model.reserve(self.now(), &call);
        same(&self.times(got), &self.times(want))
    }

    fn ledger_op(&mut self, kind: u8, who: Who, n: u8) {
        let qty = i64::from(units(who));
        match (kind, who.0) {
            (0..=3, 0..4) => self.append(Kind::Claim, who, qty),
            (4..=5, 0..4) => self.append(Kind::Reject, who, 0),
            (6, 0..4) => self.append(Kind::Release, who, qty),
            (7, 0..4) => {
                let ordinal = Ordinal::new(n).expect("a small number");
                self.append(Kind::Return(ordinal), who, i64::from(n % 2) + 1);
            }
            (0..=5, _) => self.append(Kind::TransferOut, who, qty),
            (8, _) => self.append(Kind::Flag, who, i64::from(n % 3)),
            _ => self.append(Kind::Supply, who, i64::from(n)),
        }
    }

    /// Entries around W: sometimes older ones again, sometimes with a gap.
    async fn apply(&mut self, back: u8, take: u8, fork: bool) -> Result<(), String> {
        let w = self.seen().1;
        let prev = if back == 3 { w + 1 } else { w.saturating_sub(u64::from(back)) };
        let entry =
            |e: &Entry| ApplyEntry::of(e, if e.buyer.is_empty() { 0 } else { hash(&e.buyer) });
        let after = self.ledger.iter().filter(|e| e.seq > prev).take(usize::from(take) + 1);
        let entries: Vec<_> = after.map(entry).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let at = self.ledger.iter().find(|e| e.seq == prev).map_or(Tok(0), |e| e.tok);
        let prev_tok = if fork { Tok(at.0 ^ 1) } else { at };
        let call = ApplyCall { prev_seq: prev, prev_tok, entries };
        let got = self.bench.cells.apply(&self.bench.cell, call.clone()).await;
        let want = self.model.apply(self.now(), &call);
        same(&got.map_err(|e| e.to_string())?, &want)
    }

    async fn load(&mut self, ticket: u8, short: bool) -> Result<(), String> {
        let (cells, cell) = (self.bench.cells, self.bench.cell.clone());
        let b: Vec<_> = self.buyers_at(self.head.seq).into_iter().collect();
        self.loads += 1;
        let suffix = format!("load{}", self.loads);
        if !b.is_empty() {
            cells.stage(&cell, &suffix, &b).await.map_err(|e| e.to_string())?;
            let now = self.now();
            self.model.stage(now, &suffix, &b);
        }
        let call = LoadCall {
            totals: self.head,
            inc: self.loads,
            adds: b.iter().map(|(b, _)| hash(b)).sum(),
            ticket: [None, Some("t1"), Some("t2")][usize::from(ticket)].map(str::to_owned),
            staged: (!b.is_empty()).then_some(suffix),
            staged_len: b.len() as u64 + u64::from(short && !b.is_empty()),
            limited: self.limited,
        };
        let got = cells.load(&cell, call.clone()).await.map_err(|e| e.to_string())?;
        same(&got, &self.model.load(self.now(), &call))
    }

    async fn mend(&mut self, full: bool, stale: bool) -> Result<(), String> {
        let (inc, seq, tok) = self.seen();
        let Some(totals) = self.ledger.iter().find(|e| e.seq == seq).map(Entry::totals) else {
            return Ok(());
        };
        let take = if full { usize::MAX } else { 2 };
        let call = MendCall {
            inc: inc + u64::from(stale),
            totals,
            seen_tok: tok,
            buyers: self.buyers_at(seq).into_iter().take(take).collect(),
            buyers_full: full,
        };
        let got = self.bench.cells.mend(&self.bench.cell, call.clone()).await;
        same(&got.map_err(|e| e.to_string())?, &self.model.mend(&call))
    }

    async fn snapshot(&self) -> Result<(), String> {
        let got = self.bench.cells.snapshot(&self.bench.cell).await.map_err(|e| e.to_string())?;
        let mut want = self.model.snapshot(self.now());
        if let (Some(g), Some(w), None) = (&got, &mut want, &self.bench.clock) {
            w.mark.redis_ms = g.mark.redis_ms;
        }
        same(&got, &want)
    }
}
