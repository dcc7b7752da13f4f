//! The ledger of a cell: entries, their chained token, and the fold that gives the counters.
//!
//! INV-1: `0 <= net <= supply` after every entry. INV-2: gap-free, at most one verdict and one
//! release per order, a release only after a claim. The database decides; [`Totals::append`] is
//! the one place that computes what an entry makes of the counters, for the store and for tests.

use siphasher::sip::SipHasher13;
use std::fmt;
use std::hash::Hasher;

use crate::ids::{EntryId, OrderId};

/// What an entry does. The number is what the database stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum Kind {
    /// Adds units to the cell.
    Supply = 1,
    /// Grants units to an order.
    Claim = 2,
    /// Decides that an order gets nothing.
    Reject = 3,
    /// Gives the units of a claim back.
    Release = 4,
    /// Takes units out of the cell; consumes the hold of that transfer.
    TransferOut = 5,
    /// Opens, pauses or closes the cell; the quantity is the [`Flag`].
    Flag = 6,
}

/// The uniqueness class of a kind: one entry per (cell, order, class).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum Class {
    /// Claim, reject, transfer-out.
    Verdict = 1,
    /// Release.
    Release = 2,
    /// Supply.
    Supply = 3,
    /// Flag.
    Flag = 4,
}

impl Class {
    /// All classes, in the order of their numbers.
    pub const ALL: [Class; 4] = [Class::Verdict, Class::Release, Class::Supply, Class::Flag];
    /// The numbers of what an order may have several of: 16 + n is its n-th return. Nothing writes
    /// them yet, and no class of another meaning may ever have one.
    pub const RETURNS: std::ops::RangeInclusive<i8> = 16..=i8::MAX;
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 6] =
        [Kind::Supply, Kind::Claim, Kind::Reject, Kind::Release, Kind::TransferOut, Kind::Flag];

    /// The class that must be unique per (cell, order).
    pub fn class(self) -> Class {
        match self {
            Kind::Claim | Kind::Reject | Kind::TransferOut => Class::Verdict,
            Kind::Release => Class::Release,
            Kind::Supply => Class::Supply,
            Kind::Flag => Class::Flag,
        }
    }
    /// The one-letter code the scripts use.
    pub fn code(self) -> char {
        match self {
            Kind::Supply => 'S',
            Kind::Claim => 'C',
            Kind::Reject => 'X',
            Kind::Release => 'R',
            Kind::TransferOut => 'T',
            Kind::Flag => 'G',
        }
    }
    /// The inverse of [`Kind::code`].
    pub fn from_code(code: char) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.code() == code)
    }
    /// The inverse of `as i8`.
    pub fn from_number(n: i8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| *k as i8 == n)
    }
}

/// The state of a cell's sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(i8)]
pub enum Flag {
    /// Ended; `open` may reopen it.
    #[default]
    Closed = 0,
    /// Selling, inside the campaign's window.
    Open = 1,
    /// Stopped for a while.
    Paused = 2,
}

impl Flag {
    /// All, in the order of their numbers.
    pub const ALL: [Flag; 3] = [Flag::Closed, Flag::Open, Flag::Paused];
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Flag::Closed => "closed",
            Flag::Open => "open",
            Flag::Paused => "paused",
        }
    }
    /// The inverse of `as i8`.
    pub fn from_number(n: i64) -> Option<Flag> {
        Flag::ALL.into_iter().find(|f| i64::from(*f as i8) == n)
    }
}

/// The chained token: `tok_n = H(tok_{n-1}, entry_n)`. It tells a fork of the ledger from its
/// continuation. 16 hex digits in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Tok(pub u64);

impl fmt::Display for Tok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
impl fmt::Debug for Tok {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl std::str::FromStr for Tok {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(s, 16).map(Tok)
    }
}

/// One line of a cell's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position, from 1, gap-free.
    pub seq: u64,
    /// What it does.
    pub kind: Kind,
    /// The order's, or that of the request of supply, transfer and flag.
    pub id: EntryId,
    /// The buyer; empty for supply, transfer and flag.
    pub buyer: String,
    /// Units, at least 0; for a flag its value; for a reject 0.
    pub qty: i64,
    /// The order's immutable bytes with a verdict; a note with a repair's flag; else empty.
    pub payload: Vec<u8>,
    /// Supply after this entry.
    pub supply_after: i64,
    /// Net after this entry.
    pub net_after: i64,
    /// Flag after this entry.
    pub open_after: Flag,
    /// Chained token after this entry.
    pub tok: Tok,
    /// The database's clock, UTC milliseconds.
    pub at_ms: i64,
}

/// What one entry asks for, before it has a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What it does.
    pub kind: Kind,
    /// The order's or the request's.
    pub id: EntryId,
    /// The buyer, empty where there is none.
    pub buyer: String,
    /// Units; for a flag its value.
    pub qty: i64,
    /// Payload bytes to keep with the entry.
    pub payload: Vec<u8>,
}

/// The cell row: the ledger's fold at `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Units given to the cell.
    pub supply: i64,
    /// Units claimed and not released.
    pub net: i64,
    /// Position of the last entry.
    pub seq: u64,
    /// Flag.
    pub open: Flag,
    /// Chained token at `seq`.
    pub tok: Tok,
}

/// An append that would break INV-1 or has numbers out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// `0 <= net <= supply` would not hold afterwards.
    #[error("net {net} would leave 0..={supply}")]
    Bounds {
        /// Net after the entry.
        net: i64,
        /// Supply after the entry.
        supply: i64,
    },
    /// A negative quantity, or a flag that is none.
    #[error("quantity {0} is out of range")]
    Quantity(i64),
}

/// The most units a cell may ever have: exact in a Lua number and in its text form.
pub const MAX_UNITS: i64 = 1_000_000_000_000;

impl Totals {
    /// Folds one entry in: the entry with its position, or the reason it must not be (INV-1).
    pub fn append(&mut self, d: Draft, at_ms: i64) -> Result<Entry, AppendError> {
        if !(0..=MAX_UNITS).contains(&d.qty) {
            return Err(AppendError::Quantity(d.qty));
        }
        let (mut supply, mut net, mut open) = (self.supply, self.net, self.open);
        match d.kind {
            Kind::Supply => supply += d.qty,
            Kind::Claim => net += d.qty,
            Kind::Reject => {}
            Kind::Release => net -= d.qty,
            Kind::TransferOut => supply -= d.qty,
            Kind::Flag => open = Flag::from_number(d.qty).ok_or(AppendError::Quantity(d.qty))?,
        }
        if net < 0 || net > supply || supply > MAX_UNITS {
            return Err(AppendError::Bounds { net, supply });
        }
        let seq = self.seq + 1;
        let tok = chain(self.tok, seq, &d, (supply, net, open));
        *self = Totals { supply, net, seq, open, tok };
        Ok(Entry {
            seq,
            kind: d.kind,
            id: d.id,
            buyer: d.buyer,
            qty: d.qty,
            payload: d.payload,
            supply_after: supply,
            net_after: net,
            open_after: open,
            tok,
            at_ms,
        })
    }

    /// True when a claim of `qty` fits (INV-1).
    pub fn fits(&self, qty: i64) -> bool {
        self.net + qty <= self.supply
    }
}

impl Entry {
    /// The order that it decides or gives back; `None` for what an operator asked for, as a
    /// transfer that was rejected.
    pub fn order(&self) -> Option<OrderId> {
        match self.kind {
            Kind::Claim | Kind::Release => Some(OrderId(self.id.0)),
            Kind::Reject => (!self.buyer.is_empty()).then_some(OrderId(self.id.0)),
            Kind::Supply | Kind::TransferOut | Kind::Flag => None,
        }
    }

    /// The totals right after this entry.
    pub fn totals(&self) -> Totals {
        Totals {
            supply: self.supply_after,
            net: self.net_after,
            seq: self.seq,
            open: self.open_after,
            tok: self.tok,
        }
    }
}

fn chain(prev: Tok, seq: u64, d: &Draft, after: (i64, i64, Flag)) -> Tok {
    let mut h = SipHasher13::new_with_keys(prev.0, seq);
    h.write_u8(d.kind as u8);
    h.write(&d.id.0);
    h.write_i64(d.qty);
    h.write_i64(after.0);
    h.write_i64(after.1);
    h.write_u8(after.2 as u8);
    h.write(d.buyer.as_bytes());
    Tok(h.finish())
}

/// Folds entries from `from`; `Err` names the first position where the ledger is not what a
/// ledger must be (INV-1, INV-2 gap-freedom, the chain). Used by tests, verdicts and metrics.
pub fn refold(from: Totals, entries: &[Entry]) -> Result<Totals, String> {
    let mut t = from;
    for e in entries {
        let draft = Draft {
            kind: e.kind,
            id: e.id,
            buyer: e.buyer.clone(),
            qty: e.qty,
            payload: Vec::new(),
        };
        let again = t.append(draft, e.at_ms).map_err(|x| format!("seq {}: {x}", e.seq))?;
        if again.totals() != e.totals() {
            return Err(format!("seq {}: stored {:?}, folded {:?}", e.seq, e.totals(), t));
        }
    }
    Ok(t)
}
