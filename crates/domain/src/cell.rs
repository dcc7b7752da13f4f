//! The cell of one bucket of an offer: the unit of truth.

use std::fmt;
use std::str::FromStr;

use crate::names::{Buyer, IdError, OfferId, Tenant};

/// The most buckets an offer may have.
pub const MAX_BUCKETS: u8 = 64;

/// (offer, bucket): the unit of truth. Text form `offer.bucket`, which is also the Redis hash tag.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellId {
    /// The offer this cell is a slice of.
    pub offer: OfferId,
    /// 0 to 63.
    pub bucket: u8,
}

impl CellId {
    /// The cell that a tenant calls so: `name.bucket`.
    pub fn of(tenant: &Tenant, name: &str) -> Result<Self, IdError> {
        let (offer, bucket) = split(name)?;
        Ok(Self { offer: OfferId::of(tenant, offer).map_err(|_| IdError::Cell)?, bucket })
    }
    /// The buyer that this cell's entries and holds call so: one of its tenant.
    pub fn buyer(&self, sub: &str) -> Result<Buyer, IdError> {
        Buyer::of(&self.offer.tenant(), sub)
    }
    /// What the tenant calls it: what is shown.
    pub fn name(&self) -> String {
        format!("{}.{}", self.offer.name(), self.bucket)
    }
}

fn split(s: &str) -> Result<(&str, u8), IdError> {
    let (offer, bucket) = s.rsplit_once('.').ok_or(IdError::Cell)?;
    let number: u8 = bucket.parse().map_err(|_| IdError::Cell)?;
    let canonical = number < MAX_BUCKETS && number.to_string() == bucket;
    if canonical { Ok((offer, number)) } else { Err(IdError::Cell) }
}

impl FromStr for CellId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let (offer, bucket) = split(s)?;
        Ok(Self { offer: offer.parse().map_err(|_| IdError::Cell)?, bucket })
    }
}
impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.offer, self.bucket)
    }
}
impl fmt::Debug for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl OfferId {
    /// The cell of one bucket of this offer.
    pub fn cell(&self, bucket: u8) -> CellId {
        CellId { offer: self.clone(), bucket }
    }
}
