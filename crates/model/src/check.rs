//! Breadth first over all states: the shortest way to whatever is wrong.
//!
//! A state is remembered by 128 bits of hash: among 10^8 states two share one with a probability
//! below 10^-22. Only the states of two neighbouring depths are in memory; a path is found again
//! from the number of the action that led to each state.

use domain::invariant::Violation;

use crate::oracle::Oracle;
use crate::seen::{Seen, fingerprint};
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
