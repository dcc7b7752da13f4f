//! WAIT on a real cluster: what it vouches for, and what is said when nobody does.
//!
//! Each test holds the stack alone, because it stops and kills servers. Slots that move, scripts
//! that are forgotten and failovers under load are in `disrupt.rs`, for this way to Redis too.
#![cfg(feature = "cluster")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod nodes;

use domain::CellId;
use nodes::{Node, WAIT, ask, owner, replica_of};
use sluicegate_lua::{
    CellError, CellResult, Cells, Engine, ReserveCall, ReserveItem, ReserveReply, Reserved, Wait,
    fred,
};
use std::time::Duration;
use testkit::cells::case::{Case, call, item, order};
use testkit::cells::stack;
use testkit::stack::{Disruption, disrupt};
use tokio::time::{Instant, sleep};

const UNITS: i64 = 100;

struct Bench {
    servers: Disruption,
    cells: Engine<fred::Fred>,
    cell: CellId,
}

impl Bench {
    async fn new() -> Self {
        let servers = tokio::task::spawn_blocking(disrupt).await.unwrap().unwrap();
        let cells = fred::connect(&stack::cells(), &fred::Tuning::default()).await.unwrap();
        let cell: CellId = format!("{}.0", stack::fresh_name()).parse().unwrap();
        Case::new(&cells, cell.clone(), UNITS, 0).await;
        Self { servers, cells, cell }
    }

    async fn reserve(&self, item: ReserveItem, wait: Wait) -> CellResult<ReserveReply> {
        let call = ReserveCall { wait: Some(wait), ..call(0, vec![item]) };
        self.cells.reserve(&self.cell, &call).await
    }

    /// The result, and whether the replica has it.
    async fn one(&self, item: ReserveItem) -> (Reserved, bool) {
        let mut reply = self.reserve(item, WAIT).await.unwrap();
        (reply.results.remove(0), reply.replicated)
    }

    /// The cell's primary and its replica.
    async fn pair(&self) -> (Node, Node) {
        let primary = owner(&self.cell).await.0;
        let replica = replica_of(&primary).await;
        (primary, replica)
    }

    /// Until a fresh order is on the replica.
    async fn until_whole(&self, mut nonce: u64) -> Duration {
        let start = Instant::now();
        loop {
            nonce += 1;
            let reply = self.reserve(item(order(900, nonce, 1), nonce), WAIT).await;
            if reply.is_ok_and(|r| r.replicated) {
                return start.elapsed();
            }
            assert!(start.elapsed() < Duration::from_secs(40), "not whole again");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// `redis-N` of the stack.
fn server(node: &Node) -> String {
    let at = stack::nodes().iter().position(|n| *n == node.addr).expect("a node of the stack");
    format!("redis-{}", at + 1)
}

fn is_new(r: &Reserved) -> bool {
    matches!(r, Reserved::New { .. })
}

async fn offset(node: &Node) -> u64 {
    let info: String = ask(&node.addr, "INFO replication").await.unwrap();
    let line = info.lines().find_map(|l| l.strip_prefix("master_repl_offset:")).unwrap();
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_replicated_or_it_is_not_said() {
    let mut bench = Bench::new().await;
    let (first, second) = (order(1, 1, 1), order(2, 1, 1));
    let (result, replicated) = bench.one(item(first, 1)).await;
    assert!(is_new(&result) && replicated, "{result:?}");
    // Nobody asked, so nobody has to have it.
    let reply = bench.cells.reserve(&bench.cell, &call(0, vec![item(first, 1)])).await.unwrap();
    assert!(reply.replicated);
    let more = Wait { replicas: 2, ..WAIT };
    let reply = bench.reserve(item(first, 1), more).await.unwrap();
    assert!(is_new(&reply.results[0]) && !reply.replicated, "there is one replica only");

    let (_, replica) = bench.pair().await;
    bench.servers.pause(&server(&replica)).unwrap();
    let start = Instant::now();
    let (result, replicated) = bench.one(item(second, 2)).await;
    let took = start.elapsed();
    assert!(is_new(&result) && !replicated, "{result:?}");
    assert!(took >= WAIT.timeout && took < WAIT.timeout + Duration::from_secs(1), "{took:?}");
    println!("with its replica stopped: NEW, not replicated, after {took:?}");
    // The first one is on the replica; asked again it is written again, and that is not.
    let (result, replicated) = bench.one(item(first, 1)).await;
    assert!(is_new(&result) && !replicated, "a repeat writes: {result:?}");
    let (result, replicated) = bench.one(item(first, 3)).await;
    assert!(matches!(result, Reserved::Held { .. }) && !replicated, "{result:?}");

    bench.servers.heal(&server(&replica)).unwrap();
    println!("whole again after {:?}", bench.until_whole(100).await);
    let (result, replicated) = bench.one(item(second, 2)).await;
    assert!(is_new(&result) && replicated, "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_repeat_writes_its_hold() {
    let bench = Bench::new().await;
    let (primary, _) = bench.pair().await;
    let payload: bytes::Bytes = vec![b'x'; 4000].into();
    let one = |nonce| ReserveItem { payload: payload.clone(), ..item(order(1, 1, 1), nonce) };
    for (nonce, what) in [(1, "first"), (1, "NEW again"), (2, "HELD"), (2, "HELD again")] {
        let before = offset(&primary).await;
        let (result, replicated) = bench.one(one(nonce)).await;
        let wrote = offset(&primary).await - before;
        assert!(replicated && wrote >= 4000, "{what}: {result:?}, {wrote} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_leaves_the_outcome_unknown() {
    let mut bench = Bench::new().await;
    bench.until_whole(0).await;
    let (primary, replica) = bench.pair().await;
    bench.servers.pause(&server(&replica)).unwrap();
    let long = Wait { timeout: Duration::from_secs(10), ..WAIT };
    let Bench { servers, cells, cell } = &mut bench;
    let waits = ReserveCall { wait: Some(long), ..call(0, vec![item(order(1, 1, 1), 1)]) };
    let killed = async {
        sleep(Duration::from_millis(500)).await;
        servers.kill(&server(&primary)).unwrap();
    };
    let (reply, ()) = tokio::join!(cells.reserve(cell, &waits), killed);
    assert!(matches!(reply, Err(CellError::Unknown(_))), "{reply:?}");
    // Nobody listens there: what could not be sent did not run.
    let reply = bench.reserve(item(order(2, 1, 1), 2), WAIT).await;
    assert!(matches!(reply, Err(CellError::NotSent(..))), "{reply:?}");
    bench.servers.heal(&server(&replica)).unwrap();
    bench.servers.heal(&server(&primary)).unwrap();
    println!("whole again after {:?}", bench.until_whole(100).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_hangs_is_left_for_its_replica() {
    let mut bench = Bench::new().await;
    bench.until_whole(0).await;
    let (primary, _) = bench.pair().await;
    bench.servers.pause(&server(&primary)).unwrap();
    let reply = bench.reserve(item(order(1, 1, 1), 1), WAIT).await;
    assert!(matches!(reply, Err(CellError::Unknown(_))), "{reply:?}");
    let start = Instant::now();
    let found = loop {
        if let Ok(reply) = bench.reserve(item(order(2, 1, 1), 2), WAIT).await {
            break reply;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the new primary is not found");
        sleep(Duration::from_millis(20)).await;
    };
    println!("the new primary answered after {:?}", start.elapsed());
    assert!(is_new(&found.results[0]) && !found.replicated, "it has no replica: {found:?}");
    bench.servers.heal(&server(&primary)).unwrap();
    println!("whole again after {:?}", bench.until_whole(100).await);
}
