//! `GET /v1/offers/{offer}`: what a shop page shows. Stock may lag by a second: one look per
//! offer and second serves everybody.

use std::sync::Arc;

use contract::buyers::{Money, Offer, OfferState};
use contract::{Problem, Reason, show_bound};
use domain::{Flag, OfferId, Tenant};
use view::Known;
use view::failed::{self, Down};
use web::answer;

use crate::edge::answer::Handled;
use crate::metrics::Outcome;
use crate::show::stock::Stock;
use crate::state::Gate;

/// Answers one offer.
pub(crate) async fn get(gate: &Gate, tenant: &Tenant, name: &str) -> Handled {
    let known = find(gate, tenant, name).await?;
    let Some(stock) = gate.stocks.of(&*gate.ports.cells, &known).await else {
        let text = "the stock of this offer cannot be read now";
        return Err(Problem::with(Reason::DependencyDown, text));
    };
    let (offer, campaign) = (&known.offer, &known.campaign);
    let body = Offer {
        offer: offer.id.name().into(),
        sku: offer.sku.as_str().into(),
        price: Money::new(&offer.price.currency, offer.price.minor),
        campaign: campaign.id.name().into(),
        opens_at: show_bound(campaign.opens_at_ms),
        closes_at: show_bound(campaign.closes_at_ms),
        state: state(&known, &stock),
        remaining: stock.available.max(0),
        limit_per_buyer: offer.limit_per_buyer,
    };
    Ok((answer::json(200, &body), Outcome::Answered))
}

/// The offer of a path, or why there is none.
pub(crate) async fn find(gate: &Gate, tenant: &Tenant, name: &str) -> Result<Arc<Known>, Problem> {
    if let Some(known) = gate.catalog.peek_name(tenant, name) {
        return Ok(known);
    }
    let unknown = || Problem::new(Reason::UnknownOffer);
    let id = OfferId::of(tenant, name).map_err(|_| unknown())?;
    match gate.catalog.get(&id).await.map_err(failed::database) {
        Ok(known) => known.ok_or_else(unknown),
        Err(Down) => Err(Problem::with(Reason::DependencyDown, "the catalog cannot be read now")),
    }
}

/// The state of an offer, from its flag, its window and its stock.
fn state(known: &Known, stock: &Stock) -> OfferState {
    let now = stock.redis_ms as i64;
    let campaign = &known.campaign;
    if stock.flag == Flag::Closed || campaign.closes_at_ms.is_some_and(|at| now >= at) {
        OfferState::Closed
    } else if stock.flag == Flag::Paused {
        OfferState::Paused
    } else if campaign.opens_at_ms.is_some_and(|at| now < at) {
        OfferState::Scheduled
    } else if stock.available <= 0 {
        OfferState::SoldOut
    } else {
        OfferState::Open
    }
}
