//! Random paths through a scope, for comparing the model with the code.

use crate::ops::{Op, Reply};
use crate::state::State;
use crate::world::World;

/// One step of a path: what it did outside, and the state after it.
pub type Walked = (Vec<(Op, Reply)>, State);

/// A path of at most `steps` steps, the same for the same seed.
pub fn walk(world: &World, seed: u64, steps: usize) -> Vec<Walked> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut path = Vec::new();
    let mut state = world.start();
    while path.len() < steps {
        let possible: Vec<Walked> = world
            .actions
            .iter()
            .filter_map(|a| world.trace(&state, *a).map(|(after, ops)| (ops, after)))
            .collect();
        if possible.is_empty() {
            break;
        }
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        let step = possible[(x >> 33) as usize % possible.len()].clone();
        state = step.1;
        path.push(step);
    }
    path
}
