//! Checked input of the admin calls; every bound has a clear detail.

use contract::operators::{self, CampaignSettings, CancelPaid, LimitCounts, OfferSettings, Supply};
use contract::{Problem, Reason, parse_time};
use domain::life::OfferPolicy;
use domain::{CampaignId, CellId, OfferId, Price, Tenant};
use view::failed;

/// The most units of one supply call or allotment.
pub(crate) const MAX_UNITS: i64 = domain::ledger::MAX_UNITS;

pub(crate) fn malformed(detail: impl Into<String>) -> Problem {
    Problem::with(Reason::Malformed, detail)
}

/// (opens, closes, payment window) of a campaign, checked.
pub(crate) fn campaign(wire: &CampaignSettings) -> Result<Window, Problem> {
    let time = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => parse_time(text)
            .map(Some)
            .ok_or_else(|| malformed(format!("{name} is an RFC 3339 time"))),
    };
    let (opens, closes) = (time("opens_at", &wire.opens_at)?, time("closes_at", &wire.closes_at)?);
    if let (Some(a), Some(b)) = (opens, closes)
        && a >= b
    {
        return Err(malformed("opens_at is before closes_at"));
    }
    if wire.payment_window_s > 2_592_000 {
        return Err(malformed("payment_window_s is 1 to 2592000 (30 days), or 0 for never"));
    }
    Ok((opens, closes, wire.payment_window_s as u32))
}

/// When a campaign opens and closes, and for how many seconds its orders may stay unpaid.
pub(crate) type Window = (Option<i64>, Option<i64>, u32);

/// The campaign of an offer, once every bound of the offer is checked.
pub(crate) fn offer(wire: &OfferSettings<'_>, tenant: &Tenant) -> Result<CampaignId, Problem> {
    let campaign = CampaignId::of(tenant, &wire.campaign)
        .map_err(|_| Problem::with(Reason::BadId, "campaign: 1 to 64 of a-z, 0-9 and '-'"))?;
    if !(1..=128).contains(&wire.sku.chars().count()) {
        return Err(malformed("sku is 1 to 128 characters"));
    }
    if !price(&wire.price).is_valid() {
        return Err(malformed("price: an ISO currency and 0 to 10^12 minor units"));
    }
    if !(0..=MAX_UNITS).contains(&wire.allotment) {
        return Err(malformed("allotment is 0 to 10^12"));
    }
    if wire.limit_per_buyer.is_some_and(|n| !(1..=i32::MAX as u32).contains(&n)) {
        let text = "limit_per_buyer is 1 to 2147483647; leave it out for no limit";
        return Err(malformed(text));
    }
    match wire.buckets {
        None | Some(1) => Ok(campaign),
        Some(2..=64) => {
            Err(malformed("buckets above 1 need rebalancing, which this version does not have"))
        }
        Some(_) => Err(malformed("buckets is 1 to 64")),
    }
}

/// What operators decided before, with what they decide now.
pub(crate) fn policy(wire: &OfferSettings<'_>, old: OfferPolicy) -> OfferPolicy {
    let refunds = |c| c == CancelPaid::Refund;
    let ever = |c| c == LimitCounts::Ever;
    OfferPolicy {
        late: wire.late_payment.unwrap_or(old.late),
        refund: wire.refund.unwrap_or(old.refund),
        restock: wire.restock.unwrap_or(old.restock),
        cancel_refunds: wire.cancel_paid.map_or(old.cancel_refunds, refunds),
        limit_counts_ever: wire.limit_counts.map_or(old.limit_counts_ever, ever),
    }
}

/// As the catalog has it.
pub(crate) fn price(wire: &operators::Price<'_>) -> Price {
    Price { currency: wire.currency.clone().into_owned(), minor: wire.minor }
}

/// Checks a change of supply.
pub(crate) fn supply(wire: &Supply<'_>) -> Result<(), Problem> {
    let id = &wire.request_id;
    if !(1..=128).contains(&id.len()) || !id.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        return Err(malformed("request_id is 1 to 128 visible ASCII characters"));
    }
    if wire.units == 0 || !(-MAX_UNITS..=MAX_UNITS).contains(&wire.units) {
        return Err(malformed("units is -10^12 to 10^12 and not 0"));
    }
    if wire.units < -i64::from(u32::MAX) {
        return Err(malformed("at most 4294967295 units are taken off sale in one call"));
    }
    Ok(())
}

/// An offer of a path or a body.
pub(crate) fn offer_id(tenant: &Tenant, name: &str) -> Result<OfferId, Problem> {
    OfferId::of(tenant, name).map_err(|_| Problem::new(Reason::BadId))
}

/// A cell of a path.
pub(crate) fn cell_id(tenant: &Tenant, name: &str) -> Result<CellId, Problem> {
    CellId::of(tenant, name).map_err(|_| Problem::new(Reason::UnknownCell))
}

/// A failed store call. What the database said is in the log.
pub(crate) fn down(e: store::StoreError) -> Problem {
    let (db, can_help, answered) = (e.db(), e.is_transient(), e.is_answer());
    failed::database(e);
    match (can_help, answered) {
        (true, false) => {
            Problem::with(Reason::DependencyDown, format!("database {db} does not answer"))
        }
        (true, true) => {
            Problem::with(Reason::DependencyDown, format!("database {db} cannot do this now"))
        }
        (false, _) => Problem::new(Reason::Internal),
    }
}

/// A failed call of a cell.
pub(crate) fn cell_down(e: cells::port::CellError) -> Problem {
    failed::redis(e);
    Problem::with(Reason::DependencyDown, "Redis does not answer")
}
