//! Payment providers.

use std::borrow::Cow;

use contract::desk::{ProviderSettings, ProviderShown};
use contract::{Problem, Reason};
use domain::life::{AdapterKind, Provider, ProviderId};
use web::answer::{self, Answer};

use super::{Shop, campaigns, input};

/// The most secrets of a provider.
const MAX_SECRETS: usize = 8;
/// The most that one call may take, and the least, ms.
const TIMEOUTS: std::ops::RangeInclusive<u32> = 100..=60_000;
const USUAL_TIMEOUT: u32 = 5000;

fn id(name: &str) -> Result<ProviderId, Problem> {
    name.parse()
        .map_err(|_| Problem::with(Reason::BadId, "a provider is 1 to 32 of a-z, 0-9 and '-'"))
}

/// `PUT /admin/providers/{id}`.
pub(super) async fn put(shop: &Shop<'_>, name: &str, bytes: &[u8]) -> Result<Answer, Problem> {
    let id = id(name)?;
    let wire: ProviderSettings<'_> = web::body::json(bytes)?;
    let provider = checked(id, &wire)?;
    let created = shop.ports.store.put_provider(&provider).await.map_err(input::down)?;
    campaigns::settled(&shop.catalog).await.map_err(input::down)?;
    Ok(answer::json(if created { 201 } else { 200 }, &shown(&provider)))
}

/// `GET /admin/providers/{id}`.
pub(super) async fn show(shop: &Shop<'_>, name: &str) -> Result<Answer, Problem> {
    Ok(answer::json(200, &shown(&known(shop, name).await?)))
}

/// The provider of this name.
pub(super) async fn known(shop: &Shop<'_>, name: &str) -> Result<Provider, Problem> {
    let id = id(name)?;
    let found = shop.ports.store.providers().await.map_err(input::down)?;
    let provider = found.into_iter().find(|p| p.id == id);
    provider.ok_or_else(|| Problem::new(Reason::UnknownProvider))
}

fn checked(id: ProviderId, wire: &ProviderSettings<'_>) -> Result<Provider, Problem> {
    let malformed = |text: String| Problem::with(Reason::Malformed, text);
    if !(1..=MAX_SECRETS).contains(&wire.secrets.len()) {
        return Err(malformed(format!("secrets: 1 to {MAX_SECRETS}")));
    }
    let visible = |s: &str| s.bytes().all(|b| (0x21..=0x7e).contains(&b));
    if wire.secrets.iter().any(|s| !(1..=256).contains(&s.len()) || !visible(s)) {
        return Err(malformed("secrets: each 1 to 256 visible ASCII characters".to_owned()));
    }
    let standard = wire.adapter == AdapterKind::StandardWebhooks;
    if standard && wire.secrets.iter().any(|s| !life::adapter::is_standard_secret(s)) {
        return Err(malformed("secrets: of standard-webhooks, base64 behind whsec_".to_owned()));
    }
    if let Some(wrong) = wire.base_url.as_deref().and_then(life::http::wrong_url) {
        return Err(malformed(format!("base_url: {wrong}")));
    }
    let timeout_ms = wire.timeout_ms.unwrap_or(USUAL_TIMEOUT);
    if !TIMEOUTS.contains(&timeout_ms) {
        return Err(malformed("timeout_ms is 100 to 60000".to_owned()));
    }
    Ok(Provider {
        id,
        adapter: wire.adapter,
        secrets: wire.secrets.iter().map(|s| s.clone().into_owned()).collect(),
        base_url: wire.base_url.as_ref().map(|u| u.clone().into_owned()),
        timeout_ms,
    })
}

fn shown(p: &Provider) -> ProviderShown<'_> {
    ProviderShown {
        provider: p.id.as_str().into(),
        adapter: p.adapter,
        secrets: p.secrets.iter().map(|_| Cow::Borrowed("[redacted]")).collect(),
        base_url: p.base_url.as_deref().map(Cow::Borrowed),
        timeout_ms: p.timeout_ms,
    }
}
