//! Init, campaigns, offers and the cells of a new offer.

use anyhow::{Context, Result, ensure};
use domain::life::{LatePolicy, OfferPolicy, RefundPolicy, Restock};
use domain::offer::Fixed;
use domain::{Buyer, Campaign, CampaignId, CampaignNo, Flag, Offer, OfferId, Price, Tenant};
use store::port::{InitOutcome, OfferPut};

use super::make::{asks, row};
use super::subject::{Subject, same};

pub(super) async fn init(s: &Subject) -> Result<()> {
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
    let evergreen = campaigns.iter().find(|c| c.id.is_evergreen()).context("evergreen")?;
    same(evergreen.number, CampaignNo(0))
}

pub(super) async fn campaigns_and_offers(s: &Subject) -> Result<()> {
    let id: CampaignId = format!("{}-campaign", s.tag).parse()?;
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
        policy: Default::default(),
    };
    ensure!(s.store.offer(&o.id).await?.is_none(), "not yet there");
    same(s.store.put_offer(&o).await?, OfferPut::Created)?;
    let policy = OfferPolicy {
        late: LatePolicy::Refund,
        refund: RefundPolicy::No,
        restock: Restock::Ask,
        cancel_refunds: true,
        limit_counts_ever: true,
    };
    o = Offer { sku: "other".into(), limit_per_buyer: Some(5), policy, ..o };
    o.price.minor = 2999;
    same(s.store.put_offer(&o).await?, OfferPut::Changed)?;
    let version = s.store.catalog_version().await?;
    ensure!(version >= v0 + 4, "the version grows");
    let refused = [
        (Offer { allotment: 7, ..o.clone() }, Fixed::Allotment),
        (Offer { buckets: 9, ..o.clone() }, Fixed::Buckets),
        (Offer { limit_per_buyer: None, ..o.clone() }, Fixed::Limit),
        (
            Offer { campaign: CampaignId::evergreen(&Tenant::default()), ..o.clone() },
            Fixed::Campaign,
        ),
    ];
    for (other, fixed) in refused {
        same(s.store.put_offer(&other).await?, OfferPut::Fixed(fixed))?;
    }
    let (got, campaign) = s.other.offer(&o.id).await?.context("the offer")?;
    same((&got, campaign.number), (&o, made.number))?;
    ensure!(s.store.offers().await?.contains(&o), "in the list");
    Ok(())
}

/// What one tenant calls so is nothing of another's: campaigns, offers, cells, buyers and keys.
pub(super) async fn names_of_tenants(s: &Subject) -> Result<()> {
    let longest = |of: char, n: usize| -> String {
        format!("{of}-{}-{}", s.tag, "x".repeat(n)).chars().take(n).collect()
    };
    let name = longest('n', 64);
    let tenants: [Tenant; 3] =
        [Tenant::default(), longest('s', 32).parse()?, longest('t', 32).parse()?];
    let sub = "b".repeat(128);
    let (mut cells, mut orders) = (Vec::new(), Vec::new());
    for (n, tenant) in (1u32..).zip(&tenants) {
        let campaign =
            Campaign { id: CampaignId::of(tenant, &name)?, ..Campaign::evergreen(tenant) };
        ensure!(s.store.put_campaign(&campaign).await?, "created");
        let offer = Offer {
            id: OfferId::of(tenant, &name)?,
            campaign: campaign.id,
            sku: format!("sku of {n}"),
            price: Price { currency: "EUR".into(), minor: 1 },
            allotment: i64::from(n),
            limit_per_buyer: None,
            buckets: 64,
            policy: Default::default(),
        };
        same(s.store.put_offer(&offer).await?, OfferPut::Created)?;
        let cell = offer.id.cell(63);
        let ids = ["s", "f"].map(|what| s.identity.request_id(&offer.id, what, ""));
        s.store.create_cells(&[(cell.clone(), offer.allotment)], ids.into()).await?;
        same(s.store.offer(&offer.id).await?.context("the offer")?.0, offer)?;
        ensure!(s.store.lease(&format!("pause:{cell}"), "conformance", 0).await?, "free");
        orders.push(s.payload(Buyer::of(tenant, &sub)?, "k".parse()?, std::slice::from_ref(&cell)));
        cells.push(cell);
    }
    for ((cell, order), n) in cells.iter().zip(&orders).zip(1..) {
        s.store.verdicts(&[asks(cell, std::slice::from_ref(order))]).await?;
        s.insert(&[row(order)]).await?;
        let (entries, head) = s.audit(cell).await?;
        same((head.supply, head.net, entries.len()), (n, 1, 3))?;
        same(entries[2].buyer.as_str(), &sub)?;
    }
    for order in &orders {
        let found = s.by_key(order).await?.context("the row")?;
        same((found.order, &found.buyer), (order.order, &order.buyer))?;
        same(&found.lines[0].0, &order.lines[0].cell.offer)?;
    }
    Ok(())
}

/// Of several who create one offer at once, one does; the others hear what is fixed.
pub(super) async fn offers_made_at_once(s: &Subject) -> Result<()> {
    for n in 0..5 {
        let made = |i: i64| Offer {
            id: s.offer_id(&format!("race-{n}")),
            campaign: CampaignId::evergreen(&Tenant::default()),
            sku: format!("sku-{i}"),
            price: Price { currency: "EUR".into(), minor: i },
            allotment: 100 + i / 4,
            limit_per_buyer: (i % 2 == 0).then_some(2),
            buckets: 1,
            policy: Default::default(),
        };
        let put = |i: i64| async move {
            let store = if i % 3 == 0 { &s.other } else { &s.store };
            store.put_offer(&made(i)).await
        };
        let all = futures::future::join_all((0..8).map(put)).await;
        let all: Vec<OfferPut> = all.into_iter().collect::<Result<_, _>>()?;
        let first: Vec<i64> = (0..8).filter(|i| all[*i as usize] == OfferPut::Created).collect();
        same(first.len(), 1)?;
        let first = made(first[0]);
        for (i, put) in (0..).zip(all) {
            match first.fixed_in(&made(i)) {
                _ if put == OfferPut::Created => {}
                Some(fixed) => same(put, OfferPut::Fixed(fixed))?,
                None => same(put, OfferPut::Changed)?,
            }
        }
        let (kept, _) = s.other.offer(&first.id).await?.context("the offer")?;
        same(first.fixed_in(&kept), None)?;
    }
    Ok(())
}

pub(super) async fn create_cells(s: &Subject) -> Result<()> {
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
