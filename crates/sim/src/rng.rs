//! The one source of chance: SplitMix64 from the seed.
//!
//! Faults of calls are drawn from [`mix`] of seed, process and call number instead of one long
//! stream, so that taking one fault away leaves the others where they are (shrinking needs that).

/// A stream of numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

fn scramble(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One number out of several.
pub fn mix(parts: &[u64]) -> u64 {
    let step = |h: u64, p: &u64| scramble(h.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ scramble(*p));
    parts.iter().fold(0x5eed, step)
}

impl Rng {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(scramble(seed ^ 0x51c0_ffee))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// 0 to `n - 1`; 0 for `n` 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n.max(1)
    }

    /// `from` to `to`, both included.
    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}
