//! Wire forms: ids, payloads and frames travel both ways, garbage never panics, golden bytes hold
//! the forms still. Changing a golden means a new version that still reads the old one.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use common::{golden_payload, hex, order_id, payload};
use domain::frame::{self, FrameError, Item, Mode, Sealed};
use domain::kept;
use domain::life::{LifeNews, Parcel, PaymentNews, ProviderEvent};
use domain::supply::Transfer;
use domain::{CampaignNo, CellId, OfferId, OrderId, Payload};
use proptest::prelude::*;
use sluicegate_domain as domain;

fn item() -> impl Strategy<Value = Item> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..300);
    let sealed = |(t_ms, payload): (u64, Vec<u8>)| Sealed { t_ms, payload: payload.into() };
    prop_oneof![
        (any::<u64>(), bytes()).prop_map(move |s| Item::Order(Mode::Full, sealed(s))),
        (any::<u64>(), bytes()).prop_map(move |s| Item::Order(Mode::Abort, sealed(s))),
        ".{0,40}".prop_map(Item::Barrier),
        any::<u64>().prop_map(Item::Tick),
        news().prop_map(Item::News),
    ]
}

fn payment_news() -> impl Strategy<Value = PaymentNews> {
    prop_oneof![
        Just(PaymentNews::Opened),
        Just(PaymentNews::Authorised),
        any::<i64>().prop_map(PaymentNews::Captured),
        Just(PaymentNews::Failed),
        Just(PaymentNews::Closed),
        (".{0,70}", any::<i64>())
            .prop_map(|(key, amount)| PaymentNews::RefundSucceeded { key, amount }),
        ".{0,70}".prop_map(|key| PaymentNews::RefundFailed { key }),
    ]
}

fn news() -> impl Strategy<Value = LifeNews> {
    let payment = (".{0,255}", "[a-z0-9-]{1,32}", "[!-~]{1,128}", order_id(), payment_news());
    let payment = (payment, any::<[u8; 32]>()).prop_map(|(event, hash)| LifeNews::Payment {
        event: ProviderEvent {
            event: Some(event.0),
            provider: event.1.parse().unwrap(),
            payment: event.2.parse().unwrap(),
            order: event.3,
            currency: "EUR".to_owned(),
            news: event.4,
            is_final: false,
        },
        hash,
    });
    let parcel = prop_oneof![
        Just(Parcel::Shipped),
        Just(Parcel::Delivered),
        "[!-~]{1,64}".prop_map(|refund| Parcel::Returned(refund.parse().unwrap())),
        prop::collection::vec(("[a-z0-9-]{1,64}", 1u32..), 0..20).prop_map(Parcel::ReturnedLines),
    ];
    let parcel = ("[a-z0-9-]{1,32}", order_id(), parcel, ".{0,200}");
    let parcel = parcel.prop_map(|(system, order, parcel, tracking)| LifeNews::Parcel {
        system,
        order,
        parcel,
        tracking,
    });
    let garbage = ("[a-z0-9-]{1,32}", ".{0,200}", any::<[u8; 32]>());
    let garbage = garbage.prop_map(|(from, why, hash)| LifeNews::Unreadable { from, why, hash });
    prop_oneof![payment, parcel, garbage]
}

proptest! {
    #[test]
    fn order_ids_keep_their_parts(c in 0u32..1 << 24, s in 0u16..4096, k in 0u64..1 << 54, n: u32) {
        let id = OrderId::compose(CampaignNo(c), s, k, n);
        prop_assert_eq!((id.campaign(), id.shard()), (CampaignNo(c), s));
        prop_assert_eq!(id.content(), n.to_be_bytes());
        prop_assert_eq!(OrderId::join(id.key(), id.content()), id);
        prop_assert_eq!(id.to_string().parse::<OrderId>().unwrap(), id);
        prop_assert_eq!(OrderId::from_slice(&id.0).unwrap(), id);
        prop_assert!(id.to_string().to_uppercase().parse::<OrderId>().is_err()
            || id.to_string().bytes().all(|b| b.is_ascii_digit() || b == b'-'));
        // Another key part is another key field, another content part the same one.
        let other = OrderId::compose(CampaignNo(c), s, k ^ 1, n);
        prop_assert_ne!(other.key(), id.key());
        prop_assert_eq!(OrderId::compose(CampaignNo(c), s, k, !n).key(), id.key());
        prop_assert_eq!(id.0[6] >> 4, 8);
        prop_assert_eq!(id.0[8] >> 6, 2);
    }

    #[test]
    fn names_parse_strictly(text in ".{0,70}") {
        let good = (1..=64).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        prop_assert_eq!(text.parse::<OfferId>().is_ok(), good);
        let _ = text.parse::<CellId>();
        let _ = text.parse::<OrderId>();
    }

    #[test]
    fn cells_travel_as_text(offer in "[a-z0-9-]{1,64}", bucket in 0u8..64) {
        let cell = offer.parse::<OfferId>().unwrap().cell(bucket);
        prop_assert_eq!(cell.to_string().parse::<CellId>().unwrap(), cell);
        let padded = format!("{offer}.0{bucket}").parse::<CellId>();
        prop_assert!(padded.is_err());
        let outside = format!("{offer}.{}", u16::from(bucket) + 64).parse::<CellId>();
        prop_assert!(outside.is_err());
    }

    #[test]
    fn payloads_travel(p in payload()) {
        let bytes = p.encode();
        prop_assert_eq!(Payload::decode(&bytes).unwrap(), p);
    }

    #[test]
    fn broken_payloads_never_panic(
        p in payload(),
        cut: prop::sample::Index,
        flip: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let mut bytes = p.encode();
        let _ = Payload::decode(&bytes[..cut.index(bytes.len())]);
        let at = flip.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = Payload::decode(&bytes) {
            // Whatever still parses keeps the bounds.
            prop_assert!((1..=20).contains(&other.lines.len()) && other.anchor < other.lines.len());
            prop_assert!(other.lines.iter().all(|l| l.qty > 0));
            prop_assert!(other.lines.windows(2).all(|w| w[0].cell < w[1].cell));
            let _ = other.amount_minor();
        }
    }

    #[test]
    fn frames_travel(items in prop::collection::vec(item(), 0..=40)) {
        let bytes = frame::encode(&items);
        prop_assert_eq!(frame::decode(&bytes).unwrap(), items);
    }

    #[test]
    fn truncated_and_flipped_frames_are_refused(
        items in prop::collection::vec(item(), 1..8),
        cut: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let bytes = frame::encode(&items);
        let at = cut.index(bytes.len());
        prop_assert!(frame::decode(&bytes[..at]).is_err());
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << bit;
        prop_assert!(frame::decode(&flipped).is_err(), "bit {} of byte {}", bit, at);
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_eq!(frame::decode(&longer), Err(FrameError::Checksum));
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = frame::decode(&bytes);
        let _ = Payload::decode(&bytes);
        let _ = Transfer::decode(&bytes);
        let _ = kept::unpack(&bytes);
        // With a genuine header around it.
        let mut framed = b"SGF\x01".to_vec();
        framed.extend(crc32c::crc32c(&bytes).to_be_bytes());
        framed.extend((bytes.len() as u32).to_be_bytes());
        framed.extend(&bytes);
        let _ = frame::decode(&framed);
    }

    #[test]
    fn packing_keeps_order_and_bounds(sizes in prop::collection::vec(0usize..20_000, 0..600)) {
        let order = |(i, n): (usize, &usize)| {
            Item::Order(Mode::Full, Sealed { t_ms: i as u64, payload: vec![7; *n].into() })
        };
        let items: Vec<Item> = sizes.iter().enumerate().map(order).collect();
        let frames = frame::pack(&items);
        let mut again = Vec::new();
        for bytes in &frames {
            prop_assert!(bytes.len() <= frame::MAX_BYTES);
            let part = frame::decode(bytes).unwrap();
            prop_assert!(!part.is_empty() && part.len() <= frame::MAX_ORDERS);
            again.extend(part);
        }
        prop_assert_eq!(again, items);
    }

    #[test]
    fn transfers_and_sealed_orders_travel(id in order_id(), t_ms: u64, units in 1u32.., two: bool) {
        let cell = |s: &str| s.parse::<CellId>().unwrap();
        let t = Transfer { from: cell("a.0"), to: two.then(|| cell("a.1")), units };
        prop_assert_eq!(Transfer::decode(&t.encode()).unwrap(), t);
        let sealed = Sealed { t_ms, payload: id.0.to_vec().into() };
        let mode = if two { Mode::Full } else { Mode::Abort };
        let list = vec![kept::Kept { seq: u64::from(units), mode, sealed }];
        let packed = kept::pack(list.iter().map(|k| (k.seq, k.mode, &k.sealed)));
        prop_assert_eq!(kept::unpack(&packed), Some(list));
    }
}

#[test]
fn the_bytes_of_a_payload_are_fixed() {
    assert_eq!(hex(&golden_payload().encode()), GOLDEN_PAYLOAD);
    assert_eq!(golden_payload().order.to_string(), GOLDEN_ID);
}

#[test]
fn the_bytes_of_a_frame_are_fixed() {
    let sealed = Sealed { t_ms: 1_700_000_000_000, payload: golden_payload().encode().into() };
    let items = [
        Item::Order(Mode::Full, sealed.clone()),
        Item::Order(Mode::Abort, Sealed { payload: b"x".to_vec().into(), ..sealed }),
        Item::Barrier("b-1".to_owned()),
        Item::Tick(42),
    ];
    let bytes = frame::encode(&items);
    assert_eq!(hex(&bytes[..4]), "53474601");
    assert_eq!(hex(&bytes), GOLDEN_FRAME);
}

#[test]
fn the_bytes_of_news_are_fixed() {
    let event = ProviderEvent {
        event: Some("e-1".to_owned()),
        provider: "card".parse().unwrap(),
        payment: "p-1".parse().unwrap(),
        order: golden_payload().order,
        currency: "EUR".to_owned(),
        news: PaymentNews::Captured(2599),
        is_final: false,
    };
    let order = golden_payload().order;
    let parcel = Parcel::Returned("r-1".parse().unwrap());
    let bytes = frame::encode(&[
        Item::News(LifeNews::Payment { event, hash: [7; 32] }),
        Item::News(LifeNews::Parcel {
            system: "dhl".to_owned(),
            order,
            parcel,
            tracking: "t-1".to_owned(),
        }),
        Item::News(LifeNews::Unreadable {
            from: "card".to_owned(),
            why: "no order".to_owned(),
            hash: [9; 32],
        }),
    ]);
    assert_eq!(hex(&bytes), GOLDEN_NEWS);
}

/// A sort of news that this program does not know waits for one that does.
#[test]
fn news_of_another_sort_are_a_newer_programs() {
    let bytes = frame::encode(&[Item::News(LifeNews::Parcel {
        system: String::new(),
        order: golden_payload().order,
        parcel: Parcel::Delivered,
        tracking: String::new(),
    })]);
    let at = bytes.windows(2).position(|w| w == [0x30, 2]).unwrap() + 1;
    let mut newer = bytes.to_vec();
    newer[at] = 9;
    let crc = crc32c::crc32c(&newer[12..]).to_be_bytes();
    newer[4..8].copy_from_slice(&crc);
    let refused = frame::decode(&newer).unwrap_err();
    assert!(refused.is_newer(), "{refused}");
}

#[test]
fn other_versions_are_refused_by_number() {
    let mut bytes = frame::encode(&[Item::Tick(1)]).to_vec();
    for version in [0, 2, 3, 255] {
        bytes[3] = version;
        assert_eq!(frame::decode(&bytes), Err(FrameError::Version(version)));
    }
    assert_eq!(frame::decode(b""), Err(FrameError::Magic));
    assert_eq!(frame::decode(&[b'X'; 64]), Err(FrameError::Magic));
    let many: Vec<Item> = (0..257).map(Item::Tick).collect();
    assert!(matches!(frame::decode(&frame::encode(&many)), Err(FrameError::Body(_))));
}

#[test]
fn payloads_out_of_bounds_are_refused() {
    let change = |f: fn(&mut Payload)| {
        let mut p = golden_payload();
        f(&mut p);
        Payload::decode(&p.encode())
    };
    assert!(change(|_| ()).is_ok());
    assert!(change(|p| p.lines.clear()).is_err());
    assert!(change(|p| p.anchor = 2).is_err());
    assert!(change(|p| p.lines[0].qty = 0).is_err());
    assert!(change(|p| p.lines.reverse()).is_err());
    assert!(change(|p| p.lines[1].cell = p.lines[0].cell.clone()).is_err());
    let many = |p: &mut Payload| {
        let cell = |n: u8| format!("o.{n}").parse().unwrap();
        p.lines = (10..31).map(|n| domain::Line { cell: cell(n), qty: 1, unit_minor: 1 }).collect();
    };
    assert!(change(many).is_err(), "21 lines");
    let large = |p: &mut Payload| {
        p.lines[0] = domain::Line { unit_minor: i64::MAX, qty: u32::MAX, ..p.lines[0].clone() }
    };
    let p = change(large).unwrap();
    assert!(std::panic::catch_unwind(|| p.amount_minor()).is_ok(), "amounts saturate");
}

const GOLDEN_ID: &str = "000007ab-c004-88d1-9678-9abcdeadbeef";
const GOLDEN_PAYLOAD: &str = "\
    0a10000007abc00488d196789abcdeadbeef1203616e6e1a036b2d31220b0a0473686f65180220cf0f220d0a\
    04736f636b1003180120f303280132077b2261223a317d3a03455552400748c0ee6d";
const GOLDEN_FRAME: &str = "\
    534746018a4aeea2000000780a590801124e0a10000007abc00488d196789abcdeadbeef1203616e6e1a036b\
    2d31220b0a0473686f65180220cf0f220d0a04736f636b1003180120f303280132077b2261223a317d3a0345\
    5552400748c0ee6d1880d095ffbc310a0c08021201781880d095ffbc310a0708032203622d310a040804182a";
const GOLDEN_NEWS: &str = "\
    534746010996ed41000000b50a520805124e0a04636172641203652d311a03702d312210000007abc00488d1\
    96789abcdeadbeef2a03455552300338a7144a20070707070707070707070707070707070707070707070707\
    07070707070707070a27080612230a0364686c2210000007abc00488d196789abcdeadbeef30034203722d31\
    5203742d310a36080712320a04636172644a2009090909090909090909090909090909090909090909090909\
    0909090909090952086e6f206f72646572";
