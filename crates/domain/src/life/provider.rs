//! Payment providers, as operators configure them.

use super::names::ProviderId;
use super::numbered::numbered;

/// How a provider signs and what its callbacks look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum AdapterKind {
    /// `Sluicegate-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t "." body)>`.
    Generic = 0,
    /// Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks = 1,
    /// `Stripe-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t "." body)>`.
    Stripe = 2,
}

numbered! {
    AdapterKind: Generic "generic", StandardWebhooks "standard-webhooks", Stripe "stripe";
}

impl AdapterKind {
    /// The inverse of [`AdapterKind::as_str`].
    pub fn parse(s: &str) -> Option<AdapterKind> {
        AdapterKind::ALL.iter().copied().find(|a| a.as_str() == s)
    }
}

/// A provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub id: ProviderId,
    /// Its scheme.
    pub adapter: AdapterKind,
    /// Any of them verifies; the last one signs what we send. At least one.
    pub secrets: Vec<String>,
    /// Where it is called: `http://host[:port][/path]`; `None`: it only calls us.
    pub base_url: Option<String>,
    /// How long one call may take, ms.
    pub timeout_ms: u32,
}

/// Without its secrets.
impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (id, adapter, url) = (&self.id, self.adapter, &self.base_url);
        write!(f, "Provider({id}, {adapter:?}, {} secrets, {url:?})", self.secrets.len())
    }
}
