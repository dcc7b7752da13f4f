//! Holds: units kept off sale in Redis for an order without a verdict yet.
//!
//! Nothing leaves a hold because of time; only a verdict, a resolve, or the rules of the cart
//! flow remove it. INV-4: `held` is the sum of the quantities of the holds.

use crate::ids::{EntryId, OrderId};
use crate::names::Buyer;

/// The unique id of one gate attempt. Never reused, also not by a retry of the same client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub u64);

impl std::fmt::Display for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a hold stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// The anchor of an order: every line is held.
    Sealed,
    /// A line that is not the anchor.
    Line,
    /// Units that a transfer or a removal is about to take out.
    Transfer,
    /// Quantity 0: the anchor of an order that is being aborted.
    Fenced,
}

impl HoldState {
    /// The one-letter code the scripts use.
    pub fn code(self) -> char {
        match self {
            HoldState::Sealed => 'S',
            HoldState::Line => 'L',
            HoldState::Transfer => 'T',
            HoldState::Fenced => 'F',
        }
    }
    /// The inverse of [`HoldState::code`].
    pub fn from_code(code: char) -> Option<Self> {
        [Self::Sealed, Self::Line, Self::Transfer, Self::Fenced]
            .into_iter()
            .find(|s| s.code() == code)
    }
}

/// One hold as a scan shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The order's, or that of the transfer.
    pub id: EntryId,
    /// Units kept off sale.
    pub qty: u32,
    /// Who they are kept for; `None` for a transfer.
    pub buyer: Option<Buyer>,
    /// The creating attempt, or `shared:<nonce>` once another attempt touched it.
    pub att: String,
    /// What it stands for.
    pub state: HoldState,
    /// The order's immutable bytes.
    pub payload: Vec<u8>,
    /// Redis time of creation, milliseconds.
    pub t_ms: u64,
}

impl Hold {
    /// The order that it is held for; `None` for a transfer.
    pub fn order(&self) -> Option<OrderId> {
        match self.state {
            HoldState::Sealed | HoldState::Line | HoldState::Fenced => Some(OrderId(self.id.0)),
            HoldState::Transfer => None,
        }
    }
}
