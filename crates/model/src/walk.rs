//! Random paths through a scope and random operations on it, for comparing the model with the code.

use crate::ledger::FIRST;
use crate::ops::{Op, Reply};
use crate::redis::SHARED;
use crate::state::State;
use crate::world::{Run, World};

/// One step of a path: what it did outside, and the state after it.
pub type Walked = (Vec<(Op, Reply)>, State);

/// A path of at most `steps` steps, the same for the same seed.
pub fn walk(world: &World, seed: u64, steps: usize) -> Vec<Walked> {
    let mut dice = Dice::new(seed);
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
        let step = possible[dice.below(possible.len())].clone();
        state = step.1;
        path.push(step);
    }
    path
}

/// Operations that no protocol orders: any script and transaction at any time, as the model
/// answers them. The code must answer the same.
pub fn storm(world: &World, seed: u64, steps: usize) -> Vec<Walked> {
    let mut dice = Dice::new(seed);
    let mut state = world.start();
    let mut path = Vec::new();
    for _ in 0..steps {
        let mut run = Run { s: state, scope: &world.scope, ops: Some(Vec::new()) };
        let cell = dice.below(world.scope.units.len());
        let order = dice.below(world.scope.orders.len());
        any(&mut run, &mut dice, (cell, order));
        state = run.s;
        path.push((run.ops.unwrap_or_default(), state));
    }
    path
}

fn any(run: &mut Run<'_>, dice: &mut Dice, (cell, order): (usize, usize)) {
    let (c, o, buyer) = (cell as u8, order as u8, run.buyer(order));
    let nonce = dice.below(3) as u8;
    let head = run.s.ledger[cell].seq();
    match dice.below(12) {
        0..=3 => {
            let state = if dice.below(2) == 0 { b'S' } else { b'L' };
            run.reserve(cell, order, state, nonce);
        }
        4 => run.apply(cell, FIRST + dice.below(usize::from(head - FIRST) + 1) as u8),
        5 => {
            if let Some((seq, _)) = run.s.ledger[cell].verdict(order) {
                run.resolve(cell, order, seq);
            }
        }
        6 => {
            let reply = run.s.redis[cell].cancel(order, buyer, nonce, false);
            run.note(Op::Cancel(c, o, nonce), reply);
        }
        7 => {
            let reply = run.s.redis[cell].fence(order);
            run.note(Op::Fence(c, o), reply);
        }
        8 => {
            let att = if dice.below(2) == 0 { nonce } else { SHARED | nonce };
            let reply = run.s.redis[cell].unseal(order, buyer, att, false);
            run.note(Op::Unseal(c, o, att), reply);
        }
        9 | 10 => {
            let full = dice.below(4) != 0;
            if let Some((seq, kind, fresh)) = run.s.ledger[cell].decide(order, full, true) {
                let reply = Reply::Verdict(seq, kind == b'C', fresh);
                run.note(Op::Verdict(c, o, full, false), reply);
            }
        }
        _ => {
            if let Some(done) = run.s.ledger[cell].release(order) {
                run.note(Op::Release(c, o), Reply::Count(done.into()));
            }
        }
    }
}

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n.max(1)
    }
}
