//! States that were seen, by their fingerprints.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::state::State;

/// Hashes into 128 bits, word by word.
#[derive(Default)]
struct Mix {
    a: u64,
    b: u64,
    word: u64,
    bytes: u32,
}

fn fold(x: u64, y: u64) -> u64 {
    let wide = u128::from(x) * u128::from(y);
    wide as u64 ^ (wide >> 64) as u64
}

impl Mix {
    fn push(&mut self) {
        self.a = fold(self.a ^ self.word ^ 0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9);
        self.b = fold(self.b.rotate_left(29) ^ self.word, 0x94d0_49bb_1331_11eb) ^ self.a;
        (self.word, self.bytes) = (0, 0);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u8(*b));
    }
    fn write_u8(&mut self, byte: u8) {
        self.word |= u64::from(byte) << (8 * self.bytes);
        self.bytes += 1;
        if self.bytes == 8 {
            self.push();
        }
    }
    // Lengths and variants are small here.
    fn write_usize(&mut self, n: usize) {
        self.write_u8(n as u8);
    }
    fn write_isize(&mut self, n: isize) {
        self.write_u8(n as u8);
    }
    fn finish(&self) -> u64 {
        self.a
    }
}

/// 128 bits that stand for a state.
pub(crate) fn fingerprint(state: &State) -> u128 {
    let mut mix = Mix::default();
    state.hash(&mut mix);
    mix.push();
    mix.push();
    u128::from(mix.a) << 64 | u128::from(mix.b)
}

/// A fingerprint is its own hash.
#[derive(Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }
    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Fingerprints.
pub(crate) type Seen = HashSet<u128, BuildHasherDefault<Same>>;
