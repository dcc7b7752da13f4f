//! The relay (PROTOCOL 6.5). It acts on any hold at any time: safety does not depend on X.

use crate::ops::{Op, Reply};
use crate::state::{Mutant, Pass, RELAY_NONCE, Relay};
use crate::world::Run;

impl Run<'_> {
    /// Picks a hold up.
    pub fn scan(&mut self, cell: u8, order: u8) -> bool {
        let view = &self.s.redis[usize::from(cell)];
        let o = usize::from(order);
        if self.s.relay.at != Pass::Idle || !view.in_h(o) {
            return false;
        }
        let hold = view.hold[o];
        let state = if hold.state == 0 { b'F' } else { hold.state };
        self.s.relay = Relay { at: Pass::Read, cell, order, state, att: hold.att };
        true
    }

    /// The relay dies, or leaves the hold to its next pass.
    pub fn relay_dies(&mut self) -> bool {
        let alive = self.s.relay.at != Pass::Idle;
        self.s.relay = Relay::default();
        alive
    }

    /// The next step.
    pub fn relay(&mut self) -> bool {
        let r = self.s.relay;
        let (cell, order) = (usize::from(r.cell), usize::from(r.order));
        let next = match r.at {
            Pass::Idle => return false,
            Pass::Read => self.first_read(r),
            Pass::Apply(seq) => {
                self.apply(cell, seq);
                Pass::Resolve(seq)
            }
            Pass::Resolve(seq) => {
                self.resolve(cell, order, seq);
                Pass::Idle
            }
            Pass::Complete => self.complete(order),
            Pass::Unseal => self.unseal(r, order),
            Pass::Fence => self.fence(order),
            Pass::Fenced => match self.anchor_verdict(order) {
                Some(b'C') => Pass::Full,
                _ => Pass::Abort,
            },
            Pass::Full => {
                self.publish_full(order);
                Pass::Idle
            }
            Pass::Abort => {
                self.publish_abort(order);
                Pass::Idle
            }
        };
        // What no later step reads is forgotten: states that differ in it are one.
        self.s.relay = match next {
            Pass::Idle => Relay::default(),
            Pass::Apply(_) | Pass::Resolve(_) => Relay { at: next, state: 0, att: 0, ..r },
            Pass::Complete | Pass::Unseal => Relay { at: next, state: 0, cell: 0, ..r },
            Pass::Read | Pass::Fence | Pass::Fenced | Pass::Full | Pass::Abort => {
                Relay { at: next, state: 0, att: 0, cell: 0, ..r }
            }
        };
        true
    }

    fn anchor_verdict(&self, order: usize) -> Option<u8> {
        let anchor = self.scope.orders[order].anchor();
        self.s.ledger[anchor].verdict(order).map(|(_, kind)| kind)
    }

    fn first_read(&self, r: Relay) -> Pass {
        let order = usize::from(r.order);
        if let Some((seq, _)) = self.s.ledger[usize::from(r.cell)].verdict(order) {
            return Pass::Apply(seq);
        }
        let cart = self.scope.orders[order].line().is_some();
        match r.state {
            b'S' if !cart || self.scope.broken(Mutant::NoCompletion) => Pass::Full,
            b'S' => Pass::Complete,
            b'L' if self.scope.broken(Mutant::RelayFullCart) => Pass::Full,
            b'L' if self.scope.broken(Mutant::NoFence) => Pass::Fenced,
            _ => Pass::Fence,
        }
    }

    fn complete(&mut self, order: usize) -> Pass {
        let Some(cell) = self.scope.orders[order].line() else { return Pass::Full };
        if self.s.ledger[cell].verdict(order).is_some() {
            return Pass::Full;
        }
        match self.reserve(cell, order, b'L', RELAY_NONCE) {
            Reply::Missing => Pass::Idle,
            Reply::Limit | Reply::SoldOut => Pass::Unseal,
            Reply::New
            | Reply::Held
            | Reply::Claimed
            | Reply::Rejected
            | Reply::Fenced
            | Reply::Sealed
            | Reply::Ok
            | Reply::Changed
            | Reply::Exists
            | Reply::Count(_)
            | Reply::Verdict(..)
            | Reply::Row(..) => Pass::Full,
        }
    }

    fn unseal(&mut self, r: Relay, order: usize) -> Pass {
        let def = self.scope.orders[order];
        if def.line().is_some_and(|c| self.s.ledger[c].verdict(order).is_some()) {
            return Pass::Full;
        }
        let (anchor, buyer) = (def.anchor(), self.buyer(order));
        let unchecked = self.scope.broken(Mutant::UnsealUnchecked);
        let had = self.s.redis[anchor].hold[order].state != 0;
        let reply = self.s.redis[anchor].unseal(order, buyer, r.att, unchecked);
        self.note(Op::Unseal(anchor as u8, order as u8, r.att), reply);
        if had && self.s.redis[anchor].hold[order].state == 0 {
            self.dropped(anchor, order);
        }
        if reply == Reply::Fenced { Pass::Abort } else { Pass::Idle }
    }

    fn fence(&mut self, order: usize) -> Pass {
        let anchor = self.scope.orders[order].anchor();
        let reply = self.s.redis[anchor].fence(order);
        self.note(Op::Fence(anchor as u8, order as u8), reply);
        match reply {
            Reply::Fenced | Reply::Claimed | Reply::Rejected => Pass::Fenced,
            Reply::Missing
            | Reply::New
            | Reply::Held
            | Reply::Sealed
            | Reply::Limit
            | Reply::SoldOut
            | Reply::Ok
            | Reply::Changed
            | Reply::Exists
            | Reply::Count(_)
            | Reply::Verdict(..)
            | Reply::Row(..) => Pass::Idle,
        }
    }
}
