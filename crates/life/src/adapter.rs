//! Payment providers behind one interface: whose callback is it, and what does it tell.

use domain::life::{AdapterKind, Provider, ProviderEvent, ProviderId};

use crate::callback::ReadNews;
pub use crate::callback::{Callback, Heard, MAX_BODY, MAX_MINOR, WINDOW_S};
use crate::signature::Signed;
use crate::{generic, standard, stripe};

/// A callback that is not the provider's, or is older than [`WINDOW_S`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

/// Proves whose it is, then reads what it tells of a payment.
pub fn read(provider: &Provider, callback: &Callback<'_>) -> Result<Heard, Forged> {
    prove(provider, provider.adapter, callback)?;
    let told = match provider.adapter {
        AdapterKind::Generic => generic::read(callback.body, None),
        AdapterKind::StandardWebhooks => standard::read(callback),
        AdapterKind::Stripe => stripe::read(callback.body),
    };
    Ok(match told {
        Ok(Some(read)) => heard(read, &provider.id),
        Ok(None) => Heard::Nothing,
        Err(why) => Heard::Unreadable(why),
    })
}

/// Proves whose it is, by the generic scheme, then reads what it tells of goods.
pub fn read_parcel(system: &Provider, callback: &Callback<'_>) -> Result<Heard, Forged> {
    prove(system, AdapterKind::Generic, callback)?;
    Ok(generic::parcel(callback.body).unwrap_or_else(Heard::Unreadable))
}

fn prove(provider: &Provider, scheme: AdapterKind, callback: &Callback<'_>) -> Result<(), Forged> {
    let signed: Signed<'_> = match scheme {
        AdapterKind::Generic => generic::signed(callback),
        AdapterKind::StandardWebhooks => standard::signed(callback),
        AdapterKind::Stripe => stripe::signed(callback),
    }
    .ok_or(Forged)?;
    let key = match scheme {
        AdapterKind::Generic | AdapterKind::Stripe => |s: &str| Some(s.as_bytes().to_vec()),
        AdapterKind::StandardWebhooks => standard::key,
    };
    let keys = provider.secrets.iter().filter_map(|s| key(s));
    if !signed.is_fresh(callback.now_s) || !signed.is_by_any(keys) {
        return Err(Forged);
    }
    Ok(())
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

/// True for a secret of the scheme `standard-webhooks`.
pub fn is_standard_secret(secret: &str) -> bool {
    standard::key(secret).is_some()
}

/// The header `Sluicegate-Signature` of the generic scheme.
pub fn sign(secret: &str, at_s: u64, body: &[u8]) -> String {
    crate::signature::sign(secret, at_s, body)
}
