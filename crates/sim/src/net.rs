//! The way of one call from a process to a store and back, with everything that can happen on it.
//!
//! What was sent is carried out by the store whether or not its caller still waits. The fate of a
//! call is a function of seed, process and call number.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::sleep;

use crate::node::Node;
use crate::plan::Target;

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Trip {
    /// Where to.
    pub target: Target,
    /// What.
    pub name: &'static str,
    /// The caller's library gives up after so many ms.
    pub limit: u64,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// Certainly not carried out.
    NotSent,
    /// Nobody knows.
    Unknown,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, the answer arrives.
    Fine,
    /// Refused at once.
    Refused,
    /// Carried out, then the connection breaks: the caller hears so at once.
    Broken,
    /// Lost on the way there.
    LostRequest,
    /// Lost on the way back.
    LostReply,
    /// Carried out so many ms after the caller gave up.
    Late(u64),
    /// Carried out again so many ms later.
    Twice(u64),
}

impl Fate {
    /// The name in the coverage table.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Fine => "fine",
            Fate::Refused => "refused",
            Fate::Broken => "broken",
            Fate::LostRequest => "lost_request",
            Fate::LostReply => "lost_reply",
            Fate::Late(_) => "late",
            Fate::Twice(_) => "twice",
        }
    }
}

/// The work at the store; called again for a call that is carried out twice.
pub type Work<R> = Box<dyn Fn() -> BoxFuture<'static, R> + Send + Sync>;

/// Sends a call and waits for its answer.
pub async fn trip<R: Send + 'static>(
    node: &Arc<Node>,
    trip: Trip,
    work: Work<R>,
) -> Result<R, Failed> {
    node.running().await;
    let world = node.world.clone();
    let dice = node.dice();
    let (there, back) = (1 + dice % 3, (dice >> 8) % 3);
    let fate = world.fate(node, trip, dice);
    let there = node.stretched(world.stretched(trip.target, there + world.hiccup(dice)));
    let gone = world.is_cut(node, trip.target) || matches!(fate, Fate::LostRequest);
    let done = if gone {
        pause(trip.limit).await;
        Err(Failed::Unknown)
    } else {
        match fate {
            Fate::Refused => {
                pause(back).await;
                Err(Failed::NotSent)
            }
            Fate::LostReply => {
                pause(there).await;
                carry(node, &work).await;
                pause(trip.limit.saturating_sub(there)).await;
                Err(Failed::Unknown)
            }
            Fate::Broken => {
                pause(there).await;
                drop(carry(node, &work).await);
                Err(Failed::Unknown)
            }
            Fate::Late(by) => {
                later(node, trip.limit + by, work);
                pause(trip.limit).await;
                Err(Failed::Unknown)
            }
            Fate::Fine | Fate::Twice(_) if there > trip.limit => {
                later(node, there, work);
                pause(trip.limit).await;
                Err(Failed::Unknown)
            }
            Fate::Fine | Fate::Twice(_) => {
                pause(there).await;
                let answer = carry(node, &work).await;
                if let Fate::Twice(by) = fate {
                    later(node, by, work);
                }
                pause(back).await;
                Ok(answer)
            }
            Fate::LostRequest => Err(Failed::Unknown),
        }
    };
    if let Err(failed) = &done {
        let text = if fate == Fate::Fine { "too slow or down" } else { fate.name() };
        world.tell(&node.name, || format!("{} {:?}: {text} ({failed:?})", trip.name, trip.target));
    }
    node.running().await;
    done
}

/// A process that died before the call left it has not sent it.
async fn carry<R>(node: &Arc<Node>, work: &Work<R>) -> R {
    if node.is_dead() {
        return std::future::pending().await;
    }
    work().await
}

async fn pause(ms: u64) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
}

/// Carried out by the network, whoever still waits.
fn later<R: Send + 'static>(node: &Arc<Node>, ms: u64, work: Work<R>) {
    let world = node.world.clone();
    world.stray(1);
    spawn(async move {
        pause(ms).await;
        drop(work().await);
        world.stray(-1);
    });
}

/// Runs beside everything else; ends with the schedule.
#[expect(clippy::disallowed_methods, reason = "the simulator's own tasks are no process's")]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
