//! Random sequences of operations, run on a backend and on the model side by side.
//!
//! Names, units and times come from small sets, so that requests of one key, one buyer and one
//! nonce meet often. The ledger is kept here as a database would keep it (one verdict per order,
//! a release only after a claim). Every reply, every snapshot and the scans at the end must be
//! equal; INV-4 is checked against the ledger itself. A backend with its own time gets no waits,
//! and its times are not compared.

use bytes::Bytes;
use cells::port::{
    ApplyCall, ApplyEntry, Cells, LoadCall, MendCall, Page, ReserveCall, ReserveItem, ReserveReply,
    Reserved,
};
use domain::ledger::{Class, Draft};
use domain::{CampaignNo, CellId, Entry, Hold, HoldState, Kind, Nonce, OrderId, Tok, Totals};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use super::HandClock;
use super::model::Model;

/// Which order: (buyer 0..4, key 0..3, content 0..2); buyer 4 is nobody, a transfer.
pub type Who = (u8, u8, u8);

/// One item of a reserve: who, nonce, state 0..2, checked, relay.
pub type Item = (Who, u8, u8, bool, bool);

/// One operation.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "the names are those of the port and of the ledger's kinds"
)]
pub enum Op {
    Reserve {
        items: Vec<Item>,
        late: bool,
        window: u8,
    },
    Ledger {
        kind: u8,
        who: Who,
        units: u8,
    },
    Apply {
        back: u8,
        take: u8,
        fork: bool,
    },
    Resolve(Vec<(Who, u8)>),
    Cancel(Who, u8),
    Fence(Who),
    Unseal(Who, bool),
    Ticket(bool),
    Load {
        ticket: u8,
        short: bool,
    },
    Mend {
        full: bool,
        stale: bool,
    },
    Drop {
        stale: bool,
        fork: bool,
    },
    Wait(u8),
}

fn who() -> impl Strategy<Value = Who> {
    (0u8..5, 0u8..3, 0u8..2)
}

fn op() -> impl Strategy<Value = Op> {
    let item = (
        who(),
        0u8..4,
        0u8..2,
        any::<bool>(),
        proptest::bool::weighted(0.2),
    );
    let items = prop::collection::vec(item, 1..7);
    let rare = proptest::bool::weighted(0.1);
    prop_oneof![
        12 => (items, rare, 0u8..10).prop_map(|(items, late, window)| Op::Reserve {
            items, late, window
        }),
        10 => (0u8..10, who(), 0u8..4).prop_map(|(kind, who, units)| Op::Ledger {
            kind, who, units
        }),
        8 => (0u8..4, 0u8..6, proptest::bool::weighted(0.1))
            .prop_map(|(back, take, fork)| Op::Apply { back, take, fork }),
        2 => prop::collection::vec((who(), 0u8..30), 1..5).prop_map(Op::Resolve),
        2 => (who(), 0u8..4).prop_map(|(w, n)| Op::Cancel(w, n)),
        2 => who().prop_map(Op::Fence),
        2 => (who(), proptest::bool::weighted(0.8)).prop_map(|(w, same)| Op::Unseal(w, same)),
        1 => any::<bool>().prop_map(Op::Ticket),
        2 => (0u8..3, proptest::bool::weighted(0.1))
            .prop_map(|(ticket, short)| Op::Load { ticket, short }),
        1 => (any::<bool>(), proptest::bool::weighted(0.2))
            .prop_map(|(full, stale)| Op::Mend { full, stale }),
        1 => (proptest::bool::weighted(0.3), any::<bool>())
            .prop_map(|(stale, fork)| Op::Drop { stale, fork }),
        1 => (0u8..4).prop_map(Op::Wait),
    ]
}

/// Sequences of up to `most` operations, each with "the offer has a limit".
pub fn sequences(most: usize) -> impl Strategy<Value = (bool, Vec<Op>)> {
    (any::<bool>(), prop::collection::vec(op(), 1..most))
}

/// The id of an order.
pub fn id(who: Who) -> OrderId {
    let (buyer, key, content) = who;
    OrderId::compose(
        CampaignNo(1),
        u16::from(buyer),
        u64::from(key) << 30,
        u32::from(content) + 7,
    )
}

fn buyer(who: Who) -> Option<String> {
    (who.0 < 4).then(|| format!("buyer \0{}", who.0))
}

fn hash(buyer: &str) -> u64 {
    buyer
        .bytes()
        .fold(7, |h, b| (h * 8_191 + u64::from(b)) % (1 << 45))
}

fn units(who: Who) -> u32 {
    u32::from(who.2) + 1
}

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

struct Run<'a> {
    bench: Bench<'a>,
    model: Model,
    limited: bool,
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
    run.step(&Op::Load {
        ticket: 0,
        short: false,
    })
    .await?;
    for (i, op) in ops.iter().enumerate() {
        run.step(op)
            .await
            .map_err(|e| format!("step {i} {op:?}: {e}"))?;
        run.snapshot()
            .await
            .map_err(|e| format!("after step {i} {op:?}: {e}"))?;
    }
    run.audit().await
}

fn same<T: PartialEq + Debug>(got: &T, want: &T) -> Result<(), String> {
    if got == want {
        Ok(())
    } else {
        Err(format!("got {got:?}, want {want:?}"))
    }
}

impl Run<'_> {
    fn now(&self) -> u64 {
        self.bench
            .clock
            .as_ref()
            .map_or(1_700_000_000_000, |c| runtime::Clock::now_ms(&**c))
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
        let claimed = self
            .ledger
            .iter()
            .find(|e| e.order == order && e.kind == Kind::Claim);
        if kind == Kind::Release && claimed.is_none() {
            return;
        }
        let once = matches!(class, Class::Verdict | Class::Release);
        if once && self.taken.contains(&(order, class)) {
            return;
        }
        let buyer = if once {
            buyer(who).unwrap_or_default()
        } else {
            String::new()
        };
        let draft = Draft {
            kind,
            order,
            buyer,
            qty,
            payload: Vec::new(),
        };
        if let Ok(entry) = self.head.append(draft, 0) {
            self.taken.insert((order, class));
            self.ledger.push(entry);
        }
    }

    /// What the ledger says of the buyers at a position.
    fn buyers_at(&self, seq: u64) -> BTreeMap<String, i64> {
        let mut b = BTreeMap::new();
        for e in self
            .ledger
            .iter()
            .filter(|e| e.seq <= seq && !e.buyer.is_empty())
        {
            match e.kind {
                Kind::Claim => *b.entry(e.buyer.clone()).or_default() += e.qty,
                Kind::Release => *b.entry(e.buyer.clone()).or_default() -= e.qty,
                _ => {}
            }
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
            Op::Reserve {
                items,
                late,
                window,
            } => self.reserve(items, *late, *window).await,
            Op::Ledger { kind, who, units } => {
                self.ledger_op(*kind, *who, *units);
                Ok(())
            }
            Op::Apply { back, take, fork } => self.apply(*back, *take, *fork).await,
            Op::Resolve(orders) => {
                let orders: Vec<_> = orders
                    .iter()
                    .map(|(w, s)| (id(*w), u64::from(*s)))
                    .collect();
                let got = cells.resolve(&cell, &orders).await.map_err(broken)?;
                same(&got, &self.model.resolve(&orders))
            }
            Op::Cancel(who, nonce) => {
                let nonce = Nonce(u64::from(*nonce));
                let got = cells.cancel(&cell, id(*who), nonce).await.map_err(broken)?;
                same(&got, &self.model.cancel(id(*who), nonce))
            }
            Op::Fence(who) => {
                let got = cells
                    .fence(&cell, id(*who), b"\xff fence")
                    .await
                    .map_err(broken)?;
                same(&got, &self.model.fence(now, id(*who), b"\xff fence"))
            }
            Op::Unseal(who, seen) => {
                let known = self.model.cell.as_ref().and_then(|c| c.find(id(*who)));
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
                let ms = [1, 1_000, 600_000, 86_400_000][usize::from(*how) % 4];
                self.bench.clock.iter().for_each(|c| c.advance(ms));
                Ok(())
            }
        }
    }

    async fn reserve(&mut self, items: &[Item], late: bool, window: u8) -> Result<(), String> {
        let far = 4_000_000_000_000;
        let item = |&(who, nonce, state, checked, relay): &Item| ReserveItem {
            order: id(who),
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
            items: items.iter().map(item).collect(),
        };
        let got = self
            .bench
            .cells
            .reserve(&self.bench.cell, call.clone())
            .await;
        let got = got.map_err(|e| e.to_string())?;
        let want = self.model.reserve(self.now(), &call);
        same(&self.times(got), &self.times(want))
    }

    fn ledger_op(&mut self, kind: u8, who: Who, n: u8) {
        let qty = i64::from(units(who));
        match (kind, who.0) {
            (0..=3, 0..4) => self.append(Kind::Claim, who, qty),
            (4..=5, 0..4) => self.append(Kind::Reject, who, 0),
            (6..=7, 0..4) => self.append(Kind::Release, who, qty),
            (0..=5, _) => self.append(Kind::TransferOut, who, qty),
            (8, _) => self.append(Kind::Flag, who, i64::from(n % 3)),
            _ => self.append(Kind::Supply, who, i64::from(n)),
        }
    }

    /// Entries around W: sometimes older ones again, sometimes with a gap.
    async fn apply(&mut self, back: u8, take: u8, fork: bool) -> Result<(), String> {
        let w = self.seen().1;
        let prev = if back == 3 {
            w + 1
        } else {
            w.saturating_sub(u64::from(back))
        };
        let entry = |e: &Entry| {
            ApplyEntry::of(
                e,
                if e.buyer.is_empty() {
                    0
                } else {
                    hash(&e.buyer)
                },
            )
        };
        let after = self
            .ledger
            .iter()
            .filter(|e| e.seq > prev)
            .take(usize::from(take) + 1);
        let entries: Vec<_> = after.map(entry).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let at = self
            .ledger
            .iter()
            .find(|e| e.seq == prev)
            .map_or(Tok(0), |e| e.tok);
        let prev_tok = if fork { Tok(at.0 ^ 1) } else { at };
        let call = ApplyCall {
            prev_seq: prev,
            prev_tok,
            entries,
        };
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
            cells
                .stage(&cell, &suffix, &b)
                .await
                .map_err(|e| e.to_string())?;
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
        let got = cells
            .load(&cell, call.clone())
            .await
            .map_err(|e| e.to_string())?;
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
        let got = self
            .bench
            .cells
            .snapshot(&self.bench.cell)
            .await
            .map_err(|e| e.to_string())?;
        let mut want = self.model.snapshot(self.now());
        if let (Some(g), Some(w), None) = (&got, &mut want, &self.bench.clock) {
            w.mark.redis_ms = g.mark.redis_ms;
        }
        same(&got, &want)
    }

    /// The scans against the model, and INV-4 against the ledger.
    async fn audit(&self) -> Result<(), String> {
        let mut holds = all_holds(&self.bench).await?;
        let buyers = all_buyers(&self.bench).await?;
        let Some(cell) = &self.model.cell else {
            return same(&(holds.len(), buyers.len()), &(0, 0));
        };
        let mut want: Vec<Hold> = cell
            .holds
            .values()
            .chain(cell.fences.values())
            .cloned()
            .collect();
        want.sort_by_key(|h| (h.order, h.qty));
        holds.sort_by_key(|h| (h.order, h.qty));
        if self.bench.clock.is_none() {
            holds.iter_mut().chain(&mut want).for_each(|h| h.t_ms = 0);
        }
        same(&holds, &want)?;
        let ids: Vec<_> = (0..30).map(|i| id((i % 5, i / 5 % 3, i / 15))).collect();
        let found = self.bench.cells.find_holds(&self.bench.cell, &ids).await;
        let found: Vec<_> = found
            .map_err(|e| e.to_string())?
            .iter()
            .map(|h| h.as_ref().map(|h| h.order))
            .collect();
        let expected: Vec<_> = ids.iter().map(|i| cell.find(*i).map(|h| h.order)).collect();
        same(&found, &expected)?;
        self.inv_4(&holds, &buyers).await
    }

    async fn inv_4(&self, holds: &[Hold], b: &BTreeMap<String, i64>) -> Result<(), String> {
        let Some(view) = self.model.snapshot(0) else {
            return Ok(());
        };
        let held: i64 = holds.iter().map(|h| i64::from(h.qty)).sum();
        same(&view.held, &held).map_err(|e| format!("INV-4 held: {e}"))?;
        let names: Vec<String> = (0..4).filter_map(|i| buyer((i, 0, 0))).collect();
        let got = self.bench.cells.buyers(&self.bench.cell, &names).await;
        let got = got.map_err(|e| e.to_string())?;
        let model = self.model.cell.as_ref();
        let want: Vec<_> = names
            .iter()
            .map(|n| model.and_then(|c| c.units(n)))
            .collect();
        same(&got, &want)?;
        if !self.limited {
            return Ok(());
        }
        let mut sum = self.buyers_at(view.totals.seq);
        for h in holds {
            if let Some(buyer) = &h.buyer {
                *sum.entry(buyer.as_str().to_owned()).or_default() += i64::from(h.qty);
            }
        }
        sum.retain(|_, q| *q != 0);
        let b: BTreeMap<_, _> = b.clone().into_iter().filter(|(_, q)| *q != 0).collect();
        same(&b, &sum).map_err(|e| format!("INV-4 b: {e}"))
    }
}

/// All holds of a cell by small pages, each once.
pub async fn all_holds(bench: &Bench<'_>) -> Result<Vec<Hold>, String> {
    let (mut cursor, mut all) = (0, Vec::new());
    loop {
        let page = bench.cells.scan_holds(&bench.cell, cursor, 3).await;
        let Page {
            cursor: next,
            items,
        } = page.map_err(|e| e.to_string())?;
        all.extend(
            items
                .into_iter()
                .filter(|h| !all.contains(h))
                .collect::<Vec<_>>(),
        );
        if next == 0 {
            return Ok(all);
        }
        cursor = next;
    }
}

/// All of b by small pages.
pub async fn all_buyers(bench: &Bench<'_>) -> Result<BTreeMap<String, i64>, String> {
    let (mut cursor, mut all) = (0, BTreeMap::new());
    loop {
        let page = bench.cells.scan_buyers(&bench.cell, cursor, 3).await;
        let Page {
            cursor: next,
            items,
        } = page.map_err(|e| e.to_string())?;
        all.extend(items);
        if next == 0 {
            return Ok(all);
        }
        cursor = next;
    }
}
