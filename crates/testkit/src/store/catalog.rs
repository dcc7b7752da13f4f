//! Init, campaigns, offers and the cells of a new offer.

use anyhow::{Context, Result, ensure};
use domain::{Campaign, CampaignNo, Flag, Offer, Price, offer::EVERGREEN};
use store::port::InitOutcome;

use super::{Subject, same};

pub async fn init(s: &Subject) -> Result<()> {
    let secret = s.identity.fingerprint_hex();
    let InitOutcome::Ready(map) = s.store.init(&secret).await? else {
        anyhow::bail!("the first init");
    };
    map.check()?;
    same(map.databases, s.store.databases())?;
    let (a, b) = tokio::join!(s.store.init(&secret), s.other.init(&secret));
    same((a?, b?), (InitOutcome::Ready(map.clone()), InitOutcome::Ready(map)))?;
    same(s.store.init("0123456789abcdef").await?, InitOutcome::OtherIdentity)?;
    let campaigns = s.store.campaigns().await?;
    let evergreen = campaigns.iter().find(|c| c.id == EVERGREEN).context("evergreen")?;
    same(evergreen.number, CampaignNo(0))
}

pub async fn campaigns_and_offers(s: &Subject) -> Result<()> {
    let id = format!("{}-campaign", s.tag);
    let mut c = Campaign {
        id: id.clone(),
        number: CampaignNo(77),
        opens_at_ms: Some(1_800_000_000_000),
        closes_at_ms: None,
        payment_window_s: 900,
    };
    let v0 = s.store.catalog_version().await?;
    ensure!(s.store.put_campaign(&c).await?, "created");
    let find = || async { s.store.campaigns().await.map(|l| l.into_iter().find(|x| x.id == id)) };
    let made = find().await?.context("the campaign")?;
    ensure!(made.number.0 > 0, "numbers are given at creation");
    c = Campaign { closes_at_ms: Some(1_900_000_000_000), number: CampaignNo(5), ..c };
    ensure!(!s.store.put_campaign(&c).await?, "changed");
    same(find().await?, Some(Campaign { number: made.number, ..c.clone() }))?;
    let mut o = Offer {
        id: s.offer_id("catalog"),
        campaign: id.clone(),
        sku: "sku/ü".into(),
        price: Price { currency: "EUR".into(), minor: 1999 },
        allotment: 100,
        limit_per_buyer: Some(2),
        buckets: 4,
    };
    ensure!(s.store.offer(&o.id).await?.is_none(), "not yet there");
    ensure!(s.store.put_offer(&o).await?, "created");
    let fixed = (o.allotment, o.buckets);
    o = Offer { allotment: 7, buckets: 9, limit_per_buyer: None, ..o };
    o.price.minor = 2999;
    ensure!(!s.store.put_offer(&o).await?, "changed");
    let want = Offer { allotment: fixed.0, buckets: fixed.1, ..o.clone() };
    let (got, campaign) = s.other.offer(&o.id).await?.context("the offer")?;
    same((&got, campaign.number), (&want, made.number))?;
    ensure!(s.store.offers().await?.contains(&want), "in the list");
    ensure!(s.store.catalog_version().await? >= v0 + 4, "the version grows");
    Ok(())
}

pub async fn create_cells(s: &Subject) -> Result<()> {
    let offer = s.offer_id("cells-new");
    let cells = [(offer.cell(0), 3), (offer.cell(1), 0)];
    let ids = (s.request("cells-new-s"), s.request("cells-new-f"));
    let new = s.store.create_cells(&cells, ids).await?;
    same(new.iter().map(|a| (a.entries.len(), a.prev.seq)).collect(), vec![(2, 0), (2, 0)])?;
    let more = [cells[0].clone(), cells[1].clone(), (offer.cell(2), 9)];
    let again = s.store.create_cells(&more, ids).await?;
    let fresh: Vec<_> = again.iter().filter(|a| !a.entries.is_empty()).collect();
    same(fresh.len(), 1)?;
    same(fresh[0].cell.clone(), offer.cell(2))?;
    for (cell, units) in more {
        let (_, head) = s.audit(&cell).await?;
        same((head.seq, head.supply, head.net, head.open), (2, units, 0, Flag::Open))?;
    }
    Ok(())
}
