//! Frozen for ever: what stored ids, shards, homes and receipts hang on. A change of one of these
//! goldens is another product: its orders would not be found again.
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod common;

use std::collections::BTreeMap;

use domain::{
    Buyer, CampaignId, CampaignNo, CellId, IdError, Identity, OfferId, Payload, Tenant, names,
};
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

/// What depends on the secret, of an order of the key `k-1`.
fn keyed(identity: &Identity, buyer: &Buyer, offer: &OfferId) -> String {
    let order = identity.order_id(CampaignNo(7), buyer, &"k-1".parse().unwrap(), b"content");
    format!(
        "{} {} {} {} {} {} {}",
        order,
        identity.receipt(order, buyer, 1_700_000_000),
        identity.offer_shard(offer).0,
        identity.bucket(buyer, 64),
        identity.buyer_hash(buyer),
        identity.offer_home(offer, 256),
        common::hex(&identity.request_id(offer, "supply", "r").0),
    )
}

#[test]
fn the_keyed_functions_are_fixed() {
    let identity = Identity::new(b"0123456789abcdef");
    let (buyer, offer) = ("ann".parse().unwrap(), "shoe".parse().unwrap());
    let got = format!("{} {}", identity.fingerprint_hex(), keyed(&identity, &buyer, &offer));
    assert_eq!(got, GOLDEN_IDENTITY, "stored ids hang on these; they never change");
}

#[test]
fn what_hangs_on_a_tenant_is_fixed() {
    let identity = Identity::new(b"0123456789abcdef");
    let acme: Tenant = "acme".parse().unwrap();
    let offer = OfferId::of(&acme, "shoe").unwrap();
    let campaign = CampaignId::evergreen(&acme);
    let buyer = Buyer::of(&acme, "ann").unwrap();
    let got = format!(
        "{offer} {campaign} {} {} {} {}",
        offer.cell(63),
        common::hex(&buyer.scoped()),
        keyed(&identity, &buyer, &offer),
        common::hex(&domain::content(&[(&offer, 1)], "{}")),
    );
    assert_eq!(got, GOLDEN_TENANT, "stored ids hang on these; they never change");
}

const GOLDEN_TENANT: &str = "acme/shoe acme/evergreen acme/shoe.63 ff61636d65ff616e6e \
    00000717-76a1-8a8c-9e89-df4ac2ece354 6553f100c854bd0a8eb37a914a7c67db 535 3 \
    15999850850469564266 86 fb2f1cd324c5bd9a02f26960d7151e82 61636d652f73686f650a310a7b7d";

#[test]
fn the_default_tenant_changes_no_name() {
    let none = Tenant::default();
    assert_eq!(none, "".parse().unwrap());
    assert_eq!(OfferId::of(&none, "shoe"), "shoe".parse());
    assert_eq!(CampaignId::of(&none, "c"), "c".parse());
    assert_eq!(Buyer::of(&none, "ann"), "ann".parse());
    let buyer = Buyer::of(&none, "ann").unwrap();
    assert_eq!((&*buyer.scoped(), buyer.as_str()), (&b"ann"[..], "ann"));
    let cell = CellId::of(&none, "shoe.3").unwrap();
    assert_eq!((cell.to_string(), cell.name()), ("shoe.3".into(), "shoe.3".into()));
}

#[test]
fn names_are_of_their_grammar() {
    let long = |n: usize| "x".repeat(n);
    for bad in ["A", "a b", "ä", "a/b", "a.b", "a_b", " ", "a\n", &long(33)] {
        assert_eq!(bad.parse::<Tenant>(), Err(IdError::Tenant), "{bad:?}");
    }
    let longest: Tenant = long(32).parse().unwrap();
    let offer = OfferId::of(&longest, &long(64)).unwrap();
    assert_eq!((offer.as_str().len(), offer.cell(63).to_string().len()), (97, 100));
    assert_eq!((offer.tenant(), offer.name()), (longest.clone(), &*long(64)));
    assert_eq!(offer.as_str().parse(), Ok(offer));
    let buyer = Buyer::of(&longest, &long(128)).unwrap();
    assert_eq!(buyer.scoped().len(), names::MAX_SCOPED);
    assert_eq!(Buyer::of(&longest, &long(129)), Err(IdError::Buyer));
    // What a user writes is a name and never reaches into another tenant.
    for bad in ["acme/shoe", "/shoe", "shoe/", "", "Shoe", &long(65)] {
        assert_eq!(OfferId::of(&Tenant::default(), bad), Err(IdError::Name), "{bad:?}");
        assert_eq!(OfferId::of(&longest, bad), Err(IdError::Name), "{bad:?}");
        assert_eq!(CellId::of(&longest, &format!("{bad}.0")), Err(IdError::Cell), "{bad:?}");
    }
    for bad in ["/shoe", "acme/", "a/b/c", "ACME/shoe", "acme /shoe", "//"] {
        assert!(bad.parse::<OfferId>().is_err(), "{bad:?}");
    }
    for bad in [&b"\xff"[..], b"\xffacme", b"\xff\xffann", b"\xffacme\xff", b"\xffA\xffann", b""] {
        assert!(Buyer::from_scoped(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_order_has_one_tenant() {
    let cart = common::golden_payload();
    let acme: Tenant = "acme".parse().unwrap();
    let mut mixed = cart.clone();
    mixed.lines[0].cell = CellId::of(&acme, "shoe.0").unwrap();
    mixed.lines.sort_by(|a, b| a.cell.cmp(&b.cell));
    assert!(Payload::decode(&mixed.encode()).is_err());
    for line in &mut mixed.lines {
        line.cell = CellId::of(&acme, &line.cell.name()).unwrap();
    }
    mixed.lines.sort_by(|a, b| a.cell.cmp(&b.cell));
    let read = Payload::decode(&mixed.encode()).unwrap();
    assert_eq!((read.buyer.as_str(), read.buyer.tenant()), ("ann", &acme));
    assert_ne!(read.buyer, cart.buyer);
}

proptest! {
    /// No two buyers of any tenants have the same bytes, and the bytes are read back.
    #[test]
    fn buyers_are_told_apart(
        (s, a) in (common::tenant(), ".{1,20}"),
        (t, b) in (common::tenant(), ".{1,20}"),
    ) {
        let (x, y) = (Buyer::of(&s, &a).unwrap(), Buyer::of(&t, &b).unwrap());
        prop_assert_eq!(x.scoped() == y.scoped(), x == y);
        prop_assert_eq!(Buyer::from_scoped(&x.scoped()), Ok(x));
    }
}

const GOLDEN_IDENTITY: &str = "ea2c7ac5812baaa2 000007f2-7c1f-85d4-a60c-90c52be2da21 \
    6553f1000d5c8dc3278309b8b40f8b4d 1510 40 2574691315615833754 \
    196 e0daa023964a5e411d3bcbc8778ce706";
