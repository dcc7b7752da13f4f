//! Offers, orders and asks for the checks.

use anyhow::{Context, Result};
use domain::frame::{Mode, Sealed};
use domain::order::Line;
use domain::{Buyer, CampaignNo, CellId, EntryId, IdempotencyKey, Identity, OfferId, Payload};
use store::port::{Ask, CellAsks, OrderRow, RowAsk};

use super::subject::Subject;

/// Redis time of every order's first reserve.
pub const T_MS: u64 = 1_700_000_000_000;

impl Subject {
    pub(super) fn offer_id(&self, name: &str) -> OfferId {
        format!("{}-{name}", self.tag).parse().expect("tag and name are of the grammar")
    }

    /// The id of an operator's request.
    pub(super) fn request(&self, name: &str) -> EntryId {
        self.identity.request_id(&self.offer_id("any"), "test", name)
    }

    /// An offer whose bucket n has `units[n]` units.
    pub(super) async fn offer(&self, name: &str, units: &[i64]) -> Result<Vec<CellId>> {
        let offer = self.offer_id(name);
        let cells: Vec<(CellId, i64)> =
            (0u8..).zip(units).map(|(n, u)| (offer.cell(n), *u)).collect();
        let ids = (self.request(&format!("{name}-s")), self.request(&format!("{name}-f")));
        self.store.create_cells(&cells, ids).await?;
        Ok(cells.into_iter().map(|c| c.0).collect())
    }

    pub(super) fn buyer(&self, name: &str) -> Buyer {
        format!("{}/{name}", self.tag).parse().expect("1 to 128 bytes")
    }

    /// An order of one unit on each cell; the last line is the anchor.
    pub(super) fn order(&self, buyer: &str, key: &str, cells: &[CellId]) -> Payload {
        let (buyer, key) = (self.buyer(buyer), key.parse().expect("visible ASCII"));
        self.payload(buyer, key, cells)
    }

    /// The row under an order's key.
    pub(super) async fn by_key(&self, p: &Payload) -> Result<Option<OrderRow>> {
        let key = p.key.as_ref().context("an order with a key")?;
        Ok(self.store.order_of_key(&p.buyer, key).await?)
    }

    pub(super) fn payload(&self, buyer: Buyer, key: IdempotencyKey, cells: &[CellId]) -> Payload {
        let campaign = CampaignNo(1);
        let line = |cell: &CellId| Line { cell: cell.clone(), qty: 1, unit_minor: 250 };
        let mut lines: Vec<Line> = cells.iter().map(line).collect();
        lines.sort_by(|a, b| a.cell.cmp(&b.cell));
        let content = format!("{lines:?}");
        Payload {
            order: self.identity.order_id(campaign, &buyer, &key, content.as_bytes()),
            buyer,
            key: Some(key),
            anchor: lines.len() - 1,
            lines,
            metadata: r#"{"a":"ü"}"#.into(),
            currency: "EUR".into(),
            campaign,
            window_ms: 900_000,
            supersedes: None,
        }
    }
}

/// An order of one unit, by any buyer.
pub fn one_line(identity: &Identity, cell: &CellId, (buyer, key): (&str, &str)) -> Payload {
    let campaign = CampaignNo(1);
    let buyer: Buyer = buyer.parse().expect("1 to 128 bytes");
    let key: IdempotencyKey = key.parse().expect("visible ASCII");
    Payload {
        order: identity.order_id(campaign, &buyer, &key, b""),
        buyer,
        key: Some(key),
        anchor: 0,
        lines: vec![Line { cell: cell.clone(), qty: 1, unit_minor: 250 }],
        metadata: String::new(),
        currency: "EUR".into(),
        campaign,
        window_ms: 900_000,
        supersedes: None,
    }
}

/// The bytes of an order, as a frame carries them.
pub fn sealed(p: &Payload) -> Sealed {
    Sealed { t_ms: T_MS, payload: p.encode().into() }
}

/// What the writer asks for the anchor of an order.
pub fn ask(p: &Payload, mode: Mode) -> Ask {
    let (order, buyer) = (p.order, p.buyer.clone());
    Ask { order, buyer, qty: p.anchor_line().qty, mode, anchor: true, sealed: sealed(p) }
}

/// What the writer asks for the one line of these orders.
pub fn asks(cell: &CellId, orders: &[Payload]) -> CellAsks {
    let asks = orders.iter().map(|p| ask(p, Mode::Full)).collect();
    CellAsks { cell: cell.clone(), asks }
}

/// The row of an order that was not rejected.
pub fn row(p: &Payload) -> RowAsk {
    RowAsk { payload: p.clone(), t_ms: T_MS, rejected: None, least_ms: 0 }
}
