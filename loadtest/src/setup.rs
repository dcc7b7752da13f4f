//! From flags and configuration to a crowd that knows where to go: addresses, tokens, an offer.
//!
//! Every way in which this can fail says what to do about it.

use anyhow::{Context, anyhow, bail};
use http_body_util::Full;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rand::Rng;
use runtime::Clock;
use runtime::tls::Files;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use web::Client;

use crate::admin::{NewOffer, OfferView, Operators};
use crate::args::LoadtestArgs;
use crate::deployment::Deployment;

/// A run that cannot be made as it was asked for; nothing is wrong with a server.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

#[derive(Serialize)]
struct BuyerClaims<'a> {
    sub: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Mints buyers' tokens from the configured secret.
pub(crate) struct Minter {
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
    clock: Arc<dyn Clock>,
}

impl Minter {
    fn new(to: &Deployment, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let secret = &to.auth.hs256_secret;
        if secret.is_empty() {
            bail!(Misuse(
                "auth.hs256_secret is empty, so no buyer's token can be made: give the --config \
                 of the gate, or with `sluicegate dev` its --data-dir"
                    .to_owned()
            ));
        }
        Ok(Self {
            key: EncodingKey::from_secret(secret.as_bytes()),
            issuer: to.auth.issuer.clone(),
            audience: to.auth.audience.clone(),
            clock,
        })
    }

    /// A token for an hour.
    pub(crate) fn mint(&self, buyer: &str) -> String {
        let claims = BuyerClaims {
            sub: buyer,
            exp: self.clock.now_ms() / 1000 + 3600,
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
        };
        // HMAC over a serialisable struct cannot fail; an empty token would be answered 401.
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key).unwrap_or_default()
    }
}

/// Who buys what under which key: a function of the run and the number of the request.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub run: String,
    pub buyers: u32,
}

impl Names {
    /// The buyer of a request.
    pub(crate) fn buyer(&self, track: u32) -> String {
        format!("load-{}-b{}", self.run, track % self.buyers)
    }
    /// Its idempotency key.
    pub(crate) fn key(&self, track: u32) -> String {
        format!("load-{}-k{track}", self.run)
    }
    /// The request of a key; `None` for a key of somebody else.
    pub(crate) fn track(&self, key: &str) -> Option<u32> {
        key.strip_prefix("load-")?.strip_prefix(&self.run)?.strip_prefix("-k")?.parse().ok()
    }
}

/// Where a run goes, and as whom.
pub(crate) struct Reached {
    pub gate: Client,
    pub admin: Operators,
    pub minter: Minter,
    pub names: Names,
    pub seed: u64,
    pub clock: Arc<dyn Clock>,
}

/// Everything a run needs to know before the first request.
pub(crate) struct Ground {
    pub to: Reached,
    pub offer: String,
    /// True when this run made the offer, so that every order in it is ours.
    pub own_offer: bool,
    /// The offer before the first request.
    pub before: OfferView,
}

/// Finds the gate and the admin listener.
pub(crate) async fn find(to: &Deployment, args: &LoadtestArgs) -> anyhow::Result<Reached> {
    let clock = runtime::clock::system_clock();
    let files = Files { ca: args.ca_file.clone().unwrap_or_default(), ..Files::default() };
    files.client().map_err(|e| Misuse(format!("--ca-file {e}")))?;
    let address = |flag: &Option<String>, listen: &str| {
        Client::new(flag.as_deref().unwrap_or(listen), &files).map_err(Misuse)
    };
    let gate = address(&args.gate, &to.gate_listen).context("--gate")?;
    let operators = address(&args.admin, &to.admin_listen).context("--admin")?;
    let most = to.max_quantity;
    if args.quantity > most {
        bail!(Misuse(format!("--quantity {}: gate.max_quantity is {most}", args.quantity)));
    }
    reach(&gate).await?;
    let minter = Minter::new(to, clock.clone())?;
    if to.admin_token.is_empty() {
        bail!(Misuse(
            "admin.token is empty: give the --config of the gate, or with `sluicegate dev` its \
             --data-dir"
                .to_owned()
        ));
    }
    let admin = Operators::new(operators, to.admin_token.clone());
    let seed = args.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));
    // The run's name is fresh also with a seed: a key may be used once in a deployment's life.
    let run = format!("{:08x}", rand::rng().random::<u32>());
    let names = Names { run, buyers: args.buyers.unwrap_or(args.requests) };
    Ok(Reached { gate, admin, minter, names, seed, clock })
}

/// Finds the gate, makes the offer.
pub(crate) async fn prepare(to: &Deployment, args: &LoadtestArgs) -> anyhow::Result<Ground> {
    let to = find(to, args).await?;
    let offer = args.offer.clone().unwrap_or_else(|| format!("load-{}", to.names.run));
    if args.offer.is_none() {
        let new = NewOffer {
            id: &offer,
            units: args.units,
            buckets: args.buckets,
            limit_per_buyer: args.limit_per_buyer,
        };
        to.admin.create(&new).await?;
    }
    let before = to.admin.view(&offer).await?;
    let own_offer = args.offer.is_none();
    Ok(Ground { to, offer, own_offer, before })
}

/// Fails with a hint when no gate is there.
async fn reach(gate: &Client) -> anyhow::Result<()> {
    let request = gate.request("GET", "/v1/offers/load").body(Full::default())?;
    let answer = gate.send(request, Duration::from_secs(5)).await;
    answer.map(|_| ()).map_err(|e| {
        anyhow!(
            "no gate at {gate}: {e}. Start one with `sluicegate dev` in another terminal (and \
             give both the same --data-dir), or name a running one with --gate http://host:port"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_its_request() {
        let names = Names { run: "00ff".into(), buyers: 10 };
        assert_eq!(names.track(&names.key(12_345)), Some(12_345));
        assert_eq!(names.track("load-00fe-k1"), None);
        assert_eq!(names.buyer(12), "load-00ff-b2");
        assert!(names.key(u32::MAX).parse::<domain::IdempotencyKey>().is_ok());
    }
}
