//! Campaigns and offers as the catalog keeps them.

use crate::ids::{CampaignNo, OfferId};

/// Money for one unit: minor units of an ISO 4217 currency.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Three upper-case letters.
    pub currency: String,
    /// Minor units, 0 to 10^12.
    pub minor: i64,
}

impl Price {
    /// True when the currency is three upper-case letters and the amount is in bounds.
    pub fn is_valid(&self) -> bool {
        self.currency.len() == 3
            && self.currency.bytes().all(|b| b.is_ascii_uppercase())
            && (0..=1_000_000_000_000).contains(&self.minor)
    }
}

/// The campaign that always exists: normal checkout.
pub const EVERGREEN: &str = "evergreen";

/// One sale: its window and how long an accepted order may stay unpaid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// `[a-z0-9-]{1,64}`.
    pub id: String,
    /// The 24-bit number inside order ids.
    pub number: CampaignNo,
    /// Start of the sale, UTC ms; `None` = always open.
    pub opens_at_ms: Option<i64>,
    /// End of the sale, UTC ms; `None` = never.
    pub closes_at_ms: Option<i64>,
    /// Seconds from the first reserve until an unpaid order expires, 1 to 2,592,000.
    pub payment_window_s: u32,
}

/// One SKU sold in one campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// The campaign's id.
    pub campaign: String,
    /// The thing sold.
    pub sku: String,
    /// What one unit costs now; an order keeps the price of its first reserve.
    pub price: Price,
    /// Units given when it was created.
    pub allotment: i64,
    /// The most units one buyer may have; `None` = no limit.
    pub limit_per_buyer: Option<u32>,
    /// Slices of the allotment, fixed at creation.
    pub buckets: u8,
}
