//! The port's `Catalog`.

use async_trait::async_trait;
use domain::life::Provider;
use domain::{Campaign, CampaignNo, Offer, OfferId, ShardMap, Tenant};
use store::port::{CatalogRead, CatalogWrite, Init, InitOutcome, OfferPut};
use store::{StoreError, StoreResult};

use super::state::{MemoryStore, State};

/// Every change needs the row that init makes.
fn bump(state: &mut State) -> StoreResult<()> {
    if state.catalog_version == 0 {
        return Err(StoreError::corrupt(0, "init never ran"));
    }
    state.catalog_version += 1;
    Ok(())
}

fn init(state: &mut State, fingerprint: &str, map: &ShardMap) -> InitOutcome {
    let stored = state.meta.entry("identity".into()).or_insert_with(|| fingerprint.to_owned());
    if stored != fingerprint {
        return InitOutcome::OtherIdentity;
    }
    state.catalog_version = state.catalog_version.max(1);
    let evergreen = Campaign::evergreen(&Tenant::default());
    state.campaigns.entry(evergreen.id.clone()).or_insert(evergreen);
    InitOutcome::Ready(map.clone())
}

fn put_campaign(state: &mut State, c: &Campaign) -> StoreResult<bool> {
    bump(state)?;
    let last = state.campaigns.values().map(|c| c.number.0).max().unwrap_or(0);
    let old = state.campaigns.get(&c.id).map(|c| c.number);
    if old.is_none() && last + 1 >= 1 << 24 {
        return Err(StoreError::corrupt(0, "all 16,777,216 campaign numbers are used"));
    }
    let number = old.unwrap_or(CampaignNo(last + 1));
    state.campaigns.insert(c.id.clone(), Campaign { number, ..c.clone() });
    Ok(old.is_none())
}

fn put_offer(state: &mut State, o: &Offer) -> StoreResult<OfferPut> {
    let old = state.offers.get(&o.id);
    if let Some(fixed) = old.and_then(|old| old.fixed_in(o)) {
        return Ok(OfferPut::Fixed(fixed));
    }
    let put = if old.is_none() { OfferPut::Created } else { OfferPut::Changed };
    bump(state)?;
    state.offers.insert(o.id.clone(), o.clone());
    Ok(put)
}

#[async_trait]
impl CatalogRead for MemoryStore {
    async fn catalog_version(&self) -> StoreResult<u64> {
        self.look(|state| Ok(state.catalog_version)).await
    }
    async fn campaigns(&self) -> StoreResult<Vec<Campaign>> {
        self.look(|state| Ok(state.campaigns.values().cloned().collect())).await
    }
    async fn offers(&self) -> StoreResult<Vec<Offer>> {
        self.look(|state| Ok(state.offers.values().cloned().collect())).await
    }
    async fn offer(&self, id: &OfferId) -> StoreResult<Option<(Offer, Campaign)>> {
        self.look(|state| {
            let Some(offer) = state.offers.get(id) else { return Ok(None) };
            let campaign = state.campaigns.get(&offer.campaign).cloned();
            let what = || format!("offer {id} names a campaign that does not exist");
            let campaign = campaign.ok_or_else(|| StoreError::corrupt(0, what()))?;
            Ok(Some((offer.clone(), campaign)))
        })
        .await
    }
    async fn providers(&self) -> StoreResult<Vec<Provider>> {
        self.look(|state| Ok(state.providers.values().cloned().collect())).await
    }
}

#[async_trait]
impl CatalogWrite for MemoryStore {
    async fn put_campaign(&self, c: &Campaign) -> StoreResult<bool> {
        self.write(|state, _| put_campaign(state, c)).await
    }
    async fn put_offer(&self, o: &Offer) -> StoreResult<OfferPut> {
        self.write(|state, _| put_offer(state, o)).await
    }
    async fn put_provider(&self, p: &Provider) -> StoreResult<bool> {
        self.write(|state, _| {
            bump(state)?;
            Ok(state.providers.insert(p.id.clone(), p.clone()).is_none())
        })
        .await
    }
}

#[async_trait]
impl Init for MemoryStore {
    async fn init(&self, fingerprint: &str) -> StoreResult<InitOutcome> {
        self.write(|state, _| Ok(init(state, fingerprint, &self.shared.map))).await
    }
}
