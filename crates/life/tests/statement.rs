//! A provider's statement against the books: what is read, what is refused, what differs.
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::fmt::Write;

use contract::desk::{MoneyDifference, MoneyReport, MoneySort};
use domain::life::{
    Actor, LifeWish, PaymentKey, PaymentNews, Policies, ProviderEvent, provider_key,
};
use domain::{Identity, OrderId};
use sluicegate_life::statement::{MoneyBooks, Period, Statement, StatementError};
use store::port::{LifeCall, LifeRead, LifeWrite, OrdersWrite, Shards};
use testkit::memory::MemoryStore;
use testkit::store::make::{one_line, row};

const HEADER: &str = "type,payment_id,refund_id,currency,minor,at\n";
/// What the clock of the tests says, and so when everything is booked here.
const NOW: u64 = 1_800_000_000_000;
const HOUR: u64 = 3_600_000;
const EVER: Period = Period { from_ms: 0, to_ms: u64::MAX >> 1 };

fn identity() -> Identity {
    Identity::new(b"0123456789abcdef")
}

fn read(text: &str) -> Result<Statement, StatementError> {
    Statement::read(text.as_bytes(), 1000)
}

#[test]
fn what_is_no_statement_is_refused_with_its_line() {
    let at = "2026-11-27T09:55:00Z";
    let line = |text: &str| format!("{HEADER}{}\n", text.replace('@', at));
    let cases = [
        ("".to_owned(), "no column type"),
        ("type,payment_id,refund_id,currency,minor\n".to_owned(), "no column at"),
        (HEADER.to_owned(), "no line is a payment"),
        (line("fee,x,,EUR,5,@"), "no line is a payment"),
        (line("payment,p,,EUR,5"), "line 2: "),
        (line("payment,,,EUR,5,@"), "line 2: payment_id \"\""),
        (line("payment,with space,,EUR,5,@"), "line 2: payment_id"),
        (line("payment,p,,eur,5,@"), "line 2: currency \"eur\""),
        (line("payment,p,,EURO,5,@"), "line 2: currency"),
        (line("payment,p,,EUR,-5,@"), "line 2: minor \"-5\""),
        (line("payment,p,,EUR,5.00,@"), "line 2: minor"),
        (line("payment,p,,EUR,99999999999999999999,@"), "line 2: minor"),
        (line("payment,p,,EUR,5,yesterday"), "line 2: at \"yesterday\""),
        (line("payment,p,r,EUR,5,@"), "line 2: a refund has a refund_id"),
        (line("refund,p,,EUR,5,@"), "line 2: a refund has a refund_id"),
        (line("payment,p,,EUR,5,@\npayment,p,,USD,5,@"), "line 3: its payment had EUR"),
        (line("payment,\"p,,EUR,5,@"), "line "),
    ];
    for (text, says) in cases {
        let refused = read(&text).unwrap_err().to_string();
        assert!(refused.contains(says), "{text:?}: {refused}");
    }
    let bytes = [HEADER.as_bytes(), b"payment,\xff,,EUR,5,2026-11-27T09:55:00Z\n"].concat();
    assert!(Statement::read(&bytes[..], 10).is_err());
    let many = format!("{HEADER}{}", format!("payment,p,,EUR,5,{at}\n").repeat(4));
    assert_eq!(Statement::read(many.as_bytes(), 3), Err(StatementError::TooLong(3)));
    assert!(Statement::read(many.as_bytes(), 4).is_ok());
}

#[test]
fn a_statement_is_read_whatever_its_provider_adds() {
    let text = "at, minor ,fee,currency,refund_id,payment_id,type\r\n\
                2026-11-27T09:55:00Z,5,1,EUR,,p,payment\r\n\
                2026-11-27T11:05:00+01:00,7,1,EUR,,\"p\",payment\r\n\
                2026-11-27T10:15:00Z,5,1,EUR,,,payout\r\n";
    let all = read(text).unwrap();
    // Five minutes inside of it, at both ends: nothing is left of that.
    let ms = |text| contract::parse_time(text).unwrap() as u64;
    let (first, last) = (ms("2026-11-27T09:55:00Z"), ms("2026-11-27T10:05:00Z"));
    assert!(Period::of(&all, None, None).unwrap_err().contains("ten minutes"));
    let longer = text.to_owned() + "2026-11-27T10:06:00Z,5,1,EUR,,p,payment\r\n";
    let within = Period { from_ms: first + 300_000, to_ms: last - 240_000 };
    assert_eq!(Period::of(&read(&longer).unwrap(), None, None), Ok(within));
    let given = Period { from_ms: first, to_ms: last };
    assert_eq!(Period::of(&all, Some(first), Some(last)), Ok(given));
    for (from, to) in [(Some(first), None), (None, Some(last)), (Some(last), Some(first))] {
        assert!(Period::of(&all, from, to).is_err(), "{from:?} {to:?}");
    }
    assert!(Period::of(&all, Some(first), Some(first)).is_err(), "it is empty");
}

/// Books with money in them.
struct Books {
    store: MemoryStore,
    /// Lines of a statement that says the same.
    lines: Vec<String>,
}

fn at(ms: u64) -> String {
    contract::show_time(ms)
}

fn key(payment: &str) -> PaymentKey {
    format!("bank/{payment}").parse().unwrap()
}

impl Books {
    async fn tell(&self, order: OrderId, payment: &str, news: PaymentNews) {
        let key = key(payment);
        let event = ProviderEvent {
            event: None,
            provider: key.provider,
            payment: key.payment,
            order,
            currency: "EUR".into(),
            news,
            is_final: false,
        };
        let db = self.store.order_db(order);
        let (actor, policies) = (Actor::Clerk, Policies::default());
        let wishes = vec![LifeWish::Join(event)];
        self.store.live(&LifeCall { db, actor, policies, wishes }).await.unwrap();
    }

    /// Twenty orders, each paid; every fourth a second time, which went back.
    async fn new() -> Self {
        let clock = testkit::memory::PausedClock::starting_at(NOW);
        let store = MemoryStore::new(4, identity(), clock);
        let mut me = Self { store, lines: Vec::new() };
        for n in 0..20 {
            let buyer = format!("buyer-{n}");
            let cell = "shoe.0".parse().unwrap();
            let order = one_line(&identity(), &cell, (&buyer, "k"));
            me.store.rows(me.store.order_db(order.order), &[row(&order)]).await.unwrap();
            let order = order.order;
            me.tell(order, &format!("p{n}"), PaymentNews::Captured(250)).await;
            me.lines.push(format!("payment,p{n},,EUR,250,{}", at(NOW)));
            if n % 4 == 0 {
                let second = format!("q{n}");
                me.tell(order, &second, PaymentNews::Captured(30)).await;
                let life = me.store.life(order).await.unwrap();
                let refund = life.refunds.keys().next().unwrap();
                let given = provider_key(&identity(), order, refund, 30);
                let news = PaymentNews::RefundSucceeded { key: given.clone(), amount: 30 };
                me.tell(order, &second, news).await;
                me.lines.push(format!("payment,{second},,EUR,30,{}", at(NOW)));
                me.lines.push(format!("refund,{second},{given},EUR,30,{}", at(NOW)));
            }
        }
        me
    }

    async fn compare(&self, lines: &[String], period: Period) -> MoneyReport<'static> {
        let mut text = HEADER.to_owned();
        lines.iter().for_each(|l| writeln!(text, "{l}").unwrap());
        let provider = "bank".parse().unwrap();
        let books = MoneyBooks { store: &self.store, identity: &identity(), provider };
        books.compare(&read(&text).unwrap(), period).await.unwrap()
    }
}

fn named<'a>(list: &'a [MoneyDifference<'a>]) -> Vec<(MoneySort, &'a str)> {
    list.iter().map(|d| (d.sort, d.payment_id.as_str())).collect()
}

#[tokio::test]
async fn books_that_say_the_same_match_to_the_last_one() {
    let books = Books::new().await;
    let report = books.compare(&books.lines, EVER).await;
    assert!(report.is_same(), "{report:?}");
    assert_eq!(report.matched, 30);
    // In two lines of one payment as well.
    let mut parts = books.lines.clone();
    parts[0] = format!("payment,p0,,EUR,200,{}", at(NOW));
    parts.push(format!("payment,p0,,EUR,50,{}", at(NOW)));
    assert_eq!(books.compare(&parts, EVER).await, report);
}

#[tokio::test]
async fn each_difference_is_told_once_and_on_its_side() {
    let books = Books::new().await;
    let whole = books.lines.clone();
    // A payment and a refund that nobody knows here.
    let mut lines = whole.clone();
    lines.push(format!("payment,stranger,,EUR,5,{}", at(NOW)));
    lines.push(format!("refund,p1,unheard,EUR,5,{}", at(NOW)));
    let report = books.compare(&lines, EVER).await;
    let strangers = [(MoneySort::Refund, "p1"), (MoneySort::Payment, "stranger")];
    assert_eq!(named(&report.missing_here), strangers);
    assert!(report.missing_here[0].order_id.is_some(), "of a payment that is known");
    assert_eq!((report.matched, report.is_same()), (30, false));
    // Each line left out is missing there.
    for (n, line) in whole.iter().enumerate() {
        let mut lines = whole.clone();
        lines.remove(n);
        let report = books.compare(&lines, EVER).await;
        let sort = if line.starts_with("refund") { MoneySort::Refund } else { MoneySort::Payment };
        let payment = line.split(',').nth(1).unwrap();
        assert_eq!(named(&report.missing_there), [(sort, payment)], "{line}");
        assert_eq!((report.matched, report.different.len()), (29, 0), "{line}");
        let one = &report.missing_there[0];
        assert_eq!(one.refund_id.as_deref(), line.split(',').nth(2).filter(|r| !r.is_empty()));
    }
    // Another sum, another currency.
    for (from, to) in [(",EUR,250,", ",EUR,251,"), (",EUR,250,", ",USD,250,"), ("30,2", "29,2")] {
        let lines: Vec<String> = whole.iter().map(|l| l.replace(from, to)).collect();
        let report = books.compare(&lines, EVER).await;
        let changed = whole.iter().zip(&lines).filter(|(a, b)| a != b).count();
        assert_eq!(report.different.len(), changed, "{from} {to}");
        assert_eq!(report.matched as usize, whole.len() - changed);
    }
}

#[tokio::test]
async fn only_the_period_must_be_in_the_statement() {
    let books = Books::new().await;
    let one = vec![books.lines[3].clone()];
    let before = Period { from_ms: 0, to_ms: NOW };
    let after = Period { from_ms: NOW + HOUR, to_ms: u64::MAX >> 1 };
    for period in [before, after] {
        let report = books.compare(&one, period).await;
        assert!(report.is_same() && report.matched == 1, "{report:?}");
    }
    let within = Period { from_ms: NOW, to_ms: NOW + HOUR };
    assert_eq!(books.compare(&one, within).await.missing_there.len(), 29);
}

#[tokio::test]
async fn a_refund_that_has_not_moved_here_differs() {
    let books = Books::new().await;
    let order = one_line(&identity(), &"shoe.0".parse().unwrap(), ("buyer-1", "k")).order;
    books.tell(order, "again", PaymentNews::Captured(7)).await;
    let life = books.store.life(order).await.unwrap();
    let refund = life.refunds.keys().next().unwrap();
    let given = provider_key(&identity(), order, refund, 7);
    let mut lines = books.lines.clone();
    lines.push(format!("payment,again,,EUR,7,{}", at(NOW)));
    lines.push(format!("refund,again,{given},EUR,7,{}", at(NOW)));
    let report = books.compare(&lines, EVER).await;
    assert_eq!(named(&report.different), [(MoneySort::Refund, "again")]);
    assert_eq!(report.different[0].state.as_deref(), Some("requested"));
    // A dispute is known by the provider's own name.
    let taken = PaymentNews::RefundSucceeded { key: "dp_1".into(), amount: 3 };
    books.tell(order, "p1", taken).await;
    lines.pop();
    lines.push(format!("refund,p1,dp_1,EUR,3,{}", at(NOW)));
    let report = books.compare(&lines, EVER).await;
    assert!(report.is_same(), "{report:?}");
}

#[tokio::test]
async fn no_list_is_longer_than_its_bound() {
    let books = Books::new().await;
    let strangers = (0..1003).map(|n| format!("payment,x{n},,EUR,5,{}", at(NOW)));
    let lines: Vec<String> = books.lines.iter().cloned().chain(strangers).collect();
    let mut text = HEADER.to_owned();
    lines.iter().for_each(|l| writeln!(text, "{l}").unwrap());
    let statement = Statement::read(text.as_bytes(), 10_000).unwrap();
    let provider = "bank".parse().unwrap();
    let books = MoneyBooks { store: &books.store, identity: &identity(), provider };
    let report = books.compare(&statement, EVER).await.unwrap();
    assert_eq!((report.missing_here.len(), report.unlisted, report.matched), (1000, 3, 30));
    assert!(!report.is_same());
}
