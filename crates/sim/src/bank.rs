//! The payment provider's books: it opens sessions, captures, closes and refunds, each once per
//! key. A refund of more than there is, or another one under a known key, is the product's fault
//! and ends the schedule.

use std::collections::{BTreeMap, VecDeque};

use domain::OrderId;
use domain::life::{AdapterKind, PaymentId, PaymentKey, Provider, ProviderId};
use life::calls::{
    CapturedSoFar, CloseAnswer, OpenedSession, RefundCall, RefundPage, RefundTold, SessionAsk,
    StatedRefund,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use crate::rng::mix;

/// What it signs with.
pub const SECRET: &str = "the provider's secret of every schedule";

/// What it is called.
pub fn id() -> ProviderId {
    "bank".parse().expect("letters")
}

/// As the catalog knows it.
pub fn provider() -> Provider {
    Provider {
        id: id(),
        adapter: AdapterKind::Generic,
        secrets: vec![SECRET.to_owned()],
        base_url: Some("http://bank".to_owned()),
        timeout_ms: 200,
    }
}

/// What is told of a payment's money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Which payment.
    pub payment: PaymentId,
    /// The order that it is for.
    pub order: OrderId,
    /// All that was captured, minor units.
    pub minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// A callback that it is to make.
pub struct Letter {
    /// Where to.
    pub path: &'static str,
    /// What it says.
    pub body: Value,
    /// Which of its events.
    pub number: u64,
    /// What it tells of money.
    pub news: Option<News>,
}

impl Letter {
    /// A number that is the same in every run of the seed.
    pub fn dice(&self, seed: u64, what: u64) -> u64 {
        mix(&[seed, 53, self.number, what])
    }
}

/// A payment in its books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// For which order.
    pub order: OrderId,
    /// ISO 4217.
    pub currency: String,
    /// All that was captured, minor units.
    pub captured: i64,
    /// Nothing more will be.
    pub closed: bool,
}

/// A refund in its books.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Returned {
    payment: PaymentId,
    order: OrderId,
    amount: i64,
    moved: bool,
}

#[derive(Default)]
struct Books {
    payments: BTreeMap<PaymentId, Booked>,
    refunds: BTreeMap<String, Returned>,
    /// Events that it has told of.
    events: u64,
    /// What it is to tell.
    outbox: VecDeque<Letter>,
}

/// The provider.
#[derive(Default)]
pub struct Bank {
    books: Mutex<Books>,
    bell: Notify,
}

impl Bank {
    /// A payment that a shop opened by itself.
    pub fn begin(&self, payment: &PaymentId, order: OrderId, currency: &str) {
        let fresh = Booked { order, currency: currency.to_owned(), captured: 0, closed: false };
        self.books.lock().payments.entry(payment.clone()).or_insert(fresh);
    }

    /// One session for each order and attempt.
    pub fn open(&self, ask: &SessionAsk) -> OpenedSession {
        let name = format!("s-{}-{}", ask.order, ask.attempt);
        let payment: PaymentId = name.parse().expect("visible and short");
        self.begin(&payment, ask.order, &ask.currency);
        OpenedSession { payment, redirect: String::new() }
    }

    /// ISO 4217.
    pub fn currency(&self, payment: &PaymentId) -> Option<String> {
        self.books.lock().payments.get(payment).map(|b| b.currency.clone())
    }

    /// Takes money; all that was captured since, or nothing of a payment that is closed.
    pub fn capture(&self, payment: &PaymentId, minor: i64) -> Option<i64> {
        let mut books = self.books.lock();
        let booked = books.payments.get_mut(payment).filter(|b| !b.closed)?;
        booked.captured += minor;
        Some(booked.captured)
    }

    /// Nothing more is captured from here on.
    pub fn close(&self, payment: &PaymentId, unclear: bool) -> CloseAnswer {
        let mut books = self.books.lock();
        let Some(booked) = books.payments.get_mut(payment) else {
            return CloseAnswer::Closed(CapturedSoFar { minor: 0, currency: None });
        };
        if unclear && !booked.closed {
            return CloseAnswer::Unknown;
        }
        booked.closed = true;
        let so_far =
            CapturedSoFar { minor: booked.captured, currency: Some(booked.currency.clone()) };
        match booked.captured {
            0 => CloseAnswer::Closed(so_far),
            _ => CloseAnswer::Captured(so_far),
        }
    }

    /// Sends money back, now or (`later`) when [`Bank::moves`] is called; `Err`: what must not be.
    pub fn refund(&self, ask: &RefundCall, later: bool) -> Result<RefundTold, String> {
        let mut books = self.books.lock();
        if let Some(known) = books.refunds.get(&ask.key) {
            if (&known.payment, known.amount) != (&ask.payment, ask.amount) {
                return Err(format!("one key, two refunds: {known:?} and {ask:?}"));
            }
            return Ok(told(known));
        }
        let (payment, amount) = (ask.payment.clone(), ask.amount);
        let captured = books.payments.get(&payment).map_or(0, |b| b.captured);
        let back: i64 =
            books.refunds.values().filter(|r| r.payment == payment).map(|r| r.amount).sum();
        if amount < 1 || back + amount > captured {
            return Err(format!("{payment}: {captured} captured, {back} + {amount} to go back"));
        }
        let refund = Returned { payment, order: ask.order, amount, moved: !later };
        let is = told(&refund);
        books.refunds.insert(ask.key.clone(), refund);
        Ok(is)
    }

    /// What became of a refund.
    pub fn query(&self, key: &str) -> Option<RefundTold> {
        self.books.lock().refunds.get(key).map(told)
    }

    /// Refunds after this one, a few at a time.
    pub fn stated(&self, after: Option<&str>) -> RefundPage {
        const PAGE: usize = 3;
        let books = self.books.lock();
        let all = books.refunds.iter().filter(|(key, _)| after.is_none_or(|a| key.as_str() > a));
        let stated = |(key, refund): (&String, &Returned)| {
            let booked = books.payments.get(&refund.payment)?;
            Some(StatedRefund {
                key: key.clone(),
                payment: refund.payment.clone(),
                order: Some(refund.order),
                amount: refund.amount,
                currency: booked.currency.clone(),
                told: told(refund),
            })
        };
        let refunds: Vec<StatedRefund> = all.filter_map(stated).take(PAGE).collect();
        let next = refunds.last().filter(|_| refunds.len() == PAGE).map(|r| r.key.clone());
        RefundPage { refunds, next }
    }

    /// The money of a refund moves.
    pub fn moves(&self, key: &str) {
        if let Some(refund) = self.books.lock().refunds.get_mut(key) {
            refund.moved = true;
        }
    }

    /// The money that moved back under a key.
    pub fn moved(&self, key: &str) -> i64 {
        let books = self.books.lock();
        books.refunds.get(key).filter(|r| r.moved).map_or(0, |r| r.amount)
    }

    /// The number of its next event.
    pub fn next_event(&self) -> u64 {
        let mut books = self.books.lock();
        books.events += 1;
        books.events
    }

    /// It is to make this callback.
    pub fn puts(&self, letter: Letter) {
        self.books.lock().outbox.push_back(letter);
        self.bell.notify_one();
    }

    /// The next one that it is to make, once there is one.
    pub async fn next_letter(&self) -> Letter {
        loop {
            if let Some(letter) = self.books.lock().outbox.pop_front() {
                return letter;
            }
            self.bell.notified().await;
        }
    }

    /// Every payment with money, and what of it went back.
    pub fn payments(&self) -> Vec<(PaymentKey, Booked, i64)> {
        let books = self.books.lock();
        let with_money = books.payments.iter().filter(|(_, b)| b.captured > 0);
        let one = |(id, booked): (&PaymentId, &Booked)| {
            let back = books.refunds.values().filter(|r| r.payment == *id && r.moved);
            let key = PaymentKey { provider: self::id(), payment: id.clone() };
            (key, booked.clone(), back.map(|r| r.amount).sum())
        };
        with_money.map(one).collect()
    }
}

fn told(refund: &Returned) -> RefundTold {
    if refund.moved { RefundTold::Succeeded } else { RefundTold::Pending }
}
