//! Several operators make one offer at once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod stand;

use futures::future::join_all;
use hyper::Method;
use stand::{Heard, Stand};
use store::LedgerRead;
use testkit::ports::{Fail, Site};

fn body(allotment: i64, more: &str) -> String {
    format!(
        r#"{{"campaign":"c","sku":"s","price":{{"currency":"EUR","minor":5}},"allotment":{allotment}{more}}}"#
    )
}

/// All at once, at two processes in turn.
async fn all_put(stand: &Stand, offer: &str, bodies: &[String]) -> Vec<Heard> {
    let other = stand.another().await;
    let path = format!("/admin/offers/{offer}");
    let put = |(i, body): (usize, &String)| {
        let (path, other, body) = (path.clone(), other.clone(), body.clone());
        async move {
            let at = if i % 2 == 0 { &stand.admin } else { &other };
            stand.operate_at(at, Method::PUT, &path, &body).await
        }
    };
    join_all(bodies.iter().enumerate().map(put)).await
}

fn with(all: &[Heard], status: u16) -> usize {
    all.iter().filter(|h| h.status == status).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alike_ones_all_succeed_and_one_created_it() {
    let stand = Stand::new(Site::new(2, 1).await).await;
    for n in 0..5 {
        let offer = format!("tee-{n}");
        let all = all_put(&stand, &offer, &vec![body(7, ""); 8]).await;
        assert_eq!((with(&all, 201), with(&all, 200)), (1, 7), "{all:?}");
        for heard in &all {
            let cell = &heard.body["cells"][0];
            assert_eq!((&heard.body["supply"], &cell["ledger_supply"]), (&7.into(), &7.into()));
            assert_eq!(heard.body["cells"][0].get("missing"), None, "{heard:?}");
        }
        assert_eq!(stand.buy("ada", "k", &offer).await.at("status"), "accepted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_losers_of_a_conflict_hear_of_it() {
    let stand = Stand::new(Site::new(1, 1).await).await;
    for n in 0..5 {
        let offer = format!("tee-{n}");
        let limited = r#","limit_per_buyer":2"#;
        let bodies = [body(7, ""), body(9, ""), body(7, limited), body(9, limited)];
        let all = all_put(&stand, &offer, &bodies).await;
        assert_eq!((with(&all, 201), with(&all, 409)), (1, 3), "{all:?}");
        let at = all.iter().position(|h| h.status == 201).unwrap();
        for (i, heard) in all.iter().enumerate().filter(|(i, _)| *i != at) {
            let other_units = (i % 2 == 0) != (at % 2 == 0);
            let want = if other_units { "allotment_fixed" } else { "illegal_transition" };
            assert_eq!(heard.at("reason"), want, "{i} against {at}");
        }
        let cell = offer.parse::<domain::OfferId>().unwrap().cell(0);
        let units = if at % 2 == 0 { 7 } else { 9 };
        assert_eq!(stand.site.store.head(&cell).await.unwrap().unwrap().supply, units);
        let shown = stand.operate(Method::GET, &format!("/admin/offers/{offer}"), "").await;
        assert_eq!(shown.body["limit_per_buyer"].is_number(), at >= 2);
        assert_eq!(shown.body["available"], units);
        assert_eq!(stand.buy("ada", "k", &offer).await.at("status"), "accepted");
    }
}

/// What may change changes, what is fixed does not, one after the other.
#[tokio::test]
async fn a_later_put_is_held_to_the_first() {
    let stand = Stand::new(Site::new(1, 1).await).await;
    let put = async |body: String| stand.operate(Method::PUT, "/admin/offers/tee", &body).await;
    assert_eq!(put(body(7, "")).await.status, 201);
    let other_price = body(7, "").replace("5}", "6}");
    assert_eq!(put(other_price).await.body["price"]["minor"], 6);
    assert_eq!(put(body(8, "")).await.at("reason"), "allotment_fixed");
    assert_eq!(put(body(7, r#","buckets":1"#)).await.status, 200);
    assert_eq!(put(body(7, r#","limit_per_buyer":1"#)).await.at("reason"), "illegal_transition");
    assert_eq!(
        put(body(7, "").replace(r#""c""#, r#""evergreen""#)).await.at("reason"),
        "illegal_transition"
    );
}

/// The one who was making it died in the middle: sending it again makes it whole.
#[tokio::test]
async fn a_creation_that_broke_off_is_finished_by_another() {
    let stand = Stand::new(Site::new(1, 1).await).await;
    let put = async || stand.operate(Method::PUT, "/admin/offers/tee", &body(7, "")).await;
    stand.site.store.rules.set(|c| if c.name == "create_cells" { Fail::Before } else { Fail::No });
    assert_eq!(put().await.at("reason"), "dependency_down");
    stand.site.store.rules.clear();
    // Its ticket is fresh: somebody may still be at it.
    let soon = put().await;
    assert_eq!((soon.status, soon.at("reason")), (503, "dependency_down"));
    stand.site.clock.advance(60_000);
    assert_eq!(put().await.status, 200);
    assert_eq!(stand.buy("ada", "k", "tee").await.at("status"), "accepted");
}
