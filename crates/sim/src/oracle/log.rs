//! At every publish: INV-14's first half, whose bytes it are, and how old (PROTOCOL 6.1).

use std::sync::Arc;

use domain::Payload;
use domain::frame::{Item, Mode, Sealed};
use orderlog::port::Partition;

use super::Oracle;
use crate::node::Node;
use crate::plan::Role;
use crate::process::MAX_AGE_MS;
use crate::world::World;

/// The way of an answer back from Redis, ms: a gate cannot know of it.
const SLACK: u64 = 4;

impl Oracle {
    /// A process is about to send a frame.
    pub fn sending(&mut self, world: &World, node: &Arc<Node>, items: &[Item]) {
        if node.role != Role::Gate {
            return;
        }
        for (_, sealed, payload) in orders(items) {
            let first = self.orders.get(&payload.order).is_none_or(|f| f.published_at.is_none());
            let age = world.now_ms().saturating_sub(sealed.t_ms);
            if first && age > MAX_AGE_MS + SLACK {
                let text = format!("{} publishes {} {age} ms old", node.name, payload.order);
                self.bad("6.1 age", text);
            }
        }
    }

    /// The log took a frame (or lost it after the receipt).
    pub fn published(
        &mut self,
        world: &World,
        (node, to): (&Arc<Node>, Partition),
        items: &[Item],
        lost: bool,
    ) {
        for (mode, sealed, payload) in orders(items) {
            self.covered(mode, &sealed, &payload);
            branch(self, world, (node, to), (mode, &payload));
            let facts = self.orders.entry(payload.order).or_default();
            facts.by_gate |= node.role == Role::Gate;
            if mode == Mode::Full {
                facts.published_at.get_or_insert(world.at());
                facts.cell.get_or_insert_with(|| payload.anchor_line().cell.clone());
            }
            facts.frame_lost |= lost;
        }
    }

    /// The log lost a frame that it had.
    pub fn frame_lost(&mut self, items: &[Item]) {
        for (_, _, payload) in orders(items) {
            self.orders.entry(payload.order).or_default().frame_lost = true;
        }
    }

    fn covered(&mut self, mode: Mode, sealed: &Sealed, payload: &Payload) {
        if mode != Mode::Full || self.redis_lost {
            return;
        }
        // A row keeps what its first frame said. When the cache of verdicts is lost, a late attempt
        // may hold such an order again, and late frames of both holds change nothing any more.
        let has_row = self.rows.contains_key(&payload.order);
        for line in &payload.lines {
            let verdict = self.verdict(&line.cell, payload.order).0;
            match self.hold(&line.cell, payload.order) {
                Some(hold)
                    if !has_row && (hold.payload != sealed.payload || hold.t_ms != sealed.t_ms) =>
                {
                    let text = format!("{} is published with other bytes", payload.order);
                    self.bad("6.1 bytes", text);
                }
                None if verdict.is_none() => {
                    let text = format!("{} is published without a hold", payload.order);
                    self.bad("INV-14", format!("{}: {text}", line.cell));
                }
                Some(_) | None => {}
            }
        }
    }
}

/// The orders of a frame.
fn orders(items: &[Item]) -> Vec<(Mode, Sealed, Payload)> {
    let one = |i: &Item| match i {
        Item::Order(mode, sealed) => {
            let payload = Payload::decode(&sealed.payload).ok()?;
            Some((*mode, sealed.clone(), payload))
        }
        Item::Barrier(_) | Item::Tick(_) | Item::News(_) => None,
    };
    items.iter().filter_map(one).collect()
}

fn branch(
    oracle: &Oracle,
    world: &World,
    (node, to): (&Arc<Node>, Partition),
    (mode, payload): (Mode, &Payload),
) {
    let decided = oracle.verdict(&payload.anchor_line().cell, payload.order).0.is_some();
    match (node.role, to) {
        (Role::Reconciler, _) if !decided => world.met("reconciler", "relayed"),
        (Role::Reconciler, _) if mode == Mode::Full => world.met("reconciler", "swept_claim"),
        (Role::Reconciler, _) => world.met("reconciler", "swept_reject"),
        (Role::Writer, Partition::Retry(_)) => world.met("writer", "handed_over"),
        (Role::Writer, Partition::Main(_) | Partition::Life(_))
        | (Role::Gate | Role::Clerk | Role::Coordinator, _) => {}
    }
}
