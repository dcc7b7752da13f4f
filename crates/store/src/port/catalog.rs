//! Campaigns, offers, deployment facts: [`super::CATALOG_DB`].

use async_trait::async_trait;
use domain::life::Provider;
use domain::offer::Fixed;
use domain::{Campaign, Offer, OfferId, ShardMap};

use super::Shards;
use super::declare::port;
use crate::error::StoreResult;

/// What became of an offer that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferPut {
    /// It is new.
    Created,
    /// It was there and is as it was put now.
    Changed,
    /// It was there and differs in what never changes: nothing was written.
    Fixed(Fixed),
}

/// What init found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitOutcome {
    /// Ready; this is the shard map in force.
    Ready(ShardMap),
    /// The deployment was made with another identity secret.
    OtherIdentity,
    /// The stored shard map is for another number of databases.
    OtherDatabases(u16),
}

port! { $
    /// What is on sale.
    trait CatalogRead, handed on by each_catalog_read {
        /// Grows with every change of the catalog.
        reads fn catalog_version() -> u64, on CATALOG_DB;
        /// All campaigns.
        reads fn campaigns() -> Vec<Campaign>, on CATALOG_DB;
        /// All offers.
        reads fn offers() -> Vec<Offer>, on CATALOG_DB;
        /// One offer with its campaign.
        reads fn offer(id: &OfferId) -> Option<(Offer, Campaign)>, on CATALOG_DB;
        /// All payment providers.
        reads fn providers() -> Vec<Provider>, on CATALOG_DB;
    }
}

port! { $
    /// What operators change.
    trait CatalogWrite, handed on by each_catalog_write {
        /// Creates (true) or changes (false) a campaign; its number is given at creation.
        writes fn put_campaign(c: &Campaign) -> bool, on CATALOG_DB;
        /// Creates or changes an offer. One transaction compares what is fixed and writes, so that
        /// of two that create one offer at once the second hears of the first.
        writes fn put_offer(o: &Offer) -> OfferPut, on o;
        /// Creates (true) or changes (false) a payment provider.
        writes fn put_provider(p: &Provider) -> bool, on CATALOG_DB;
    }
}

port! { $
    /// What a deployment begins with.
    trait Init, handed on by each_init {
        /// Migrations, the identity fingerprint and the shard map; idempotent, under a named lock.
        writes fn init(fingerprint: &str) -> InitOutcome, on CATALOG_DB;
    }
}
