//! Tokens that were verified before: a bounded number of them, because a buyer's client sends the
//! same one again and again. The times in a token are checked each time.
//!
//! In a flash sale most buyers come once. A token is kept when it is verified a second time; of the
//! first time only its hash is noted, which costs no memory of its own and throws nobody out.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use parking_lot::Mutex;

use crate::verified::Verified;

/// Seconds a clock may be off.
pub(crate) const LEEWAY_S: u64 = 30;
/// Tokens of a set; one more takes the place of the oldest. A token has its set.
const WAYS: usize = 8;

struct RememberedToken {
    hash: u64,
    token: Box<str>,
    buyer: Arc<Verified>,
    /// UTC seconds.
    valid: RangeInclusive<u64>,
}

/// A token and what it is looked up by.
#[derive(Clone, Copy)]
pub(crate) struct HashedToken<'t> {
    hash: u64,
    pub token: &'t str,
}

/// The tokens.
pub(crate) struct Remembered {
    hasher: RandomState,
    sets: Box<[Mutex<VecDeque<RememberedToken>>]>,
    /// The hash of the last token that was verified and not kept, by place.
    seen: Box<[AtomicU64]>,
}

impl Remembered {
    /// At most `n` of them (at least 1), rounded up to whole sets.
    pub(crate) fn new(n: usize) -> Self {
        let sets: Box<[_]> = (0..n.div_ceil(WAYS)).map(|_| Mutex::default()).collect();
        let seen = (0..sets.len() * WAYS).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::new(), sets, seen }
    }

    /// The token with its hash, which is made once.
    pub(crate) fn hashed<'t>(&self, token: &'t str) -> HashedToken<'t> {
        HashedToken { hash: self.hasher.hash_one(token), token }
    }

    /// The buyer of a remembered token, if it is valid now; `None` when it is not remembered.
    pub(crate) fn find(
        &self,
        HashedToken { hash, token }: HashedToken<'_>,
        now: u64,
    ) -> Option<Option<Arc<Verified>>> {
        let set = self.set(hash).lock();
        let entry = set.iter().find(|e| e.hash == hash && *e.token == *token)?;
        let from = entry.valid.start().saturating_sub(LEEWAY_S);
        let is_valid = (from..=entry.valid.end().saturating_add(LEEWAY_S)).contains(&now);
        Some(is_valid.then(|| entry.buyer.clone()))
    }

    /// A token that is not remembered was verified.
    pub(crate) fn note(
        &self,
        HashedToken { hash, token }: HashedToken<'_>,
        buyer: &Arc<Verified>,
        valid: RangeInclusive<u64>,
    ) {
        let seen = &self.seen[(hash >> 32) as usize % self.seen.len()];
        if seen.swap(hash, Ordering::Relaxed) != hash {
            return;
        }
        let entry = RememberedToken { hash, token: token.into(), buyer: buyer.clone(), valid };
        let mut set = self.set(hash).lock();
        set.truncate(WAYS - 1);
        set.push_front(entry);
    }

    fn set(&self, hash: u64) -> &Mutex<VecDeque<RememberedToken>> {
        &self.sets[hash as usize % self.sets.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_when_it_comes_again_and_only_while_it_is_valid() {
        let tokens = Remembered::new(16);
        let ann = Arc::new(Verified::new("ann".parse().unwrap()));
        let find = |token, now| tokens.find(tokens.hashed(token), now);
        for kept in [false, true] {
            tokens.note(tokens.hashed("token"), &ann, 1000..=2000);
            assert_eq!(find("token", 1500).is_some(), kept);
        }
        assert!(find("Token", 1500).is_none());
        for (now, valid) in [(969, false), (970, true), (2030, true), (2031, false)] {
            assert_eq!(find("token", now).unwrap().is_some(), valid, "{now}");
        }
        for n in 0..2000 {
            let token = format!("token {n}");
            tokens.note(tokens.hashed(&token), &ann, 0..=1);
            tokens.note(tokens.hashed(&token), &ann, 0..=1);
        }
        let kept: usize = tokens.sets.iter().map(|s| s.lock().len()).sum();
        assert_eq!(kept, 16);
    }
}
