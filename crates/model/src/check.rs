//! Breadth first over all states: the shortest way to whatever is wrong.
//!
//! A state is remembered by 128 bits of hash: among 10^8 states two share one with a probability
//! below 10^-22. Only the states of two neighbouring depths are in memory; a path is found again
//! from the number of the action that led to each state.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use domain::invariant::Violation;

use crate::oracle::Oracle;
use crate::state::State;
use crate::world::{Action, World};

/// What an exploration saw.
#[derive(Debug)]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: u64,
    /// The longest shortest path.
    pub depth: usize,
    /// Different states from which recovery alone was run.
    pub recoveries: usize,
    /// False when the bound on states ended it.
    pub complete: bool,
    /// The first thing that is wrong.
    pub found: Option<Found>,
}

/// Something wrong, and how to get there.
#[derive(Debug)]
pub struct Found {
    /// What is broken.
    pub violation: Violation,
    /// The shortest path from the start.
    pub path: Vec<Action>,
}

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
pub fn fingerprint(state: &State) -> u128 {
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

pub(crate) type Seen = HashSet<u128, BuildHasherDefault<Same>>;

/// Visits every state, at most `most` of them; ends at the first violation.
pub fn explore(world: &World, most: usize) -> Report {
    let mut oracle = Oracle::default();
    let mut seen = Seen::default();
    let mut came: Vec<(u32, u8)> = vec![(0, 0)];
    let mut level = vec![(0u32, world.start())];
    seen.insert(fingerprint(&level[0].1));
    let mut report =
        Report { states: 1, steps: 0, depth: 0, recoveries: 0, complete: true, found: None };
    if let Some(violation) = oracle.check(world, &level[0].1) {
        report.found = Some(Found { violation, path: Vec::new() });
    }
    while !level.is_empty() && report.found.is_none() && report.complete {
        let mut next = Vec::new();
        'level: for (from, state) in &level {
            for (n, action) in world.actions.iter().enumerate() {
                let Some(after) = world.next(state, *action) else { continue };
                report.steps += 1;
                if !seen.insert(fingerprint(&after)) {
                    continue;
                }
                came.push((*from, n as u8));
                let at = came.len() as u32 - 1;
                if let Some(violation) = oracle.check(world, &after) {
                    let path = path(world, &came, at);
                    report.found = Some(Found { violation, path });
                    break 'level;
                }
                next.push((at, after));
                if came.len() >= most {
                    report.complete = false;
                    break 'level;
                }
            }
        }
        report.depth += usize::from(!next.is_empty());
        level = next;
    }
    (report.states, report.recoveries) = (came.len(), oracle.recoveries());
    report
}

fn path(world: &World, came: &[(u32, u8)], mut at: u32) -> Vec<Action> {
    let mut path = Vec::new();
    while at != 0 {
        let (from, n) = came[at as usize];
        path.push(world.actions[usize::from(n)]);
        at = from;
    }
    path.reverse();
    path
}
