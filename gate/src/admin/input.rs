//! Checked input of the admin calls; every bound has a clear detail.

use domain::{CampaignId, CellId, OfferId, Price, Reason, Tenant};
use serde::Deserialize;

use crate::answer::Problem;
use crate::failed;
use crate::when;

/// The most units of one supply call or allotment.
pub(crate) const MAX_UNITS: i64 = domain::ledger::MAX_UNITS;

pub(crate) fn malformed(detail: impl Into<String>) -> Problem {
    Problem::with(Reason::Malformed, detail)
}

/// `PUT /admin/campaigns/{id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CampaignBody {
    #[serde(default)]
    pub opens_at: Option<String>,
    #[serde(default)]
    pub closes_at: Option<String>,
    #[serde(default = "half_an_hour")]
    pub payment_window_s: u64,
}

fn half_an_hour() -> u64 {
    1800
}

impl CampaignBody {
    /// (opens, closes, payment window), checked.
    pub fn checked(&self) -> Result<(Option<i64>, Option<i64>, u32), Problem> {
        let time = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => when::parse(text)
                .map(Some)
                .ok_or_else(|| malformed(format!("{name} is an RFC 3339 time"))),
        };
        let (opens, closes) =
            (time("opens_at", &self.opens_at)?, time("closes_at", &self.closes_at)?);
        if let (Some(a), Some(b)) = (opens, closes)
            && a >= b
        {
            return Err(malformed("opens_at is before closes_at"));
        }
        if !(1..=2_592_000).contains(&self.payment_window_s) {
            return Err(malformed("payment_window_s is 1 to 2592000 (30 days)"));
        }
        Ok((opens, closes, self.payment_window_s as u32))
    }
}

/// `PUT /admin/offers/{id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfferBody {
    pub campaign: String,
    pub sku: String,
    #[serde(deserialize_with = "crate::body::object")]
    pub price: Price,
    pub allotment: i64,
    #[serde(default, deserialize_with = "crate::body::present")]
    pub limit_per_buyer: Option<u32>,
    #[serde(default, deserialize_with = "crate::body::present")]
    pub buckets: Option<u16>,
}

impl OfferBody {
    /// The campaign's id, once every bound is checked.
    pub fn checked(&self, tenant: &Tenant) -> Result<CampaignId, Problem> {
        let campaign = CampaignId::of(tenant, &self.campaign)
            .map_err(|_| Problem::with(Reason::BadId, "campaign: 1 to 64 of a-z, 0-9 and '-'"))?;
        if !(1..=128).contains(&self.sku.len()) {
            return Err(malformed("sku is 1 to 128 bytes"));
        }
        if !self.price.is_valid() {
            return Err(malformed("price: an ISO currency and 0 to 10^12 minor units"));
        }
        if !(0..=MAX_UNITS).contains(&self.allotment) {
            return Err(malformed("allotment is 0 to 10^12"));
        }
        if self.limit_per_buyer == Some(0) {
            return Err(malformed("limit_per_buyer is at least 1; leave it out for no limit"));
        }
        match self.buckets {
            None | Some(1) => Ok(campaign),
            Some(2..=64) => {
                Err(malformed("buckets above 1 need rebalancing, which this version does not have"))
            }
            Some(_) => Err(malformed("buckets is 1 to 64")),
        }
    }
}

/// `POST /admin/offers/{id}/supply`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SupplyBody {
    pub request_id: String,
    pub units: i64,
}

impl SupplyBody {
    /// Checks every bound.
    pub fn check(&self) -> Result<(), Problem> {
        let id = &self.request_id;
        if !(1..=128).contains(&id.len()) || !id.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return Err(malformed("request_id is 1 to 128 visible ASCII characters"));
        }
        if self.units == 0 || !(-MAX_UNITS..=MAX_UNITS).contains(&self.units) {
            return Err(malformed("units is -10^12 to 10^12 and not 0"));
        }
        if self.units < -i64::from(u32::MAX) {
            return Err(malformed("at most 4294967295 units are taken off sale in one call"));
        }
        Ok(())
    }
}

/// `POST /admin/reconcile`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReconcileBody {
    #[serde(default)]
    pub offer: Option<String>,
    #[serde(default)]
    pub dry_run: bool,
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
