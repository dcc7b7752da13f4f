//! Campaigns.

use contract::{Problem, Reason, operators as wire, show_bound};
use domain::{Campaign, CampaignId, CampaignNo};
use view::CatalogCache;
use web::answer::{self, Answer};

use super::{Shop, input};

fn body(c: &Campaign) -> wire::Campaign<'_> {
    wire::Campaign {
        campaign: c.id.name().into(),
        opens_at: show_bound(c.opens_at_ms),
        closes_at: show_bound(c.closes_at_ms),
        payment_window_s: c.payment_window_s,
    }
}

/// `PUT /admin/campaigns/{id}`.
pub(super) async fn put(shop: &Shop<'_>, name: &str, bytes: &[u8]) -> Result<Answer, Problem> {
    let id = CampaignId::of(shop.tenant, name).map_err(|_| Problem::new(Reason::BadId))?;
    let wire: wire::CampaignSettings = web::body::json(bytes)?;
    let (opens_at_ms, closes_at_ms, payment_window_s) = input::campaign(&wire)?;
    let campaign =
        Campaign { id, number: CampaignNo(0), opens_at_ms, closes_at_ms, payment_window_s };
    let store = &shop.ports.store;
    let created = store.put_campaign(&campaign).await.map_err(input::down)?;
    settled(&shop.catalog).await.map_err(input::down)?;
    Ok(answer::json(if created { 201 } else { 200 }, &body(&campaign)))
}

/// Waits until every process has looked at the catalog again: two poll intervals.
pub(super) async fn settled(catalog: &CatalogCache) -> Result<(), store::StoreError> {
    catalog.refresh().await?;
    tokio::time::sleep(view::POLL * 2).await;
    Ok(())
}
