//! One request over the network to a gate's buyers' listener, and its answer.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use serde_json::Value;
use tokio::time::sleep;

use crate::node::Node;
use crate::process::Fleet;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What an answer says.
pub struct Heard {
    /// Its status.
    pub status: u16,
    /// Its body; `Null` when that is no JSON.
    pub body: Value,
}

/// What a process answers while it lives and runs, to who waits so long.
pub async fn served<T>(
    node: &Node,
    patience: Duration,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let served = async {
        node.running().await;
        let answer = answer.await;
        node.running().await;
        answer
    };
    tokio::select! {
        biased;
        () = node.died() => None,
        answer = served => Some(answer),
        () = sleep(patience) => None,
    }
}

/// Sends it to a gate and waits so many ms; nothing when it, the gate or the answer is lost, as
/// `dice` says.
pub async fn send(
    fleet: &Fleet,
    (gate, patience): (u64, u64),
    dice: u64,
    request: Request<Full<Bytes>>,
) -> Option<Heard> {
    let world = &fleet.world;
    sleep(Duration::from_millis(dice % 3)).await;
    let (node, gate, _) = fleet.gate(gate)?;
    let calm = world.is_healed() || world.plan.tweaks.calls.contains(&dice);
    let lost = !calm && (dice >> 8) % 1000 < world.plan.calls.lost_reply;
    let patience = Duration::from_millis(patience);
    let answer = served(&node, patience, gate::respond(gate, HOME, request)).await?;
    if lost {
        world.met.lock().push(dice);
        world.met("client", "answer_lost");
        return None;
    }
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.ok()?.to_bytes();
    Some(Heard { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
}
