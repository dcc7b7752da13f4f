//! The sale on the real stack, as processes: kills in the middle, Redis restarted empty, drift made
//! by hand. Needs `cargo xtask stack up`; every test keeps all others off the servers.
//!
//! Each test has databases, topics and ports of its own, so it never meets another one's orders.
#![cfg(feature = "pulsar")]
#![allow(clippy::disallowed_methods, reason = "tests look at the clock")]

mod stand;

use std::time::Duration;

use serde_json::Value;
use stand::Stand;

/// Requests and units of a sale; a debug build on two cores takes some 30 s for it.
const REQUESTS: &str = "20000";
const UNITS: i64 = 10_000;

fn conserved(out: &std::process::Output) -> Value {
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("verdict: conserved"), "{text}");
    stand::last_json(&text)
}

#[test]
fn a_sale_survives_kills_of_everything() {
    let mut stand = Stand::start("kills");
    let sale = stand.loadtest(&["--requests", REQUESTS, "--rate", "700"]);
    std::thread::sleep(Duration::from_secs(4));
    stand.kill_and_restart("gate");
    std::thread::sleep(Duration::from_secs(4));
    stand.kill_and_restart("writer");
    std::thread::sleep(Duration::from_secs(3));
    let primary = stand.a_primary();
    stand.servers.kill(&primary).unwrap();
    std::thread::sleep(Duration::from_secs(4));
    stand.servers.heal(&primary).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    stand.servers.kill("pulsar").unwrap();
    stand.servers.heal("pulsar").unwrap();
    let summary = conserved(&stand.finish(sale));
    let table = &summary["table"];
    let sold = table["rows_live"].as_i64().unwrap();
    assert!(sold <= UNITS, "{summary}");
    // Sold on by itself: what failover left over is less than a few batches.
    assert_eq!(table["available"].as_i64().unwrap(), UNITS - sold, "{summary}");
    assert!(sold > UNITS * 9 / 10, "{summary}");
    stand.no_drift();
}

#[test]
fn a_sale_survives_the_loss_of_all_of_redis() {
    let stand = Stand::start("loss");
    let sale = stand.loadtest(&["--requests", REQUESTS, "--rate", "700"]);
    std::thread::sleep(Duration::from_secs(6));
    stand.empty_redis();
    let summary = conserved(&stand.finish(sale));
    let table = &summary["table"];
    assert_eq!(table["supply"].as_i64(), Some(UNITS));
    let sold = table["rows_live"].as_i64().unwrap();
    assert!(sold > UNITS * 9 / 10 && sold <= UNITS, "sells on after the loss: {summary}");
    stand.no_drift();
}

#[test]
fn falsified_redis_is_found_explained_and_repaired() {
    let mut stand = Stand::start("drift");
    stand.stop("reconciler");
    let offer = stand.offer(100, Some(5));
    for n in 0..7 {
        stand.buy(&offer, &format!("buyer{n}"), "k1");
    }
    stand.settled(&offer);
    stand.no_drift();

    stand.redis(&["HINCRBY", &format!("{{{offer}.0}}:c"), "net", "-3"]);
    stand.finds_and_repairs("counters");
    stand.redis(&["HSET", &format!("{{{offer}.0}}:b0"), "buyer3", "4"]);
    stand.finds_and_repairs("buyers");
    for key in ["c", "h", "b0", "b1", "d0", "d1"] {
        stand.redis(&["DEL", &format!("{{{offer}.0}}:{key}")]);
    }
    stand.finds_and_repairs("missing");

    // A deleted hold: the order is in the log, so the writer decides it all the same.
    stand.stop("writer");
    let id = stand.buy(&offer, "late-buyer", "k1");
    let holds = stand.redis(&["HKEYS", &format!("{{{offer}.0}}:h")]);
    assert!(!holds.trim().is_empty(), "a hold without a writer stays");
    stand.redis(&["DEL", &format!("{{{offer}.0}}:h")]);
    stand.finds_and_repairs("held");
    stand.start_service("writer");
    assert_eq!(stand.decided("late-buyer", &id)["status"], "pending");
    stand.settled(&offer);
    let cells = stand.admin_offer(&offer);
    assert_eq!((cells["net"].as_i64(), cells["available"].as_i64()), (Some(8), Some(92)));
    stand.no_drift();
}

#[test]
fn one_database_server_down_does_not_stop_the_others() {
    let mut stand = Stand::start("dbdown");
    // Offers hash to databases; with a dozen, both servers have some.
    let offers: Vec<String> = (0..12).map(|_| stand.offer(50, None)).collect();
    stand.servers.pause("mariadb-2").unwrap();
    // A process that starts now knows that the absent databases have their tables.
    for service in ["gate", "writer", "reconciler"] {
        stand.kill_and_restart(service);
    }
    // Three buyers each: some order has its cell and its buyer on the living server.
    let mut ids: Vec<(String, String, String)> = Vec::new();
    for (n, offer) in offers.iter().enumerate() {
        for m in 0..3 {
            let buyer = format!("b{n}-{m}");
            let id = stand.buy(offer, &buyer, "down");
            ids.push((offer.clone(), buyer, id));
        }
    }
    let pending = |stand: &Stand| {
        let status = |(o, b, id): &(String, String, String)| stand.order(o, b, id);
        ids.iter().filter(|i| status(i)["status"] == "pending").count()
    };
    // Orders of the living server are decided while the other one hangs.
    let until = std::time::Instant::now() + Duration::from_secs(120);
    while !ids.iter().any(|(o, b, id)| stand.order(o, b, id)["status"] == "pending") {
        assert!(std::time::Instant::now() < until, "nothing is decided while one server hangs");
        std::thread::sleep(Duration::from_millis(300));
    }
    stand.servers.heal("mariadb-2").unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while pending(&stand) < ids.len() {
        assert!(std::time::Instant::now() < until, "{} of {}", pending(&stand), ids.len());
        std::thread::sleep(Duration::from_millis(300));
    }
    offers.iter().for_each(|o| stand.settled(o));
    stand.no_drift();
}

#[test]
fn an_order_that_no_replica_has_is_unconfirmed_until_it_is_decided() {
    let sets = ["reserve.wait_replicas=1", "reserve.wait_timeout_ms=200"];
    let mut stand = Stand::start_with("wait", &sets);
    const SHORT: &str = "sluicegate_reserve_not_replicated_total";
    let offer = stand.offer(10, Some(2));
    let whole = |stand: &Stand, buyer: &str| {
        let until = std::time::Instant::now() + Duration::from_secs(60);
        for n in 0.. {
            if stand.taken(&offer, buyer, &format!("k{n}"))["status"] == "accepted" {
                return;
            }
            assert!(std::time::Instant::now() < until, "nothing is accepted");
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    whole(&stand, "anna");
    let before = stand.counted(SHORT);

    let replica = stand.replica_of(&offer);
    stand.servers.pause(&replica).unwrap();
    let answer = stand.taken(&offer, "bert", "k");
    assert_eq!(answer["status"], "unconfirmed", "{answer}");
    // The relay publishes it, and a repeat is the same order.
    let id = answer["order_id"].as_str().unwrap();
    assert_eq!(stand.decided("bert", id)["status"], "pending");
    let again = stand.curl_buy(&offer, "bert", "k");
    assert_eq!((&again["order_id"], &again["status"]), (&answer["order_id"], &"pending".into()));
    assert!(stand.counted(SHORT) > before, "{} {before}", stand.counted(SHORT));

    stand.servers.heal(&replica).unwrap();
    whole(&stand, "carl");
    stand.settled(&offer);
    stand.no_drift();
}
