//! All money added up: sums of every database, and an alarm for what does not add up.
#![allow(clippy::unwrap_used, missing_docs, reason = "a step that fails fails the test")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{reconciler, reconciler_with};
use domain::life::{
    Actor, LifeWish, MoneyTotals, PaymentKey, PaymentNews, PaymentState, Policies, ProviderEvent,
};
use domain::{CellId, OrderId};
use store::Shards;
use store::port::{LifeCall, MoneyRow};
use testkit::ports::Site;
use testkit::store::make::{one_line, row};

/// More than a page of payments per database.
const ORDERS: usize = 1300;

fn event(order: OrderId, payment: &str, currency: &str, news: PaymentNews) -> LifeWish {
    let key: PaymentKey = format!("card/{payment}").parse().unwrap();
    LifeWish::Join(ProviderEvent {
        event: None,
        provider: key.provider,
        payment: key.payment,
        order,
        currency: currency.into(),
        news,
        is_final: true,
    })
}

async fn tell(site: &Site, wishes: Vec<LifeWish>) {
    let mut by_db = BTreeMap::<u16, Vec<LifeWish>>::new();
    for wish in wishes {
        let order = wish.orders().into_iter().next().unwrap();
        by_db.entry(site.store.order_db(order)).or_default().push(wish);
    }
    for (db, wishes) in by_db {
        for piece in wishes.chunks(500) {
            let (actor, policies) = (Actor::Clerk, Policies::default());
            let call = LifeCall { db, actor, policies, wishes: piece.to_vec() };
            site.ports.store.live(&call).await.unwrap();
        }
    }
}

/// Orders that are paid, each with 250; those of a foreign currency go back.
async fn paid(site: &Site, cell: &CellId) -> Vec<OrderId> {
    let identity = &site.ports.identity;
    let buyers = (0..ORDERS).map(|n| format!("buyer-{n}"));
    let orders: Vec<_> = buyers.map(|b| one_line(identity, cell, (&b, "k"))).collect();
    for db in 0..site.store.databases() {
        let own: Vec<_> =
            orders.iter().filter(|p| site.store.order_db(p.order) == db).map(row).collect();
        for piece in own.chunks(500) {
            site.ports.store.rows(db, piece).await.unwrap();
        }
    }
    let ids: Vec<OrderId> = orders.iter().map(|p| p.order).collect();
    let pays = |(n, id): (usize, &OrderId)| {
        event(*id, &format!("p{n}"), "EUR", PaymentNews::Captured(250))
    };
    tell(site, ids.iter().enumerate().map(pays).collect()).await;
    ids
}

async fn sums(site: &Site) -> BTreeMap<String, MoneyTotals> {
    let mut all = BTreeMap::<String, MoneyTotals>::new();
    for db in 0..site.store.databases() {
        for MoneyRow { currency, totals, at_ms } in site.ports.store.money(db).await.unwrap() {
            assert!(at_ms > 0);
            all.entry(currency).or_default().add(&totals);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_money_is_added_up_and_what_is_broken_is_told() {
    let site = Site::new(2, 2).await;
    let cell = site.offer("shoe", &[9], 0).await.remove(0);
    let ids = paid(&site, &cell).await;
    let foreign = |n: usize| event(ids[n], &format!("x{n}"), "USD", PaymentNews::Captured(7));
    tell(&site, (0..10).map(foreign).collect()).await;
    assert_eq!(sums(&site).await, BTreeMap::new(), "nobody has looked");
    let r = reconciler(&site);
    r.add_up(Duration::ZERO).await;
    let euros = MoneyTotals { captured: 250 * ORDERS as i64, ..MoneyTotals::default() };
    let dollars = MoneyTotals { captured: 70, under_way: 70, ..MoneyTotals::default() };
    let want = BTreeMap::from([("EUR".to_owned(), euros), ("USD".to_owned(), dollars)]);
    assert_eq!(sums(&site).await, want);

    // Hands that change rows: a payment keeps less than its order costs, a refund is larger than
    // its payment.
    let db = site.store.order_db(ids[3]);
    site.sql(db, "UPDATE payment SET keep = 249 WHERE payment_id = CAST('p3' AS BLOB)").await;
    let db = site.store.order_db(ids[4]);
    site.sql(db, "UPDATE refund SET amount = 8 WHERE payment_id = CAST('x4' AS BLOB)").await;
    r.add_up(Duration::ZERO).await;
    let broken = sums(&site).await;
    assert_eq!(broken.values().map(|t| t.broken).sum::<u64>(), 2, "{broken:?}");
    assert_eq!(broken["USD"].under_way, 71);
    // One that nobody can read holds up no other.
    let db = site.store.order_db(ids[50]);
    site.sql(db, "UPDATE payment SET state = 9 WHERE payment_id = CAST('p50' AS BLOB)").await;
    r.add_up(Duration::ZERO).await;
    let unread = sums(&site).await;
    assert_eq!(unread.values().map(|t| t.broken).sum::<u64>(), 3, "{unread:?}");
    assert_eq!(unread["EUR"].captured, broken["EUR"].captured - 250);
    let captured = PaymentState::Captured as i8;
    let back = format!("UPDATE payment SET state = {captured} WHERE state = 9");
    site.sql(db, &back).await;
    // It is not repaired, and not forgotten.
    r.add_up(Duration::ZERO).await;
    assert_eq!(sums(&site).await, broken);
    let life = site.ports.store.life(ids[3]).await.unwrap();
    assert_eq!(life.payments.values().next().unwrap().keep, 249);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_several_adds_up() {
    let site = Site::new(2, 2).await;
    let cell = site.offer("shoe", &[9], 0).await.remove(0);
    paid(&site, &cell).await;
    let long = |s: &mut sluicegate_reconciler::ReconcilerSettings| {
        s.lease = Duration::from_secs(60);
    };
    let both = [(); 2].map(|()| reconciler_with(site.ports.clone(), long));
    both[0].add_up(Duration::ZERO).await;
    let then = sums(&site).await;
    assert!(!then.is_empty());
    for db in 0..2 {
        site.sql(db, "DELETE FROM money_total").await;
    }
    both[1].add_up(Duration::ZERO).await;
    assert_eq!(sums(&site).await, BTreeMap::new(), "the other one has the leases");
    both[0].add_up(Duration::ZERO).await;
    assert_eq!(sums(&site).await, then);
    // What is young enough is left as it is.
    for db in 0..2 {
        site.sql(db, "UPDATE money_total SET captured = 1").await;
    }
    both[0].add_up(Duration::from_secs(3600)).await;
    assert!(sums(&site).await.values().all(|t| t.captured <= 2));
}
