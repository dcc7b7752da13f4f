//! The reserve combiner: one queue per cell, one call in flight per cell, and more only while whole
//! batches wait.
//!
//! What arrives while a call is in flight becomes the next call; there is no timer. A call that
//! gets no answer is repeated with the same nonces, and its items then carry `unknown`: nobody
//! may say a definitive "no" to them (PROTOCOL 6.3). The combiner remembers the last Redis time
//! it saw, from which deadlines and window checks are reckoned. With `reserve.wait_replicas` each
//! call also waits for replicas; what they do not have in time is not published here, but left to
//! the relay. New holds go on to the frame combiner from here: their requests are woken once, by
//! the receipt.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cells::port::{CellError, Cells, Mark, Refusal, ReserveCall, ReserveItem, Reserved, Wait};
use domain::frame::Sealed;
use domain::{CellId, Identity};
use mutants::Mutant;
use parking_lot::{Mutex, RwLock};
use runtime::{Tasks, caught};
use tokio::sync::oneshot;
use tokio::time::Instant;
use view::Known;

use crate::config::ReserveConfig;
use crate::metrics::METRICS;
use crate::sale::emit::{Emit, Held};
use crate::sale::place::{Answered, Place, Told, What};
use crate::sale::soldout::SoldOut;

/// A line that waits for the script, with its place in the log and who waits for it.
struct WaitingCaller {
    item: ReserveItem,
    caller: Caller,
}

/// What the answer of a call says of all its lines.
struct CallHeard {
    /// An attempt before it was never answered.
    unknown: bool,
    /// The replicas have its holds.
    replicated: bool,
    mark: Mark,
    /// From when on its holds count as there.
    at: Instant,
}

struct Caller {
    place: Place,
    tell: oneshot::Sender<Told>,
}

impl Caller {
    /// Tells what became of the line, or gives it back: a new hold that no failover loses goes on
    /// to the log with who waits for it.
    fn hear(self, reserved: Reserved, payload: Bytes, call: &CallHeard) -> Option<Held> {
        let Self { place, tell } = self;
        let CallHeard { unknown, replicated, mark, at } = *call;
        if let Reserved::New { t_ms } = reserved
            && replicated
        {
            // How old the hold was when the script answered.
            let age = Duration::from_millis(mark.redis_ms.saturating_sub(t_ms));
            let sealed = Sealed { t_ms, payload };
            return Some(Held { place, sealed, age, seen: at, unknown, tell });
        }
        let what = What::Answered(Answered { reserved, replicated, mark, at, place });
        let _ = tell.send(Told { unknown, what });
        None
    }
}

#[derive(Default)]
struct CellQueue {
    waiting: Vec<WaitingCaller>,
    known: Option<Arc<Known>>,
    /// Calls in flight.
    running: usize,
}

/// One cell's queue, Redis clock and sold-out flag.
pub(crate) struct Lane {
    /// Whose.
    pub cell: CellId,
    /// Where its orders go in the log.
    pub partition: u16,
    queue: Mutex<CellQueue>,
    clock: Mutex<Option<(u64, Instant)>>,
    /// The short circuit of this cell.
    pub sold_out: SoldOut,
}

impl Lane {
    /// Redis time now, as far as it is known.
    pub(crate) fn redis_now(&self) -> Option<u64> {
        let seen = *self.clock.lock();
        seen.map(|(ms, at)| ms + at.elapsed().as_millis() as u64)
    }
}

/// All lanes of a gate.
pub(crate) struct Reserve {
    cells: Arc<dyn Cells>,
    emit: Arc<Emit>,
    identity: Identity,
    cfg: ReserveConfig,
    /// What a hold waits for before anybody builds on it.
    pub wait: Option<Wait>,
    tasks: Tasks,
    lanes: RwLock<HashMap<CellId, Arc<Lane>, ahash::RandomState>>,
}

/// Calls in flight per cell while whole batches wait.
const CALLS: usize = 4;
/// Attempts of one call, the first included.
const ATTEMPTS: u32 = 3;

impl Reserve {
    pub(crate) fn new(
        cells: Arc<dyn Cells>,
        emit: Arc<Emit>,
        identity: Identity,
        cfg: ReserveConfig,
        tasks: Tasks,
    ) -> Self {
        let timeout = Duration::from_millis(cfg.wait_timeout_ms);
        let replicas = cfg.wait_replicas;
        let wait = (replicas > 0).then_some(Wait { replicas, timeout });
        Self { cells, emit, identity, cfg, wait, tasks, lanes: RwLock::default() }
    }

    /// The lane of a cell of a known offer (so their number is bounded by the catalog).
    pub(crate) fn lane(&self, cell: &CellId) -> Arc<Lane> {
        if let Some(lane) = self.lanes.read().get(cell) {
            return lane.clone();
        }
        let mut lanes = self.lanes.write();
        let fresh = || {
            Arc::new(Lane {
                cell: cell.clone(),
                partition: self.identity.offer_home(&cell.offer, self.emit.partitions()),
                queue: Mutex::default(),
                clock: Mutex::new(None),
                sold_out: SoldOut::default(),
            })
        };
        lanes.entry(cell.clone()).or_insert_with(fresh).clone()
    }

    /// Enters one item; `None` when the lane is full (shed it).
    pub(crate) fn enter(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        known: &Arc<Known>,
        item: ReserveItem,
        place: Place,
    ) -> Option<oneshot::Receiver<Told>> {
        let (tell, done) = oneshot::channel();
        let start = {
            let mut q = lane.queue.lock();
            if q.waiting.len() >= self.cfg.queue {
                return None;
            }
            q.waiting.push(WaitingCaller { item, caller: Caller { place, tell } });
            // The newest view of the offer speaks for all: a changed window counts at once.
            q.known = Some(known.clone());
            let start = q.running == 0 || (q.running < CALLS && q.waiting.len() >= self.cfg.batch);
            q.running += usize::from(start);
            start
        };
        if start {
            let (me, lane) = (self.clone(), lane.clone());
            self.tasks.spawn_replaceable("reserve lane", async move { me.drive(&lane).await });
        }
        Some(done)
    }

    /// Calls until nothing waits. A panic takes the answers of its own batch, which is then
    /// unconfirmed, and nothing of the lane.
    async fn drive(self: Arc<Self>, lane: &Arc<Lane>) {
        while let Some((batch, known)) = self.next(lane) {
            caught("reserve lane", self.call(lane, &known, batch)).await;
        }
    }

    /// What goes into the next call; with none, its driver is no longer counted.
    fn next(&self, lane: &Lane) -> Option<(Vec<WaitingCaller>, Arc<Known>)> {
        let mut q = lane.queue.lock();
        let n = q.waiting.len().min(self.cfg.batch);
        // Of several, only whole batches go on; the last one takes what is left.
        let enough = n > 0 && (q.running == 1 || n == self.cfg.batch);
        match q.known.clone() {
            Some(known) if enough => Some((q.waiting.drain(..n).collect(), known)),
            _ => {
                q.running -= 1;
                None
            }
        }
    }

    async fn call(&self, lane: &Arc<Lane>, known: &Known, batch: Vec<WaitingCaller>) {
        let (items, callers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|w| (w.item, w.caller)).unzip();
        METRICS.reserve_batch.record(items.len() as f64);
        let window = |at: Option<i64>| at.unwrap_or(0).max(0) as u64;
        let deadline_ms = lane.redis_now().map_or(0, |now| now + self.cfg.budget_ms);
        let call = ReserveCall {
            limit: known.offer.limit_per_buyer.unwrap_or(0),
            deadline_ms,
            opens_at_ms: window(known.campaign.opens_at_ms),
            closes_at_ms: window(known.campaign.closes_at_ms),
            wait: self.wait,
            items,
        };
        let (reply, unknown, sent) = self.attempts(lane, &call).await;
        let at = age_from(sent);
        match reply {
            Ok(mut reply) => {
                reply.replicated = is_safe(reply.replicated);
                *lane.clock.lock() = Some((reply.mark.redis_ms, Instant::now()));
                self.note_stock(lane, &reply.mark, &reply.results);
                if !reply.replicated && reply.results.iter().any(Reserved::is_hold) {
                    METRICS.not_replicated.increment(1);
                }
                let (mark, replicated) = (reply.mark, reply.replicated);
                let heard = CallHeard { unknown, replicated, mark, at };
                let mut held = Vec::new();
                for ((caller, item), result) in
                    callers.into_iter().zip(call.items).zip(reply.results)
                {
                    held.extend(caller.hear(result, item.payload, &heard));
                }
                self.emit.publish(held);
            }
            Err(_) => {
                for caller in callers {
                    let _ = caller.tell.send(Told { unknown, what: What::Silence });
                }
            }
        }
    }

    /// The same call with the same nonces until there is an answer; true when an attempt's
    /// outcome is unknown; when the last attempt was sent.
    async fn attempts(
        &self,
        lane: &Lane,
        call: &ReserveCall,
    ) -> (Result<cells::ReserveReply, CellError>, bool, Instant) {
        let mut unknown = false;
        let mut attempt = 1;
        loop {
            let sent = Instant::now();
            let error = match self.cells.reserve(&lane.cell, call).await {
                Ok(reply) => return (Ok(reply), unknown, sent),
                Err(e) => e,
            };
            unknown |= matches!(error, CellError::Unknown(_));
            METRICS.reserve_errors.of((&error).into()).increment(1);
            view::failed::redis(error.clone());
            if attempt >= ATTEMPTS || !error.is_transient() {
                return (Err(error), unknown, sent);
            }
            attempt += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Keeps the sold-out flag of the lane fresh, and starts its filter when stock has run out.
    fn note_stock(&self, lane: &Arc<Lane>, mark: &Mark, results: &[Reserved]) {
        let refused =
            results.iter().any(|r| matches!(r, Reserved::Refused { why: Refusal::SoldOut, .. }));
        if !lane.sold_out.look(mark, refused) {
            return;
        }
        let (cells, identity, lane) = (self.cells.clone(), self.identity.clone(), lane.clone());
        self.tasks.spawn_replaceable("sold-out filter", async move {
            lane.sold_out.build(&*cells, &identity, &lane.cell).await;
        });
    }
}

/// A hold is as old as the call that may have made it, not as its answer.
fn age_from(sent: Instant) -> Instant {
    if mutants::on(Mutant::AgeFromAnswer) {
        return Instant::now();
    }
    sent
}

/// A hold that a failover would lose is not accepted.
fn is_safe(replicated: bool) -> bool {
    if mutants::on(Mutant::WaitIgnored) {
        return true;
    }
    replicated
}
