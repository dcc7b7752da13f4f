//! Every answer to a client, against what the client was told before (PROTOCOL 6.1, 6.3).

use contract::Reason;
use domain::{Buyer, IdempotencyKey, OrderId};

use super::{Facts, Oracle};
use crate::world::World;

/// How long a gate believes its sold-out flag, and the way of an answer, ms.
const FLAG_MS: u64 = 260;

/// A request for an order.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The id it must have.
    pub order: OrderId,
    /// Who asks.
    pub buyer: Buyer,
    /// Under which key.
    pub key: IdempotencyKey,
    /// When it was sent.
    pub sent_at: u64,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// 202 `accepted`, or 200 with a living row.
    Accepted {
        /// The id in the answer.
        order: Option<OrderId>,
        /// The amount in the answer.
        amount: Option<i64>,
    },
    /// 202 `unconfirmed`.
    Unconfirmed {
        /// The id in the answer.
        order: Option<OrderId>,
    },
    /// 200 with a rejected order.
    Rejected {
        /// The id in the answer.
        order: Option<OrderId>,
        /// Its reason.
        reason: Option<String>,
    },
    /// A problem.
    Refused {
        /// Its reason.
        reason: Option<Reason>,
        /// Its status.
        status: u16,
    },
    /// Nothing came.
    Nothing,
}

impl Oracle {
    /// A request leaves a client.
    pub fn sent(&mut self, ask: &Ask) {
        let facts = self.orders.entry(ask.order).or_default();
        facts.who = Some((ask.buyer.clone(), ask.key.clone()));
        facts.sent += 1;
    }

    /// A client hears something.
    pub fn answered(&mut self, world: &World, ask: &Ask, answer: &Answered) {
        let id = match answer {
            Answered::Accepted { order, .. } => *order,
            Answered::Unconfirmed { order } | Answered::Rejected { order, .. } => *order,
            Answered::Refused { .. } | Answered::Nothing => None,
        };
        if let Some(id) = id.filter(|id| *id != ask.order) {
            self.bad("INV-8", format!("the same request is {} and {id}", ask.order));
        }
        match answer {
            Answered::Accepted { amount, .. } => self.accepted(world, ask, *amount),
            Answered::Rejected { reason, .. } => self.rejected(ask, reason.as_deref()),
            Answered::Refused { reason, status } => self.refused(world, ask, (*reason, *status)),
            Answered::Unconfirmed { .. } | Answered::Nothing => {}
        }
    }

    fn accepted(&mut self, world: &World, ask: &Ask, amount: Option<i64>) {
        let facts = self.orders.entry(ask.order).or_default();
        facts.accepted_at.get_or_insert(world.at());
        let before = facts.promised;
        if let Some(amount) = amount {
            facts.promised.get_or_insert(amount);
        }
        if before.is_some() && amount.is_some() && before != amount && !self.redis_lost {
            let text = format!("{}: {before:?} and {amount:?} were promised", ask.order);
            self.bad("6.1 bytes", text);
        }
    }

    /// INV-13.
    fn rejected(&mut self, ask: &Ask, reason: Option<&str>) {
        let accepted = self.orders.get(&ask.order).is_some_and(|f| f.accepted_at.is_some());
        if accepted && reason != Some("key_conflict") && self.is_kept(ask.order) {
            self.bad("INV-13", format!("{} was accepted and is rejected", ask.order));
        }
    }

    fn refused(&mut self, world: &World, ask: &Ask, (reason, status): (Option<Reason>, u16)) {
        let facts = self.orders.entry(ask.order).or_default();
        facts.refused += 1;
        // The sold-out flag may be so old (section 8): its filter lacks what was accepted since.
        let young = facts.accepted_at.is_some_and(|at| at + FLAG_MS >= world.at());
        if young && reason == Some(Reason::SoldOut) {
            return world.met("client", "sold_out_window");
        }
        let before = facts.accepted_at.is_some_and(|at| at < ask.sent_at);
        let no = matches!(status, 409 | 410 | 422);
        let dead = self.rows.get(&ask.order).is_some_and(|r| !r.status.is_live());
        // INV-13's exception, said before the row of the loser is there.
        let loses = reason == Some(Reason::KeyConflict) && self.is_key_of_another(ask);
        if before && no && !dead && !loses && !self.redis_lost {
            let why = reason.map_or("?", Reason::as_str);
            self.bad("6.3", format!("{} was accepted; its repeat was told {why}", ask.order));
        }
    }

    /// True when the row of another order has this request's key.
    fn is_key_of_another(&self, ask: &Ask) -> bool {
        let same = |f: &Facts| {
            f.who.as_ref().is_some_and(|(buyer, key)| (buyer, key) == (&ask.buyer, &ask.key))
        };
        let mut orders = self.orders.iter();
        orders.any(|(id, f)| *id != ask.order && same(f) && self.rows.contains_key(id))
    }

    /// A client asked for an accepted order with its receipt.
    pub fn polled(&mut self, ask: &Ask, status: u16, receipt: bool) {
        if receipt && !matches!(status, 200 | 503) {
            self.bad("6.1 receipt", format!("{} with its receipt: {status}", ask.order));
        }
    }
}
