//! The operators: units, flags, prices, repairs and rebuilds, through the operators' routes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::OfferId;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use tokio::time::sleep;

use crate::http::{Heard, served};
use crate::plan::{OfferPlan, Order};
use crate::process::{ADMIN_TOKEN, Fleet};
use crate::transfer;

/// How long an operator waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Everything the operators do.
pub async fn run(fleet: Arc<Fleet>) {
    let plan = &fleet.world.plan;
    let all = plan.orders.iter().enumerate();
    let calls = all.filter(|(n, _)| !plan.tweaks.orders.contains(n)).map(|(n, order)| {
        let fleet = fleet.clone();
        async move {
            fleet.world.until(order.0).await;
            one(&fleet, n as u64, (order.1, order.2)).await;
        }
    });
    futures::future::join_all(calls).await;
}

async fn one(fleet: &Fleet, n: u64, (offer, order): (usize, Order)) {
    let plan = &fleet.world.plan.offers[offer];
    let offers = format!("/admin/offers/{}", plan.name);
    let gate = n % fleet.world.plan.gates;
    match order {
        Order::Supply(units) => supply(fleet, (gate, n), plan, units).await,
        Order::SupplyTwice(units) => {
            let other = (gate + 1) % fleet.world.plan.gates;
            let one = supply(fleet, (gate, n), plan, units);
            tokio::join!(one, supply(fleet, (other, n), plan, units));
        }
        Order::Flag(verb) => {
            call(fleet, gate, (Method::POST, format!("{offers}/{verb}")), String::new()).await;
        }
        Order::Price(minor) => {
            call(fleet, gate, (Method::PUT, offers), body(plan, minor)).await;
        }
        Order::Reconcile => {
            let path = "/admin/reconcile".to_owned();
            call(fleet, gate, (Method::POST, path), String::new()).await;
        }
        Order::Transfer(how) => transfer::run(&fleet.world, n, plan, how).await,
        Order::Rebuild => {
            let path = format!("/admin/cells/{}.0/rebuild", plan.name);
            call(fleet, gate, (Method::POST, path), String::new()).await;
        }
    }
}

fn body(plan: &OfferPlan, minor: i64) -> String {
    let limit =
        if plan.limit > 0 { format!(",\"limit_per_buyer\":{}", plan.limit) } else { "".into() };
    let allotment: i64 = plan.units.iter().sum();
    format!(
        "{{\"campaign\":\"c-{name}\",\"sku\":\"{name}\",\"allotment\":{allotment}{limit},\
         \"price\":{{\"currency\":\"EUR\",\"minor\":{minor}}}}}",
        name = plan.name
    )
}

/// Sends a supply request again, under the same id, until it is settled.
async fn supply(fleet: &Fleet, (gate, n): (u64, u64), plan: &OfferPlan, units: i64) {
    let request = format!("r{n}");
    let offer: OfferId = plan.name.parse().expect("a plan's name");
    let id = fleet.world.identity.request_id(&offer, "supply", &request);
    fleet.world.check(|oracle, _| oracle.asks(id, units));
    let path = format!("/admin/offers/{}/supply", plan.name);
    for attempt in 0..3 {
        let body = format!("{{\"request_id\":\"{request}\",\"units\":{units}}}");
        let gate = (gate + attempt) % fleet.world.plan.gates;
        let status = call(fleet, gate, (Method::POST, path.clone()), body).await;
        if !matches!(status, None | Some(503)) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn call(fleet: &Fleet, gate: u64, what: (Method, String), body: String) -> Option<u16> {
    told(fleet, gate, what, body).await.map(|heard| heard.status)
}

/// One call of the operators' listener of a gate, and what it answers.
pub async fn told(
    fleet: &Fleet,
    gate: u64,
    (method, path): (Method, String),
    body: String,
) -> Option<Heard> {
    let world = &fleet.world;
    let (node, _, admin) = fleet.gate(gate)?;
    let request = Request::builder()
        .method(method.clone())
        .uri(&path)
        .header(AUTHORIZATION, format!("Bearer {ADMIN_TOKEN}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("a sound request");
    world.tell("operator", || format!("{method} {path} at gate-{gate}"));
    let answer = served(&node, PATIENCE, desk::respond(&admin, request)).await;
    let Some(answer) = answer else {
        world.met("operator", "nothing");
        return None;
    };
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.ok().map(|b| b.to_bytes()).unwrap_or_default();
    world.tell("operator", || {
        let text = String::from_utf8_lossy(&text).replace('\n', " ");
        format!("hears of {path}: {status} {}", crate::story::brief(&text))
    });
    world.met("operator", label(status));
    Some(Heard { status, body: serde_json::from_slice(&text).unwrap_or_default() })
}

fn label(status: u16) -> &'static str {
    match status {
        200 | 201 => "done",
        409 => "refused",
        503 => "503",
        _ => "other",
    }
}
