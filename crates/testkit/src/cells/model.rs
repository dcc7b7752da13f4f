//! A cell as the protocol describes it, in plain Rust: what every backend must equal.
//!
//! Written from the script table of the protocol, one order at a time, without a thought for
//! speed; a vectorised call is the loop over its single calls. Time is an argument. Absent:
//! Redis and Lua. Lookups by content go over everything there is.

mod cell;

use cells::port::{
    Applied, ApplyCall, CellView, Changed, FenceReply, LoadCall, Mark, MendCall, ReserveCall,
    ReserveReply, Reserved,
};
use domain::{EntryId, Hold, HoldState, Nonce, OrderId, Tok};
use std::collections::BTreeMap;

pub use cell::Cell;

const ADDS: u64 = 1 << 46;
const STAGING_MS: u64 = 600_000;

/// A slot: the cell if it is there, the ticket, the staging keys.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The cell.
    pub cell: Option<Cell>,
    ticket: Option<String>,
    staging: BTreeMap<String, (u64, BTreeMap<String, i64>)>,
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
    pub fn resolve(&mut self, ids: &[(EntryId, u64)]) -> u32 {
        let Some(cell) = &mut self.cell else { return 0 };
        let mut dropped = 0;
        for (id, seq) in ids {
            if *seq <= cell.totals.seq {
                let (holds, fences) = cell.drop_hold(*id);
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
            h.id == order.into() && h.state == HoldState::Line && h.att == nonce.to_string()
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
        if cell.fences.contains_key(&order.into()) {
            return FenceReply::Fenced;
        }
        if cell.find(order.into()).is_some() {
            return FenceReply::Sealed;
        }
        match cell.verdict(order.key()) {
            Some((content, kind)) if content == order.content() => {
                return FenceReply::Verdict(kind);
            }
            _ => {}
        }
        let hold = Hold {
            id: order.into(),
            qty: 0,
            buyer: None,
            att: Nonce(0).to_string(),
            state: HoldState::Fenced,
            payload: payload.to_vec(),
            t_ms: now,
        };
        cell.fences.insert(order.into(), hold);
        FenceReply::Fenced
    }

    /// unseal.
    pub fn unseal(&mut self, now: u64, order: OrderId, att: &str) -> FenceReply {
        let Some(cell) = &mut self.cell else {
            return FenceReply::Missing;
        };
        if cell.fences.contains_key(&order.into()) {
            return FenceReply::Fenced;
        }
        let sealed =
            cell.find(order.into()).filter(|h| h.state == HoldState::Sealed && h.att == att);
        let Some(mut hold) = sealed.cloned() else {
            return FenceReply::Changed;
        };
        cell.drop_hold(order.into());
        hold.qty = 0;
        hold.state = HoldState::Fenced;
        hold.att = Nonce(0).to_string();
        hold.t_ms = now;
        cell.fences.insert(order.into(), hold);
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
            d: Default::default(),
            adds: call.adds % ADDS,
            inc: call.inc,
            limited: call.limited,
            d_at: now,
            b_at: now,
            forgot: false,
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
        for hold in cell.holds.values().chain(cell.fences.values()) {
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
