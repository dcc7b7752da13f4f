//! Redis as one process sees it: a runner of scripts behind the network.
//!
//! Every script that is carried out is one step of the schedule: the oracle looks right after it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cells::script::Call;
use cells::value::Value;
use cells::{CellError, CellResult, Runner, Wait};
use domain::CellId;
use futures::FutureExt;
use tokio::time::sleep;

use crate::coverage::RESERVE;
use crate::net::{Failed, Trip, Work, trip};
use crate::node::Node;
use crate::plan::Target;
use crate::redis::{Waited, Written};

/// The library gives up after so many ms.
const LIMIT: u64 = 100;

/// Replicas that do not have a call in time, of a thousand.
const LAG: u64 = 60;

/// Runs scripts for one process.
pub struct NodeRunner {
    /// Whose.
    pub node: Arc<Node>,
}

#[async_trait]
impl Runner for NodeRunner {
    async fn run(&self, cell: &CellId, call: Call) -> CellResult<Value> {
        let at = Trip { target: Target::Redis, name: call.script.name, limit: LIMIT };
        let (node, here, call) = (self.node.clone(), cell.clone(), Arc::new(call));
        let work: Work<CellResult<Value>> = Box::new(move || {
            let (node, here, call) = (node.clone(), here.clone(), call.clone());
            async move { step(&node, &here, &call).0 }.boxed()
        });
        match trip(&self.node, at, work).await {
            Ok(reply) => reply,
            Err(Failed::NotSent) => Err(CellError::NotSent(cell.clone(), "refused".to_owned())),
            Err(Failed::Unknown) => Err(CellError::Unknown(cell.clone())),
        }
    }

    async fn run_waiting(
        &self,
        cell: &CellId,
        call: Call,
        wait: Wait,
    ) -> CellResult<(Value, bool)> {
        let most = wait.timeout.as_millis() as u64;
        let at = Trip { target: Target::Redis, name: call.script.name, limit: LIMIT + most };
        let dice = self.node.dice();
        let (node, here, call) = (self.node.clone(), cell.clone(), Arc::new(call));
        let work: Work<CellResult<(Value, bool)>> = Box::new(move || {
            let (node, here, call) = (node.clone(), here.clone(), call.clone());
            async move { waiting(&node, &here, &call, (dice, most)).await }.boxed()
        });
        match trip(&self.node, at, work).await {
            Ok(reply) => reply,
            Err(Failed::NotSent) => Err(CellError::NotSent(cell.clone(), "refused".to_owned())),
            Err(Failed::Unknown) => Err(CellError::Unknown(cell.clone())),
        }
    }

    async fn ping(&self) -> bool {
        !self.node.world.is_cut(&self.node, Target::Redis)
    }
}

/// A script and the WAIT behind it; some replicas lag, also when nothing else is wrong.
async fn waiting(
    node: &Arc<Node>,
    cell: &CellId,
    call: &Arc<Call>,
    (dice, most): (u64, u64),
) -> CellResult<(Value, bool)> {
    let world = &node.world;
    let (reply, written) = step(node, cell, call);
    let value = reply?;
    let lagging = !world.is_healed() && (dice >> 8) % 1000 < LAG;
    sleep(Duration::from_millis(if lagging { most } else { dice % 3 })).await;
    let said = match written {
        Some(written) => world.redis.wait(world.now_ms(), cell, written, lagging),
        // The replica of a deposed primary is the new one: it acknowledges nothing any more.
        None => Waited::Short,
    };
    let name = match said {
        Waited::Ok => "ok",
        Waited::Nothing => "nothing",
        Waited::Short => "short",
        Waited::Broken => "broken",
    };
    world.met("wait", name);
    world.tell(&node.name, || format!("wait {cell} -> {name}"));
    match said {
        Waited::Ok | Waited::Nothing => Ok((value, true)),
        Waited::Short => Ok((value, false)),
        Waited::Broken => Err(CellError::Unknown(cell.clone())),
    }
}

/// Runs a script; what a WAIT would wait for, unless it ran on a deposed primary.
fn step(node: &Arc<Node>, cell: &CellId, call: &Arc<Call>) -> (CellResult<Value>, Option<Written>) {
    let world = &node.world;
    let old = world.sees_old(node);
    let (reply, written) = if old {
        (world.redis.run_old(world.now_ms(), cell, call), None)
    } else {
        let (reply, written) = world.redis.write(world.now_ms(), cell, call);
        (reply, Some(written))
    };
    let codes = match &reply {
        Ok(value) => codes(call, value),
        Err(_) => vec!["broken"],
    };
    for code in &codes {
        world.met(call.script.name, code);
    }
    let script = call.script.name;
    world.tell(&node.name, || {
        let place = if old { " (old primary)" } else { "" };
        format!("{script} {cell} {} -> {}{place}", about(call), codes.join(" "))
    });
    if old {
        world.met("old_primary", script);
        world.check(|oracle, w| oracle.deposed(w, cell, call));
    } else {
        world.check(|oracle, w| oracle.cell(w, cell, node, (call, &codes)));
    }
    (reply, written)
}

const LETTERS: [&[u8]; 13] =
    [b"N", b"O", b"H", b"V", b"F", b"X", b"D", b"R", b"W", b"Cc", b"Pp", b"Ll", b"Ss"];

fn int(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Int(i)) => *i,
        _ => -9,
    }
}

/// The codes of a reply, by their names.
fn codes(call: &Call, value: &Value) -> Vec<&'static str> {
    let Value::Array(items) = value else { return vec!["odd"] };
    let first = int(items.first());
    let pick = |names: &[&'static str], code: i64| {
        let name = usize::try_from(code).ok().and_then(|c| names.get(c).copied());
        name.unwrap_or("odd")
    };
    match call.script.name {
        "reserve" if items.len() == 2 => vec!["missing"],
        "reserve" => {
            let Some(Value::Bytes(letters)) = items.get(6) else { return vec!["odd"] };
            let at = |l: &u8| LETTERS.iter().position(|all| all.contains(l));
            letters.iter().map(|l| at(l).map_or("odd", |i| RESERVE[i])).collect()
        }
        "apply" => vec![pick(&["ok", "missing", "gap", "fork"], first)],
        "resolve" => vec![match first {
            -1 => "missing",
            0 => "kept",
            _ => "dropped",
        }],
        "load" | "mend" | "drop" => vec![pick(&["ok", "changed", "exists", "missing"], first)],
        "snapshot" => vec![if items.len() == 2 { "missing" } else { "ok" }],
        "cancel" | "fence" | "unseal" => vec!["met"],
        _ => vec!["ok"],
    }
}

/// Eight hex digits of an id: enough to follow an order through a story.
pub fn short(id: &[u8]) -> String {
    id.iter().skip(8).take(4).map(|b| format!("{b:02x}")).collect()
}

/// The buyer in a hold: its length stands before it.
fn buyer(hold: &[u8]) -> &[u8] {
    let length = hold.get(27..30).and_then(|l| std::str::from_utf8(l).ok()?.parse().ok());
    hold.get(30..30 + length.unwrap_or(0)).unwrap_or_default()
}

/// True for a drop that may lose holds.
pub fn as_fork(call: &Call) -> bool {
    call.args().nth(3) == Some(b"1".as_slice())
}

/// What a call is about, for the story.
fn about(call: &Call) -> String {
    let args: Vec<&[u8]> = call.args().collect();
    let text = |i: usize| String::from_utf8_lossy(args.get(i).map_or(&[], |a| a)).into_owned();
    match call.script.name {
        "reserve" => {
            let one = |c: &[&[u8]]| {
                let number: u64 = String::from_utf8_lossy(c[1]).parse().unwrap_or_default();
                let flags = number >> 46;
                let state = ["S", "L", "T"].get((flags >> 2) as usize).unwrap_or(&"?");
                let buyer = String::from_utf8_lossy(buyer(c[2]));
                format!("{} by {buyer} {state}{}{}", short(c[0]), flags >> 1 & 1, flags & 1)
            };
            args[4..].chunks_exact(3).map(one).collect::<Vec<_>>().join(", ")
        }
        "apply" => {
            let one = |c: &[&[u8]]| format!("{}{}", String::from_utf8_lossy(c[0]), short(c[2]));
            let list = args[2..].chunks_exact(7).map(one).collect::<Vec<_>>().join(" ");
            format!("after {}: {list}", text(0))
        }
        "resolve" => {
            let list = args
                .chunks_exact(3)
                .map(|c| format!("{}@{}", short(c[1]), String::from_utf8_lossy(c[2])));
            list.collect::<Vec<_>>().join(" ")
        }
        "load" => format!("W {} ticket {}", text(2), text(8)),
        "ticket" => text(0),
        "drop" | "mend" => format!("seen W {}", text(1)),
        _ => String::new(),
    }
}
