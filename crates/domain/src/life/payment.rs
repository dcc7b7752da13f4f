//! Payments: what providers tell, joined so that neither order nor repetition matters.

use mutants::Mutant;

use super::names::{PaymentId, PaymentKey, ProviderId};
use super::numbered::numbered;
use crate::ids::OrderId;

/// How far a payment got. A lattice: what is joined takes the greater one, so that a failure that
/// is told after the capture changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum PaymentState {
    /// There is a session, or the provider has named it.
    Opened = 0,
    /// An attempt failed; another one of the same payment may succeed.
    Failed = 1,
    /// The money is reserved.
    Authorised = 2,
    /// Money moved: [`Payment::captured`] says how much.
    Captured = 3,
}

numbered! {
    PaymentState: Opened "opened", Failed "failed", Authorised "authorised", Captured "captured";
}

/// What became of the money of a payment. It is set once, and from `Late` once more: a payment on
/// its way back never pays an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PaymentFate {
    /// It pays this order, up to [`Payment::keep`].
    Order(OrderId),
    /// It came for an expired order and is to buy that order's successor.
    Late,
    /// It goes back.
    Back,
}

/// [`Payment::asked`] of one whose provider cannot be asked.
pub(super) const NEVER_ASKED: u32 = 1_000_000;

/// A payment of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The order that was named first.
    pub order: OrderId,
    /// How far it got.
    pub state: PaymentState,
    /// All that was captured so far, minor units.
    pub captured: i64,
    /// ISO 4217; that of the first news of it.
    pub currency: String,
    /// What becomes of the money; `None` while it may still pay its order.
    pub fate: Option<PaymentFate>,
    /// How much of it the order of its fate keeps.
    pub keep: i64,
    /// The provider said for good that nothing more will be captured.
    pub closed: bool,
    /// Which attempt of its order at this provider; 0 for one that this product did not open.
    pub attempt: u32,
    /// How often the provider was asked to close it and gave no definite answer; see
    /// [`super::CLOSE_TRIES`].
    pub asked: u32,
    /// When the first of its money came, as far as is known here, UTC ms; 0 before.
    pub captured_ms: u64,
}

impl Payment {
    /// One of which nothing is known but its order.
    pub fn new(order: OrderId, currency: &str) -> Self {
        Self {
            order,
            state: PaymentState::Opened,
            captured: 0,
            currency: currency.to_owned(),
            fate: None,
            keep: 0,
            closed: false,
            attempt: 0,
            asked: 0,
            captured_ms: 0,
        }
    }

    /// The order that decides on it: the one that it pays, else the one that it named first. Its
    /// refunds are in that one's books.
    pub fn home(&self) -> OrderId {
        match self.fate {
            Some(PaymentFate::Order(order)) => order,
            None | Some(PaymentFate::Late | PaymentFate::Back) => self.order,
        }
    }

    /// True when the provider may be asked to close it.
    pub fn may_be_closed(&self) -> bool {
        if mutants::on(Mutant::ClosePart) {
            return !self.closed && self.asked < NEVER_ASKED && self.captured == 0;
        }
        !self.closed && self.asked < NEVER_ASKED
    }

    /// True when money came and nobody has decided on it yet.
    pub fn is_free(&self) -> bool {
        if mutants::on(Mutant::FateForgotten) {
            return self.state == PaymentState::Captured && self.fate != Some(PaymentFate::Late);
        }
        self.state == PaymentState::Captured && self.fate.is_none()
    }
}

/// A session of an order at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaySession {
    /// Which try, from 1: part of the key that the provider is given.
    pub attempt: u32,
    /// What the provider calls it; `None` until it has answered.
    pub payment: Option<PaymentId>,
    /// Where the provider sends the buyer; empty for nowhere.
    pub redirect: String,
}

/// The currency of news that have none.
pub const NO_CURRENCY: &str = "XXX";

/// What is told of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentNews {
    /// A session was opened.
    Opened,
    /// The money is reserved.
    Authorised,
    /// Captured so far, all together, minor units, at least 0.
    Captured(i64),
    /// An attempt failed.
    Failed,
    /// Nothing more will be captured.
    Closed,
    /// Money went back. Under a key that nobody here gave it is a dispute, or a refund by hand.
    RefundSucceeded {
        /// What the provider was given with the refund, or calls it.
        key: String,
        /// How much, minor units.
        amount: i64,
    },
    /// A refund of it failed.
    RefundFailed {
        /// What the provider was given with it.
        key: String,
    },
}

/// One event or answer of a provider, after its adapter has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderEvent {
    /// Unique at the provider; an answer to a call of ours has none.
    pub event: Option<String>,
    /// Whose.
    pub provider: ProviderId,
    /// Which payment.
    pub payment: PaymentId,
    /// The order that it names.
    pub order: OrderId,
    /// ISO 4217.
    pub currency: String,
    /// What is told.
    pub news: PaymentNews,
    /// True when the provider will not say anything else of the payment's money: the answer to a
    /// call that closes it.
    pub is_final: bool,
}

impl ProviderEvent {
    /// The payment's key.
    pub fn key(&self) -> PaymentKey {
        PaymentKey { provider: self.provider.clone(), payment: self.payment.clone() }
    }
}
