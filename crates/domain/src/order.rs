//! The order: its immutable payload and its states; [`crate::moves`] has what it may do.
//!
//! One id has one payload for ever. The hold stores the payload's bytes and everything later
//! (gate, relay, sweeper, writer) publishes exactly these bytes, so a retry after a price change
//! promises what the first attempt promised.

use prost::Message;

use crate::cell::CellId;
use crate::frame::Mode;
use crate::ids::{CampaignNo, IdempotencyKey, OrderId};
use crate::names::Buyer;

/// One line of an order: a cell and how many units of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The cell the units come from.
    pub cell: CellId,
    /// At least 1.
    pub qty: u32,
    /// Price of a unit in minor units, as it was at the first reserve.
    pub unit_minor: i64,
}

/// The immutable content of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Its id.
    pub order: OrderId,
    /// Who buys.
    pub buyer: Buyer,
    /// The client's key; `None` for an order that a late payment buys.
    pub key: Option<IdempotencyKey>,
    /// At most one line per cell, sorted by cell.
    pub lines: Vec<Line>,
    /// Index into `lines` of the line that decides the order.
    pub anchor: usize,
    /// Canonical JSON object, or empty.
    pub metadata: String,
    /// ISO 4217.
    pub currency: String,
    /// The campaign of the anchor.
    pub campaign: CampaignNo,
    /// Milliseconds from the first reserve until an unpaid order expires.
    pub window_ms: u64,
    /// The expired order that a late payment buys again with this one: such an order has no key.
    pub supersedes: Option<OrderId>,
}

/// Bytes that are not a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("payload: {0}")]
pub struct PayloadError(pub String);

impl Payload {
    /// The line that decides the order.
    pub fn anchor_line(&self) -> &Line {
        &self.lines[self.anchor]
    }

    /// What the order costs in minor units.
    pub fn amount_minor(&self) -> i64 {
        self.lines
            .iter()
            .map(|l| l.unit_minor.saturating_mul(i64::from(l.qty)))
            .fold(0, i64::saturating_add)
    }

    /// The bytes that the hold, the frame and the ledger carry.
    pub fn encode(&self) -> Vec<u8> {
        let line = |l: &Line| LineWire {
            offer: l.cell.offer.as_str().to_owned(),
            bucket: u32::from(l.cell.bucket),
            qty: l.qty,
            unit_minor: l.unit_minor,
        };
        PayloadWire {
            order: self.order.0.to_vec(),
            buyer: self.buyer.as_str().to_owned(),
            key: self.key.as_ref().map_or_else(String::new, |k| k.as_str().to_owned()),
            lines: self.lines.iter().map(line).collect(),
            anchor: self.anchor as u32,
            metadata: self.metadata.clone(),
            currency: self.currency.clone(),
            campaign: self.campaign.0,
            window_ms: self.window_ms,
            supersedes: self.supersedes.map_or_else(Vec::new, |old| old.0.to_vec()),
        }
        .encode_to_vec()
    }

    /// Reads the bytes back and checks every bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let fail = |x: &dyn std::fmt::Display| PayloadError(x.to_string());
        let w = PayloadWire::decode(bytes).map_err(|e| fail(&e))?;
        let mut lines = Vec::with_capacity(w.lines.len());
        for l in w.lines {
            let cell: CellId = format!("{}.{}", l.offer, l.bucket).parse().map_err(|e| fail(&e))?;
            lines.push(Line { cell, qty: l.qty, unit_minor: l.unit_minor });
        }
        let anchor = w.anchor as usize;
        if lines.is_empty() || lines.len() > MAX_LINES || anchor >= lines.len() {
            return Err(fail(&"1 to 20 lines, one of them the anchor"));
        }
        if lines.windows(2).any(|p| p[0].cell >= p[1].cell) || lines.iter().any(|l| l.qty == 0) {
            return Err(fail(&"lines are sorted, one per cell, of at least one unit"));
        }
        // The buyer's tenant is that of the lines: an order has one.
        let tenant = lines[anchor].cell.offer.tenant();
        if lines.iter().any(|l| l.cell.offer.tenant() != tenant) {
            return Err(fail(&"lines of several tenants"));
        }
        let supersedes = match w.supersedes.as_slice() {
            [] => None,
            old => Some(OrderId::from_slice(old).map_err(|e| fail(&e))?),
        };
        let key = match supersedes {
            None => Some(w.key.parse().map_err(|e| fail(&e))?),
            Some(_) if w.key.is_empty() => None,
            Some(_) => return Err(fail(&"an order that a late payment buys has no key")),
        };
        Ok(Self {
            order: OrderId::from_slice(&w.order).map_err(|e| fail(&e))?,
            buyer: Buyer::of(&tenant, &w.buyer).map_err(|e| fail(&e))?,
            key,
            lines,
            anchor,
            metadata: w.metadata,
            currency: w.currency,
            campaign: CampaignNo(w.campaign),
            window_ms: w.window_ms,
            supersedes,
        })
    }

    /// When its row, written at `now_ms`, says that it expires: it may be paid for `least_ms` at
    /// least (0: no matter), or for its whole window where that is shorter. A writer that lags
    /// makes no dead rows.
    pub fn expires_in_row(&self, t_ms: u64, now_ms: u64, least_ms: u64) -> u64 {
        match self.expires_at(t_ms) {
            0 => 0,
            at if least_ms == 0 => at,
            at => at.max(now_ms.saturating_add(least_ms.min(self.window_ms))),
        }
    }

    /// When it expires if it was first reserved at `t_ms` and is not paid, UTC ms; 0 for never.
    pub fn expires_at(&self, t_ms: u64) -> u64 {
        if self.window_ms == 0 { 0 } else { t_ms.saturating_add(self.window_ms) }
    }
}

/// The most lines of one order.
pub const MAX_LINES: usize = 20;

#[derive(Clone, PartialEq, Message)]
struct PayloadWire {
    #[prost(bytes = "vec", tag = "1")]
    order: Vec<u8>,
    #[prost(string, tag = "2")]
    buyer: String,
    #[prost(string, tag = "3")]
    key: String,
    #[prost(message, repeated, tag = "4")]
    lines: Vec<LineWire>,
    #[prost(uint32, tag = "5")]
    anchor: u32,
    #[prost(string, tag = "6")]
    metadata: String,
    #[prost(string, tag = "7")]
    currency: String,
    #[prost(uint32, tag = "8")]
    campaign: u32,
    #[prost(uint64, tag = "9")]
    window_ms: u64,
    #[prost(bytes = "vec", tag = "10")]
    supersedes: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct LineWire {
    #[prost(string, tag = "1")]
    offer: String,
    #[prost(uint32, tag = "2")]
    bucket: u32,
    #[prost(uint32, tag = "3")]
    qty: u32,
    #[prost(int64, tag = "4")]
    unit_minor: i64,
}

/// What a row says. The number is what the database stores; 1 and 2 are taken by what has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum RowStatus {
    /// In the ledger, awaits payment.
    Pending = 3,
    /// Paid.
    Paid = 4,
    /// Left the warehouse.
    Shipped = 5,
    /// Finished.
    Completed = 6,
    /// Decided against.
    Rejected = 7,
    /// By the buyer, before payment.
    Cancelled = 8,
    /// Not paid in time.
    Expired = 9,
    /// A refund is under way.
    Refunding = 10,
    /// The money went back.
    Refunded = 11,
}

impl RowStatus {
    /// All, in the order of their numbers.
    pub const ALL: [RowStatus; 9] = [
        RowStatus::Pending,
        RowStatus::Paid,
        RowStatus::Shipped,
        RowStatus::Completed,
        RowStatus::Rejected,
        RowStatus::Cancelled,
        RowStatus::Expired,
        RowStatus::Refunding,
        RowStatus::Refunded,
    ];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            RowStatus::Pending => "pending",
            RowStatus::Paid => "paid",
            RowStatus::Shipped => "shipped",
            RowStatus::Completed => "completed",
            RowStatus::Rejected => "rejected",
            RowStatus::Cancelled => "cancelled",
            RowStatus::Expired => "expired",
            RowStatus::Refunding => "refunding",
            RowStatus::Refunded => "refunded",
        }
    }

    /// The inverse of [`RowStatus::as_str`].
    pub fn parse(s: &str) -> Option<RowStatus> {
        RowStatus::ALL.into_iter().find(|x| x.as_str() == s)
    }

    /// The inverse of `as i8`.
    pub fn from_number(n: i8) -> Option<RowStatus> {
        RowStatus::ALL.into_iter().find(|x| *x as i8 == n)
    }

    /// False when the order died before it was paid: what it had claimed is released (INV-6). The
    /// claims of one that was paid stand for ever, and goods that came back are returns beside them
    /// (INV-15).
    pub fn is_live(self) -> bool {
        match self {
            RowStatus::Pending
            | RowStatus::Paid
            | RowStatus::Shipped
            | RowStatus::Completed
            | RowStatus::Refunding
            | RowStatus::Refunded => true,
            RowStatus::Rejected | RowStatus::Cancelled | RowStatus::Expired => false,
        }
    }

    /// True when its payments covered it, whatever went back since (INV-17).
    pub fn is_paid(self) -> bool {
        match self {
            RowStatus::Paid
            | RowStatus::Shipped
            | RowStatus::Completed
            | RowStatus::Refunding
            | RowStatus::Refunded => true,
            RowStatus::Pending
            | RowStatus::Rejected
            | RowStatus::Cancelled
            | RowStatus::Expired => false,
        }
    }
}

/// Where an order stands, as it is shown: what has no row yet, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Known to be in the log.
    Accepted,
    /// Maybe held, maybe in the log.
    Unconfirmed,
    /// What its row says.
    Row(RowStatus),
}

impl Status {
    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Accepted => "accepted",
            Status::Unconfirmed => "unconfirmed",
            Status::Row(row) => row.as_str(),
        }
    }

    /// False when the order died, and what it had claimed is released.
    pub fn is_live(self) -> bool {
        match self {
            Status::Accepted | Status::Unconfirmed => true,
            Status::Row(row) => row.is_live(),
        }
    }

    /// The inverse of [`Status::as_str`].
    pub fn parse(s: &str) -> Option<Status> {
        match s {
            "accepted" => Some(Status::Accepted),
            "unconfirmed" => Some(Status::Unconfirmed),
            row => RowStatus::parse(row).map(Status::Row),
        }
    }
}

/// Why a row was born dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// The ledger had no units: Redis lost data after it had promised them.
    SoldOut,
    /// The writer's guard found the buyer's limit passed.
    LimitReached,
    /// The key was used for two contents at once, or for two offers.
    KeyConflict,
    /// The relay aborted the order before it was sealed.
    Aborted,
}

impl RejectReason {
    /// Why an order that has a rejected line was rejected, told from what its verdicts were asked
    /// for: an abort that took effect, or units that were not there.
    pub fn of(mode: Mode, anchor_rejected: bool) -> Self {
        match mode {
            Mode::Abort if anchor_rejected => RejectReason::Aborted,
            Mode::Abort | Mode::Full => RejectReason::SoldOut,
        }
    }

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::SoldOut => "sold_out",
            RejectReason::LimitReached => "limit_reached",
            RejectReason::KeyConflict => "key_conflict",
            RejectReason::Aborted => "aborted",
        }
    }

    /// All of them.
    pub const ALL: [RejectReason; 4] = [
        RejectReason::SoldOut,
        RejectReason::LimitReached,
        RejectReason::KeyConflict,
        RejectReason::Aborted,
    ];

    /// The inverse of [`RejectReason::as_str`].
    pub fn parse(s: &str) -> Option<RejectReason> {
        RejectReason::ALL.into_iter().find(|r| r.as_str() == s)
    }
}
