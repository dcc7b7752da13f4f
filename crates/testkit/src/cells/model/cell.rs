//! A living cell of the model: its counters, holds, buyers and verdicts.

use bytes::Bytes;
use cells::port::{ApplyEntry, Mark, Refusal, ReserveCall, ReserveItem, Reserved};
use domain::ledger::Flag;
use domain::{EntryId, Hold, HoldState, Key, Kind, OrderId, Totals};
use std::collections::BTreeMap;

use super::ADDS;

const D_SWAP_MS: u64 = 600_000;
const B_SWAP_MS: u64 = 86_400_000;

pub(super) type Verdicts = BTreeMap<Key, ([u8; 4], Kind)>;

/// A living cell.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The ledger's fold at W.
    pub totals: Totals,
    /// Entries of h under the key of the id.
    pub holds: BTreeMap<Key, Hold>,
    /// Entries F, under the whole id.
    pub fences: BTreeMap<EntryId, Hold>,
    /// b with a limit; the marks of two generations without one.
    pub b: [BTreeMap<String, i64>; 2],
    pub(super) d: [Verdicts; 2],
    pub(super) adds: u64,
    pub(super) inc: u64,
    pub(super) limited: bool,
    pub(super) d_at: u64,
    pub(super) b_at: u64,
    /// Buyers were forgotten.
    pub(super) forgot: bool,
}

impl Cell {
    /// The sum of the holds (INV-4 makes `held` the same).
    pub fn held(&self) -> i64 {
        self.holds.values().map(|h| i64::from(h.qty)).sum()
    }

    fn available(&self) -> i64 {
        self.totals.supply - self.totals.net - self.held()
    }

    pub(super) fn mark(&self, now: u64) -> Mark {
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

    pub(super) fn drop_units(&mut self, hold: &Hold) {
        if let (Some(buyer), true) = (&hold.buyer, self.limited) {
            *self.b[0].entry(buyer.as_str().to_owned()).or_default() -= i64::from(hold.qty);
        }
    }

    /// Drops what is held for the whole id; (holds with units, fences).
    pub(super) fn drop_hold(&mut self, id: EntryId) -> (u32, u32) {
        let fences = u32::from(self.fences.remove(&id).is_some());
        if self.holds.get(&id.key()).is_none_or(|h| h.id != id) {
            return (0, fences);
        }
        if let Some(hold) = self.holds.remove(&id.key()) {
            self.drop_units(&hold);
        }
        (1, fences)
    }

    pub(super) fn verdict(&self, key: Key) -> Option<([u8; 4], Kind)> {
        self.d[0].get(&key).or_else(|| self.d[1].get(&key)).copied()
    }

    /// A hold of the whole id, whatever its state.
    pub fn find(&self, id: EntryId) -> Option<&Hold> {
        self.holds.get(&id.key()).filter(|h| h.id == id).or_else(|| self.fences.get(&id))
    }

    /// The order that is held or decided under a key.
    pub fn under(&self, key: Key) -> Option<OrderId> {
        let held = self.holds.get(&key).map(|h| OrderId(h.id.0));
        held.or_else(|| self.verdict(key).map(|(content, _)| OrderId::join(key, content)))
    }

    pub(super) fn reserve(&mut self, now: u64, call: &ReserveCall, item: &ReserveItem) -> Reserved {
        let transfer = item.state == HoldState::Transfer;
        if !transfer && call.deadline_ms > 0 && now > call.deadline_ms {
            return Reserved::Late;
        }
        if item.state == HoldState::Sealed && self.fences.contains_key(&item.id) {
            return Reserved::Fenced;
        }
        if let Some(hold) = self.holds.get_mut(&item.id.key()) {
            return met(hold, item);
        }
        match self.verdict(item.id.key()) {
            Some((content, kind)) if content == item.id.content() => {
                return Reserved::Verdict(kind);
            }
            Some((content, _)) => {
                return Reserved::Conflict(OrderId::join(item.id.key(), content));
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
            id: item.id,
            qty: item.qty,
            buyer: item.buyer.clone(),
            att,
            state: item.state,
            payload: item.payload.to_vec(),
            t_ms: now,
        };
        self.holds.insert(item.id.key(), hold);
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
        if self.available() < qty {
            return no(Refusal::SoldOut);
        }
        let unsure = self.forgot && !known_buyer && !item.checked && !item.relay && !transfer;
        unsure.then_some(Reserved::Returning)
    }

    pub(super) fn fold(&mut self, e: &ApplyEntry) -> u32 {
        let mut bare = 0;
        let verdict = matches!(e.kind, Kind::Claim | Kind::Reject | Kind::TransferOut);
        let covered = verdict && self.drop_hold(e.id).0 > 0;
        match e.kind {
            Kind::Claim => {
                self.totals.net += e.qty;
                bare = u32::from(!covered);
                self.give(&e.buyer, e.qty, e.buyer_hash);
            }
            Kind::Release | Kind::Return(_) => {
                self.totals.net -= e.qty;
                self.give(&e.buyer, -e.qty, e.buyer_hash);
            }
            Kind::Supply => self.totals.supply += e.qty,
            Kind::TransferOut => self.totals.supply -= e.qty,
            Kind::Flag => self.totals.open = Flag::from_number(e.qty).unwrap_or_default(),
            Kind::Reject => {}
        }
        if verdict || e.kind == Kind::Release {
            self.d[0].insert(e.id.key(), (e.id.content(), e.kind));
        }
        (self.totals.seq, self.totals.tok) = (e.seq, e.tok);
        bare
    }

    pub(super) fn rotate(&mut self, now: u64) {
        if now - self.d_at >= D_SWAP_MS {
            self.d[1] = std::mem::take(&mut self.d[0]);
            self.d_at = now;
        }
        if !self.limited && now - self.b_at >= B_SWAP_MS {
            self.forgot |= !self.b[1].is_empty();
            self.b[1] = std::mem::take(&mut self.b[0]);
            self.b_at = now;
        }
    }
}

/// A reserve that meets an entry under its key.
fn met(hold: &mut Hold, item: &ReserveItem) -> Reserved {
    if hold.id != item.id || hold.buyer != item.buyer {
        return Reserved::Conflict(OrderId(hold.id.0));
    }
    if hold.att == item.nonce.to_string() {
        return Reserved::New { t_ms: hold.t_ms };
    }
    hold.att = format!("shared:{}", item.nonce);
    Reserved::Held { t_ms: hold.t_ms, payload: Bytes::from(hold.payload.clone()) }
}
