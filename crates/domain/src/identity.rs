//! The keyed functions of the deployment's identity secret: order ids, shards, buckets, receipts.
//!
//! The secret never changes in a deployment's life: ids, shards and receipts all hang on it. Its
//! [`Identity::fingerprint`] is stored at the first init and a process with another secret
//! refuses to start. Nothing here is enumerable from outside without the secret.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use crate::ids::{CampaignNo, EntryId, IdempotencyKey, Key, OrderId};
use crate::names::{Buyer, OfferId};
use crate::shard::LogicalShard;

/// The keyed functions; cheap to clone.
#[derive(Clone)]
pub struct Identity {
    mac: Hmac<Sha256>,
    sip: SipHasher13,
    fingerprint: [u8; 8],
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.fingerprint_hex())
    }
}

impl Identity {
    /// Keys everything with `secret`; the caller has checked that it is at least 16 bytes long.
    pub fn new(secret: &[u8]) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        let sip_key = digest(&mac, &[b"sip"]);
        let mut key = [0u8; 16];
        key.copy_from_slice(&sip_key[..16]);
        let mut fingerprint = [0u8; 8];
        fingerprint.copy_from_slice(&digest(&mac, &[b"fingerprint"])[..8]);
        Self { mac, sip: SipHasher13::new_with_key(&key), fingerprint }
    }

    /// 16 hex digits that tell two secrets apart and reveal neither.
    pub fn fingerprint_hex(&self) -> String {
        hex(&self.fingerprint)
    }

    /// The id of a request (INV-8): same buyer, key and canonical content, same id.
    pub fn order_id(
        &self,
        campaign: CampaignNo,
        buyer: &Buyer,
        key: &IdempotencyKey,
        content: &[u8],
    ) -> OrderId {
        let buyer_bytes = buyer.scoped();
        let who = [&*buyer_bytes, key.as_str().as_bytes()];
        let key_part = first_u64(&digest(&self.mac, &[b"key", who[0], who[1]])) >> 10;
        let content_part = digest(&self.mac, &[b"content", who[0], who[1], content]);
        let content_part = (first_u64(&content_part) >> 32) as u32;
        OrderId::compose(campaign, self.buyer_shard(buyer).0, key_part, content_part)
    }

    /// What the ids of all orders of this key have in common, whatever their content (INV-8).
    pub fn order_key(&self, campaign: CampaignNo, buyer: &Buyer, key: &IdempotencyKey) -> Key {
        self.order_id(campaign, buyer, key, b"").key()
    }

    /// The logical shard of a buyer's orders.
    pub fn buyer_shard(&self, buyer: &Buyer) -> LogicalShard {
        LogicalShard((self.hash(b'b', &buyer.scoped()) >> 52) as u16)
    }

    /// The logical shard of an offer's cells: all buckets of an offer live on one.
    pub fn offer_shard(&self, offer: &OfferId) -> LogicalShard {
        LogicalShard((self.hash(b'o', offer.as_str().as_bytes()) >> 52) as u16)
    }

    /// The bucket of a buyer in an offer with `buckets` buckets (at least 1).
    pub fn bucket(&self, buyer: &Buyer, buckets: u8) -> u8 {
        match buckets {
            0 | 1 => 0,
            n => (self.hash(b'k', &buyer.scoped()) % u64::from(n)) as u8,
        }
    }

    /// A stable 64-bit hash of a buyer: the sold-out filter, `adds`, and limits use it.
    pub fn buyer_hash(&self, buyer: &Buyer) -> u64 {
        self.hash(b'f', &buyer.scoped())
    }

    /// The home of an offer's one-line orders among `partitions` main partitions; whoever has a
    /// payload asks [`crate::home()`].
    pub fn offer_home(&self, offer: &OfferId, partitions: u16) -> u16 {
        (self.hash(b'p', offer.as_str().as_bytes()) % u64::from(partitions.max(1))) as u16
    }

    /// The home of an order of several lines.
    pub(crate) fn order_home(&self, order: OrderId, partitions: u16) -> u16 {
        (self.hash(b'q', &order.0) % u64::from(partitions.max(1))) as u16
    }

    /// The receipt token of an accepted order: 8 hex digits of the second it was accepted in and
    /// 96 bits of HMAC over it, the order and its buyer. It proves `accepted` (INV-7) to any gate.
    pub fn receipt(&self, order: OrderId, buyer: &Buyer, at_s: u32) -> String {
        let (buyer, at) = (buyer.scoped(), at_s.to_be_bytes());
        let parts = [b"receipt".as_slice(), &order.0, &buyer, &at];
        let mac = digest(&self.mac, &parts);
        let mut token = String::with_capacity(32);
        for b in at_s.to_be_bytes().iter().chain(&mac[..12]) {
            for half in [b >> 4, b & 15] {
                token.push(char::from(b"0123456789abcdef"[usize::from(half)]));
            }
        }
        token
    }

    /// Checks a receipt in constant time; the second of acceptance when it is genuine.
    pub fn check_receipt(&self, order: OrderId, buyer: &Buyer, token: &str) -> Option<u32> {
        let at_s = u32::from_str_radix(token.get(..8)?, 16).ok()?;
        let want = self.receipt(order, buyer, at_s);
        let same = want.bytes().zip(token.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
        (want.len() == token.len() && same == 0).then_some(at_s)
    }

    /// The 16-byte id of an operator's request on an offer (supply, flag, transfer).
    pub fn request_id(&self, offer: &OfferId, kind: &str, request: &str) -> EntryId {
        let parts = [b"request".as_slice(), offer.as_str().as_bytes(), kind.as_bytes()];
        let full = digest(&self.mac, &[parts[0], parts[1], parts[2], request.as_bytes()]);
        let mut id = [0; 16];
        id.copy_from_slice(&full[..16]);
        EntryId(id)
    }

    /// HMAC over these parts, for ids of what the life of an order makes.
    pub(crate) fn keyed(&self, parts: &[&[u8]]) -> [u8; 32] {
        digest(&self.mac, parts)
    }

    /// The ids of the two entries that each ledger of an offer begins with: its supply, and that it
    /// is open.
    pub fn opening(&self, offer: &OfferId) -> (EntryId, EntryId) {
        (self.request_id(offer, "allotment", ""), self.request_id(offer, "open", ""))
    }

    fn hash(&self, domain: u8, bytes: &[u8]) -> u64 {
        let mut h = self.sip;
        h.write_u8(domain);
        h.write(bytes);
        h.finish()
    }
}

/// HMAC over length-prefixed parts, so that no two lists of parts have the same input.
fn digest(mac: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(&(part.len() as u32).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn first_u64(b: &[u8; 32]) -> u64 {
    u64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
}

/// SHA-256 of `bytes` in hex: a stable name for things that need no key (shard map versions).
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
