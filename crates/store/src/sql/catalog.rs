//! The port's `Catalog`: campaigns, offers and the version that tells processes to look again.

use async_trait::async_trait;
use domain::life::{AdapterKind, LatePolicy, OfferPolicy, Provider, RefundPolicy, Restock};
use domain::{Campaign, CampaignNo, Offer, OfferId, Price};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect,
};

use super::meta::{CATALOG_VERSION, read_meta};
use super::{Db, SqlStore, convert};
use crate::entity::{campaign, meta, offer, provider};
use crate::error::StoreResult;
use crate::port::{CatalogRead, CatalogWrite, Init, InitOutcome, OfferPut};

fn to_campaign(db: &Db, m: campaign::Model) -> StoreResult<Campaign> {
    Ok(Campaign {
        id: m.id.parse().map_err(|_| db.corrupt(format!("campaign id {:?}", m.id)))?,
        number: CampaignNo(m.number as u32),
        opens_at_ms: m.opens_at,
        closes_at_ms: m.closes_at,
        payment_window_s: m.payment_window_s as u32,
    })
}

fn campaign_row(c: &Campaign, number: i32) -> campaign::ActiveModel {
    campaign::ActiveModel {
        id: Set(c.id.as_str().to_owned()),
        number: Set(number),
        opens_at: Set(c.opens_at_ms),
        closes_at: Set(c.closes_at_ms),
        payment_window_s: Set(c.payment_window_s as i32),
    }
}

fn to_offer(db: &Db, m: offer::Model) -> StoreResult<Offer> {
    let wrong = |what: &str| db.corrupt(format!("offer.{what}"));
    Ok(Offer {
        id: m.id.parse().map_err(|_| db.corrupt(format!("offer id {:?}", m.id)))?,
        campaign: m
            .campaign
            .parse()
            .map_err(|_| db.corrupt(format!("offer of {:?}", m.campaign)))?,
        sku: m.sku,
        price: Price { currency: m.currency, minor: m.minor },
        allotment: m.allotment,
        limit_per_buyer: m.limit_per_buyer.map(|n| n as u32),
        buckets: m.buckets as u8,
        policy: OfferPolicy {
            late: LatePolicy::from_number(m.late_payment).ok_or_else(|| wrong("late_payment"))?,
            refund: RefundPolicy::from_number(m.refund).ok_or_else(|| wrong("refund"))?,
            restock: Restock::from_number(m.restock).ok_or_else(|| wrong("restock"))?,
            cancel_refunds: m.cancel_paid != 0,
            limit_counts_ever: m.limit_counts != 0,
        },
    })
}

fn offer_row(o: &Offer) -> offer::ActiveModel {
    offer::ActiveModel {
        id: Set(o.id.as_str().to_owned()),
        campaign: Set(o.campaign.as_str().to_owned()),
        sku: Set(o.sku.clone()),
        currency: Set(o.price.currency.clone()),
        minor: Set(o.price.minor),
        allotment: Set(o.allotment),
        limit_per_buyer: Set(o.limit_per_buyer.map(|n| n as i32)),
        buckets: Set(i16::from(o.buckets)),
        late_payment: Set(o.policy.late as i8),
        refund: Set(o.policy.refund as i8),
        restock: Set(o.policy.restock as i8),
        cancel_paid: Set(i8::from(o.policy.cancel_refunds)),
        limit_counts: Set(i8::from(o.policy.limit_counts_ever)),
    }
}

pub(super) async fn insert_campaign_if_absent(
    db: &Db,
    tx: &DatabaseTransaction,
    c: &Campaign,
) -> StoreResult<()> {
    let found = campaign::Entity::find_by_id(c.id.as_str()).one(tx).await;
    if found.map_err(|e| db.err(e))?.is_none() {
        campaign::Entity::insert(campaign_row(c, c.number.0 as i32))
            .exec_without_returning(tx)
            .await
            .map_err(|e| db.err(e))?;
    }
    Ok(())
}

/// Every change takes this row's lock first, so changes are serial and the version grows.
async fn bump(db: &Db, tx: &DatabaseTransaction) -> StoreResult<()> {
    let now = number(db, read_meta(db, tx, CATALOG_VERSION).await?)?;
    let row = meta::ActiveModel {
        name: Set(CATALOG_VERSION.to_owned()),
        value: Set((now + 1).to_string()),
    };
    row.update(tx).await.map_err(|e| db.err(e)).map(|_| ())
}

async fn put_campaign(db: &Db, c: &Campaign) -> StoreResult<bool> {
    let tx = db.begin().await?;
    bump(db, &tx).await?;
    let found = campaign::Entity::find_by_id(c.id.as_str()).one(&tx).await;
    let created = match found.map_err(|e| db.err(e))? {
        Some(old) => {
            campaign_row(c, old.number).update(&tx).await.map_err(|e| db.err(e))?;
            false
        }
        None => {
            let last: Option<campaign::Model> = campaign::Entity::find()
                .order_by_desc(campaign::Column::Number)
                .limit(1)
                .one(&tx)
                .await
                .map_err(|e| db.err(e))?;
            let number = last.map_or(1, |l| l.number + 1);
            if number >= 1 << 24 {
                return Err(db.corrupt("all 16,777,216 campaign numbers are used"));
            }
            campaign::Entity::insert(campaign_row(c, number))
                .exec_without_returning(&tx)
                .await
                .map_err(|e| db.err(e))?;
            true
        }
    };
    db.commit(tx).await?;
    Ok(created)
}

fn to_provider(db: &Db, m: provider::Model) -> StoreResult<Provider> {
    let secrets = convert::text(db, m.secrets, "provider.secrets")?;
    Ok(Provider {
        id: m.id.parse().map_err(|_| db.corrupt(format!("provider id {:?}", m.id)))?,
        adapter: AdapterKind::from_number(m.adapter)
            .ok_or_else(|| db.corrupt("provider.adapter"))?,
        secrets: secrets.lines().map(str::to_owned).collect(),
        base_url: (!m.base_url.is_empty()).then_some(m.base_url),
        timeout_ms: m.timeout_ms as u32,
    })
}

async fn put_provider(db: &Db, p: &Provider) -> StoreResult<bool> {
    let tx = db.begin().await?;
    bump(db, &tx).await?;
    let row = provider::ActiveModel {
        id: Set(p.id.as_str().to_owned()),
        adapter: Set(p.adapter as i8),
        secrets: Set(p.secrets.join("\n").into_bytes()),
        base_url: Set(p.base_url.clone().unwrap_or_default()),
        timeout_ms: Set(p.timeout_ms as i32),
    };
    let found = provider::Entity::find_by_id(p.id.as_str()).one(&tx).await;
    let created = found.map_err(|e| db.err(e))?.is_none();
    if created {
        let made = provider::Entity::insert(row).exec_without_returning(&tx).await;
        made.map_err(|e| db.err(e))?;
    } else {
        row.update(&tx).await.map_err(|e| db.err(e))?;
    }
    db.commit(tx).await?;
    Ok(created)
}

async fn put_offer(db: &Db, o: &Offer) -> StoreResult<OfferPut> {
    let tx = db.begin().await?;
    bump(db, &tx).await?;
    let found = offer::Entity::find_by_id(o.id.as_str()).one(&tx).await;
    let put = match found.map_err(|e| db.err(e))? {
        Some(old) => {
            if let Some(fixed) = to_offer(db, old)?.fixed_in(o) {
                return Ok(OfferPut::Fixed(fixed));
            }
            offer_row(o).update(&tx).await.map_err(|e| db.err(e))?;
            OfferPut::Changed
        }
        None => {
            offer::Entity::insert(offer_row(o))
                .exec_without_returning(&tx)
                .await
                .map_err(|e| db.err(e))?;
            OfferPut::Created
        }
    };
    db.commit(tx).await?;
    Ok(put)
}

/// Rows of one read of the catalog.
const PAGE: u64 = 1000;

/// The rows whose id comes after this one.
async fn page_of<E: EntityTrait>(
    db: &Db,
    id: E::Column,
    after: &str,
) -> StoreResult<Vec<E::Model>> {
    let conn = db.conn().await?;
    let page = E::find().filter(id.gt(after)).order_by_asc(id).limit(PAGE);
    page.all(&*conn).await.map_err(|e| db.err(e))
}

async fn version(db: &Db) -> StoreResult<u64> {
    let conn = db.conn().await?;
    let row = meta::Entity::find_by_id(CATALOG_VERSION).one(&*conn).await;
    number(db, row.map_err(|e| db.err(e))?.map(|m| m.value))
}

/// A version; before the first change there is none.
fn number(db: &Db, text: Option<String>) -> StoreResult<u64> {
    let Some(text) = text else { return Ok(0) };
    text.parse().map_err(|_| db.corrupt(format!("{CATALOG_VERSION} is {text:?}")))
}

async fn one_offer(db: &Db, id: &OfferId) -> StoreResult<Option<(Offer, Campaign)>> {
    let conn = db.conn().await?;
    let found = offer::Entity::find_by_id(id.as_str()).one(&*conn).await;
    let Some(o) = found.map_err(|e| db.err(e))? else {
        return Ok(None);
    };
    let c = campaign::Entity::find_by_id(o.campaign.as_str()).one(&*conn).await;
    let Some(c) = c.map_err(|e| db.err(e))? else {
        return Err(db.corrupt(format!("offer {id} names a campaign that does not exist")));
    };
    Ok(Some((to_offer(db, o)?, to_campaign(db, c)?)))
}

#[async_trait]
impl CatalogRead for SqlStore {
    async fn catalog_version(&self) -> StoreResult<u64> {
        let db = self.db(0)?;
        db.run(|| version(db)).await
    }
    async fn campaigns(&self) -> StoreResult<Vec<Campaign>> {
        let db = self.db(0)?;
        let mut all: Vec<Campaign> = Vec::new();
        loop {
            let after = all.last().map_or("", |c| c.id.as_str());
            let page = db.run(|| page_of::<campaign::Entity>(db, campaign::Column::Id, after));
            let page = page.await?;
            let end = (page.len() as u64) < PAGE;
            for m in page {
                all.push(to_campaign(db, m)?);
            }
            if end {
                return Ok(all);
            }
        }
    }
    async fn offers(&self) -> StoreResult<Vec<Offer>> {
        let db = self.db(0)?;
        let mut all: Vec<Offer> = Vec::new();
        loop {
            let after = all.last().map_or("", |o| o.id.as_str());
            let page = db.run(|| page_of::<offer::Entity>(db, offer::Column::Id, after)).await?;
            let end = (page.len() as u64) < PAGE;
            for m in page {
                all.push(to_offer(db, m)?);
            }
            if end {
                return Ok(all);
            }
        }
    }
    async fn offer(&self, id: &OfferId) -> StoreResult<Option<(Offer, Campaign)>> {
        let db = self.db(0)?;
        db.run(|| one_offer(db, id)).await
    }
    async fn providers(&self) -> StoreResult<Vec<Provider>> {
        let db = self.db(0)?;
        let mut all: Vec<Provider> = Vec::new();
        loop {
            let after = all.last().map_or("", |p| p.id.as_str());
            let page = db.run(|| page_of::<provider::Entity>(db, provider::Column::Id, after));
            let page = page.await?;
            let end = (page.len() as u64) < PAGE;
            for m in page {
                all.push(to_provider(db, m)?);
            }
            if end {
                return Ok(all);
            }
        }
    }
}

#[async_trait]
impl CatalogWrite for SqlStore {
    async fn put_campaign(&self, c: &Campaign) -> StoreResult<bool> {
        let db = self.db(0)?;
        db.run(|| put_campaign(db, c)).await
    }
    async fn put_offer(&self, o: &Offer) -> StoreResult<OfferPut> {
        let db = self.db(0)?;
        db.run(|| put_offer(db, o)).await
    }
    async fn put_provider(&self, p: &Provider) -> StoreResult<bool> {
        let db = self.db(0)?;
        db.run(|| put_provider(db, p)).await
    }
}

#[async_trait]
impl Init for SqlStore {
    async fn init(&self, fingerprint: &str) -> StoreResult<InitOutcome> {
        self.migrate().await?;
        self.facts(fingerprint).await
    }
}
