//! Strategies and makers that the domain's tests share.
#![allow(dead_code, reason = "each test binary uses its part")]

use domain::{CampaignNo, Line, OfferId, OrderId, Payload, Tenant};
use proptest::prelude::*;
use sluicegate_domain as domain;

/// Any order id that requests can have.
pub(crate) fn order_id() -> impl Strategy<Value = OrderId> {
    (0u32..1 << 24, 0u16..4096, 0u64..1 << 54, any::<u32>())
        .prop_map(|(c, s, k, n)| OrderId::compose(CampaignNo(c), s, k, n))
}

/// The default tenant or another.
pub(crate) fn tenant() -> impl Strategy<Value = Tenant> {
    "|[a-z0-9-]{1,32}".prop_map(|t| t.parse().unwrap())
}

/// 1 to 20 lines of a tenant, sorted, one per cell.
fn lines() -> impl Strategy<Value = Vec<Line>> {
    let one = ("[a-z0-9-]{1,64}", 0u8..64, 1u32.., 0i64..1_000_000_000_000);
    (tenant(), prop::collection::vec(one, 1..=20)).prop_map(|(tenant, all)| {
        let mut lines: Vec<Line> = all
            .into_iter()
            .map(|(offer, bucket, qty, unit_minor)| {
                let cell = OfferId::of(&tenant, &offer).unwrap().cell(bucket);
                Line { cell, qty, unit_minor }
            })
            .collect();
        lines.sort_by(|a, b| a.cell.cmp(&b.cell));
        lines.dedup_by(|a, b| a.cell == b.cell);
        lines
    })
}

/// Any payload in bounds.
pub(crate) fn payload() -> impl Strategy<Value = Payload> {
    let names = (".{1,40}", "[!-~]{1,128}", "[A-Z]{3}");
    let rest = (0u32..1 << 24, any::<u64>(), ".{0,100}", any::<prop::sample::Index>());
    (order_id(), names, lines(), rest).prop_map(|(order, (buyer, key, currency), lines, rest)| {
        let (campaign, window_ms, metadata, anchor) = rest;
        let anchor = anchor.index(lines.len());
        Payload {
            order,
            buyer: lines[0].cell.buyer(&buyer.chars().take(32).collect::<String>()).unwrap(),
            key: Some(key.parse().unwrap()),
            lines,
            anchor,
            metadata,
            currency,
            campaign: CampaignNo(campaign),
            window_ms,
            supersedes: None,
        }
    })
}

/// The payload of the goldens: every field set.
pub(crate) fn golden_payload() -> Payload {
    let line = |cell: &str, qty, unit_minor| Line { cell: cell.parse().unwrap(), qty, unit_minor };
    Payload {
        order: OrderId::compose(CampaignNo(7), 0xabc, 0x1234_5678_9abc, 0xdead_beef),
        buyer: "ann".parse().unwrap(),
        key: Some("k-1".parse().unwrap()),
        lines: vec![line("shoe.0", 2, 1999), line("sock.3", 1, 499)],
        anchor: 1,
        metadata: r#"{"a":1}"#.to_owned(),
        currency: "EUR".to_owned(),
        campaign: CampaignNo(7),
        window_ms: 1_800_000,
        supersedes: None,
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
