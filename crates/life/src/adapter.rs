//! Payment providers behind one interface: whose callback is it, and what does it tell.

use domain::life::{ProviderEvent, ProviderId};

use crate::callback::ReadNews;
pub use crate::callback::{Callback, MAX_BODY, MAX_MINOR, WINDOW_S};
use crate::signature::Signed;
use crate::{generic, standard, stripe};

/// How a provider signs and what its callbacks look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterKind {
    /// `Sluicegate-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t "." body)>`.
    Generic,
    /// Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks,
    /// `Stripe-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t "." body)>`.
    Stripe,
}

impl AdapterKind {
    /// All of them.
    pub const ALL: [AdapterKind; 3] =
        [AdapterKind::Generic, AdapterKind::StandardWebhooks, AdapterKind::Stripe];

    /// The name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            AdapterKind::Generic => "generic",
            AdapterKind::StandardWebhooks => "standard-webhooks",
            AdapterKind::Stripe => "stripe",
        }
    }

    /// The inverse of [`AdapterKind::as_str`].
    pub fn parse(s: &str) -> Option<AdapterKind> {
        AdapterKind::ALL.into_iter().find(|a| a.as_str() == s)
    }
}

/// A provider as operators configured it.
pub struct ProviderSettings<'a> {
    /// Its name.
    pub id: &'a ProviderId,
    /// Its scheme.
    pub adapter: AdapterKind,
    /// Any of them verifies; the last one signs what we send.
    pub secrets: &'a [String],
}

/// What an authentic callback tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// News of a payment.
    Event(ProviderEvent),
    /// Something that is of no concern: counted, and answered as received.
    Nothing,
    /// It cannot be read: put aside for a person, and answered as received.
    Unreadable(String),
}

/// A callback that is not the provider's, or is older than [`WINDOW_S`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

/// Proves whose it is, then reads it.
pub fn read(provider: &ProviderSettings<'_>, callback: &Callback<'_>) -> Result<Heard, Forged> {
    let signed: Signed<'_> = match provider.adapter {
        AdapterKind::Generic => generic::signed(callback),
        AdapterKind::StandardWebhooks => standard::signed(callback),
        AdapterKind::Stripe => stripe::signed(callback),
    }
    .ok_or(Forged)?;
    let key = match provider.adapter {
        AdapterKind::Generic | AdapterKind::Stripe => |s: &str| Some(s.as_bytes().to_vec()),
        AdapterKind::StandardWebhooks => standard::key,
    };
    let keys = provider.secrets.iter().filter_map(|s| key(s));
    if !signed.is_fresh(callback.now_s) || !signed.is_by_any(keys) {
        return Err(Forged);
    }
    let told = match provider.adapter {
        AdapterKind::Generic => generic::read(callback.body, None),
        AdapterKind::StandardWebhooks => standard::read(callback),
        AdapterKind::Stripe => stripe::read(callback.body),
    };
    Ok(match told {
        Ok(Some(read)) => heard(read, provider.id),
        Ok(None) => Heard::Nothing,
        Err(why) => Heard::Unreadable(why),
    })
}

/// With the provider's name, if everything in it is what it should be.
fn heard(read: ReadNews, provider: &ProviderId) -> Heard {
    let event = || -> Result<ProviderEvent, String> {
        if !(1..=255).contains(&read.event.len()) {
            return Err("an event id of 1 to 255 bytes".to_owned());
        }
        let say = |e: &dyn std::fmt::Display| e.to_string();
        Ok(ProviderEvent {
            event: Some(read.event),
            provider: provider.clone(),
            payment: read.payment.parse().map_err(|e| say(&e))?,
            order: read.order.parse().map_err(|e| say(&e))?,
            currency: read.currency,
            news: read.news,
            is_final: false,
        })
    };
    event().map_or_else(Heard::Unreadable, Heard::Event)
}
