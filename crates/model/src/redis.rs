//! A cell in Redis and its scripts, written from the protocol's table and not from the Lua. The
//! replay test holds both together.

use crate::ops::Reply;
use crate::scope::ORDERS;

/// A hold: `state` is 0 (none), `S` or `L`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hold {
    /// What it stands for.
    pub state: u8,
    /// The creating nonce, or with [`SHARED`] the nonce that touched it last.
    pub att: u8,
}

/// Set in an att that a second attempt touched.
pub const SHARED: u8 = 0x80;

/// A cell as Redis has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct View {
    /// False after a total loss.
    pub exists: bool,
    /// Units given.
    pub supply: i8,
    /// Units claimed.
    pub net: i8,
    /// Units held.
    pub held: i8,
    /// W.
    pub w: u8,
    /// h without fences.
    pub hold: [Hold; ORDERS],
    /// Fences in h: bits.
    pub fence: u8,
    /// d: 0 none, `C` or `X`.
    pub d: [u8; ORDERS],
    /// b, per buyer.
    pub b: [i8; ORDERS],
    /// The ticket in the slot; 0 = none.
    pub ticket: u8,
}

/// The most units a buyer may have of a cell.
pub const LIMIT: i8 = 1;

/// Who asks for a hold.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The order.
    pub order: usize,
    /// Its buyer.
    pub buyer: usize,
    /// `S` or `L`.
    pub state: u8,
    /// The attempt.
    pub nonce: u8,
    /// A retry takes the hold over: only a mutant does.
    pub overwrite: bool,
}

impl View {
    /// True for an order that has anything in h.
    pub fn in_h(&self, order: usize) -> bool {
        self.hold[order].state != 0 || self.fenced(order)
    }

    /// True when the order is fenced here.
    pub fn fenced(&self, order: usize) -> bool {
        self.fence & (1 << order) != 0
    }

    /// PROTOCOL reserve.
    pub fn reserve(&mut self, a: Ask) -> Reply {
        if !self.exists {
            return Reply::Missing;
        }
        if a.state == b'S' && self.fenced(a.order) {
            return Reply::Fenced;
        }
        let hold = &mut self.hold[a.order];
        if hold.state != 0 {
            if hold.att == a.nonce {
                return Reply::New;
            }
            hold.att = if a.overwrite { a.nonce } else { SHARED | a.nonce };
            return Reply::Held;
        }
        match self.d[a.order] {
            0 => {}
            b'C' => return Reply::Claimed,
            _ => return Reply::Rejected,
        }
        if self.b[a.buyer] + 1 > LIMIT {
            return Reply::Limit;
        }
        if self.supply - self.net - self.held < 1 {
            return Reply::SoldOut;
        }
        *hold = Hold { state: a.state, att: a.nonce };
        self.held += 1;
        self.b[a.buyer] += 1;
        Reply::New
    }

    fn drop_hold(&mut self, order: usize, buyer: usize) -> bool {
        if self.hold[order].state == 0 {
            return false;
        }
        self.hold[order] = Hold::default();
        self.held -= 1;
        self.b[buyer] -= 1;
        true
    }

    /// Folds the next ledger entry in.
    pub fn fold(&mut self, kind: u8, order: usize, buyer: usize) {
        match kind {
            b'C' | b'X' => {
                self.drop_hold(order, buyer);
                self.fence &= !(1 << order);
                if kind == b'C' {
                    self.net += 1;
                    self.b[buyer] += 1;
                }
            }
            _ => {
                self.net -= 1;
                self.b[buyer] -= 1;
            }
        }
        self.d[order] = kind;
        self.w += 1;
    }

    /// PROTOCOL resolve; true when something was dropped.
    pub fn resolve(&mut self, order: usize, buyer: usize, seq: u8, unchecked: bool) -> bool {
        if !self.exists || (seq > self.w && !unchecked) {
            return false;
        }
        let fence = self.fenced(order);
        self.fence &= !(1 << order);
        self.drop_hold(order, buyer) || fence
    }

    /// PROTOCOL cancel.
    pub fn cancel(&mut self, order: usize, buyer: usize, nonce: u8, anyone: bool) -> Reply {
        let hold = self.hold[order];
        if !self.exists {
            return Reply::Missing;
        }
        if hold.state == b'L' && (hold.att == nonce || anyone) {
            self.drop_hold(order, buyer);
            return Reply::Ok;
        }
        Reply::Changed
    }

    /// PROTOCOL fence.
    pub fn fence(&mut self, order: usize) -> Reply {
        if !self.exists {
            return Reply::Missing;
        }
        if self.fenced(order) {
            return Reply::Fenced;
        }
        if self.hold[order].state != 0 {
            return Reply::Sealed;
        }
        match self.d[order] {
            0 => {
                self.fence |= 1 << order;
                Reply::Fenced
            }
            b'C' => Reply::Claimed,
            _ => Reply::Rejected,
        }
    }

    /// PROTOCOL unseal.
    pub fn unseal(&mut self, order: usize, buyer: usize, att: u8, unchecked: bool) -> Reply {
        if !self.exists {
            return Reply::Missing;
        }
        if self.fenced(order) {
            return Reply::Fenced;
        }
        let hold = self.hold[order];
        if hold.state != b'S' || (hold.att != att && !unchecked) {
            return Reply::Changed;
        }
        self.drop_hold(order, buyer);
        self.fence |= 1 << order;
        Reply::Fenced
    }

    /// PROTOCOL load: `fresh` is the cell at the position that was read.
    pub fn load(&mut self, fresh: View, ticket: u8, unchecked: bool) -> Reply {
        if self.exists {
            return Reply::Exists;
        }
        if self.ticket != ticket && !unchecked {
            return Reply::Changed;
        }
        *self = fresh;
        Reply::Ok
    }
}
