//! Refunds: money on its way back from one payment.

use super::names::{PaymentKey, RefundId};
use super::numbered::numbered;
use crate::cell::CellId;
use crate::ledger::Ordinal;

/// Which refund of an order, and of which of its payments: a refund of several has a part of each.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefundKey {
    /// The refund.
    pub refund: RefundId,
    /// The payment.
    pub payment: PaymentKey,
}

/// Why money goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum RefundSort {
    /// By itself: it paid nothing, or more than was due.
    Automatic = 1,
    /// A buyer or an operator asked.
    Granted = 2,
    /// The provider took it back.
    Provider = 3,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum RefundState {
    /// A person has to grant it.
    Asked = 1,
    /// It is to be sent.
    Requested = 2,
    /// It was sent, or is about to be.
    Sending = 3,
    /// It was sent, and nobody knows what became of it.
    Unknown = 4,
    /// The money moved.
    Succeeded = 5,
    /// A person found that it will not move.
    Failed = 6,
    /// A person has to look; it counts as under way.
    Manual = 7,
    /// It succeeded, and the money came back to the provider.
    Bounced = 8,
}

numbered! {
    RefundSort: Automatic "automatic", Granted "granted", Provider "provider";
    RefundState: Asked "asked", Requested "requested", Sending "sending", Unknown "unknown",
        Succeeded "succeeded", Failed "failed", Manual "manual", Bounced "bounced";
}

impl RefundState {
    /// True when it takes none of what may go back any more.
    pub fn is_failed(self) -> bool {
        self == RefundState::Failed
    }

    /// True when its money moved, as the provider said; what bounced since is a person's.
    pub fn has_moved(self) -> bool {
        match self {
            RefundState::Succeeded | RefundState::Bounced => true,
            RefundState::Asked
            | RefundState::Requested
            | RefundState::Sending
            | RefundState::Unknown
            | RefundState::Failed
            | RefundState::Manual => false,
        }
    }

    /// True when nothing more is done about it by itself or by a person who grants.
    pub fn is_final(self) -> bool {
        match self {
            RefundState::Succeeded | RefundState::Failed | RefundState::Bounced => true,
            RefundState::Asked
            | RefundState::Requested
            | RefundState::Sending
            | RefundState::Unknown
            | RefundState::Manual => false,
        }
    }

    /// True while the clerk sends it, or asks what became of it.
    pub fn is_to_send(self) -> bool {
        match self {
            RefundState::Requested | RefundState::Sending | RefundState::Unknown => true,
            RefundState::Asked
            | RefundState::Succeeded
            | RefundState::Failed
            | RefundState::Manual
            | RefundState::Bounced => false,
        }
    }
}

/// Money on its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Why.
    pub sort: RefundSort,
    /// How much of this payment, minor units.
    pub amount: i64,
    /// What the buyer gives back with the whole refund; the same in all of its parts.
    pub lines: Vec<(CellId, u32)>,
    /// What was asked for altogether, minor units; the same in all of its parts.
    pub asked: i64,
    /// True when all that was left of the order was asked for.
    pub is_whole: bool,
    /// True when the goods go back on sale by themselves, as soon as the money has moved.
    pub restocks: bool,
    /// The number of the refund among those that were asked for: its returns have it.
    pub ordinal: Option<Ordinal>,
    /// Where it stands.
    pub state: RefundState,
    /// How often it was sent.
    pub tries: u32,
    /// When it was first sent, UTC ms; 0 before.
    pub first_sent_ms: u64,
    /// When it became known here that the money moved, UTC ms; 0 before.
    pub moved_ms: u64,
}
