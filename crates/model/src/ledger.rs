//! A cell's ledger: what is appended is decided and counted by `domain::Totals`.

use domain::ledger::Draft;
use domain::{CampaignNo, Entry, Flag, Kind, OrderId, Tok, Totals};

use crate::redis::View;
use crate::scope::{ORDERS, Scope};

/// Entries before the first one of an order: supply and flag.
pub const FIRST: u8 = 2;

/// The entries of the orders, from position 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ledger {
    /// Supply of the cell.
    pub supply: i8,
    /// How many entries.
    len: u8,
    /// Kind letter and order of each.
    entries: [(u8, u8); 2 * ORDERS],
}

/// The id of an order.
pub fn id(order: usize) -> OrderId {
    OrderId::compose(CampaignNo(1), 0, order as u64 + 1, order as u32 + 1)
}

/// The name of a buyer.
pub fn buyer(buyer: u8) -> String {
    format!("buyer-{buyer}")
}

fn draft(kind: Kind, order: usize) -> Draft {
    let qty = i64::from(kind != Kind::Reject);
    Draft { kind, id: id(order).into(), buyer: String::new(), qty, payload: Vec::new() }
}

impl Ledger {
    /// A cell with units and open.
    pub fn new(supply: i8) -> Self {
        Self { supply, ..Self::default() }
    }

    /// (position, kind letter, order) of every entry of an order.
    pub fn entries(&self) -> impl Iterator<Item = (u8, u8, usize)> + '_ {
        let all = self.entries.iter().take(usize::from(self.len));
        (FIRST + 1..).zip(all).map(|(seq, (kind, order))| (seq, *kind, usize::from(*order)))
    }

    /// The last position.
    pub fn seq(&self) -> u8 {
        FIRST + self.len
    }

    /// The fold at a position, without the chain.
    pub fn at(&self, seq: u8) -> Totals {
        let folded = self.entries().filter(|e| e.0 <= seq);
        let net = folded.map(|(_, kind, _)| match kind {
            b'C' => 1,
            b'R' => -1,
            _ => 0,
        });
        Totals {
            supply: i64::from(self.supply),
            net: net.sum(),
            seq: u64::from(seq),
            open: Flag::Open,
            tok: Tok(0),
        }
    }

    /// (position, kind letter) of an order's verdict.
    pub fn verdict(&self, order: usize) -> Option<(u8, u8)> {
        let mine = |e: &(u8, u8, usize)| e.2 == order && e.1 != b'R';
        self.entries().find(mine).map(|(seq, kind, _)| (seq, kind))
    }

    /// True when the order's claim was given back.
    pub fn released(&self, order: usize) -> bool {
        self.entries().any(|e| e.2 == order && e.1 == b'R')
    }

    fn push(&mut self, kind: u8, order: usize) {
        self.entries[usize::from(self.len)] = (kind, order as u8);
        self.len += 1;
    }

    /// The verdict transaction of one order: (position, kind letter, fresh), or nothing when
    /// the domain refuses the entry (INV-1).
    pub fn decide(&mut self, order: usize, full: bool, guard: bool) -> Option<(u8, u8, bool)> {
        if let Some((seq, kind)) = self.verdict(order) {
            return Some((seq, kind, false));
        }
        let mut totals = self.at(self.seq());
        let claim = full && (!guard || totals.fits(1));
        let kind = if claim { Kind::Claim } else { Kind::Reject };
        totals.append(draft(kind, order), 0).ok()?;
        self.push(kind.code() as u8, order);
        Some((self.seq(), kind.code() as u8, true))
    }

    /// The release transaction; true when an entry was appended.
    pub fn release(&mut self, order: usize) -> Option<bool> {
        let claimed = self.verdict(order).is_some_and(|(_, kind)| kind == b'C');
        if !claimed || self.released(order) {
            return Some(false);
        }
        let mut totals = self.at(self.seq());
        totals.append(draft(Kind::Release, order), 0).ok()?;
        self.push(b'R', order);
        Some(true)
    }

    /// The cell as a rebuild loads it from this position.
    pub fn view(&self, scope: &Scope, seq: u8) -> View {
        let net = self.at(seq).net as i8;
        let mut v = View { exists: true, supply: self.supply, net, w: seq, ..View::default() };
        for (_, kind, order) in self.entries().filter(|e| e.0 <= seq) {
            let buyer = usize::from(scope.orders[order].buyer);
            match kind {
                b'C' => v.b[buyer] += 1,
                b'R' => v.b[buyer] -= 1,
                _ => {}
            }
        }
        v
    }

    /// The whole ledger as the database would keep it, with its chain.
    pub fn full(&self, scope: &Scope) -> (Vec<Entry>, Totals) {
        let mut totals = Totals::default();
        let mut out = Vec::new();
        let first = [(Kind::Supply, i64::from(self.supply)), (Kind::Flag, Flag::Open as i64)];
        let head = first.map(|(kind, qty)| Draft { qty, ..draft(kind, 99) });
        let rest = self.entries().filter_map(|(_, kind, order)| {
            let kind = Kind::from_code(char::from(kind))?;
            Some(Draft { buyer: buyer(scope.orders[order].buyer), ..draft(kind, order) })
        });
        for d in head.into_iter().chain(rest) {
            out.extend(totals.append(d, 0));
        }
        (out, totals)
    }
}
