//! Campaigns and offers as the catalog keeps them.

use crate::cell::CellId;
use crate::ids::CampaignNo;
use crate::life::OfferPolicy;
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
    /// What becomes of its orders when they are paid late, refunded or cancelled.
    pub policy: OfferPolicy,
}

impl Offer {
    /// Its cells, in the order of their buckets.
    pub fn cells(&self) -> Vec<CellId> {
        (0..self.buckets).map(|bucket| self.id.cell(bucket)).collect()
    }

    /// Its cells with what each gets of the allotment: as even as it goes, the first ones one more.
    pub fn split(&self) -> Vec<(CellId, i64)> {
        let n = i64::from(self.buckets.max(1));
        let share = |bucket: i64| self.allotment / n + i64::from(bucket < self.allotment % n);
        (0..).zip(self.cells()).map(|(bucket, cell)| (cell, share(bucket))).collect()
    }
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
            policy: OfferPolicy::default(),
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

    #[test]
    fn an_allotment_is_split_evenly_and_whole() {
        for (allotment, buckets, want) in [
            (10, 1, vec![10]),
            (10, 3, vec![4, 3, 3]),
            (2, 4, vec![1, 1, 0, 0]),
            (0, 2, vec![0, 0]),
            (1_000_000_000_001, 2, vec![500_000_000_001, 500_000_000_000]),
        ] {
            let offer = Offer { allotment, buckets, ..offer() };
            let units: Vec<i64> = offer.split().into_iter().map(|(_, units)| units).collect();
            assert_eq!(units, want, "{allotment} in {buckets}");
            let named: Vec<CellId> = offer.split().into_iter().map(|(cell, _)| cell).collect();
            assert_eq!(named, offer.cells());
        }
    }
}
