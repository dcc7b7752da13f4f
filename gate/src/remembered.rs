//! Tokens that were verified before: a bounded number of them, because a buyer's client sends the
//! same one again and again. The times in a token are checked each time.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;

use crate::auth::Verified;

/// Seconds a clock may be off.
pub(crate) const LEEWAY_S: u64 = 30;
/// Tokens of a set; one more takes the place of the oldest. A token has its set.
const WAYS: usize = 8;

struct Entry {
    hash: u64,
    token: Box<str>,
    buyer: Arc<Verified>,
    /// UTC seconds.
    valid: RangeInclusive<u64>,
}

/// The tokens.
pub(crate) struct Remembered {
    hasher: RandomState,
    sets: Box<[Mutex<VecDeque<Entry>>]>,
}

impl Remembered {
    /// At most `n` of them, rounded up to whole sets.
    pub fn new(n: usize) -> Self {
        let sets = (0..n.div_ceil(WAYS)).map(|_| Mutex::default()).collect();
        Self { hasher: RandomState::new(), sets }
    }

    /// The buyer of a remembered token, if it is valid now; `None` when it is not remembered.
    pub fn find(&self, token: &str, now: u64) -> Option<Option<Arc<Verified>>> {
        let (hash, set) = self.set_of(token);
        let set = set.lock();
        let entry = set.iter().find(|e| e.hash == hash && *e.token == *token)?;
        let from = entry.valid.start().saturating_sub(LEEWAY_S);
        let is_valid = (from..=entry.valid.end().saturating_add(LEEWAY_S)).contains(&now);
        Some(is_valid.then(|| entry.buyer.clone()))
    }

    /// Remembers a token that is not remembered.
    pub fn keep(&self, token: &str, buyer: &Arc<Verified>, valid: RangeInclusive<u64>) {
        let (hash, set) = self.set_of(token);
        let entry = Entry { hash, token: token.into(), buyer: buyer.clone(), valid };
        let mut set = set.lock();
        set.truncate(WAYS - 1);
        set.push_front(entry);
    }

    fn set_of(&self, token: &str) -> (u64, &Mutex<VecDeque<Entry>>) {
        let hash = self.hasher.hash_one(token);
        (hash, &self.sets[hash as usize % self.sets.len()])
    }
}
