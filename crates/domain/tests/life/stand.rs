//! An order of 100, and who acts on it.

pub(crate) use std::collections::BTreeMap;

pub(crate) use domain::ledger::Kind;
pub(crate) use domain::life::{
    self, Actor, AskedRefund, Cancelled, DueWork, LatePolicy, Life, LifeContext, LifeLine,
    MatchState, OfferPolicy, OrderState, Parcel, PaySession, Payment, PaymentFate, PaymentKey,
    PaymentNews, PaymentState, Policies, Portion, ProviderEvent, RefundAnswer, RefundAsk,
    RefundKey, RefundPolicy, RefundSort, RefundState, Restock, SessionAnswer, TaskDraft, audit,
};
pub(crate) use domain::moves::Cause;
pub(crate) use domain::{CampaignNo, CellId, Gives, Identity, OrderId, RowStatus};

use crate::domain;

pub(crate) const AMOUNT: i64 = 100;
pub(crate) const NOW: u64 = 1_800_000_000_000;

pub(crate) fn id() -> OrderId {
    OrderId::compose(CampaignNo(3), 77, 5, 9)
}

pub(crate) fn cell(n: u8) -> CellId {
    format!("shoe.{n}").parse().unwrap()
}

/// A pending order of 100: two units for 30 from one cell, one for 40 from another.
pub(crate) fn pending() -> Life {
    let line = |n, qty, unit_minor| LifeLine { cell: cell(n), qty, unit_minor };
    let order = OrderState {
        status: RowStatus::Pending,
        version: 1,
        amount: AMOUNT,
        currency: "EUR".into(),
        lines: vec![line(0, 2, 30), line(1, 1, 40)],
        anchor: 1,
        expires_at: Some(NOW),
        captured: 0,
        refunded: 0,
        supersedes: None,
        superseded_by: None,
        came_from: None,
    };
    Life { order: Some(order), ..Life::new(id()) }
}

/// What the transactions of a test are told.
pub(crate) struct Desk {
    pub(crate) actor: Actor,
    pub(crate) policies: Policies,
    pub(crate) identity: Identity,
}

impl Desk {
    pub(crate) fn new(policy: OfferPolicy) -> Self {
        Self {
            actor: Actor::Clerk,
            policies: Policies::new([("shoe".parse().unwrap(), policy)]),
            identity: Identity::new(b"0123456789abcdef"),
        }
    }

    pub(crate) fn by(&self, actor: Actor) -> Self {
        Self { actor, policies: self.policies.clone(), identity: self.identity.clone() }
    }

    pub(crate) fn operator(&self) -> Self {
        self.by(Actor::Operator("olga".into()))
    }

    pub(crate) fn buyer(&self) -> Self {
        self.by(Actor::Buyer)
    }

    pub(crate) fn cx(&self) -> LifeContext<'_> {
        LifeContext {
            now_ms: NOW,
            actor: &self.actor,
            policies: &self.policies,
            identity: &self.identity,
        }
    }

    pub(crate) fn tell(&self, life: &mut Life, payment: &str, news: PaymentNews) {
        life::join(life, self.cx(), &event(payment, "EUR", news));
        sound(life);
    }

    pub(crate) fn captured(&self, life: &mut Life, payment: &str, amount: i64) {
        self.tell(life, payment, PaymentNews::Captured(amount));
    }

    pub(crate) fn ask(&self, life: &mut Life, refund: &str, portion: Portion) -> AskedRefund {
        let ask = RefundAsk { refund: refund.parse().unwrap(), portion };
        let answer = life::ask_refund(life, self.cx(), &ask);
        sound(life);
        answer
    }

    /// What its provider calls a refund.
    pub(crate) fn given(&self, life: &Life, key: &RefundKey) -> String {
        life::refund_at_provider(&self.identity, life.id, key, &life.refunds[key])
    }

    pub(crate) fn succeed(&self, life: &mut Life, key: &RefundKey) {
        let given = self.given(life, key);
        let payment = key.payment.payment.as_str().to_owned();
        let amount = life.refunds[key].amount;
        self.tell(life, &payment, PaymentNews::RefundSucceeded { key: given, amount });
    }
}

pub(crate) fn event(payment: &str, currency: &str, news: PaymentNews) -> ProviderEvent {
    ProviderEvent {
        event: None,
        provider: "card".parse().unwrap(),
        payment: payment.parse().unwrap(),
        order: id(),
        currency: currency.into(),
        news,
        is_final: false,
    }
}

pub(crate) fn key(payment: &str) -> PaymentKey {
    format!("card/{payment}").parse().unwrap()
}

pub(crate) fn back(refund: &str) -> Parcel {
    Parcel::Returned(refund.parse().unwrap())
}

pub(crate) fn fate(life: &Life, payment: &str) -> Option<PaymentFate> {
    life.payments[&key(payment)].fate
}

/// What holds after every step: INV-9, INV-16, one version after the other.
pub(crate) fn sound(life: &Life) {
    assert_eq!(life.illegal, None);
    assert_eq!(audit::at_any_time(life), [], "{life:?}");
    let versions: Vec<u32> = life.follows.versions.iter().map(|v| v.version).collect();
    assert!(versions.windows(2).all(|w| w[0] + 1 == w[1]), "INV-19 {versions:?}");
    if let (Some(last), Some(order)) = (life.follows.versions.last(), &life.order) {
        assert_eq!((last.version, last.to), (order.version, order.status));
    }
}

/// Money kept, and money that goes back by itself.
pub(crate) fn money(life: &Life) -> (i64, i64) {
    let own = Some(PaymentFate::Order(life.id));
    let kept = life.payments.values().filter(|p| p.fate == own).map(|p| p.keep).sum();
    let auto = life.refunds.values().filter(|r| r.sort == RefundSort::Automatic);
    (kept, auto.filter(|r| r.state != RefundState::Failed).map(|r| r.amount).sum())
}

pub(crate) fn in_status(status: RowStatus) -> Life {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = pending();
    let operator = desk.operator();
    let paid = |life: &mut Life| desk.captured(life, "first", AMOUNT);
    match status {
        RowStatus::Pending => {}
        RowStatus::Paid => paid(&mut life),
        RowStatus::Shipped | RowStatus::Completed => {
            paid(&mut life);
            let news =
                if status == RowStatus::Shipped { Parcel::Shipped } else { Parcel::Delivered };
            assert!(life::parcel(&mut life, operator.cx(), &news));
        }
        RowStatus::Refunding | RowStatus::Refunded => {
            paid(&mut life);
            operator.ask(&mut life, "all", Portion::Whole);
            let key = life.refunds.keys().next().unwrap().clone();
            if status == RowStatus::Refunded {
                desk.succeed(&mut life, &key);
            }
        }
        RowStatus::Cancelled => {
            let refund = "c".parse().unwrap();
            assert_eq!(life::cancel(&mut life, desk.buyer().cx(), &refund), Cancelled::Done);
        }
        RowStatus::Expired => assert!(life::expire(&mut life, desk.cx())),
        // Rows are born so, or a rewind rejects them.
        RowStatus::Rejected => life.order.as_mut().unwrap().status = status,
    }
    assert_eq!(life.status(), Some(status));
    life
}
