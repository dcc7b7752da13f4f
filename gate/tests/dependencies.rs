//! Each call that a request makes of a dependency fails once: the client hears that a part is down
//! or that the outcome is not known, and nothing of what the part said; operators have it counted.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod stand;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hyper::Method;
use stand::{Heard, Stand, counter};
use testkit::ports::{Fail, Site};

const SAID: &str = "was made to fail";

async fn request(stand: &Stand, n: usize) -> Heard {
    let offer = r#"{"campaign":"c","sku":"s","price":{"currency":"EUR","minor":5},"allotment":7}"#;
    match n {
        0 => stand.buy("ada", "k", "tee").await,
        1 => stand.get("ada", "/v1/orders?idempotency_key=k").await,
        2 => stand.get("ada", "/v1/orders?idempotency_key=none&offer=tee").await,
        3 => stand.get("ada", "/v1/orders/000001e0-3d00-89ad-afac-9f0dae2b2609?offer=tee").await,
        4 => stand.get("ada", "/v1/orders/000001e0-3d00-89ad-afac-9f0dae2b2609?wait=1ms").await,
        5 => stand.get("ada", "/v1/offers/tee").await,
        6 => stand.get("ada", "/v1/offers/none").await,
        7 => stand.operate(Method::PUT, "/admin/offers/new", offer).await,
        8 => stand.operate(Method::GET, "/admin/offers/tee", "").await,
        9 => stand.operate(Method::POST, "/admin/offers/tee/pause", "").await,
        10 => stand.operate(Method::POST, "/admin/offers/tee/resume", "").await,
        11 => {
            let body = r#"{"request_id":"r","units":3}"#;
            stand.operate(Method::POST, "/admin/offers/tee/supply", body).await
        }
        12 => {
            let body = r#"{"request_id":"q","units":-3}"#;
            stand.operate(Method::POST, "/admin/offers/tee/supply", body).await
        }
        13 => stand.operate(Method::GET, "/admin/status", "").await,
        14 => stand.operate(Method::GET, "/admin/tasks", "").await,
        15 => stand.operate(Method::PUT, "/admin/campaigns/x", "{}").await,
        16 => stand.operate(Method::POST, "/admin/reconcile", "").await,
        _ => {
            let id = "000001e0-3d00-89ad-afac-9f0dae2b2609";
            stand.operate(Method::POST, &format!("/admin/parked/{id}/retry"), "").await
        }
    }
}

const REQUESTS: usize = 18;

/// One test after the other: the counters are the process's.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What operators have counted; the catalog's own poll may be the one that meets the failure.
fn errors() -> u64 {
    let of =
        |part| counter(&format!("sluicegate_dependency_errors_total{{dependency=\"{part}\"}}"));
    let parts: u64 = ["database", "redis", "reconciler", "log"].into_iter().map(of).sum();
    parts + counter("sluicegate_catalog_errors_total")
}

/// May be said when something behind the gate fails.
fn is_sound(heard: &Heard) -> bool {
    match heard.status {
        503 => heard.at("reason") == "dependency_down",
        202 => ["unconfirmed", "accepted"].contains(&heard.at("status")),
        200 | 201 => true,
        _ => false,
    }
}

#[tokio::test]
async fn every_database_call_of_every_request() {
    let _alone = ALONE.lock().await;
    let mut met = BTreeSet::new();
    for n in 0..REQUESTS {
        // The calls that this request makes when all is well, or fails later and later.
        for nth in 0..40 {
            let stand = Stand::new(made().await).await;
            let seen = Arc::new(Mutex::new(None));
            let failed = seen.clone();
            // A database that is down fails all that comes after, too; only one call of the store
            // itself repeats what failed.
            stand.site.store.rules.set(move |call| {
                if call.n < nth {
                    return Fail::No;
                }
                failed.lock().unwrap().get_or_insert(call.name);
                Fail::Before
            });
            let before = errors();
            let heard = request(&stand, n).await;
            let Some(name) = *seen.lock().unwrap() else {
                assert!(heard.status < 500, "{n}: {heard:?}");
                break;
            };
            met.insert(name);
            let what = format!("request {n}, {name} is its call {nth}: {heard:?}");
            assert!(!heard.text.contains(SAID), "{what}");
            assert!(heard.status == 404 || is_sound(&heard), "{what}");
            // A pass of the reconciler has its own words.
            assert!(errors() > before || n == 16, "{what}: nobody counted it");
            if heard.status == 404 {
                panic!("{what}: unknown is an answer, and nobody knows it");
            }
        }
    }
    for name in ["order", "order_of_key", "find_verdicts", "kept", "verdict_under", "put_offer"] {
        assert!(met.contains(name), "{name} is not among {met:?}");
    }
}

async fn made() -> Site {
    let site = Site::new(1, 1).await;
    site.offer("tee", &[10], 2).await;
    site
}

#[tokio::test]
async fn every_script_of_every_request() {
    let _alone = ALONE.lock().await;
    for n in 0..REQUESTS {
        for script in ["reserve", "lookup", "snapshot", "scan", "apply", "ticket", "load"] {
            let stand = Stand::down(made().await, script).await;
            let heard = request(&stand, n).await;
            let what = format!("request {n} without {script}: {heard:?}");
            assert!(!heard.text.contains(SAID), "{what}");
            assert!(heard.status == 404 || is_sound(&heard), "{what}");
        }
    }
}

#[tokio::test]
async fn a_log_that_is_down() {
    let _alone = ALONE.lock().await;
    for how in [Fail::Before, Fail::After] {
        let stand = Stand::new(made().await).await;
        stand.site.log.rules.set(move |_| how);
        let before = errors();
        let heard = stand.buy("ada", "k", "tee").await;
        assert_eq!((heard.status, heard.at("status")), (202, "unconfirmed"));
        assert!(!heard.text.contains(SAID) && errors() > before, "{heard:?}");
    }
}
