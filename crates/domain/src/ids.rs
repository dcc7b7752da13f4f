//! Ids: of cells, orders, entries, and the clients' keys. What is called by a name is in
//! [`crate::names`].
//!
//! An [`OrderId`] is a function of the request (see [`crate::Identity`]), so the same request has
//! the same id on any gate and after any amnesia (INV-8). Its first 12 bytes are the *key field*
//! (all but the content part): the field under which a cell stores the hold, so that another
//! content under the same key meets the first one. Parsing is strict: what does not parse is
//! refused at the edge and never reaches a store.

use std::fmt;
use std::str::FromStr;

use crate::names::IdError;

/// The client's key: same key, same answer. 1 to 128 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(std::sync::Arc<str>);

impl IdempotencyKey {
    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl FromStr for IdempotencyKey {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let visible = s.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if visible && (1..=128).contains(&s.len()) { Ok(Self(s.into())) } else { Err(IdError::Key) }
    }
}
impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The 24-bit number of a campaign; `evergreen` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CampaignNo(pub u32);

/// The key field of an order id: everything but its content part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 12]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// The id of an order: 16 bytes, UUIDv8 in text.
///
/// Layout: 24 bits campaign, 12 bits buyer shard, 54 bits key part, 32 bits content part, and the
/// 6 version and variant bits. The last four bytes are exactly the content part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(pub [u8; 16]);

impl OrderId {
    /// The id that no order has: what is about none of them is kept under it.
    pub fn nobodys() -> Self {
        Self::compose(CampaignNo(0xff_ffff), 0, 0, 0)
    }

    /// Puts the parts in place. `key_part` uses its low 54 bits.
    pub fn compose(campaign: CampaignNo, shard: u16, key_part: u64, content: u32) -> Self {
        let campaign = u128::from(campaign.0 & 0xff_ffff);
        let shard = u128::from(shard & 0xfff);
        let key = u128::from(key_part & ((1 << 54) - 1));
        let mut v: u128 = campaign << 104 | shard << 92 | (key >> 42) << 80;
        v |= 0x8 << 76; // version 8
        v |= ((key >> 30) & 0xfff) << 64;
        v |= 0b10 << 62; // RFC 9562 variant
        v |= (key & 0x3fff_ffff) << 32 | u128::from(content);
        Self(v.to_be_bytes())
    }
    /// The logical buyer shard, 0 to 4095: an order is found by its id alone.
    pub fn shard(&self) -> u16 {
        u16::from(self.0[3]) << 4 | u16::from(self.0[4] >> 4)
    }
    /// The campaign's number.
    pub fn campaign(&self) -> CampaignNo {
        CampaignNo(u32::from_be_bytes([0, self.0[0], self.0[1], self.0[2]]))
    }
    /// Everything but the content part: the field of h and d.
    pub fn key(&self) -> Key {
        EntryId::from(*self).key()
    }
    /// The 32 bits that depend on the content.
    pub fn content(&self) -> [u8; 4] {
        EntryId::from(*self).content()
    }
    /// Joins a key field and a content part again.
    pub fn join(key: Key, content: [u8; 4]) -> Self {
        Self(EntryId::join(key, content).0)
    }
    /// From 16 raw bytes, as the stores and frames keep it.
    pub fn from_slice(b: &[u8]) -> Result<Self, IdError> {
        let id = uuid::Uuid::from_slice(b).map_err(|_| IdError::Order)?;
        let right = id.get_version_num() == 8 && id.get_variant() == uuid::Variant::RFC4122;
        if right { Ok(Self(id.into_bytes())) } else { Err(IdError::Order) }
    }
}

impl FromStr for OrderId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, IdError> {
        let canonical = s.len() == 36 && !s.bytes().any(|b| b.is_ascii_uppercase());
        let id = uuid::Uuid::try_parse(s).map_err(|_| IdError::Order)?;
        if canonical { Self::from_slice(id.as_bytes()) } else { Err(IdError::Order) }
    }
}
impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0), f)
    }
}
impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The id of an entry of a ledger and of a hold: an order's, or that of an operator's request
/// (supply, flag, transfer), which no order has and which is nothing to a buyer. 16 bytes.
///
/// Whose it is follows from the entry's kind or the hold's state, never from its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub [u8; 16]);

impl EntryId {
    /// The field of h and d: everything but the last four bytes.
    pub fn key(&self) -> Key {
        let mut k = [0; 12];
        k.copy_from_slice(&self.0[..12]);
        Key(k)
    }
    /// What h and d keep in the field's value: of an order, what depends on its content.
    pub fn content(&self) -> [u8; 4] {
        [self.0[12], self.0[13], self.0[14], self.0[15]]
    }
    /// Joins a field and what its value kept.
    pub fn join(key: Key, content: [u8; 4]) -> Self {
        let mut id = [0; 16];
        id[..12].copy_from_slice(&key.0);
        id[12..].copy_from_slice(&content);
        Self(id)
    }
    /// From 16 raw bytes, as the stores keep it.
    pub fn from_slice(b: &[u8]) -> Result<Self, IdError> {
        b.try_into().map(Self).map_err(|_| IdError::Entry)
    }
}

impl From<OrderId> for EntryId {
    fn from(order: OrderId) -> Self {
        Self(order.0)
    }
}
impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0), f)
    }
}
impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
