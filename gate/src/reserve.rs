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

use cells::port::{CellError, Cells, Mark, Refusal, ReserveCall, ReserveItem, Reserved, Wait};
use domain::frame::Sealed;
use domain::{CellId, Identity};
use parking_lot::{Mutex, RwLock};
use runtime::config::ReserveConfig;
use runtime::mutant::{self, Mutant};
use runtime::{Tasks, caught};
use tokio::sync::oneshot;
use tokio::time::Instant;
use view::Known;

use crate::emit::{Emit, Held, Place, Tell};
use crate::metrics::METRICS;
use crate::soldout::SoldOut;

/// What became of one reserve.
#[derive(Debug)]
pub(crate) struct Done {
    /// The script's word, or why there is none.
    pub result: Result<Reserved, CellError>,
    /// True when an attempt of this request may have run without an answer.
    pub unknown: bool,
    /// False when the replicas that were waited for did not have the hold in time: a failover may
    /// lose it, so nobody says `accepted`, and nobody publishes it: it could take the unit from an
    /// order that was accepted after the loss.
    pub replicated: bool,
    /// Where the cell stood; `redis_ms` 0 without an answer.
    pub mark: Mark,
    /// When the answered call was sent: what its answer tells may be as old as this.
    pub at: Instant,
    /// The request's place in the log's queue, if it was not used.
    pub place: Option<Place>,
    /// Of a new hold: whether the log gave its receipt.
    pub receipt: Option<bool>,
}

impl Done {
    /// How old a hold from `t_ms` was when the script answered.
    pub fn age(&self, t_ms: u64) -> Duration {
        Duration::from_millis(self.mark.redis_ms.saturating_sub(t_ms))
    }
}

struct Waiting {
    item: ReserveItem,
    caller: Caller,
}

struct Caller {
    place: Place,
    tell: oneshot::Sender<Done>,
}

impl Caller {
    fn done(
        self,
        result: Result<Reserved, CellError>,
        (unknown, replicated): (bool, bool),
        (mark, at): (Mark, Instant),
    ) -> (oneshot::Sender<Done>, Done) {
        let place = Some(self.place);
        (self.tell, Done { result, unknown, replicated, mark, at, place, receipt: None })
    }
}

/// A new hold that no failover loses goes on to the log, with its request; anything else is told at
/// once.
fn hand_on(item: ReserveItem, (tell, mut done): (oneshot::Sender<Done>, Done)) -> Option<Held> {
    let t_ms = match done.result {
        Ok(Reserved::New { t_ms }) if done.replicated => t_ms,
        _ => {
            let _ = tell.send(done);
            return None;
        }
    };
    let place = done.place.take()?;
    let sealed = Sealed { t_ms, payload: item.payload };
    let (age, seen) = (done.age(t_ms), done.at);
    Some(Held { place, sealed, age, seen, tell: Tell::Reserved(tell, done) })
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
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
    queue: Mutex<Queue>,
    clock: Mutex<Option<(u64, Instant)>>,
    /// The short circuit of this cell.
    pub sold_out: SoldOut,
}

impl Lane {
    /// Redis time now, as far as it is known.
    pub fn redis_now(&self) -> Option<u64> {
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
    pub fn new(
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
    pub fn lane(&self, cell: &CellId) -> Arc<Lane> {
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
    pub fn enter(
        self: &Arc<Self>,
        lane: &Arc<Lane>,
        known: &Arc<Known>,
        item: ReserveItem,
        place: Place,
    ) -> Option<oneshot::Receiver<Done>> {
        let (tell, done) = oneshot::channel();
        let start = {
            let mut q = lane.queue.lock();
            if q.waiting.len() >= self.cfg.queue {
                return None;
            }
            q.waiting.push(Waiting { item, caller: Caller { place, tell } });
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
    fn next(&self, lane: &Lane) -> Option<(Vec<Waiting>, Arc<Known>)> {
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

    async fn call(&self, lane: &Arc<Lane>, known: &Known, batch: Vec<Waiting>) {
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
        let (reply, unknown, mut at) = self.attempts(lane, &call).await;
        if mutant::on(Mutant::AgeFromAnswer) {
            at = Instant::now();
        }
        match reply {
            Ok(mut reply) => {
                reply.replicated |= mutant::on(Mutant::WaitIgnored);
                *lane.clock.lock() = Some((reply.mark.redis_ms, Instant::now()));
                self.note_stock(lane, &reply.mark, &reply.results);
                if !reply.replicated && reply.results.iter().any(Reserved::is_hold) {
                    METRICS.not_replicated.increment(1);
                }
                let mut held = Vec::new();
                for ((caller, item), result) in
                    callers.into_iter().zip(call.items).zip(reply.results)
                {
                    let done =
                        caller.done(Ok(result), (unknown, reply.replicated), (reply.mark, at));
                    held.extend(hand_on(item, done));
                }
                self.emit.publish(held);
            }
            Err(e) => {
                for caller in callers {
                    let nowhere = (Mark::default(), at);
                    let (tell, done) = caller.done(Err(e.clone()), (unknown, false), nowhere);
                    let _ = tell.send(done);
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
