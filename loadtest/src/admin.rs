//! The operators' calls that a load test needs: make an offer, look at it, look at the backlog.
//!
//! Nothing else of the admin listener is used; nothing here repairs anything.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use contract::ProblemBody;
use contract::desk::ProviderSettings;
use contract::operators::{CampaignSettings, OfferSettings, OfferStock, Price, Standing};
use domain::OrderId;
use domain::life::AdapterKind;
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use web::Client;

const TIMEOUT: Duration = Duration::from_secs(10);

/// An offer as `GET /admin/offers/{id}` shows it.
pub(crate) type OfferView = OfferStock<'static>;

/// Claimed minus released units, as the database has them.
pub(crate) fn ledger_net(view: &OfferView) -> i64 {
    view.cells.iter().map(|c| c.ledger_net).sum()
}

/// True when every cell's view is the whole ledger and nothing is held.
pub(crate) fn is_quiet(view: &OfferView) -> bool {
    view.cells.iter().all(|c| !c.missing && c.holds == 0 && c.watermark == c.ledger_seq)
}

/// What a new offer is made of.
pub(crate) struct NewOffer<'a> {
    pub id: &'a str,
    pub units: u64,
    pub buckets: Option<u8>,
    pub limit_per_buyer: Option<u32>,
}

/// A connection to the admin listener.
pub(crate) struct Operators {
    listener: Client,
    token: String,
}

impl Operators {
    pub(crate) fn new(listener: Client, token: String) -> Self {
        Self { listener, token }
    }

    /// The body of an answer; a problem is an error with its detail.
    async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<Bytes> {
        let request = self.listener.request_as(&self.token, method, path);
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(serde_json::to_vec(body)?)))?,
            None => request.body(Full::default())?,
        };
        let reply =
            self.listener.send(request, TIMEOUT).await.with_context(|| {
                format!("no answer from the admin listener at {}", self.listener)
            })?;
        match reply.status.as_u16() {
            200..=299 => Ok(reply.body),
            401 | 403 => bail!(
                "the admin listener at {} refuses the token ({}): admin.token must be the running \
                 deployment's; with `sluicegate dev` give the same --data-dir",
                self.listener,
                reply.status
            ),
            status => {
                let problem: Option<ProblemBody<'_>> = serde_json::from_slice(&reply.body).ok();
                let detail = problem.map(|p| p.detail.into_owned()).unwrap_or_default();
                bail!("{method} {path}: {status} {detail}")
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.call("GET", path, None::<&()>).await?;
        serde_json::from_slice(&body).with_context(|| format!("GET {path} answered something else"))
    }

    /// Makes the offer; open at once.
    pub(crate) async fn create(&self, offer: &NewOffer<'_>) -> anyhow::Result<()> {
        let body = OfferSettings {
            allotment: offer.units.try_into().context("more units than an offer may have")?,
            limit_per_buyer: offer.limit_per_buyer,
            buckets: offer.buckets.map(u16::from),
            ..plain()
        };
        let path = format!("/admin/offers/{}", offer.id);
        self.call("PUT", &path, Some(&body)).await.map(drop)
    }

    /// Makes the run's payment provider.
    pub(crate) async fn put_provider(
        &self,
        name: &str,
        secret: &str,
        base_url: Option<&str>,
    ) -> anyhow::Result<()> {
        let body = ProviderSettings {
            adapter: AdapterKind::Generic,
            secrets: vec![secret.into()],
            base_url: base_url.map(Into::into),
            timeout_ms: Some(2000),
        };
        self.call("PUT", &format!("/admin/providers/{name}"), Some(&body)).await.map(drop)
    }

    /// Makes a campaign whose orders may stay unpaid for so long.
    pub(crate) async fn put_campaign(&self, name: &str, window_s: u64) -> anyhow::Result<()> {
        let body = CampaignSettings { opens_at: None, closes_at: None, payment_window_s: window_s };
        self.call("PUT", &format!("/admin/campaigns/{name}"), Some(&body)).await.map(drop)
    }

    /// Makes an offer of it, with units enough for everybody.
    pub(crate) async fn put_life_offer(
        &self,
        id: &str,
        campaign: &str,
        price: Price<'_>,
        units: u32,
    ) -> anyhow::Result<()> {
        let body = OfferSettings {
            campaign: campaign.into(),
            price,
            allotment: i64::from(units) * 2,
            ..plain()
        };
        self.call("PUT", &format!("/admin/offers/{id}"), Some(&body)).await.map(drop)
    }

    /// Wants money of an order back.
    pub(crate) async fn refund(&self, order: OrderId, body: &Value) -> anyhow::Result<()> {
        self.call("POST", &format!("/admin/orders/{order}/refund"), Some(body)).await.map(drop)
    }

    /// The offer now.
    pub(crate) async fn view(&self, offer: &str) -> anyhow::Result<OfferView> {
        self.get(&format!("/admin/offers/{offer}")).await
    }

    /// Frames that no writer has finished.
    pub(crate) async fn backlog(&self) -> anyhow::Result<u64> {
        self.get("/admin/status").await.map(|status: Standing| status.backlog_frames)
    }
}

/// An offer as it is when nothing is said about it.
fn plain() -> OfferSettings<'static> {
    OfferSettings {
        campaign: "evergreen".into(),
        sku: "LOADTEST".into(),
        price: Price { currency: "EUR".into(), minor: 100 },
        allotment: 0,
        limit_per_buyer: None,
        buckets: None,
        late_payment: None,
        refund: None,
        restock: None,
        cancel_paid: None,
        limit_counts: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::buyers::Money;
    use contract::operators::CellStock;

    #[test]
    fn quiet_means_applied_and_nothing_held() {
        let quiet = |watermark, holds, missing| {
            let ledger_seq = 5;
            let cell = CellStock { watermark, holds, missing, ledger_seq, ..CellStock::default() };
            is_quiet(&view(vec![cell]))
        };
        assert!(quiet(5, 0, false));
        assert!(!quiet(4, 0, false));
        assert!(!quiet(5, 1, false));
        assert!(!quiet(5, 0, true));
    }

    fn view(cells: Vec<CellStock>) -> OfferView {
        OfferView {
            offer: "load".into(),
            campaign: "evergreen".into(),
            sku: "LOADTEST".into(),
            price: Money { currency: "EUR".into(), minor: 100 },
            limit_per_buyer: None,
            state: domain::Flag::Open,
            late_payment: Default::default(),
            refund: Default::default(),
            restock: Default::default(),
            cancel_paid: contract::operators::CancelPaid::Refuse,
            limit_counts: contract::operators::LimitCounts::Live,
            supply: 0,
            net: 0,
            held: 0,
            available: 0,
            cells,
        }
    }
}
