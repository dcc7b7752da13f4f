//! Frozen for ever: what stored ids, shards, homes and receipts hang on. A change of one of these
//! goldens is another product: its orders would not be found again.
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use std::collections::BTreeMap;

use domain::{Buyer, CampaignNo, Identity, OfferId, Payload};
use proptest::prelude::*;
use sluicegate_domain as domain;

proptest! {
    /// Two contents have the same bytes only if they are the same.
    #[test]
    fn contents_are_told_apart(
        a in prop::collection::btree_map("[a-z0-9-]{1,3}", 1u32..30, 1..4),
        b in prop::collection::btree_map("[a-z0-9-]{1,3}", 1u32..30, 1..4),
        x in r#"|\{\}|\{"a":[0-9]\}"#,
        y in r#"|\{\}|\{"a":[0-9]\}"#,
    ) {
        let bytes = |lines: &BTreeMap<String, u32>, metadata: &str| {
            let lines: Vec<(OfferId, u32)> =
                lines.iter().map(|(o, q)| (o.parse().unwrap(), *q)).collect();
            let lines: Vec<_> = lines.iter().map(|(o, q)| (o, *q)).collect();
            domain::content(&lines, metadata)
        };
        prop_assert_eq!(bytes(&a, &x) == bytes(&b, &y), (&a, &x) == (&b, &y));
    }
}

#[test]
fn the_content_of_an_order_is_fixed() {
    let offer = |s: &str| s.parse::<OfferId>().unwrap();
    let (shoe, sock, a) = (offer("shoe"), offer("sock"), offer("a"));
    let same = |lines: &[(&OfferId, u32)], metadata: &str, bytes: &str| {
        assert_eq!(String::from_utf8(domain::content(lines, metadata)).unwrap(), bytes);
    };
    same(&[(&shoe, 1)], "", "shoe\n1\n");
    same(&[(&shoe, 12)], r#"{"a":1}"#, "shoe\n12\n{\"a\":1}");
    same(&[(&shoe, 1), (&sock, 2)], "", "shoe\n1\nsock\n2\n");
    // The order in which the lines were named does not count.
    same(&[(&sock, 2), (&a, 3), (&shoe, 1)], "{}", "a\n3\nshoe\n1\nsock\n2\n{}");
    same(&[(&shoe, u32::MAX)], "{}", "shoe\n4294967295\n{}");
}

#[test]
fn the_home_of_an_order_is_fixed() {
    let identity = Identity::new(b"0123456789abcdef");
    let cart = common::golden_payload();
    let one = Payload { lines: cart.lines[..1].to_vec(), anchor: 0, ..cart.clone() };
    let other = Payload { anchor: 0, ..cart.clone() };
    let homes = [&cart, &one, &other].map(|p| domain::home(p, &identity, 256));
    assert_eq!(homes, [115, identity.offer_home(&one.lines[0].cell.offer, 256), homes[0]]);
    assert_eq!(domain::home(&cart, &identity, 0), 0);
}

#[test]
fn the_keyed_functions_are_fixed() {
    let identity = Identity::new(b"0123456789abcdef");
    let (buyer, key): (Buyer, _) = ("ann".parse().unwrap(), "k-1".parse().unwrap());
    let order = identity.order_id(CampaignNo(7), &buyer, &key, b"content");
    let offer = "shoe".parse().unwrap();
    let got = format!(
        "{} {} {} {} {} {} {} {}",
        identity.fingerprint_hex(),
        order,
        identity.receipt(order, &buyer, 1_700_000_000),
        identity.offer_shard(&offer).0,
        identity.bucket(&buyer, 64),
        identity.buyer_hash(&buyer),
        identity.offer_home(&offer, 256),
        common::hex(&identity.request_id(&offer, "supply", "r").0),
    );
    assert_eq!(got, GOLDEN_IDENTITY, "stored ids hang on these; they never change");
}

const GOLDEN_IDENTITY: &str = "ea2c7ac5812baaa2 000007f2-7c1f-85d4-a60c-90c52be2da21 \
    6553f1000d5c8dc3278309b8b40f8b4d 1510 40 2574691315615833754 \
    196 e0daa023964a5e411d3bcbc8778ce706";
