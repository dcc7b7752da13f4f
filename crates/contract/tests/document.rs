//! `docs/openapi.json` is what the tables say, and the tables are whole.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a step that fails fails the test"
)]

use std::path::Path;

use domain::order::RejectReason;
use sluicegate_contract as contract;

/// `BLESS=1 cargo test -p sluicegate-contract` writes it anew.
#[test]
fn the_document_is_the_golden() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let now = contract::json();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert!(golden == now, "docs/openapi.json is not what the tables say; see this test");
}

/// Why a request is refused and why an order is rejected are one word where they are one thing.
#[test]
fn rejections_are_called_as_refusals_are() {
    for r in [RejectReason::SoldOut, RejectReason::LimitReached, RejectReason::KeyConflict] {
        assert!(contract::Reason::ALL.iter().any(|x| x.as_str() == r.as_str()), "{}", r.as_str());
    }
}
