//! What a buyer hears of an order that has no row yet, or whose cell has forgotten him.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod stand;

use cells::port::{Cells, LoadCall};
use domain::frame::{Mode, Sealed};
use domain::{CellId, Kind, OrderId, Totals};
use hyper::Method;
use orderlog::port::Partition;
use stand::{Heard, Stand};
use store::port::{Ask, CellAsks};
use store::{CatalogRead, LedgerRead, LedgerWrite, ParkedWrite, Verdicts};
use testkit::ports::{Fail, START_MS, Site};

async fn stand(offer: &str, units: i64, limit: u32) -> (Stand, CellId) {
    let site = Site::new(1, 1).await;
    let cell = site.offer(offer, &[units], limit).await.remove(0);
    (Stand::new(site).await, cell)
}

fn id(heard: &Heard) -> OrderId {
    heard.at("order_id").parse().unwrap()
}

/// The buyer whose 202 was cut has no link, only his key and the offer.
#[tokio::test]
async fn a_key_finds_its_order_at_every_stage() {
    for limit in [0, 5] {
        let (stand, cell) = stand("tee", 100, limit).await;
        let by = async |buyer: &str, query: &str| {
            stand.get(buyer, &format!("/v1/orders?idempotency_key=k{query}")).await
        };
        assert_eq!(by("ada", "&offer=tee").await.at("reason"), "unknown_order");
        stand.site.log.rules.set(|_| Fail::Before);
        let bought = stand.buys("ada", "k", "tee", r#"{"quantity":3}"#).await;
        assert_eq!(bought.at("status"), "unconfirmed");
        let order = id(&bought);

        let held = by("ada", "&offer=tee").await;
        assert_eq!((held.status, id(&held)), (200, order), "{held:?}");
        assert_eq!(
            (held.at("status"), &held.body["lines"][0]["quantity"]),
            ("unconfirmed", &3.into())
        );
        assert!(held.body["links"]["self"].as_str().unwrap().contains("offer=tee"));
        // Only with the offer, only this buyer, only a real offer.
        assert_eq!(by("ada", "").await.at("reason"), "unknown_order");
        assert_eq!(by("bob", "&offer=tee").await.at("reason"), "unknown_order");
        assert_eq!(by("ada", "&offer=hat").await.at("reason"), "unknown_order");
        assert_eq!(by("ada", "&offer=A%20b").await.at("reason"), "bad_id");

        // Decided, no row: the cell remembers, and when it does not, the ledger.
        let payload = stand.site.holds(&cell).await.remove(0).payload;
        let sealed = Sealed { t_ms: START_MS, payload: payload.into() };
        decide(&stand, &cell, order, ("ada", Mode::Full, 3), sealed).await;
        assert_eq!(by("ada", "&offer=tee").await.at("status"), "accepted");
        let view = stand.site.cells.snapshot(&cell).await.unwrap().unwrap();
        let seen = (view.mark.inc, view.totals.seq, view.totals.tok);
        stand.site.cells.drop_cell(&cell, seen, true).await.unwrap();
        let decided = by("ada", "&offer=tee").await;
        assert_eq!((decided.at("status"), id(&decided)), ("accepted", order));
        assert_eq!(by("bob", "&offer=tee").await.at("reason"), "unknown_order");
    }
}

async fn decide(
    stand: &Stand,
    cell: &CellId,
    order: OrderId,
    (buyer, mode, qty): (&str, Mode, u32),
    sealed: Sealed,
) {
    let ask = Ask { order, buyer: buyer.parse().unwrap(), qty, mode, anchor: true, sealed };
    let asks = CellAsks { cell: cell.clone(), asks: vec![ask] };
    stand.site.store.verdicts(&[asks]).await.unwrap();
}

/// No Redis: a verdict still speaks, a hold cannot, and "unknown" is not said.
#[tokio::test]
async fn a_key_without_redis() {
    let site = Site::new(1, 1).await;
    let cell = site.offer("tee", &[9], 0).await.remove(0);
    let payload = site.order("ada", "k", &[(&cell, 1)]);
    let stand = Stand::down(site, "lookup").await;
    let by_key = "/v1/orders?idempotency_key=k&offer=tee";
    assert_eq!(stand.get("ada", by_key).await.at("reason"), "dependency_down");
    let key = stand.site.ports.identity.order_key(
        stand
            .site
            .store
            .campaigns()
            .await
            .unwrap()
            .iter()
            .find(|c| c.id.as_str() == "c")
            .unwrap()
            .number,
        &payload.buyer,
        payload.key.as_ref().unwrap(),
    );
    let order = OrderId::join(key, [7; 4]);
    let payload = domain::Payload { order, ..payload };
    let sealed = Sealed { t_ms: START_MS, payload: payload.encode().into() };
    decide(&stand, &cell, order, ("ada", Mode::Full, 1), sealed).await;
    assert_eq!(stand.get("ada", by_key).await.at("status"), "accepted");
}

/// Without a limit a cell forgets who bought two days ago. A repeat of an old order is answered
/// from its row, with the price of then, and takes nothing.
#[tokio::test]
async fn a_forgotten_buyers_repeat_hears_of_his_order() {
    let (stand, cell) = stand("tee", 1000, 0).await;
    stand.writer();
    let buy = async |buyer: &str| {
        let heard = stand.buy(buyer, "k", "tee").await;
        // The first call after a jump of Redis time is late.
        if heard.at("reason") == "overloaded" { stand.buy(buyer, "k", "tee").await } else { heard }
    };
    let first = buy("ada").await;
    assert_eq!(first.at("status"), "accepted");
    stand.written().await;
    let price =
        r#"{"campaign":"c","sku":"tee","price":{"currency":"EUR","minor":999},"allotment":1000}"#;
    assert_eq!(stand.operate(Method::PUT, "/admin/offers/tee", price).await.status, 200);
    for day in 0..4 {
        let again = buy("ada").await;
        assert_eq!((again.status, id(&again)), (200, id(&first)), "day {day}: {again:?}");
        assert_eq!(again.body["amount"]["minor"], 250, "day {day}");
        let others = buy(&format!("other-{day}")).await;
        assert_eq!((others.status, &others.body["amount"]["minor"]), (202, &999.into()));
        stand.written().await;
        stand.site.clock.advance(25 * 3_600_000);
    }
    // Nobody's second order, nobody's second hold.
    assert_eq!(stand.site.head(&cell).await.net, 5);
    stand.site.sound(&cell).await;
    // A new buyer still buys, and a refusal needs no database.
    assert_eq!(buy("new").await.at("status"), "accepted");
    stand.written().await;
    assert_eq!(stand.operate(Method::POST, "/admin/offers/tee/pause", "").await.status, 200);
    stand.site.store.rules.set(|_| Fail::Before);
    assert_eq!(stand.buy("newer", "k", "tee").await.at("reason"), "paused");
}

/// Redis promised units that the ledger does not have, and the rows cannot be written.
#[tokio::test]
async fn a_rejected_order_is_shown_rejected_wherever_it_waits() {
    let site = Site::new(1, 1).await;
    let cell = site.unloaded("tee", &[1], 0).await.remove(0);
    let head = site.head(&cell).await;
    let totals = Totals { supply: 9, ..head };
    let (ticket, staged) = (None, None);
    let call = LoadCall { totals, inc: 9, adds: 0, ticket, staged, staged_len: 0, limited: false };
    site.cells.load(&cell, call).await.unwrap();
    let stand = Stand::new(site).await;
    for buyer in ["ada", "bob"] {
        assert_eq!(stand.buy(buyer, "k", "tee").await.at("status"), "accepted");
    }
    let frames = stand.site.take(Partition::Main(0)).await;
    let mut orders = Vec::new();
    for frame in frames {
        for item in domain::frame::decode(&frame).unwrap() {
            let domain::frame::Item::Order(mode, sealed) = item else { panic!("{item:?}") };
            orders.push((mode, sealed));
        }
    }
    let of = |s: &Sealed| domain::Payload::decode(&s.payload).unwrap();
    for (mode, sealed) in &orders {
        let p = of(sealed);
        decide(&stand, &cell, p.order, (p.buyer.as_str(), *mode, 1), sealed.clone()).await;
    }
    stand.site.ports.follow().catch_up(&cell).await;
    let shown = async |s: &Sealed| {
        let p = of(s);
        let (buyer, order) = (p.buyer.as_str(), p.order);
        let mut all = vec![stand.buy(buyer, "k", "tee").await];
        for path in [
            format!("/v1/orders/{order}?offer=tee"),
            "/v1/orders?idempotency_key=k&offer=tee".into(),
        ] {
            all.push(stand.get(buyer, &path).await);
        }
        all
    };
    for what in ["with its verdict", "parked"] {
        for heard in shown(&orders[0].1).await {
            assert_eq!(heard.at("status"), "accepted", "{what}: {heard:?}");
        }
        for heard in shown(&orders[1].1).await {
            assert_eq!(
                (heard.at("status"), heard.at("reason")),
                ("rejected", "sold_out"),
                "{what}"
            );
        }
        for (mode, sealed) in &orders {
            let reason = "the rows refuse it";
            stand.site.store.park(of(sealed).order, reason, (*mode, sealed)).await.unwrap();
        }
        let ranges = stand.site.store.unrowed(0, u64::MAX >> 1, 9).await.unwrap();
        stand.site.store.finish_unrowed(0, &ranges).await.unwrap();
    }
    // Parked, and asked for without the offer: the order itself names its cell.
    let p = of(&orders[1].1);
    let bare = stand.get(p.buyer.as_str(), &format!("/v1/orders/{}", p.order)).await;
    assert_eq!((bare.at("status"), bare.at("reason")), ("rejected", "sold_out"));
    assert_eq!(stand.site.count(&cell, &p, Kind::Reject).await, 1);
    let foreign = stand.get("eve", &format!("/v1/orders/{}?offer=tee", p.order)).await;
    assert_eq!(foreign.at("reason"), "unknown_order");
}

/// Decided, its row still to come, and the cell's memory of verdicts is gone: the retry of a buyer
/// who has something in the cell is answered from the ledger, with the price that was promised.
#[tokio::test]
async fn a_decided_orders_retry_takes_nothing_and_hears_the_promised_price() {
    let (stand, cell) = stand("tee", 100, 5).await;
    let first = stand.buy("ada", "k", "tee").await;
    assert_eq!(first.at("status"), "accepted");
    let follow = stand.site.ports.follow();
    for hold in stand.site.holds(&cell).await {
        let order = hold.order().unwrap();
        let sealed = Sealed { t_ms: hold.t_ms, payload: hold.payload.into() };
        decide(&stand, &cell, order, ("ada", Mode::Full, 1), sealed).await;
    }
    // Twice what a verdict is remembered for, with entries that make the memory move on.
    for n in 0..3 {
        follow.catch_up(&cell).await;
        stand.site.clock.advance(11 * 60_000);
        let body = format!(r#"{{"request_id":"more-{n}","units":1}}"#);
        let more = stand.operate(Method::POST, "/admin/offers/tee/supply", &body).await;
        assert_eq!(more.status, 200);
    }
    let price = r#"{"campaign":"c","sku":"tee","price":{"currency":"EUR","minor":999},"allotment":100,"limit_per_buyer":5}"#;
    assert_eq!(stand.operate(Method::PUT, "/admin/offers/tee", price).await.status, 200);
    let mut again = stand.buy("ada", "k", "tee").await;
    if again.at("reason") == "overloaded" {
        // The first call after a jump of Redis time is late.
        again = stand.buy("ada", "k", "tee").await;
    }
    assert_eq!((again.at("status"), id(&again)), ("accepted", id(&first)));
    assert_eq!(again.body["amount"]["minor"], 250);
    assert!(stand.site.holds(&cell).await.is_empty(), "it took a second hold");
}
