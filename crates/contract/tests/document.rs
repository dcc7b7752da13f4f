//! `docs/openapi.json` is what the tables say, and the tables are whole.

use domain::order::RejectReason;
use sluicegate_contract as contract;

/// `BLESS=1 cargo test -p sluicegate-contract` writes it anew.
#[test]
fn the_document_is_the_golden() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    testkit::golden::golden(root, "docs/openapi.json", &contract::json());
}

/// Why a request is refused and why an order is rejected are one word where they are one thing.
#[test]
fn rejections_are_called_as_refusals_are() {
    for r in [RejectReason::SoldOut, RejectReason::LimitReached, RejectReason::KeyConflict] {
        assert!(contract::Reason::ALL.iter().any(|x| x.as_str() == r.as_str()), "{}", r.as_str());
    }
}
