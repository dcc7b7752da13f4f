//! A cell as the protocol describes it, in plain Rust: what every backend must equal.
//!
//! Written from the script table of the protocol, one order at a time, without a thought for
//! speed; a vectorised call is the loop over its single calls. Time is an argument. Absent:
//! Redis and Lua. Lookups by content go over everything there is.

use bytes::Bytes;
use cells::port::{
    Applied, ApplyCall, ApplyEntry, CellView, Changed, FenceReply, LoadCall, Mark, MendCall,
    Refusal, ReserveCall, ReserveItem, ReserveReply, Reserved,
};
use domain::ledger::Flag;
use domain::{Hold, HoldState, Key, Kind, Nonce, OrderId, Tok, Totals};
use std::collections::BTreeMap;

const ADDS: u64 = 1 << 46;
const D_SWAP_MS: u64 = 600_000;
const B_SWAP_MS: u64 = 86_400_000;
const STAGING_MS: u64 = 600_000;

type Verdicts = BTreeMap<Key, ([u8; 4], Kind)>;

/// A slot: the cell if it is there, the ticket, the staging keys.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The cell.
    pub cell: Option<Cell>,
    ticket: Option<String>,
    staging: BTreeMap<String, (u64, BTreeMap<String, i64>)>,
}

/// A living cell.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The ledger's fold at W.
    pub totals: Totals,
    /// Entries of h under the key of the id.
    pub holds: BTreeMap<Key, Hold>,
    /// Entries F, under the whole id.
    pub fences: BTreeMap<OrderId, Hold>,
    /// b with a limit; the marks of two generations without one.
    pub b: [BTreeMap<String, i64>; 2],
    d: [Verdicts; 2],
    adds: u64,
    inc: u64,
    limited: bool,
    d_at: u64,
    b_at: u64,
}

impl Cell {
    /// The sum of the holds (INV-4 makes `held` the same).
    pub fn held(&self) -> i64 {
        self.holds.values().map(|h| i64::from(h.qty)).sum()
    }

    fn available(&self) -> i64 {
        self.totals.supply - self.totals.net - self.held()
    }

    fn mark(&self, now: u64) -> Mark {
        Mark {
            redis_ms: now,
            watermark: self.totals.seq,
            adds: self.adds,
            inc: self.inc,
            available: self.available(),
        }
    }

    /// The units of a buyer; `None` without a field.
    pub fn units(&self, buyer: &str) -> Option<i64> {
        let found = self.b[0].get(buyer).or_else(|| self.b[1].get(buyer)).copied();
        if self.limited { found } else { found.map(|_| 0) }
    }

    fn give(&mut self, buyer: &str, q: i64, hash: u64) {
        if buyer.is_empty() {
            return;
        }
        let known = self.units(buyer);
        if known.is_none() {
            self.adds = (self.adds + hash % ADDS) % ADDS;
        }
        let units = if self.limited { known.unwrap_or(0) + q } else { 0 };
        self.b[0].insert(buyer.to_owned(), units);
    }

    fn drop_units(&mut self, hold: &Hold) {
        if let (Some(buyer), true) = (&hold.buyer, self.limited) {
            *self.b[0].entry(buyer.as_str().to_owned()).or_default() -= i64::from(hold.qty);
        }
    }

    /// Drops what is held for the whole id; (holds with units, fences).
    fn drop_order(&mut self, id: OrderId) -> (u32, u32) {
        let fences = u32::from(self.fences.remove(&id).is_some());
        if self.holds.get(&id.key()).is_none_or(|h| h.order != id) {
            return (0, fences);
        }
        if let Some(hold) = self.holds.remove(&id.key()) {
            self.drop_units(&hold);
        }
        (1, fences)
    }

    fn verdict(&self, key: Key) -> Option<([u8; 4], Kind)> {
        self.d[0].get(&key).or_else(|| self.d[1].get(&key)).copied()
    }

    /// A hold of the whole id, whatever its state.
    pub fn find(&self, id: OrderId) -> Option<&Hold> {
        self.holds.get(&id.key()).filter(|h| h.order == id).or_else(|| self.fences.get(&id))
    }

    fn reserve(&mut self, now: u64, call: &ReserveCall, item: &ReserveItem) -> Reserved {
        let transfer = item.state == HoldState::Transfer;
        if !transfer && call.deadline_ms > 0 && now > call.deadline_ms {
            return Reserved::Late;
        }
        if item.state == HoldState::Sealed && self.fences.contains_key(&item.order) {
            return Reserved::Fenced;
        }
        if let Some(hold) = self.holds.get_mut(&item.order.key()) {
            return met(hold, item);
        }
        match self.verdict(item.order.key()) {
            Some((content, kind)) if content == item.order.content() => {
                return Reserved::Verdict(kind);
            }
            Some((content, _)) => {
                return Reserved::Conflict(OrderId::join(item.order.key(), content));
            }
            None => {}
        }
        let buyer = item.buyer.as_ref().map_or("", |b| b.as_str());
        let units = self.units(buyer);
        if let Some(no) = self.refuse(now, call, item, units) {
            return no;
        }
        let att = item.nonce.to_string();
        let hold = Hold {
            order: item.order,
            qty: item.qty,
            buyer: item.buyer.clone(),
            att,
            state: item.state,
            payload: item.payload.to_vec(),
            t_ms: now,
        };
        self.holds.insert(item.order.key(), hold);
        self.give(buyer, i64::from(item.qty), item.buyer_hash);
        Reserved::New { t_ms: now }
    }

    fn refuse(
        &self,
        now: u64,
        call: &ReserveCall,
        item: &ReserveItem,
        units: Option<i64>,
    ) -> Option<Reserved> {
        let transfer = item.state == HoldState::Transfer;
        let known_buyer = units.is_some();
        let no = |why| Some(Reserved::Refused { why, known_buyer });
        if !item.relay && !transfer {
            if call.opens_at_ms > 0 && now < call.opens_at_ms {
                return Some(Reserved::NotOpen);
            }
            if call.closes_at_ms > 0 && now >= call.closes_at_ms {
                return no(Refusal::Closed);
            }
            match self.totals.open {
                Flag::Closed => return no(Refusal::Closed),
                Flag::Paused => return no(Refusal::Paused),
                Flag::Open => {}
            }
            if known_buyer && !item.checked {
                return Some(Reserved::Returning);
            }
        }
        let qty = i64::from(item.qty);
        if !transfer && call.limit > 0 && units.unwrap_or(0) + qty > i64::from(call.limit) {
            return no(Refusal::Limit);
        }
        if self.available() < qty { no(Refusal::SoldOut) } else { None }
    }

    fn fold(&mut self, e: &ApplyEntry) -> u32 {
        let mut bare = 0;
        let verdict = matches!(e.kind, Kind::Claim | Kind::Reject | Kind::TransferOut);
        let covered = verdict && self.drop_order(e.order).0 > 0;
        match e.kind {
            Kind::Claim => {
                self.totals.net += e.qty;
                bare = u32::from(!covered);
                self.give(&e.buyer, e.qty, e.buyer_hash);
            }
            Kind::Release => {
                self.totals.net -= e.qty;
                self.give(&e.buyer, -e.qty, e.buyer_hash);
            }
            Kind::Supply => self.totals.supply += e.qty,
            Kind::TransferOut => self.totals.supply -= e.qty,
            Kind::Flag => self.totals.open = Flag::from_number(e.qty).unwrap_or_default(),
            Kind::Reject => {}
        }
        if verdict || e.kind == Kind::Release {
            self.d[0].insert(e.order.key(), (e.order.content(), e.kind));
        }
        (self.totals.seq, self.totals.tok) = (e.seq, e.tok);
        bare
    }

    fn rotate(&mut self, now: u64) {
        if now - self.d_at >= D_SWAP_MS {
            self.d[1] = std::mem::take(&mut self.d[0]);
            self.d_at = now;
        }
        if !self.limited && now - self.b_at >= B_SWAP_MS {
            self.b[1] = std::mem::take(&mut self.b[0]);
            self.b_at = now;
        }
    }
}

/// A reserve that meets an entry under its key.
fn met(hold: &mut Hold, item: &ReserveItem) -> Reserved {
    if hold.order != item.order || hold.buyer != item.buyer {
        return Reserved::Conflict(hold.order);
    }
    if hold.att == item.nonce.to_string() {
        return Reserved::New { t_ms: hold.t_ms };
    }
    hold.att = format!("shared:{}", item.nonce);
    Reserved::Held { t_ms: hold.t_ms, payload: Bytes::from(hold.payload.clone()) }
}

impl Model {
    /// Everything in the slot is lost.
    pub fn lose(&mut self) {
        *self = Self::default();
    }

    /// reserve.
    pub fn reserve(&mut self, now: u64, call: &ReserveCall) -> ReserveReply {
        let Some(cell) = &mut self.cell else {
            let mark = Mark { redis_ms: now, ..Mark::default() };
            let results = vec![Reserved::Missing; call.items.len()];
            return ReserveReply { mark, results, replicated: true };
        };
        let results = call.items.iter().map(|i| cell.reserve(now, call, i)).collect();
        ReserveReply { mark: cell.mark(now), results, replicated: true }
    }

    /// apply.
    pub fn apply(&mut self, now: u64, call: &ApplyCall) -> Applied {
        let Some(cell) = &mut self.cell else {
            return Applied::Missing;
        };
        let watermark = cell.totals.seq;
        if call.prev_seq > watermark {
            return Applied::Gap { watermark };
        }
        let own = call.entries.iter().find(|e| e.seq == watermark).map(|e| e.tok);
        let tok = if call.prev_seq == watermark { Some(call.prev_tok) } else { own };
        if tok.is_some_and(|t| t != cell.totals.tok) {
            return Applied::Fork;
        }
        cell.rotate(now);
        let fresh = call.entries.iter().filter(|e| e.seq > watermark);
        let without_hold = fresh.map(|e| cell.fold(e)).sum();
        Applied::Ok { watermark: cell.totals.seq, without_hold }
    }

    /// resolve.
    pub fn resolve(&mut self, orders: &[(OrderId, u64)]) -> u32 {
        let Some(cell) = &mut self.cell else { return 0 };
        let mut dropped = 0;
        for (order, seq) in orders {
            if *seq <= cell.totals.seq {
                let (holds, fences) = cell.drop_order(*order);
                dropped += holds + fences;
            }
        }
        dropped
    }

    /// cancel.
    pub fn cancel(&mut self, order: OrderId, nonce: Nonce) -> Changed {
        let Some(cell) = &mut self.cell else {
            return Changed::Missing;
        };
        let mine = cell.holds.get(&order.key()).is_some_and(|h| {
            h.order == order && h.state == HoldState::Line && h.att == nonce.to_string()
        });
        if !mine {
            return Changed::Changed;
        }
        // A fence of the same id, under the whole id, stays.
        if let Some(hold) = cell.holds.remove(&order.key()) {
            cell.drop_units(&hold);
        }
        Changed::Ok
    }

    /// fence.
    pub fn fence(&mut self, now: u64, order: OrderId, payload: &[u8]) -> FenceReply {
        let Some(cell) = &mut self.cell else {
            return FenceReply::Missing;
        };
        if cell.fences.contains_key(&order) {
            return FenceReply::Fenced;
        }
        if cell.find(order).is_some() {
            return FenceReply::Sealed;
        }
        match cell.verdict(order.key()) {
            Some((content, kind)) if content == order.content() => {
                return FenceReply::Verdict(kind);
            }
            _ => {}
        }
        let hold = Hold {
            order,
            qty: 0,
            buyer: None,
            att: Nonce(0).to_string(),
            state: HoldState::Fenced,
            payload: payload.to_vec(),
            t_ms: now,
        };
        cell.fences.insert(order, hold);
        FenceReply::Fenced
    }

    /// unseal.
    pub fn unseal(&mut self, now: u64, order: OrderId, att: &str) -> FenceReply {
        let Some(cell) = &mut self.cell else {
            return FenceReply::Missing;
        };
        if cell.fences.contains_key(&order) {
            return FenceReply::Fenced;
        }
        let sealed = cell.find(order).filter(|h| h.state == HoldState::Sealed && h.att == att);
        let Some(mut hold) = sealed.cloned() else {
            return FenceReply::Changed;
        };
        cell.drop_order(order);
        hold.qty = 0;
        hold.state = HoldState::Fenced;
        hold.att = Nonce(0).to_string();
        hold.t_ms = now;
        cell.fences.insert(order, hold);
        FenceReply::Fenced
    }

    /// ticket.
    pub fn ticket(&mut self, ticket: &str) {
        self.ticket = Some(ticket.to_owned());
    }

    /// stage.
    pub fn stage(&mut self, now: u64, suffix: &str, b: &[(String, i64)]) {
        let slot = self.staging.entry(suffix.to_owned()).or_default();
        if slot.0 + STAGING_MS <= now {
            slot.1.clear();
        }
        slot.0 = now;
        slot.1.extend(b.iter().cloned());
    }

    /// load.
    pub fn load(&mut self, now: u64, call: &LoadCall) -> Changed {
        if self.cell.is_some() {
            return Changed::Exists;
        }
        if self.ticket != call.ticket {
            return Changed::Changed;
        }
        let mut b = BTreeMap::new();
        if let Some(suffix) = &call.staged {
            let alive = self.staging.get(suffix).filter(|s| s.0 + STAGING_MS > now);
            match alive {
                Some(s) if s.1.len() as u64 == call.staged_len => b = s.1.clone(),
                _ => return Changed::Changed,
            }
            self.staging.remove(suffix);
        }
        self.ticket = None;
        self.cell = Some(Cell {
            totals: call.totals,
            holds: BTreeMap::new(),
            fences: BTreeMap::new(),
            b: [b, BTreeMap::new()],
            d: [Verdicts::new(), Verdicts::new()],
            adds: call.adds % ADDS,
            inc: call.inc,
            limited: call.limited,
            d_at: now,
            b_at: now,
        });
        Changed::Ok
    }

    /// mend.
    pub fn mend(&mut self, call: &MendCall) -> Changed {
        let Some(cell) = &mut self.cell else {
            return Changed::Missing;
        };
        if (cell.inc, cell.totals.seq, cell.totals.tok)
            != (call.inc, call.totals.seq, call.seen_tok)
        {
            return Changed::Changed;
        }
        cell.totals = call.totals;
        let mut b: BTreeMap<String, i64> = BTreeMap::new();
        if call.buyers_full {
            b.extend(cell.b[0].keys().map(|k| (k.clone(), 0)));
        }
        b.extend(call.buyers.iter().cloned());
        for hold in cell.holds.values() {
            let Some(buyer) = &hold.buyer else { continue };
            if call.buyers_full || b.contains_key(buyer.as_str()) {
                *b.entry(buyer.as_str().to_owned()).or_default() += i64::from(hold.qty);
            }
        }
        cell.b[0].extend(b);
        cell.adds = (cell.adds + 1_000_003) % ADDS;
        Changed::Ok
    }

    /// drop.
    pub fn drop_cell(&mut self, seen: (u64, u64, Tok), fork: bool) -> Changed {
        let Some(cell) = &self.cell else {
            return Changed::Missing;
        };
        let busy = !cell.holds.is_empty() || !cell.fences.is_empty();
        if (cell.inc, cell.totals.seq, cell.totals.tok) != seen || (busy && !fork) {
            return Changed::Changed;
        }
        self.cell = None;
        Changed::Ok
    }

    /// snapshot.
    pub fn snapshot(&self, now: u64) -> Option<CellView> {
        let cell = self.cell.as_ref()?;
        let holds = (cell.holds.len() + cell.fences.len()) as u64;
        Some(CellView { totals: cell.totals, held: cell.held(), holds, mark: cell.mark(now) })
    }
}
