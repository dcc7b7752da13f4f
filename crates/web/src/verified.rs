//! Who a request is from, once its token was verified.

use std::sync::OnceLock;

use domain::{Buyer, Identity};

/// A buyer whose token was verified.
#[derive(Debug)]
pub struct Verified {
    /// Who.
    pub buyer: Buyer,
    hash: OnceLock<u64>,
}

impl Verified {
    /// A buyer whose token was verified elsewhere.
    pub fn new(buyer: Buyer) -> Self {
        Self { buyer, hash: OnceLock::new() }
    }

    /// [`Identity::buyer_hash`], made once for as long as the token is remembered.
    pub fn hash(&self, identity: &Identity) -> u64 {
        *self.hash.get_or_init(|| identity.buyer_hash(&self.buyer))
    }
}
