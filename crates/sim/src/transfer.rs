//! Units that go from one bucket to another (PROTOCOL 6.8), by a coordinator that dies on the way.
//!
//! The product does not rebalance buckets yet; what it must do is finish such a transfer. The
//! coordinator keeps to the protocol: a T hold where the units leave, one transaction for both
//! ledgers, then apply. It dies after any of these, or its first call arrives again at the end.

use std::sync::Arc;
use std::time::Duration;

use ::cells::port::{ReserveCall, Reserved, Wait};
use domain::{CellId, EntryId, Nonce, OfferId, supply};
use tokio::time::sleep;
use view::Ports;

use crate::node::Node;
use crate::plan::{Halt, OfferPlan, Role, Transfer};
use crate::process;
use crate::world::World;

/// Runs it as far as it comes.
pub async fn run(world: &Arc<World>, n: u64, plan: &OfferPlan, how: Transfer) {
    let node = Node::new(world, Role::Coordinator, n, 0);
    let ports = process::ports(&node);
    let offer: OfferId = plan.name.parse().expect("a plan's name");
    let (from, to) = (offer.cell(how.from), offer.cell(how.to));
    let id = world.identity.request_id(&offer, "transfer", &format!("t{n}"));
    world.check(|oracle, _| oracle.moves(id, from.clone(), to.clone(), i64::from(how.units)));
    world.met("transfer", word(how.halt));
    if !hold(&ports, world.plan.waits, id, (&from, &to), how.units).await {
        return world.met("transfer", "no_hold");
    }
    sleep(Duration::from_millis(how.then)).await;
    if how.halt == Halt::Held {
        return node.kill();
    }
    let done = ports.store.transfer(id, &from, Some(&to), how.units).await;
    if how.halt == Halt::Committed || done.is_err() {
        return node.kill();
    }
    let follow = ports.follow();
    follow.catch_up(&from).await;
    follow.catch_up(&to).await;
    if how.halt == Halt::Again {
        sleep(Duration::from_millis(how.then)).await;
        hold(&ports, world.plan.waits, id, (&from, &to), how.units).await;
    }
    node.kill();
}

fn word(halt: Halt) -> &'static str {
    match halt {
        Halt::Held => "held",
        Halt::Committed => "committed",
        Halt::Done => "done",
        Halt::Again => "again",
    }
}

/// Sets the units aside; false when they certainly are not.
async fn hold(
    ports: &Ports,
    waits: bool,
    id: EntryId,
    (from, to): (&CellId, &CellId),
    units: u32,
) -> bool {
    let transfer = supply::Transfer { from: from.clone(), to: Some(to.clone()), units };
    let timeout = Duration::from_millis(10);
    let wait = waits.then_some(Wait { replicas: 1, timeout });
    let call = ReserveCall::transfer(id, Nonce(ports.unique.next()), &transfer, wait);
    match ports.cells.reserve(from, &call).await {
        Ok(reply) => reply.replicated && reply.results.iter().any(Reserved::is_hold),
        Err(_) => false,
    }
}
