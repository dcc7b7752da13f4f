//! Campaigns and offers as the catalog keeps them.

use crate::ids::CampaignNo;
use crate::names::{CampaignId, OfferId, Tenant};

/// Money for one unit: minor units of an ISO 4217 currency.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// One sale: its window and how long an accepted order may stay unpaid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// The 24-bit number inside order ids.
    pub number: CampaignNo,
    /// Start of the sale, UTC ms; `None` = always open.
    pub opens_at_ms: Option<i64>,
    /// End of the sale, UTC ms; `None` = never.
    pub closes_at_ms: Option<i64>,
    /// Seconds from the first reserve until an unpaid order expires, 1 to 2,592,000.
    pub payment_window_s: u32,
}

impl Campaign {
    /// A tenant's campaign for normal checkout, as it is before an operator changes it.
    pub fn evergreen(tenant: &Tenant) -> Self {
        Self {
            id: CampaignId::evergreen(tenant),
            number: CampaignNo(0),
            opens_at_ms: None,
            closes_at_ms: None,
            payment_window_s: 1800,
        }
    }
}

/// One SKU sold in one campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// The campaign's id, of the same tenant.
    pub campaign: CampaignId,
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

/// What never changes after an offer was made: order ids, the split of its stock and its cells' way
/// of counting buyers hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixed {
    /// [`Offer::buckets`].
    Buckets,
    /// [`Offer::allotment`].
    Allotment,
    /// [`Offer::campaign`].
    Campaign,
    /// Whether there is a limit; how large it is may change.
    Limit,
}

impl Offer {
    /// The first fixed thing in which `new` differs from this offer; `None` when it may replace it.
    pub fn fixed_in(&self, new: &Offer) -> Option<Fixed> {
        let differs = [
            (Fixed::Buckets, self.buckets != new.buckets),
            (Fixed::Allotment, self.allotment != new.allotment),
            (Fixed::Campaign, self.campaign != new.campaign),
            (Fixed::Limit, self.limit_per_buyer.is_some() != new.limit_per_buyer.is_some()),
        ];
        differs.into_iter().find(|(_, differs)| *differs).map(|(fixed, _)| fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer {
            id: "a".parse().expect("an id"),
            campaign: CampaignId::evergreen(&Tenant::default()),
            sku: "s".into(),
            price: Price { currency: "EUR".into(), minor: 1 },
            allotment: 10,
            limit_per_buyer: Some(2),
            buckets: 1,
        }
    }

    #[test]
    fn what_is_fixed_and_what_is_not() {
        let sku = Offer { sku: "t".into(), ..offer() };
        let price = Offer { price: Price { currency: "USD".into(), minor: 2 }, ..offer() };
        let table = [
            (offer(), None),
            (sku, None),
            (price, None),
            (Offer { limit_per_buyer: Some(9), ..offer() }, None),
            (Offer { limit_per_buyer: None, ..offer() }, Some(Fixed::Limit)),
            (Offer { campaign: "c".parse().expect("a name"), ..offer() }, Some(Fixed::Campaign)),
            (Offer { allotment: 11, ..offer() }, Some(Fixed::Allotment)),
            (Offer { buckets: 2, allotment: 11, ..offer() }, Some(Fixed::Buckets)),
        ];
        for (new, want) in table {
            assert_eq!(offer().fixed_in(&new), want, "{new:?}");
            assert_eq!(new.fixed_in(&offer()), want, "{new:?}, the other way");
        }
    }
}
