//! A database comes back without its last commits, on real MariaDB, under a running sale on real
//! Redis and Pulsar. Needs `cargo xtask stack up`; every test keeps all others off the servers.
#![cfg(feature = "pulsar")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests look at the clock and tell what they saw, and a step that fails fails the test"
)]

mod stand;

use std::time::Duration;

use stand::Stand;

/// A sale; seconds of it are lost in one database, which an operator rewinds `after` seconds later,
/// while it goes on. What the rewind said of itself.
fn a_sale(name: &str, (units, after): (&str, u64), lose: impl Fn(&Stand, &str) -> usize) -> String {
    let mut stand = Stand::start(name);
    // The rewind marks the partitions of lives as well: somebody has to read on.
    stand.add_service("clerk", &[]);
    let offer = stand.offer(units.parse().unwrap(), None);
    let sale = stand.loadtest(&["--offer", &offer, "--requests", "6000", "--rate", "300"]);
    let db = lose(&stand, &offer);
    std::thread::sleep(Duration::from_secs(4));
    stand.copy(db);
    std::thread::sleep(Duration::from_secs(4));
    let (entries, rows) = stand.put_back(db);
    println!("database {db}: {entries} entries and {rows} rows are gone");
    assert!(entries + rows > 100, "the fault did nothing");
    std::thread::sleep(Duration::from_secs(after));
    let (code, said) = stand.rewind(db, Duration::from_secs(120));
    println!("{said}");
    assert_eq!(code, Some(0), "{said}");
    let out = stand.finish(sale);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("verdict: conserved"), "{text}");
    let summary = stand::last_json(&text);
    let sold = summary["table"]["rows_live"].as_i64().unwrap();
    assert!(sold <= units.parse().unwrap(), "{summary}");
    stand.no_drift();
    let (code, again) = stand.rewind(db, Duration::from_secs(300));
    assert_eq!(code, Some(0), "{again}");
    let nothing = "0 claims and 0 rejects appended, 0 rows inserted";
    assert!(again.contains(nothing) && again.contains(", 0 became rejected"), "{again}");
    said
}

#[test]
fn the_ledger_and_the_rows_beside_it() {
    a_sale("lostledger", ("20000", 2), |stand, offer| stand.home_of(offer));
}

/// Sold out before the loss, and sold again while the claims are gone: those who lost them find
/// nothing left.
#[test]
fn the_ledger_of_a_sale_that_is_sold_out() {
    let said = a_sale("lostsold", ("1500", 9), |stand, offer| stand.home_of(offer));
    assert!(!said.contains(", 0 became rejected"), "nobody was refused: {said}");
}

#[test]
fn the_rows_of_a_part_of_the_buyers() {
    a_sale("lostrows", ("20000", 2), |stand, offer| (stand.home_of(offer) + 1) % 4);
}

#[test]
fn what_a_rewind_refuses() {
    let stand = Stand::start("rewindargs");
    let (code, said) = stand.rewind(99, Duration::from_secs(5));
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("--database 99: store.databases has 4"), "{said}");
}
