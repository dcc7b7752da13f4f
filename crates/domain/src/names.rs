//! Names: what tenants, their campaigns and offers, and their buyers are called.
//!
//! A tenant is part of the names that everything else hangs on: what is hashed, what a cell is
//! called in Redis, and what rows and logs have as their key. Of the default tenant they are what
//! they would be without any, so no id changes with it. Names are unique per tenant.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Why a name was refused. The text is safe to show to a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// An offer or campaign id outside `[a-z0-9-]{1,64}`.
    #[error("an id is 1 to 64 of a-z, 0-9 and '-'")]
    Name,
    /// A tenant outside `[a-z0-9-]{1,32}`.
    #[error("a tenant is 1 to 32 of a-z, 0-9 and '-'")]
    Tenant,
    /// An idempotency key outside 1 to 128 visible ASCII characters.
    #[error("an idempotency key is 1 to 128 visible ASCII characters")]
    Key,
    /// A buyer outside 1 to 128 bytes.
    #[error("a buyer is 1 to 128 bytes")]
    Buyer,
    /// A cell that is not `offer.bucket`.
    #[error("a cell is <offer>.<bucket>, bucket 0 to 63")]
    Cell,
    /// An order id that is not a version 8 UUID in lower-case text form.
    #[error("an order id is a version 8 UUID")]
    Order,
    /// An id of an entry that is not 16 bytes.
    #[error("an entry's id is 16 bytes")]
    Entry,
}

/// True for `[a-z0-9-]{1,64}`: the grammar of the names of offers and campaigns.
pub fn is_name(s: &str) -> bool {
    (1..=64).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whose shop it is. The default one has the empty name; any other is `[a-z0-9-]{1,32}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tenant(Option<Arc<str>>);

/// The longest name of a tenant, bytes.
pub const MAX_TENANT: usize = 32;

impl Tenant {
    /// The name; empty for the default one.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }
    /// True for the one without a name.
    pub fn is_default(&self) -> bool {
        self.0.is_none()
    }
}

impl FromStr for Tenant {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        match s {
            "" => Ok(Self::default()),
            _ if is_name(s) && s.len() <= MAX_TENANT => Ok(Self(Some(s.into()))),
            _ => Err(IdError::Tenant),
        }
    }
}
impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What two names of the same grammar have in common: text form `name` in the default tenant and
/// `tenant/name` in any other.
macro_rules! names_in_a_tenant {
    ($($(#[$doc:meta])* $id:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $id(Arc<str>);

        impl $id {
            /// What the tenant calls so; a name is `[a-z0-9-]{1,64}`. What a user writes is a
            /// name, never the text form.
            pub fn of(tenant: &Tenant, name: &str) -> Result<Self, IdError> {
                match (is_name(name), tenant.is_default()) {
                    (false, _) => Err(IdError::Name),
                    (true, true) => Ok(Self(name.into())),
                    (true, false) => Ok(Self(format!("{}/{name}", tenant.as_str()).into())),
                }
            }
            /// The text form: what is stored, hashed and logged.
            pub fn as_str(&self) -> &str {
                &self.0
            }
            /// What the tenant calls it: what is shown.
            pub fn name(&self) -> &str {
                self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
            }
            /// Whose it is.
            pub fn tenant(&self) -> Tenant {
                Tenant(self.0.rsplit_once('/').map(|(tenant, _)| tenant.into()))
            }
        }

        impl std::borrow::Borrow<str> for $id {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $id {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                match s.rsplit_once('/') {
                    None => Self::of(&Tenant::default(), s),
                    Some(("", _)) => Err(IdError::Tenant),
                    Some((tenant, name)) => Self::of(&tenant.parse()?, name),
                }
            }
        }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names_in_a_tenant! {
    /// The id of an offer. Its text form is also what its cells are called by.
    OfferId
    /// The id of a campaign.
    CampaignId
}

/// The campaign that each tenant always has: normal checkout.
const EVERGREEN: &str = "evergreen";

impl CampaignId {
    /// A tenant's campaign for normal checkout.
    pub fn evergreen(tenant: &Tenant) -> Self {
        Self::of(tenant, EVERGREEN).expect("it is a name")
    }
    /// True for a tenant's campaign for normal checkout.
    pub fn is_evergreen(&self) -> bool {
        self.name() == EVERGREEN
    }
}

/// Who is limited: `sub` of the token, 1 to 128 bytes, compared byte by byte, in its tenant.
///
/// Inside a cell the `sub` alone is enough, for a cell is one tenant's. Where buyers of several
/// tenants meet (rows, hashes, limits) it is [`Buyer::scoped`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buyer {
    tenant: Tenant,
    sub: Arc<str>,
}

/// No text has this byte: what begins with it is scoped.
const SCOPE: u8 = 0xff;
/// The most bytes of a scoped buyer.
pub const MAX_SCOPED: usize = 128 + MAX_TENANT + 2;

impl Buyer {
    /// The buyer that a tenant calls so.
    pub fn of(tenant: &Tenant, sub: &str) -> Result<Self, IdError> {
        match (1..=128).contains(&sub.len()) {
            true => Ok(Self { tenant: tenant.clone(), sub: sub.into() }),
            false => Err(IdError::Buyer),
        }
    }
    /// What the tenant calls it.
    pub fn as_str(&self) -> &str {
        &self.sub
    }
    /// Whose buyer it is.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }
    /// The bytes that no other buyer of any tenant has: of the default tenant the `sub`, of any
    /// other 0xff, the tenant, 0xff and the `sub`. At most [`MAX_SCOPED`].
    pub fn scoped(&self) -> Cow<'_, [u8]> {
        if self.tenant.is_default() {
            return self.sub.as_bytes().into();
        }
        let parts = [&[SCOPE], self.tenant.as_str().as_bytes(), &[SCOPE], self.sub.as_bytes()];
        parts.concat().into()
    }
    /// The inverse of [`Buyer::scoped`].
    pub fn from_scoped(bytes: &[u8]) -> Result<Self, IdError> {
        let text = |b: &[u8]| std::str::from_utf8(b).map_err(|_| IdError::Buyer).map(str::to_owned);
        let Some(rest) = bytes.strip_prefix(&[SCOPE]) else {
            return Self::of(&Tenant::default(), &text(bytes)?);
        };
        let end = rest.iter().position(|b| *b == SCOPE).ok_or(IdError::Buyer)?;
        let tenant: Tenant = text(&rest[..end])?.parse()?;
        match tenant.is_default() {
            true => Err(IdError::Tenant),
            false => Self::of(&tenant, &text(&rest[end + 1..])?),
        }
    }
}
impl FromStr for Buyer {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        Self::of(&Tenant::default(), s)
    }
}
impl fmt::Display for Buyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sub)
    }
}
impl fmt::Debug for Buyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tenant.is_default() {
            true => fmt::Debug::fmt(&*self.sub, f),
            false => write!(f, "{:?} of {}", &*self.sub, self.tenant.as_str()),
        }
    }
}
