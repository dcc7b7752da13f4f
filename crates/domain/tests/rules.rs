//! Rules: the ledger's fold, order states, drift, shard maps, keyed functions.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::collections::HashSet;

use domain::drift::{DriftKind, Repair, compare, repair_note, repaired_flag};
use domain::ledger::{AppendError, Class, Draft, MAX_UNITS, refold};
use domain::order::RejectReason;
use domain::{
    Buyer, CampaignNo, Entry, Flag, HoldState, Identity, Kind, LogicalShard, OrderId, Ordinal,
    RowStatus, ShardMap, Status, Tok, Totals, invariant, moves,
};
use proptest::prelude::*;
use sluicegate_domain as domain;

fn draft(kind: Kind, n: u32, qty: i64) -> Draft {
    let buyer = if kind.class() == Class::Verdict { format!("b{}", n % 5) } else { String::new() };
    let id = OrderId::compose(CampaignNo(0), 0, u64::from(n), n).into();
    Draft { kind, id, buyer, qty, payload: Vec::new() }
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let one = (kind, 0u32..1000, -2i64..60);
    prop::collection::vec(one, 0..80)
        .prop_map(|all| all.into_iter().map(|(k, n, q)| draft(k, n, q)).collect())
}

/// Appends what may be appended.
fn ledger_of(drafts: Vec<Draft>) -> (Totals, Vec<Entry>) {
    let mut totals = Totals::default();
    let entries = drafts.into_iter().filter_map(|d| totals.append(d, 5).ok()).collect();
    (totals, entries)
}

proptest! {
    #[test]
    fn inv_1_holds_whatever_is_asked(drafts in drafts()) {
        let mut totals = Totals::default();
        for d in drafts {
            let before = totals;
            match totals.append(d.clone(), 7) {
                Ok(e) => {
                    prop_assert!(0 <= totals.net && totals.net <= totals.supply);
                    prop_assert!(totals.supply <= MAX_UNITS);
                    prop_assert_eq!((e.seq, e.totals()), (before.seq + 1, totals));
                    prop_assert_ne!(totals.tok, before.tok);
                    prop_assert!(d.kind != Kind::Claim || before.fits(d.qty));
                }
                Err(_) => prop_assert_eq!(totals, before, "a refused entry leaves nothing"),
            }
        }
    }

    #[test]
    fn refolding_gives_the_same_totals(drafts in drafts(), cut: prop::sample::Index) {
        let (totals, entries) = ledger_of(drafts);
        prop_assert_eq!(refold(Totals::default(), &entries), Ok(totals));
        if !entries.is_empty() {
            let at = cut.index(entries.len());
            let middle = refold(Totals::default(), &entries[..at]).unwrap();
            prop_assert_eq!(refold(middle, &entries[at..]), Ok(totals));
        }
    }

    #[test]
    fn refolding_finds_any_tampered_field(
        drafts in drafts(),
        at: prop::sample::Index,
        what in 0usize..9,
    ) {
        let (totals, entries) = ledger_of(drafts);
        prop_assume!(!entries.is_empty());
        let mut bad = entries.clone();
        let at = at.index(bad.len());
        let e = &mut bad[at];
        match what {
            0 => e.seq += 1,
            1 => e.kind = Kind::ALL[(e.kind.number() as usize) % Kind::ALL.len()],
            2 => e.id.0[15] ^= 1,
            3 => e.buyer.push('x'),
            4 => e.qty += 1,
            5 => e.supply_after += 1,
            6 => e.net_after -= 1,
            7 => e.open_after = if e.open_after == Flag::Open { Flag::Paused } else { Flag::Open },
            _ => e.tok = Tok(e.tok.0 ^ 1),
        }
        prop_assert!(refold(Totals::default(), &bad).is_err());
        prop_assert!(!invariant::ledger(&bad, totals).is_empty());
        // Lost, doubled and swapped entries.
        let mut lost = entries.clone();
        lost.remove(at);
        prop_assert!(refold(Totals::default(), &lost) != Ok(totals));
        let mut twice = entries.clone();
        twice.insert(at, entries[at].clone());
        prop_assert!(refold(Totals::default(), &twice).is_err());
    }

    #[test]
    fn shard_maps_are_even_and_complete(databases in 1u16..=64) {
        let map = ShardMap::even(databases);
        prop_assert!(map.check().is_ok());
        let mut count = vec![0u32; usize::from(databases)];
        for shard in 0..domain::shard::LOGICAL_SHARDS {
            count[usize::from(map.database(LogicalShard(shard)))] += 1;
        }
        prop_assert_eq!(count.iter().sum::<u32>(), 4096);
        let (lo, hi) = (count.iter().min().unwrap(), count.iter().max().unwrap());
        prop_assert!(hi - lo <= 1);
    }

    #[test]
    fn receipts_are_bound_to_everything(
        key in "[!-~]{1,20}",
        at: u32,
        flip in 0usize..32,
        digit in 0u8..16,
    ) {
        let identity = Identity::new(b"a secret of sixteen bytes");
        let (ann, bob): (Buyer, Buyer) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        let key = key.parse().unwrap();
        let order = identity.order_id(CampaignNo(1), &ann, &key, b"c");
        let receipt = identity.receipt(order, &ann, at);
        prop_assert_eq!(receipt.len(), 32);
        prop_assert_eq!(identity.check_receipt(order, &ann, &receipt), Some(at));
        prop_assert_eq!(identity.check_receipt(order, &bob, &receipt), None);
        let other = identity.order_id(CampaignNo(1), &ann, &key, b"d");
        prop_assert_eq!(identity.check_receipt(other, &ann, &receipt), None);
        let elsewhere = Identity::new(b"another secret of that length");
        prop_assert_eq!(elsewhere.check_receipt(order, &ann, &receipt), None);
        let mut forged = receipt.clone().into_bytes();
        forged[flip] = b"0123456789abcdef"[usize::from(digit)];
        let forged = String::from_utf8(forged).unwrap();
        if forged != receipt {
            prop_assert_eq!(identity.check_receipt(order, &ann, &forged), None);
        }
        prop_assert_eq!(identity.check_receipt(order, &ann, &receipt[..31]), None);
    }

    #[test]
    fn strange_receipts_never_panic(token in ".{0,60}") {
        let identity = Identity::new(b"a secret of sixteen bytes");
        let order = OrderId([0; 16]);
        prop_assert_eq!(identity.check_receipt(order, &"ann".parse().unwrap(), &token), None);
    }

    #[test]
    fn ids_depend_on_buyer_key_and_content(
        a in "[!-~]{1,9}",
        b in "[!-~]{1,9}",
        c: Vec<u8>,
        d: Vec<u8>,
    ) {
        let identity = Identity::new(b"a secret of sixteen bytes");
        let id = |buyer: &str, key: &str, content: &[u8]| {
            let (buyer, key) = (buyer.parse().unwrap(), key.parse().unwrap());
            identity.order_id(CampaignNo(3), &buyer, &key, content)
        };
        prop_assert_eq!(id(&a, &b, &c), id(&a, &b, &c));
        prop_assert_eq!(id(&a, &b, &c).key(), id(&a, &b, &d).key());
        prop_assert_eq!(id(&a, &b, &c) == id(&a, &b, &d), c == d);
        if a != b {
            prop_assert_ne!(id(&a, &b, &c).key(), id(&b, &a, &c).key());
            prop_assert_ne!(id(&a, &a, &c).key(), id(&a, &b, &c).key());
        }
        let buyer: Buyer = a.parse().unwrap();
        prop_assert_eq!(id(&a, &b, &c).shard(), identity.buyer_shard(&buyer).0);
        prop_assert!(identity.bucket(&buyer, 7) < 7 && identity.bucket(&buyer, 0) == 0);
        prop_assert!(identity.offer_home(&"o".parse().unwrap(), 4) < 4);
    }
}

#[test]
fn appends_out_of_range_are_refused() {
    let mut t = Totals::default();
    let bounds = |t: &mut Totals, d| matches!(t.append(d, 0), Err(AppendError::Bounds { .. }));
    assert!(bounds(&mut t, draft(Kind::Claim, 1, 1)));
    assert!(bounds(&mut t, draft(Kind::Release, 1, 1)));
    assert!(bounds(&mut t, draft(Kind::TransferOut, 1, 1)));
    t.append(draft(Kind::Supply, 1, MAX_UNITS), 0).unwrap();
    assert!(bounds(&mut t, draft(Kind::Supply, 2, 1)));
    for qty in [-1, i64::MIN, MAX_UNITS + 1, i64::MAX] {
        let d = draft(Kind::Supply, 3, qty);
        assert_eq!(t.append(d, 0), Err(AppendError::Quantity(qty)));
    }
    assert_eq!(t.append(draft(Kind::Flag, 4, 3), 0), Err(AppendError::Quantity(3)));
    let empty = ShardMap { version: 1, databases: 1, ranges: vec![] };
    assert!(empty.check().is_err());
    for ranges in [vec![(1, 0)], vec![(0, 1)], vec![(0, 0), (0, 0)], vec![(0, 0), (4096, 0)]] {
        assert!(ShardMap { version: 1, databases: 1, ranges }.check().is_err());
    }
    assert_eq!(ShardMap::even(0), ShardMap::even(1));
}

#[test]
fn the_transition_table_is_fixed() {
    let table: Vec<String> = RowStatus::ALL
        .iter()
        .map(|s| {
            let next: Vec<&str> = moves::after(*s).into_iter().map(RowStatus::as_str).collect();
            format!(
                "{} -> {} {}",
                s.as_str(),
                next.join(","),
                if s.is_live() { "live" } else { "dead" }
            )
        })
        .collect();
    assert_eq!(
        table,
        [
            "pending -> paid,rejected,cancelled,expired live",
            "paid -> shipped,refunding live",
            "shipped -> completed,refunding live",
            "completed -> refunding live",
            "rejected ->  dead",
            "cancelled ->  dead",
            "expired ->  dead",
            "refunding -> paid,shipped,completed,refunded live",
            "refunded ->  live",
        ]
    );
    let mut reach: HashSet<RowStatus> = HashSet::from([RowStatus::Paid]);
    for _ in RowStatus::ALL {
        let next: Vec<RowStatus> = reach.iter().flat_map(|s| moves::after(*s)).collect();
        reach.extend(next);
    }
    for never in [RowStatus::Expired, RowStatus::Cancelled, RowStatus::Pending, RowStatus::Rejected]
    {
        assert!(!reach.contains(&never), "paid never becomes {}", never.as_str());
    }
    for s in RowStatus::ALL {
        assert_eq!(RowStatus::parse(s.as_str()), Some(s));
        let next = moves::after(s);
        assert!(s.is_live() || next.is_empty(), "nothing leaves the dead");
        assert!(next.iter().all(|n| n.is_live() || s == RowStatus::Pending), "paid never dies");
    }
    assert_eq!(RowStatus::parse("Pending"), None);
    // 1 and 2 are what is shown and has no row; whoever finds them in one has found a false row.
    assert_eq!([0, 1, 2, 12].map(RowStatus::from_number), [None; 4]);
    for (shown, name) in [
        (Status::Accepted, "accepted"),
        (Status::Unconfirmed, "unconfirmed"),
        (Status::Row(RowStatus::Paid), "paid"),
    ] {
        assert_eq!((shown.as_str(), Status::parse(name)), (name, Some(shown)));
    }
    for reason in RejectReason::ALL {
        assert_eq!(RejectReason::parse(reason.as_str()), Some(reason));
    }
}

#[test]
fn drift_is_told_apart() {
    let totals = |seq, supply, net, open, tok| Totals { seq, supply, net, open, tok: Tok(tok) };
    let at_w = totals(5, 10, 3, Flag::Open, 77);
    let head = totals(9, 10, 6, Flag::Open, 99);
    let same = |view| compare(view, Some(at_w), head);
    assert_eq!(compare(head, Some(head), head), None);
    assert_eq!(same(at_w), Some(DriftKind::Behind));
    assert_eq!(compare(at_w, None, head), Some(DriftKind::Fork));
    assert_eq!(compare(totals(10, 10, 6, Flag::Open, 99), Some(head), head), Some(DriftKind::Fork));
    assert_eq!(same(Totals { tok: Tok(78), ..at_w }), Some(DriftKind::Fork));
    // A fork is the worse finding: it wins over wrong counters.
    assert_eq!(same(Totals { tok: Tok(78), net: 4, ..at_w }), Some(DriftKind::Fork));
    assert_eq!(same(Totals { supply: 11, ..at_w }), Some(DriftKind::Counters));
    assert_eq!(same(Totals { net: 2, ..at_w }), Some(DriftKind::Counters));
    assert_eq!(same(Totals { open: Flag::Paused, ..at_w }), Some(DriftKind::Counters));
    let plans = [
        (DriftKind::Missing, "missing", Repair::Rebuild, "rebuild"),
        (DriftKind::Behind, "behind", Repair::Apply, "apply"),
        (DriftKind::Fork, "fork", Repair::DropAndRebuild, "drop_and_rebuild"),
        (DriftKind::Counters, "counters", Repair::PauseAndMend, "pause_and_mend"),
        (DriftKind::Held, "held", Repair::PauseAndMend, "pause_and_mend"),
        (DriftKind::Buyers, "buyers", Repair::PauseAndMend, "pause_and_mend"),
        (DriftKind::Phantom, "phantom", Repair::Resolve, "resolve"),
        (DriftKind::LostHold, "lost_hold", Repair::Alarm, "alarm"),
        (DriftKind::RepairPause, "repair_pause", Repair::RestoreFlag, "restore_flag"),
        (DriftKind::RowUnclaimed, "row_unclaimed", Repair::PublishAgain, "publish_again"),
        (DriftKind::RowRefused, "row_refused", Repair::Rewind, "rewind"),
        (DriftKind::RowUnreleased, "row_unreleased", Repair::Release, "release"),
        (DriftKind::RowReturned, "row_returned", Repair::Alarm, "alarm"),
        (DriftKind::Ledger, "ledger", Repair::StopSelling, "stop_selling"),
    ];
    for (kind, name, repair, repair_name) in plans {
        assert_eq!((kind.as_str(), kind.repair()), (name, repair));
        assert_eq!(repair.as_str(), repair_name);
    }
    for flag in [Flag::Closed, Flag::Open, Flag::Paused] {
        assert_eq!(repaired_flag(&repair_note(flag)), Some(flag));
    }
    for note in [&b""[..], b"repair:", b"repair:9", b"repair:x", b"repair:\xff", b"by hand"] {
        assert_eq!(repaired_flag(note), None);
    }
}

#[test]
fn codes_and_numbers_are_fixed() {
    let kinds: String = Kind::ALL.iter().map(|k| k.code()).collect();
    assert_eq!(kinds, "SCXRTGB");
    assert_eq!(Kind::ALL.map(Kind::number), [1, 2, 3, 4, 5, 6, 7]);
    let classes = [Class::Verdict, Class::Release, Class::Supply, Class::Flag].map(Class::number);
    assert_eq!(classes, [1, 2, 3, 4]);
    for kind in Kind::ALL {
        assert_eq!(Kind::from_code(kind.code()), Some(kind));
        assert_eq!(Kind::stored(kind.number(), kind.class().number()), Some(kind));
    }
    // The n-th return has the class 16 + n, and there is no other way to read one.
    for n in 0..Ordinal::COUNT {
        let kind = Kind::Return(Ordinal::new(n).expect("below the count"));
        assert_eq!(kind.class().number(), 16 + n as i8);
        assert_eq!(Kind::stored(7, 16 + n as i8), Some(kind));
    }
    assert_eq!((Ordinal::new(112), Kind::from_code('?')), (None, None));
    for (number, class) in [(0, 1), (8, 1), (7, 1), (2, 2), (2, 16), (7, 15), (7, -128), (1, 127)] {
        assert_eq!(Kind::stored(number, class), None, "{number} {class}");
    }
    assert_eq!((Flag::from_number(3), Flag::from_number(-1)), (None, None));
    for state in [HoldState::Sealed, HoldState::Line, HoldState::Transfer, HoldState::Fenced] {
        assert_eq!(HoldState::from_code(state.code()), Some(state));
    }
    let numbers: Vec<i8> = RowStatus::ALL.iter().map(|s| *s as i8).collect();
    assert_eq!(numbers, (3..=11).collect::<Vec<i8>>());
}
