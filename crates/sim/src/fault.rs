//! The faults of the world, at their times.

use std::sync::Arc;
use std::time::Duration;

use domain::frame::{self, Item};
use domain::{CellId, OfferId};
use tokio::time::sleep;

use store::Shards;

use crate::net::spawn;
use crate::node::Node;
use crate::plan::{Fault, Role, Row, Target};
use crate::process::Fleet;
use crate::rng::mix;
use crate::servers::Servers;
use crate::world::{START_MS, World};

/// All of them.
pub async fn run(fleet: Arc<Fleet>) {
    let plan = fleet.world.plan.clone();
    for (n, (at, fault)) in plan.faults.iter().enumerate() {
        if plan.tweaks.faults.contains(&n) {
            continue;
        }
        fleet.world.until(*at).await;
        fleet.world.tell("WORLD", || format!("fault {n}: {fault:?}"));
        fleet.world.met("fault", name(*fault));
        apply(&fleet, n as u64, *fault);
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill(Role::Gate, ..) => "kill_gate",
        Fault::Kill(Role::Writer, ..) => "kill_writer",
        Fault::Kill(Role::Reconciler, ..) => "kill_reconciler",
        Fault::Kill(Role::Clerk, ..) => "kill_clerk",
        Fault::Kill(Role::Coordinator, ..) | Fault::Stop(Role::Coordinator, ..) => "coordinator",
        Fault::KillWithFrames(..) => "kill_with_frames",
        Fault::Stop(Role::Gate, ..) => "stop_gate",
        Fault::Stop(Role::Writer, ..) => "stop_writer",
        Fault::Stop(Role::Reconciler, ..) => "stop_reconciler",
        Fault::Stop(Role::Clerk, ..) => "stop_clerk",
        Fault::Cut(Role::Writer, ..) => "cut_writer",
        Fault::Cut(..) => "cut_reconciler",
        Fault::Step(..) => "clock_step",
        Fault::Slow(..) => "slow_process",
        Fault::SlowTarget(..) => "slow_store",
        Fault::Down(Target::Redis, _) => "redis_down",
        Fault::Down(Target::Db(_), _) => "database_down",
        Fault::Down(Target::Log, _) => "log_down",
        Fault::Down(Target::Provider, _) => "provider_down",
        Fault::Break(..) => "connections_broken",
        Fault::Locked(Row::Cell(..), _) => "cell_locked",
        Fault::Locked(Row::Offer(_), _) => "offer_locked",
        Fault::Behind(..) => "replica_behind",
        Fault::Failover(_) => "failover",
        Fault::OldPrimary(..) => "old_primary",
        Fault::Fork(..) => "fork",
        Fault::FalsifyRow(..) => "falsified_row",
        Fault::Lose(None) => "redis_lost",
        Fault::Lose(Some(_)) => "offer_lost",
        Fault::OldSnapshot(_) => "old_snapshot",
        Fault::Tombstones => "tombstones_lost",
        Fault::Falsify(_) => "falsified",
    }
}

fn apply(fleet: &Arc<Fleet>, n: u64, fault: Fault) {
    let world = &fleet.world;
    match fault {
        Fault::Kill(role, index, down) => kill(fleet, (role, index), down),
        Fault::KillWithFrames(index, down) => {
            lose_frames(world);
            kill(fleet, (Role::Writer, index), down);
        }
        Fault::Stop(role, index, ms) => fleet.with(role, index, |p| p.stop(ms)),
        Fault::Cut(role, index, target) => world.cut(role, index, target),
        Fault::Step(role, index, ms) => fleet.with(role, index, |p| p.step(ms)),
        Fault::Slow(role, index, (by, ms)) => fleet.with(role, index, |p| p.slow(by, ms)),
        Fault::SlowTarget(target, by, ms) => world.slow(target, by, ms),
        Fault::Down(target, ms) => world.down(target, ms),
        Fault::Break(db, who, ms) => world.servers.break_off(db, who, ms),
        Fault::Locked(row, ms) => lock(world, row, ms),
        Fault::Behind(db, who, times) => Servers::fall_behind(world, db, who, times),
        Fault::Failover(most) => failover(world, n, most),
        Fault::OldPrimary(most, ms) => {
            cells(world).iter().for_each(|cell| world.redis.depose(cell));
            failover(world, n, most);
            world.split(ms, n);
        }
        Fault::Fork(db, age) => fork(world, db, age),
        Fault::FalsifyRow(offer, units) => falsify_row(world, offer, units),
        Fault::Lose(offer) => lose(world, offer),
        Fault::OldSnapshot(age) => old_snapshot(world, age),
        Fault::Tombstones => {
            for cell in cells(world) {
                world.redis.forget_verdicts(&cell);
            }
        }
        Fault::Falsify(which) => falsify(world, n, which),
    }
}

fn lock(world: &World, row: Row, ms: u64) {
    let (Row::Cell(offer, _) | Row::Offer(offer)) = row;
    let Ok(offer) = world.plan.offers[offer].name.parse::<OfferId>() else { return };
    let row = match row {
        Row::Cell(_, bucket) => (world.store.cell_db(&offer), offer.cell(bucket).to_string()),
        Row::Offer(_) => (0, format!("offer {offer}")),
    };
    world.servers.lock(row, ms);
}

fn kill(fleet: &Arc<Fleet>, (role, index): (Role, u64), down: u64) {
    fleet.with(role, index, Node::kill);
    let fleet = fleet.clone();
    spawn(async move {
        sleep(Duration::from_millis(down)).await;
        fleet.start(role, index);
    });
}

/// Frames of orders that a consumer has and has not acked are gone.
fn lose_frames(world: &World) {
    for p in world.log.all_partitions() {
        let frames = world.log.unacked(p);
        for (n, frame) in frames.iter().enumerate().rev().filter(|(_, f)| f.out) {
            let items = frame::decode(&frame.frame).unwrap_or_default();
            if !items.iter().all(|i| matches!(i, Item::Order(..))) {
                continue;
            }
            if world.log.lose(p, n).is_some() {
                world.met("log", "unacked_lost");
                world.tell("LOG", || format!("loses a frame of {p} that was not acked"));
                world.check(|oracle, _| oracle.frame_lost(&items));
            }
        }
    }
}

fn cells(world: &World) -> Vec<CellId> {
    world.oracle.lock().cell_ids()
}

/// Each slot loses a suffix of its writes, most of them a short one.
fn failover(world: &World, n: u64, most: u64) {
    for (i, cell) in cells(world).into_iter().enumerate() {
        let lost = mix(&[world.plan.seed, 13, n, i as u64]) % (most + 1);
        let lost = world.redis.regress(&cell, lost);
        world.tell("WORLD", || format!("{cell} loses its last {lost} writes"));
        // Until the dead node is back as a replica there is none.
        world.redis.alone(&cell, world.now_ms() + mix(&[world.plan.seed, 23, n, i as u64]) % 200);
        world.check(|oracle, w| oracle.failed_over(w, &cell, lost));
    }
}

/// What is committed from now on will be gone; the log and Redis know it for a while.
fn fork(world: &Arc<World>, db: u16, age: u64) {
    let (saved, world) = (world.store.save(db), world.clone());
    spawn(async move {
        sleep(Duration::from_millis(age)).await;
        let lost = world.store.restore(db, saved);
        world.servers.forget_replica(db);
        world.tell("WORLD", || format!("db-{db} comes back without {lost} entries"));
        if lost > 0 {
            world.met("fork", "entries_lost");
        }
        world.check(|oracle, w| oracle.forked(w, db));
    });
}

fn falsify_row(world: &World, offer: usize, units: i64) {
    let Ok(offer) = world.plan.offers[offer].name.parse::<OfferId>() else { return };
    let cell = offer.cell(0);
    if world.store.falsify(&cell, units) {
        world.tell("WORLD", || format!("a hand adds {units} units to the row of {cell}"));
        world.check(|oracle, w| oracle.row_falsified(w, &cell));
    }
}

fn lose(world: &World, offer: Option<usize>) {
    let offer = offer.map(|o| world.plan.offers[o % world.plan.offers.len()].name.as_str());
    for cell in cells(world) {
        if offer.is_some_and(|o| o != cell.offer.as_str()) {
            continue;
        }
        world.redis.lose(&cell);
        world.check(|oracle, w| {
            (oracle.redis_lost, oracle.beyond_replicas) = (true, true);
            oracle.overwritten(w, &cell);
        });
    }
}

fn old_snapshot(world: &World, age: u64) {
    let before = (START_MS + world.at()).saturating_sub(age);
    for cell in cells(world) {
        if !world.redis.restore_dump(&cell, before) {
            world.redis.lose(&cell);
        }
        world.check(|oracle, w| {
            (oracle.redis_lost, oracle.beyond_replicas) = (true, true);
            oracle.overwritten(w, &cell);
        });
    }
}

/// A hand that writes is a loss of data: what Redis promised may be wrong until it is mended.
fn falsify(world: &World, n: u64, which: usize) {
    let field = ["supply", "net", "held"][which % 3];
    let Some(cell) = cells(world).into_iter().next() else { return };
    let value = (mix(&[world.plan.seed, 17, n]) % 5) as i64;
    if !matches!(world.redis.look(&cell), Ok(Some(_))) {
        return;
    }
    world.redis.falsify(&cell, field, value);
    world.tell("WORLD", || format!("a hand sets {field} of {cell} to {value}"));
    world.check(|oracle, w| {
        (oracle.redis_lost, oracle.beyond_replicas) = (true, true);
        oracle.falsified(&cell);
        oracle.overwritten(w, &cell);
    });
}
