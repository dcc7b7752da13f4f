//! The ledger of a cell: entries, their chained token, and the fold that gives the counters.
//!
//! INV-1: `0 <= net <= supply` after every entry. INV-2: gap-free, at most one verdict and one
//! release per order, a release only after a claim. INV-15: an order's returns are at most its
//! claim, and none stands beside a release. The database decides; [`Totals::append`] is the one
//! place that computes what an entry makes of the counters, for the store and for tests.

use siphasher::sip::SipHasher13;
use std::fmt;
use std::hash::Hasher;

use crate::ids::{EntryId, OrderId};

/// What an entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Adds units to the cell.
    Supply,
    /// Grants units to an order.
    Claim,
    /// Decides that an order gets nothing.
    Reject,
    /// Gives the units of a claim back: the order died before it was paid.
    Release,
    /// Takes units out of the cell; consumes the hold of that transfer.
    TransferOut,
    /// Opens, pauses or closes the cell; the quantity is the [`Flag`].
    Flag,
    /// Gives units of a paid order back, with its n-th refund.
    Return(Ordinal),
}

/// Which refund of an order brought units back: 0 to 111, so that a class has room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ordinal(u8);

impl Ordinal {
    /// The first.
    pub const FIRST: Ordinal = Ordinal(0);
    /// How many there are: an order has at most as many refunds.
    pub const COUNT: u8 = 112;

    /// `None` from [`Ordinal::COUNT`] on.
    pub fn new(n: u8) -> Option<Ordinal> {
        (n < Ordinal::COUNT).then_some(Ordinal(n))
    }

    /// The number, from 0.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// The uniqueness class of a kind: one entry per (cell, order, class).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Claim, reject, transfer-out.
    Verdict,
    /// Release.
    Release,
    /// Supply.
    Supply,
    /// Flag.
    Flag,
    /// One return; an order may have several.
    Return(Ordinal),
}

impl Class {
    /// The number of the first return; the n-th one has n more.
    const RETURNS: i8 = 16;

    /// What the database stores.
    pub fn number(self) -> i8 {
        match self {
            Class::Verdict => 1,
            Class::Release => 2,
            Class::Supply => 3,
            Class::Flag => 4,
            Class::Return(Ordinal(n)) => Class::RETURNS + n as i8,
        }
    }
}

impl Kind {
    /// All kinds, in the order of their numbers; of the returns the first one.
    pub const ALL: [Kind; 7] = [
        Kind::Supply,
        Kind::Claim,
        Kind::Reject,
        Kind::Release,
        Kind::TransferOut,
        Kind::Flag,
        Kind::Return(Ordinal::FIRST),
    ];

    /// The class that must be unique per (cell, order).
    pub fn class(self) -> Class {
        match self {
            Kind::Claim | Kind::Reject | Kind::TransferOut => Class::Verdict,
            Kind::Release => Class::Release,
            Kind::Supply => Class::Supply,
            Kind::Flag => Class::Flag,
            Kind::Return(n) => Class::Return(n),
        }
    }

    /// What the database stores, beside the class's number.
    pub fn number(self) -> i8 {
        match self {
            Kind::Supply => 1,
            Kind::Claim => 2,
            Kind::Reject => 3,
            Kind::Release => 4,
            Kind::TransferOut => 5,
            Kind::Flag => 6,
            Kind::Return(_) => 7,
        }
    }

    /// The inverse of [`Kind::number`] and [`Class::number`]; `None` where they do not belong
    /// together.
    pub fn stored(number: i8, class: i8) -> Option<Kind> {
        let ordinal = u8::try_from(class.checked_sub(Class::RETURNS)?).ok().and_then(Ordinal::new);
        let kinds = Kind::ALL.into_iter().map(|kind| match (kind, ordinal) {
            (Kind::Return(_), Some(n)) => Kind::Return(n),
            (other, _) => other,
        });
        kinds.into_iter().find(|k| (k.number(), k.class().number()) == (number, class))
    }

    /// True for what moves units of a buyer.
    pub fn is_of_buyer(self) -> bool {
        match self {
            Kind::Claim | Kind::Release | Kind::Return(_) => true,
            Kind::Supply | Kind::Reject | Kind::TransferOut | Kind::Flag => false,
        }
    }

    /// What an entry of this kind makes of the units that buyers have.
    pub fn moves(self, qty: i64) -> i64 {
        match self {
            Kind::Claim => qty,
            Kind::Release | Kind::Return(_) => -qty,
            Kind::Supply | Kind::Reject | Kind::TransferOut | Kind::Flag => 0,
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
            Kind::Return(_) => 'B',
        }
    }
    /// The inverse of [`Kind::code`]; a return comes without its ordinal.
    pub fn from_code(code: char) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.code() == code)
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
    /// The buyer; empty for supply, transfer and flag, and for a return that leaves the buyer's
    /// limit as it is.
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
    /// Units claimed, and neither released nor returned.
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
            Kind::Claim | Kind::Release | Kind::Return(_) => net += d.kind.moves(d.qty),
            Kind::Reject => {}
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
            Kind::Claim | Kind::Release | Kind::Return(_) => Some(OrderId(self.id.0)),
            Kind::Reject => (!self.buyer.is_empty()).then_some(OrderId(self.id.0)),
            Kind::Supply | Kind::TransferOut | Kind::Flag => None,
        }
    }

    /// True when it moves the units of a buyer.
    pub fn moves_buyer(&self) -> bool {
        self.kind.is_of_buyer() && !self.buyer.is_empty()
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
    h.write_i8(d.kind.number());
    h.write(&d.id.0);
    h.write_i64(d.qty);
    h.write_i64(after.0);
    h.write_i64(after.1);
    h.write_u8(after.2 as u8);
    if let Kind::Return(ordinal) = d.kind {
        h.write_u8(ordinal.number());
    }
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
