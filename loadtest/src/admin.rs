//! The operators' calls that a load test needs: make an offer, look at it, look at the backlog.
//!
//! Nothing else of the admin listener is used; nothing here repairs anything.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Full;
use runtime::Tasks;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Conn, Target};

const TIMEOUT: Duration = Duration::from_secs(10);

/// An offer as `GET /admin/offers/{id}` shows it; unknown fields are left alone.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct OfferView {
    pub available: i64,
    pub cells: Vec<CellRow>,
}

/// One cell of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct CellRow {
    pub cell: String,
    pub supply: i64,
    pub net: i64,
    pub held: i64,
    pub available: i64,
    pub watermark: u64,
    pub holds: u64,
    pub ledger_supply: i64,
    pub ledger_net: i64,
    pub ledger_seq: u64,
    #[serde(default)]
    pub missing: bool,
}

impl OfferView {
    /// Claimed minus released units, as the database has them.
    pub fn ledger_net(&self) -> i64 {
        self.cells.iter().map(|c| c.ledger_net).sum()
    }
    /// True when every cell's view is the whole ledger and nothing is held.
    pub fn is_quiet(&self) -> bool {
        let quiet = |c: &CellRow| !c.missing && c.holds == 0 && c.watermark == c.ledger_seq;
        self.cells.iter().all(quiet)
    }
}

/// What a new offer is made of.
pub(crate) struct NewOffer<'a> {
    pub id: &'a str,
    pub units: u64,
    pub buckets: Option<u8>,
    pub limit_per_buyer: Option<u32>,
}

/// A connection to the admin listener.
pub(crate) struct Admin {
    conn: tokio::sync::Mutex<Conn>,
    url: String,
    token: String,
}

impl Admin {
    pub fn new(target: Target, token: String, tasks: Tasks) -> Self {
        let url = format!("http://{}", target.authority);
        Self { conn: tokio::sync::Mutex::new(Conn::new(target, tasks)), url, token }
    }

    async fn call(&self, method: &str, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut conn = self.conn.lock().await;
        let request = conn.request(method, path, &self.token);
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(body.to_string())))?,
            None => request.body(Full::default())?,
        };
        let reply = conn
            .send(request, TIMEOUT)
            .await
            .with_context(|| format!("no answer from the admin listener at {}", self.url))?;
        let value: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        match reply.status {
            200..=299 => Ok(value),
            401 | 403 => bail!(
                "the admin listener at {} refuses the token ({}): admin.token must be the running \
                 deployment's; with `sluicegate dev` give the same --data-dir",
                self.url,
                reply.status
            ),
            status => bail!(
                "{method} {path}: {status} {}",
                value["detail"].as_str().or(value["reason"].as_str()).unwrap_or("")
            ),
        }
    }

    /// Makes the offer; open at once.
    pub async fn create(&self, offer: &NewOffer<'_>) -> anyhow::Result<()> {
        let mut body = json!({
            "campaign": "evergreen",
            "sku": "LOADTEST",
            "price": {"currency": "EUR", "minor": 100},
            "allotment": offer.units,
        });
        if let Some(buckets) = offer.buckets {
            body["buckets"] = buckets.into();
        }
        if let Some(limit) = offer.limit_per_buyer {
            body["limit_per_buyer"] = limit.into();
        }
        self.call("PUT", &format!("/admin/offers/{}", offer.id), Some(body)).await.map(|_| ())
    }

    /// The offer now.
    pub async fn view(&self, offer: &str) -> anyhow::Result<OfferView> {
        let value = self.call("GET", &format!("/admin/offers/{offer}"), None).await?;
        serde_json::from_value(value).context("GET /admin/offers answered something else")
    }

    /// Frames that no writer has finished; 0 when the listener does not say.
    pub async fn backlog(&self) -> anyhow::Result<u64> {
        let value = self.call("GET", "/admin/status", None).await?;
        Ok(value["backlog_frames"].as_u64().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_means_applied_and_nothing_held() {
        let cell = |watermark, holds, missing| CellRow {
            watermark,
            holds,
            missing,
            ledger_seq: 5,
            ..CellRow::default()
        };
        let quiet = |c| OfferView { cells: vec![c], ..OfferView::default() }.is_quiet();
        assert!(quiet(cell(5, 0, false)));
        assert!(!quiet(cell(4, 0, false)));
        assert!(!quiet(cell(5, 1, false)));
        assert!(!quiet(cell(5, 0, true)));
    }
}
