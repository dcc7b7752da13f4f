//! The state of a limit per key: exact for every key that is not idle, bounded.
//!
//! A key is a 64-bit hash under a secret of the process and the time at which it is idle again;
//! idle keys carry no information and make room. At the bound the keys that are nearest to idle are
//! forgotten, and counted: a limit may become looser then, never stricter, so that no stranger's
//! requests are ever charged to somebody else.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use ahash::RandomState;
use domain::limit::Rate;
use parking_lot::Mutex;

/// Parts with a lock each; a part is small, so that growing it delays nobody for long.
const SHARDS: usize = 256;

/// The keys of one limit.
pub(crate) struct Keys {
    hasher: RandomState,
    shards: Box<[KeyShard]>,
    /// The most keys of a shard.
    most: usize,
}

/// A line of the cache each.
#[repr(align(64))]
#[derive(Default)]
struct KeyShard(Mutex<Times>);

/// When each key is idle again.
type Times = HashMap<u64, u64, BuildHasherDefault<HashedKey>>;

/// What a charge came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Charged {
    /// `Err`: nanoseconds to wait.
    pub result: Result<(), u64>,
    /// Keys that were not idle and had to go.
    pub forgotten: usize,
}

impl Keys {
    /// Exact for `most` keys that are not idle. What keys fall into a part varies, and making room
    /// frees an eighth of it, so a part has a quarter more.
    pub(crate) fn new(most: usize) -> Self {
        let shards = (0..SHARDS).map(|_| KeyShard::default()).collect();
        Self { hasher: RandomState::new(), shards, most: most.div_ceil(SHARDS) * 5 / 4 + 64 }
    }

    /// Charges one request to a key.
    pub(crate) fn charge(&self, key: impl Hash, rate: Rate, now: u64) -> Charged {
        let hash = self.hasher.hash_one(key);
        let mut times = self.shards[(hash >> 32) as usize % SHARDS].0.lock();
        if let Some(idle_at) = times.get_mut(&hash) {
            let result = rate.charge(*idle_at, now).map(|next| *idle_at = next);
            return Charged { result, forgotten: 0 };
        }
        let forgotten = make_room(&mut times, self.most, now);
        let result = rate.charge(0, now).map(|next| {
            times.insert(hash, next);
        });
        Charged { result, forgotten }
    }
}

/// Makes room for one key; how many that were not idle had to go for it. Looks at all keys only
/// when the map is full, and is not full again before a part of them has come anew. A new map is
/// made, because one from which much was removed would grow.
fn make_room(times: &mut Times, most: usize, now: u64) -> usize {
    if times.len() < times.capacity().min(most) {
        return 0;
    }
    let mut busy: Vec<(u64, u64)> = times.drain().filter(|(_, idle_at)| *idle_at > now).collect();
    let excess = busy.len().saturating_sub(most - most / 8);
    if excess > 0 {
        busy.select_nth_unstable_by_key(excess, |(_, idle_at)| *idle_at);
        busy.drain(..excess);
    }
    let capacity = (busy.len() * 2).clamp(8, most);
    *times = Times::with_capacity_and_hasher(capacity, BuildHasherDefault::default());
    times.extend(busy);
    excess
}

/// A key is a hash already.
#[derive(Default)]
struct HashedKey(u64);

impl Hasher for HashedKey {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
    fn write(&mut self, bytes: &[u8]) {
        // Never called for a u64; still a hash of what it is given.
        self.0 = bytes.iter().fold(self.0, |h, b| h.rotate_left(8) ^ u64::from(*b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    impl Keys {
        /// Keys that are kept, and bytes that they take.
        fn size(&self) -> (usize, usize) {
            let each = |t: &Times| (t.len(), t.capacity() * 8 / 7 * 17);
            let all = self.shards.iter().map(|s| each(&s.0.lock()));
            all.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
        }
    }

    #[test]
    fn strangers_do_not_share_a_limit() {
        let keys = Keys::new(1_000_000);
        let rate = Rate::new(1, 1).unwrap();
        // A million in one second, so that none of them is idle before the last has come.
        let at = |n: u64| SECOND + n * (SECOND / 1_000_000);
        let all = |from: u64| {
            let charged = (0..1_000_000u64).map(|n| keys.charge(n, rate, from + at(n)));
            let each = |c: Charged| (c.result.is_ok() as usize, c.forgotten);
            charged.map(each).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
        };
        assert_eq!(all(0), (1_000_000, 0));
        // Each has its own: again at once is too much for all of them, a second later for none.
        let too_soon =
            (0..1_000_000u64).filter(|n| keys.charge(n, rate, at(*n) + 1).result.is_ok());
        assert_eq!(too_soon.count(), 0);
        assert_eq!(all(SECOND), (1_000_000, 0));
    }

    #[test]
    fn ten_million_keys_stay_within_the_bound() {
        let (most, rate) = (100_000, Rate::new(1, 1).unwrap());
        let keys = Keys::new(most);
        let mut forgotten = 0;
        for n in 0..10_000_000u64 {
            let charged = keys.charge(n, rate, SECOND);
            assert_eq!(charged.result, Ok(()));
            forgotten += charged.forgotten;
        }
        let (kept, bytes) = keys.size();
        assert_eq!(kept + forgotten, 10_000_000);
        assert!(kept >= most && kept <= most * 5 / 4 + SHARDS * 65, "{kept}");
        assert!(bytes <= most * 48, "{bytes}");
        // An hour later all are idle: they make room, and nobody counts as forgotten.
        let later = 3600 * SECOND;
        let again = (0..200_000u64).map(|n| keys.charge(n, rate, later + n * SECOND).forgotten);
        assert_eq!(again.sum::<usize>(), 0);
        assert!(keys.size().0 <= kept);
    }

    #[test]
    fn the_nearest_to_idle_go_first() {
        let rate = Rate::new(1, 100).unwrap();
        let keys = Keys::new(1000);
        // Busy ones are far from idle.
        for _ in 0..50 {
            (0..500u64).for_each(|n| assert!(keys.charge(n, rate, SECOND).result.is_ok()));
        }
        (0..1_000_000u64).for_each(|n| assert!(keys.charge(500 + n, rate, SECOND).result.is_ok()));
        for n in 0..500u64 {
            let passed = (0..100).filter(|_| keys.charge(n, rate, SECOND).result.is_ok()).count();
            assert_eq!(passed, 50, "{n}");
        }
    }
}
