//! What a process knows of offers and campaigns.
//!
//! The version counter of database 0 is polled every 250 ms; what is known stays while the
//! database is away. An unknown offer costs one read, which all that ask at once share, and then
//! a negative answer for a second, so that a flood of made-up ids cannot reach the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::life::{Policies, Provider, ProviderId};
use domain::{Campaign, CampaignId, CampaignNo, Offer, OfferId, Tenant, names};
use parking_lot::Mutex;
use runtime::{Phase, Tasks};
use store::{CatalogRead, StoreError};
use tokio::time::Instant;

use crate::metrics::METRICS;

/// How often the version is asked for.
pub const POLL: Duration = Duration::from_millis(250);
/// How long "no such offer" is believed.
const NEGATIVE: Duration = Duration::from_secs(1);
/// The most unknown ids remembered at once.
const NEGATIVES: usize = 10_000;

/// An offer with its campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The offer.
    pub offer: Offer,
    /// Its campaign.
    pub campaign: Campaign,
}

struct CatalogState {
    version: u64,
    offers: HashMap<OfferId, Arc<Known>, ahash::RandomState>,
    providers: HashMap<ProviderId, Arc<Provider>>,
    policies: Policies,
}

/// The cache; share it.
pub struct CatalogCache {
    store: Arc<dyn CatalogRead>,
    state: ArcSwap<CatalogState>,
    negatives: Mutex<HashMap<OfferId, Instant>>,
    /// When the last look began and how it ended.
    reading: tokio::sync::Mutex<Option<(Instant, Result<(), StoreError>)>>,
}

impl CatalogCache {
    /// Empty; fill it with [`CatalogCache::refresh`].
    pub fn new(store: Arc<dyn CatalogRead>) -> Arc<Self> {
        Arc::new(Self {
            store,
            state: ArcSwap::from_pointee(CatalogState {
                version: 0,
                offers: HashMap::default(),
                providers: HashMap::new(),
                policies: Policies::default(),
            }),
            negatives: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        })
    }

    /// Polls until `ClosePools`.
    pub fn spawn(self: &Arc<Self>, tasks: &Tasks) {
        let (me, t) = (self.clone(), tasks.clone());
        tasks.spawn_loop("catalog", move || {
            let (me, t) = (me.clone(), t.clone());
            async move { me.poll(&t).await }
        });
    }

    async fn poll(&self, t: &Tasks) {
        while t.unless(Phase::ClosePools, tokio::time::sleep(POLL)).await.is_some() {
            if let Err(e) = self.refresh().await {
                METRICS.catalog_errors.increment(1);
                tracing::warn!(error = %e, "the catalog stays as it was");
            }
        }
    }

    /// Looks whether anything changed and reads it.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        let mut last = self.reading.lock().await;
        // All who asked while another was looking share the next look.
        if let Some((began, ended)) = &*last
            && *began > asked
        {
            return ended.clone();
        }
        let began = Instant::now();
        let ended = self.look().await;
        *last = Some((began, ended.clone()));
        ended
    }

    async fn look(&self) -> Result<(), StoreError> {
        let version = self.store.catalog_version().await?;
        if version == self.state.load().version {
            return Ok(());
        }
        let campaigns: HashMap<CampaignId, Campaign> =
            self.store.campaigns().await?.into_iter().map(|c| (c.id.clone(), c)).collect();
        let mut offers = HashMap::default();
        for offer in self.store.offers().await? {
            if let Some(campaign) = campaigns.get(&offer.campaign).cloned() {
                offers.insert(offer.id.clone(), Arc::new(Known { offer, campaign }));
            }
        }
        let all = offers.values().map(|known: &Arc<Known>| &known.offer);
        let policies = Policies::new(all.map(|offer| (offer.id.clone(), offer.policy)));
        let providers = self.store.providers().await?;
        let providers = providers.into_iter().map(|p| (p.id.clone(), Arc::new(p))).collect();
        self.state.store(Arc::new(CatalogState { version, offers, providers, policies }));
        self.negatives.lock().clear();
        Ok(())
    }

    /// What is known without asking.
    pub fn peek(&self, id: &OfferId) -> Option<Arc<Known>> {
        self.state.load().offers.get(id).cloned()
    }

    /// The same by what a tenant calls it.
    pub fn peek_name(&self, tenant: &Tenant, name: &str) -> Option<Arc<Known>> {
        let state = self.state.load();
        if tenant.is_default() {
            return if names::is_name(name) { state.offers.get(name).cloned() } else { None };
        }
        state.offers.get(&OfferId::of(tenant, name).ok()?).cloned()
    }

    /// What operators decided for offers.
    pub fn policies(&self) -> Policies {
        self.state.load().policies.clone()
    }

    /// A payment provider.
    pub fn provider(&self, id: &ProviderId) -> Option<Arc<Provider>> {
        self.state.load().providers.get(id).cloned()
    }

    /// All payment providers, by id.
    pub fn providers(&self) -> Vec<Arc<Provider>> {
        let mut all: Vec<Arc<Provider>> = self.state.load().providers.values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The offers of a campaign; none when there are more than `most`.
    pub fn of_campaign(&self, number: CampaignNo, most: usize) -> Vec<OfferId> {
        let state = self.state.load();
        let of = state.offers.values().filter(|known| known.campaign.number == number);
        let found: Vec<OfferId> = of.map(|known| known.offer.id.clone()).take(most + 1).collect();
        if found.len() > most { Vec::new() } else { found }
    }

    /// All offers.
    pub fn all(&self) -> Vec<Arc<Known>> {
        self.state.load().offers.values().cloned().collect()
    }

    /// The offer; an unknown one is looked for at most once a second.
    pub async fn get(&self, id: &OfferId) -> Result<Option<Arc<Known>>, StoreError> {
        if let Some(known) = self.peek(id) {
            return Ok(Some(known));
        }
        if self.is_negative(id) {
            return Ok(None);
        }
        self.refresh().await?;
        if let Some(known) = self.peek(id) {
            return Ok(Some(known));
        }
        let mut negatives = self.negatives.lock();
        if negatives.len() >= NEGATIVES {
            negatives.clear();
        }
        negatives.insert(id.clone(), Instant::now());
        Ok(None)
    }

    fn is_negative(&self, id: &OfferId) -> bool {
        self.negatives.lock().get(id).is_some_and(|at| at.elapsed() < NEGATIVE)
    }
}
