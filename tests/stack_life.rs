//! Lives of orders on the real stack, as processes: a clerk that is killed again and again, a
//! provider that loses calls, a database that is away while callbacks come.
#![cfg(feature = "pulsar")]
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;
mod stand;

use std::collections::BTreeMap;
use std::time::Duration;

use common::bank::{Asked, Bank, captured, tell};
use common::until;
use serde_json::json;
use stand::Stand;

const ORDERS: usize = 24;

/// Loses every third call after doing what it asks, and knows what it did.
fn forgetful(bank: &Bank) {
    let (mut calls, mut done) = (0, BTreeMap::<String, i64>::new());
    bank.says(move |asked: &Asked| {
        calls += 1;
        let told = if asked.call.starts_with("GET") {
            let key = asked.call.rsplit('/').next().unwrap();
            if done.contains_key(key) {
                (200, json!({"result": "succeeded"}))
            } else {
                (404, json!({}))
            }
        } else if asked.call.ends_with("/refunds") {
            let amount = asked.body["amount"]["minor"].as_i64().unwrap();
            let known = *done.entry(asked.key.clone()).or_insert(amount);
            assert_eq!(known, amount, "one key, two amounts");
            (200, json!({"result": "succeeded"}))
        } else {
            (200, json!({"result": "closed"}))
        };
        if calls % 3 == 0 { (0, json!({})) } else { told }
    });
}

/// Loses no time.
const QUICK: [&str; 4] = [
    "clerk.pass_ms=50",
    "clerk.lease_ms=1000",
    "clerk.expire_grace_ms=1000",
    "clerk.refund_pauses_ms=[200,400,800,800,800,800,800]",
];

#[test]
fn money_adds_up_through_kills_of_everything() {
    let mut stand = Stand::start("money");
    stand.add_service("clerk", &QUICK);
    let flags = ["--scenario", "life", "--requests", "800", "--connections", "24"];
    let sale = stand.loadtest(&[&flags[..], &["--give-up", "180s"]].concat());
    until("it to buy", || {
        let bought = "sluicegate_requests_total{route=\"buy\",outcome=\"accepted\"}";
        (stand.counted(bought) > 0.0).then_some(())
    });
    let pause = |s| std::thread::sleep(Duration::from_secs(s));
    for service in ["clerk", "gate", "writer", "clerk", "reconciler"] {
        pause(2);
        stand.kill_and_restart(service);
    }
    let primary = stand.a_primary();
    for server in [primary.as_str(), "mariadb-1", "pulsar"] {
        stand.servers.kill(server).unwrap();
        pause(3);
        stand.servers.heal(server).unwrap();
    }
    pause(15);
    stand.kill_and_restart("clerk");
    let out = stand.finish(sale);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    let told = stand::last_json(&text);
    assert_eq!(told["verdict"], "conserved", "{told}");
    assert!(told["bought_again"].as_i64() > Some(0), "{told}");
    assert!(told["orders"]["whole"]["refunded"].as_i64() > Some(0), "{told}");
    stand.no_drift();
}

#[test]
fn lives_survive_kills_of_the_clerk_and_a_database_that_is_away() {
    let mut stand = Stand::start("life");
    stand.add_service("clerk", &QUICK);
    let bank = Bank::start();
    forgetful(&bank);
    let put = stand.operate("PUT", "/admin/providers/bank", &bank.settings());
    assert_eq!(put["provider"], "bank", "{put}");
    let offer = stand.offer(100, None);
    let orders: Vec<(String, String)> = (0..ORDERS)
        .map(|n| {
            let buyer = format!("buyer{n}");
            let id = stand.buy(&offer, &buyer, "k");
            (buyer, id)
        })
        .collect();
    stand.settled(&offer);
    let becomes = |stand: &Stand, (buyer, id): &(String, String), status: &str| {
        until(&format!("{id} to be {status}: {}", stand.order(&offer, buyer, id)), || {
            (stand.order(&offer, buyer, id)["status"] == status).then_some(())
        });
    };
    // Money is taken while a database is away, and nobody hears of it but the log.
    stand.servers.pause("mariadb-2").unwrap();
    for (n, (_, id)) in orders.iter().enumerate() {
        tell(stand.gate(), &captured(id, &format!("p{n}"), "EUR", 100));
        if n == ORDERS / 2 {
            stand.kill_and_restart("clerk");
        }
    }
    stand.servers.heal("mariadb-2").unwrap();
    for order in &orders {
        becomes(&stand, order, "paid");
    }
    for (n, (_, id)) in orders.iter().enumerate().take(ORDERS / 2) {
        let path = format!("/admin/orders/{id}/refund");
        let asked = stand.operate("POST", &path, &json!({"refund_id": "r"}));
        assert_eq!(asked["amount"]["minor"], 100, "{asked}");
        if n % 4 == 3 {
            std::thread::sleep(Duration::from_millis(300));
            stand.kill_and_restart("clerk");
        }
    }
    for order in &orders[..ORDERS / 2] {
        becomes(&stand, order, "refunded");
    }
    // One key for each, whoever sent it and however often.
    let sent = bank.asked("POST /v9/refunds");
    let keys: BTreeMap<&str, &str> =
        sent.iter().map(|a| (a.key.as_str(), a.body["order_id"].as_str().unwrap())).collect();
    assert_eq!(keys.len(), ORDERS / 2, "{} calls", sent.len());
    until("the units to be back", || {
        (stand.admin_offer(&offer)["available"] == 100 - ORDERS / 2).then_some(())
    });
    assert_eq!(stand.tasks()["tasks"], json!([]));
    stand.no_drift();
}
