//! What operators decide for an offer, and what a transaction is told from outside.

use std::collections::HashMap;
use std::sync::Arc;

use super::names::ProviderId;
use super::numbered::numbered;
use crate::identity::Identity;
use crate::moves::Mover;
use crate::names::OfferId;

/// What becomes of a payment that comes after its order expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i8)]
pub enum LatePolicy {
    /// It buys the order again, if there are units.
    #[default]
    Reclaim = 0,
    /// It goes back.
    Refund = 1,
}

/// What becomes of a refund that a buyer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i8)]
pub enum RefundPolicy {
    /// It is sent.
    Auto = 1,
    /// A person grants it.
    #[default]
    Ask = 0,
    /// There is none.
    No = 2,
}

/// What becomes of the goods of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i8)]
pub enum Restock {
    /// They go back on sale: by themselves while they are in the warehouse, else when they are
    /// back.
    #[default]
    Yes = 0,
    /// They are not sold again.
    No = 1,
    /// When they are back, or a person says that they may be.
    Ask = 2,
}

numbered! {
    LatePolicy: Reclaim "reclaim", Refund "refund";
    RefundPolicy: Auto "auto", Ask "ask", No "no";
    Restock: Yes "yes", No "no", Ask "ask";
}

/// What operators decided for an offer. All of it may change at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfferPolicy {
    /// For late payments.
    pub late: LatePolicy,
    /// For refunds.
    pub refund: RefundPolicy,
    /// For their goods.
    pub restock: Restock,
    /// A buyer who cancels a paid order asks for its refund; else it is refused.
    pub cancel_refunds: bool,
    /// The limit per buyer counts what was ever bought, not what is kept.
    pub limit_counts_ever: bool,
}

/// The policies of all offers; cheap to clone. What is not in it has the defaults.
#[derive(Debug, Clone, Default)]
pub struct Policies(Arc<HashMap<OfferId, OfferPolicy>>);

impl Policies {
    /// Of these offers.
    pub fn new(all: impl IntoIterator<Item = (OfferId, OfferPolicy)>) -> Self {
        Self(Arc::new(all.into_iter().filter(|(_, p)| *p != OfferPolicy::default()).collect()))
    }

    /// That of an offer.
    pub fn of(&self, offer: &OfferId) -> OfferPolicy {
        self.0.get(offer).copied().unwrap_or_default()
    }
}

/// Who did it, as history tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The buyer.
    Buyer,
    /// A provider, by a callback.
    Provider(ProviderId),
    /// The clerk.
    Clerk,
    /// An operator, by name.
    Operator(String),
    /// A warehouse, by name.
    Fulfilment(String),
    /// The writer, in a rewind.
    Writer,
}

impl Actor {
    /// What it may do.
    pub fn mover(&self) -> Mover {
        match self {
            Actor::Buyer => Mover::Buyer,
            Actor::Provider(_) => Mover::Provider,
            Actor::Clerk => Mover::Clerk,
            Actor::Operator(_) => Mover::Operator,
            Actor::Fulfilment(_) => Mover::Fulfilment,
            Actor::Writer => Mover::Writer,
        }
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Actor::Buyer => f.write_str("buyer"),
            Actor::Provider(name) => write!(f, "provider:{name}"),
            Actor::Clerk => f.write_str("clerk"),
            Actor::Operator(name) => write!(f, "operator:{name}"),
            Actor::Fulfilment(name) => write!(f, "fulfilment:{name}"),
            Actor::Writer => f.write_str("writer"),
        }
    }
}

/// What a transaction is told from outside.
#[derive(Debug, Clone, Copy)]
pub struct LifeContext<'a> {
    /// The database's clock, UTC ms.
    pub now_ms: u64,
    /// Who acts.
    pub actor: &'a Actor,
    /// What operators decided.
    pub policies: &'a Policies,
    /// The keyed functions.
    pub identity: &'a Identity,
}
