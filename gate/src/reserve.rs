//! The reserve combiner: one queue per cell, one call in flight per cell, and more only while whole
//! batches wait.
//!
//! What arrives while a call is in flight becomes the next call; there is no timer. A call that
//! gets no answer is repeated with the same nonces, and its items then carry `unknown`: nobody may
//! say a definitive "no" to them (PROTOCOL 6.3). The combiner remembers the last Redis time it
//! saw, from which deadlines and window checks are reckoned.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cells::port::{CellError, Cells, Mark, Refusal, ReserveCall, ReserveItem, Reserved};
use domain::{CellId, Identity};
use parking_lot::{Mutex, RwLock};
use runtime::Tasks;
use runtime::config::ReserveConfig;
use runtime::mutant::{self, Mutant};
use tokio::sync::oneshot;
use tokio::time::Instant;
use view::Known;

use crate::soldout::SoldOut;

/// What became of one reserve.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// The script's word, or why there is none.
    pub result: Result<Reserved, CellError>,
    /// True when an attempt of this request may have run without an answer.
    pub unknown: bool,
    /// Where the cell stood; `redis_ms` 0 without an answer.
    pub mark: Mark,
    /// When the answered call was sent: what its answer tells may be as old as this.
    pub at: Instant,
}

struct Waiting {
    item: ReserveItem,
    tell: oneshot::Sender<Done>,
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
    cell: CellId,
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
    identity: Identity,
    cfg: ReserveConfig,
    tasks: Tasks,
    lanes: RwLock<HashMap<CellId, Arc<Lane>>>,
}

/// Calls in flight per cell while whole batches wait.
const CALLS: usize = 4;
/// Attempts of one call, the first included.
const ATTEMPTS: u32 = 3;

impl Reserve {
    pub fn new(
        cells: Arc<dyn Cells>,
        identity: Identity,
        cfg: ReserveConfig,
        tasks: Tasks,
    ) -> Self {
        Self { cells, identity, cfg, tasks, lanes: RwLock::default() }
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
    ) -> Option<oneshot::Receiver<Done>> {
        let (tell, done) = oneshot::channel();
        let start = {
            let mut q = lane.queue.lock();
            if q.waiting.len() >= self.cfg.queue {
                return None;
            }
            q.waiting.push(Waiting { item, tell });
            // The newest view of the offer speaks for all: a changed window counts at once.
            q.known = Some(known.clone());
            let start = q.running == 0 || (q.running < CALLS && q.waiting.len() >= self.cfg.batch);
            q.running += usize::from(start);
            start
        };
        if start {
            let (me, lane) = (self.clone(), lane.clone());
            self.tasks.spawn_request(async move { me.drive(&lane).await });
        }
        Some(done)
    }

    /// Calls until nothing waits.
    async fn drive(self: Arc<Self>, lane: &Arc<Lane>) {
        loop {
            let (batch, known) = {
                let mut q = lane.queue.lock();
                let n = q.waiting.len().min(self.cfg.batch);
                // Of several, only whole batches go on; the last one takes what is left.
                let enough = n > 0 && (q.running == 1 || n == self.cfg.batch);
                match q.known.clone() {
                    Some(known) if enough => (q.waiting.drain(..n).collect::<Vec<_>>(), known),
                    _ => {
                        q.running -= 1;
                        return;
                    }
                }
            };
            self.call(lane, &known, batch).await;
        }
    }

    async fn call(&self, lane: &Arc<Lane>, known: &Known, batch: Vec<Waiting>) {
        let (items, tellers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|w| (w.item, w.tell)).unzip();
        crate::metrics::reserve_batch(items.len());
        let window = |at: Option<i64>| at.unwrap_or(0).max(0) as u64;
        let deadline_ms = lane.redis_now().map_or(0, |now| now + self.cfg.budget_ms);
        let call = ReserveCall {
            limit: known.offer.limit_per_buyer.unwrap_or(0),
            deadline_ms,
            opens_at_ms: window(known.campaign.opens_at_ms),
            closes_at_ms: window(known.campaign.closes_at_ms),
            items,
        };
        let (reply, unknown, mut at) = self.attempts(lane, &call).await;
        if mutant::on(Mutant::AgeFromAnswer) {
            at = Instant::now();
        }
        match reply {
            Ok(reply) => {
                *lane.clock.lock() = Some((reply.mark.redis_ms, Instant::now()));
                self.note_stock(lane, &reply.mark, &reply.results);
                let mark = reply.mark;
                for (tell, result) in tellers.into_iter().zip(reply.results) {
                    let _ = tell.send(Done { result: Ok(result), unknown, mark, at });
                }
            }
            Err(e) => {
                for tell in tellers {
                    let (result, mark) = (Err(e.clone()), Mark::default());
                    let _ = tell.send(Done { result, unknown, mark, at });
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
            let error = match self.cells.reserve(&lane.cell, call.clone()).await {
                Ok(reply) => return (Ok(reply), unknown, sent),
                Err(e) => e,
            };
            unknown |= matches!(error, CellError::Unknown(_));
            crate::metrics::reserve_error(&error);
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
        self.tasks.spawn_request(async move {
            lane.sold_out.build(&*cells, &identity, &lane.cell).await;
        });
    }
}
