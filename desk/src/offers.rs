//! Offers: create or change, look at, pause, resume, open, close.

use std::time::Duration;

use contract::buyers::Money;
use contract::operators::{CancelPaid, CellStock, LimitCounts, OfferSettings, OfferStock};
use contract::{Problem, Reason};
use domain::offer::Fixed;
use domain::{Campaign, CellId, Flag, Offer, OfferId};
use store::port::{Change, OfferPut};
use tokio::time::Instant;
use view::failed;
use view::{Followed, Known, OpenError, Opened, OperateError};
use web::answer::{self, Answer};

use super::{Shop, campaigns, input};

/// The offer of a path.
pub(super) async fn known(shop: &Shop<'_>, id: &str) -> Result<std::sync::Arc<Known>, Problem> {
    of(shop, &input::offer_id(shop.tenant, id)?).await
}

/// An offer of any tenant.
pub(super) async fn of(shop: &Shop<'_>, id: &OfferId) -> Result<std::sync::Arc<Known>, Problem> {
    let found = shop.catalog.get(id).await.map_err(input::down)?;
    found.ok_or_else(|| Problem::new(Reason::UnknownOffer))
}

/// `PUT /admin/offers/{id}`.
pub(super) async fn put(shop: &Shop<'_>, id: &str, bytes: &[u8]) -> Result<Answer, Problem> {
    let id = input::offer_id(shop.tenant, id)?;
    let wire: OfferSettings<'_> = web::body::json(bytes)?;
    let campaign = input::offer(&wire, shop.tenant)?;
    let store = &shop.ports.store;
    let campaigns = store.campaigns().await.map_err(input::down)?;
    match campaigns.iter().any(|c| c.id == campaign) {
        true => {}
        // That of the default tenant is there from the start, any other's from its first offer on.
        false if campaign.is_evergreen() => {
            let made = store.put_campaign(&Campaign::evergreen(shop.tenant)).await;
            made.map_err(input::down)?;
        }
        false => return Err(Problem::new(Reason::UnknownCampaign)),
    }
    let old = store.offer(&id).await.map_err(input::down)?.map(|o| o.0);
    let buckets = wire.buckets.map(|b| b as u8);
    let policy = input::policy(&wire, old.as_ref().map(|o| o.policy).unwrap_or_default());
    let offer = Offer {
        id,
        campaign,
        price: input::price(&wire.price),
        sku: wire.sku.into_owned(),
        allotment: wire.allotment,
        limit_per_buyer: wire.limit_per_buyer,
        // Left out, it is what it is.
        buckets: buckets.or(old.as_ref().map(|o| o.buckets)).unwrap_or(1),
        policy,
    };
    let status = match store.put_offer(&offer).await.map_err(input::down)? {
        OfferPut::Created => 201,
        OfferPut::Changed => 200,
        OfferPut::Fixed(what) => return Err(fixed(what)),
    };
    // Also on a change: a create that died half-way is finished by sending it again.
    stock(shop, &offer).await?;
    campaigns::settled(&shop.catalog).await.map_err(input::down)?;
    show(shop, offer.id.name(), status).await
}

/// What may not change: order ids, buckets and the ledger hang on these.
fn fixed(what: Fixed) -> Problem {
    match what {
        Fixed::Buckets => Problem::new(Reason::BucketsFixed),
        Fixed::Allotment => Problem::new(Reason::AllotmentFixed),
        Fixed::Campaign => Problem::with(
            Reason::IllegalTransition,
            "the campaign of an offer is fixed: order ids carry it",
        ),
        Fixed::Limit => Problem::with(
            Reason::IllegalTransition,
            "an offer keeps having a limit or having none: its cells count buyers or not",
        ),
    }
}

/// Its cells, with stock. Of several calls at once one makes them, the others wait for it.
async fn stock(shop: &Shop<'_>, offer: &Offer) -> Result<(), Problem> {
    let down = |e: OperateError, text: &'static str| {
        failed::reconciler(e);
        Problem::with(Reason::DependencyDown, text)
    };
    let (ports, reconciler) = (&shop.ports, &*shop.reconciler);
    match view::open_offer(&*ports.store, &ports.identity, reconciler, offer).await {
        Ok(Opened::Here) => Ok(()),
        Ok(Opened::Elsewhere) => made_by_another(shop, &offer.cells()).await,
        Err(OpenError::Database(e)) => Err(input::down(e)),
        Err(OpenError::NoTicket(e)) => {
            Err(down(e, "the offer exists, its cells do not yet; repeat this"))
        }
        Err(OpenError::NotLoaded(e)) => {
            Err(down(e, "the offer exists, its stock will be loaded by the reconciler"))
        }
    }
}

/// How long a call waits for another one that makes the same cells.
const PATIENCE: Duration = Duration::from_secs(5);

async fn made_by_another(shop: &Shop<'_>, cells: &[CellId]) -> Result<(), Problem> {
    let until = Instant::now() + PATIENCE;
    let mut missing = cells;
    while let Some((cell, rest)) = missing.split_first() {
        let view = shop.ports.cells.snapshot(cell).await.map_err(input::cell_down)?;
        if view.is_some() {
            missing = rest;
        } else if Instant::now() > until {
            let text = "another call was making this offer's cells and has not ended; repeat this";
            return Err(Problem::with(Reason::DependencyDown, text));
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// `GET /admin/offers/{id}`.
pub(super) async fn show(shop: &Shop<'_>, id: &str, status: u16) -> Result<Answer, Problem> {
    let known = known(shop, id).await?;
    let offer = &known.offer;
    let ports = &shop.ports;
    let mut cells = Vec::new();
    let mut flag = None;
    for cell in offer.cells() {
        let view = ports.cells.snapshot(&cell).await.map_err(input::cell_down)?;
        let head = ports.store.head(&cell).await.map_err(input::down)?.unwrap_or_default();
        flag = flag.or(view.map(|v| v.totals.open)).or(Some(head.open));
        cells.push(CellStock {
            cell: cell.name(),
            supply: view.map_or(0, |v| v.totals.supply),
            net: view.map_or(0, |v| v.totals.net),
            held: view.map_or(0, |v| v.held),
            available: view.map_or(0, |v| v.available()),
            watermark: view.map_or(0, |v| v.totals.seq),
            holds: view.map_or(0, |v| v.holds),
            ledger_supply: head.supply,
            ledger_net: head.net,
            ledger_seq: head.seq,
            missing: view.is_none(),
        });
    }
    let sum = |f: fn(&CellStock) -> i64| cells.iter().map(f).sum::<i64>();
    let body = OfferStock {
        offer: offer.id.name().into(),
        campaign: offer.campaign.name().into(),
        sku: offer.sku.as_str().into(),
        price: Money::new(&offer.price.currency, offer.price.minor),
        limit_per_buyer: offer.limit_per_buyer,
        state: flag.unwrap_or_default(),
        late_payment: offer.policy.late,
        refund: offer.policy.refund,
        restock: offer.policy.restock,
        cancel_paid: match offer.policy.cancel_refunds {
            true => CancelPaid::Refund,
            false => CancelPaid::Refuse,
        },
        limit_counts: match offer.policy.limit_counts_ever {
            true => LimitCounts::Ever,
            false => LimitCounts::Live,
        },
        supply: sum(|c| c.supply),
        net: sum(|c| c.net),
        held: sum(|c| c.held),
        available: sum(|c| c.available),
        cells,
    };
    Ok(answer::json(status, &body))
}

/// `POST /admin/offers/{id}/{pause,resume,open,close}`.
/// Moves an offer's flag: to what, and from what it may.
pub(super) async fn flag(
    shop: &Shop<'_>,
    id: &str,
    to: Flag,
    from: &[Flag],
) -> Result<Answer, Problem> {
    let known = known(shop, id).await?;
    let ports = &shop.ports;
    let unique = ports.unique.next().to_string();
    let entry = ports.identity.request_id(&known.offer.id, "flag", &unique);
    let cells = known.offer.cells();
    let change = ports.store.flag(&cells, entry, (to, from), b"").await;
    obeyed(shop, change.map_err(input::down)?, &cells).await?;
    show(shop, id, 200).await
}

/// Applies a change to every cell of the offer; 503 until each said OK.
pub(super) async fn obeyed(
    shop: &Shop<'_>,
    change: Change,
    cells: &[CellId],
) -> Result<(), Problem> {
    match change {
        Change::Done(_) | Change::Refused(_) => {}
        Change::OtherUnits => return Err(Problem::new(Reason::KeyConflict)),
        Change::Illegal(now) => {
            return Err(Problem::with(
                Reason::IllegalTransition,
                format!("the offer is {}", now.as_str()),
            ));
        }
        Change::NoCell => {
            let text = "the offer has no cells yet; send its PUT again";
            return Err(Problem::with(Reason::DependencyDown, text));
        }
    }
    for cell in cells {
        match shop.follow.catch_up(cell).await {
            Followed::Ok { .. } => {}
            Followed::Missing | Followed::Fork | Followed::Unknown => {
                let text = format!("written, but Redis does not obey yet in {cell}; repeat this");
                return Err(Problem::with(Reason::DependencyDown, text));
            }
        }
    }
    Ok(())
}
