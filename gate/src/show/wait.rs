//! `wait=`: one query per buyer database and 100 ms serves all waiters of a gate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::OrderId;
use parking_lot::Mutex;
use runtime::{Phase, Tasks};
use store::OrdersRead;
use tokio::sync::Notify;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_millis(100);
/// Orders of one query.
const PIECE: usize = 512;

/// An order, and whether its row ends the wait.
type Awaited = (OrderId, bool);

/// Everybody who waits for a row.
pub(crate) struct Waiters {
    store: Arc<dyn OrdersRead>,
    most: usize,
    waiting: Mutex<BTreeMap<Awaited, (Arc<Notify>, usize)>>,
    any: Notify,
    /// Nobody waits any more.
    over: AtomicBool,
}

impl Waiters {
    pub(crate) fn new(store: Arc<dyn OrdersRead>, most: usize) -> Arc<Self> {
        Arc::new(Self {
            store,
            most,
            waiting: Mutex::default(),
            any: Notify::new(),
            over: AtomicBool::new(false),
        })
    }

    /// Waits for the order's row until `until`; at once when too many wait already.
    pub(crate) async fn row(&self, order: OrderId, until: Instant) {
        self.wait((order, true), until).await;
    }

    /// Waits until `until` as who waits for a row that does not come.
    pub(crate) async fn nothing(&self, order: OrderId, until: Instant) {
        self.wait((order, false), until).await;
    }

    async fn wait(&self, awaited: Awaited, until: Instant) {
        let notify = {
            let mut waiting = self.waiting.lock();
            if waiting.len() >= self.most || self.over.load(Ordering::Acquire) {
                return;
            }
            let slot = waiting.entry(awaited).or_insert_with(|| (Arc::new(Notify::new()), 0));
            slot.1 += 1;
            slot.0.clone()
        };
        let _leave = Leave { waiters: self, awaited };
        let mut woken = std::pin::pin!(notify.notified());
        // Registered before the asker is woken, so that no answer can slip in between.
        woken.as_mut().enable();
        self.any.notify_one();
        let _ = tokio::time::timeout_at(until, woken).await;
    }

    /// Asks the databases until `StopAccept`; then everybody is let go.
    pub(crate) fn spawn(self: &Arc<Self>, tasks: &Tasks) {
        let (me, t) = (self.clone(), tasks.clone());
        tasks.spawn_loop("order waiters", move || {
            let (me, t) = (me.clone(), t.clone());
            async move { me.serve(&t).await }
        });
    }

    async fn serve(&self, t: &Tasks) {
        loop {
            // First, for those who have waited since before a panic.
            while !self.waiting.lock().is_empty() && t.phase() < Phase::StopAccept {
                self.ask().await;
                t.unless(Phase::StopAccept, tokio::time::sleep(EVERY)).await;
            }
            if t.unless(Phase::StopAccept, self.any.notified()).await.is_none() {
                break;
            }
        }
        let everybody = self.waiting.lock();
        self.over.store(true, Ordering::Release);
        everybody.values().for_each(|w| w.0.notify_waiters());
    }

    async fn ask(&self) {
        let mut by_db: BTreeMap<u16, Vec<OrderId>> = BTreeMap::new();
        for (order, _) in self.waiting.lock().keys().filter(|(_, row)| *row) {
            by_db.entry(self.store.order_db(*order)).or_default().push(*order);
        }
        for (db, orders) in by_db {
            for piece in orders.chunks(PIECE) {
                let states = self.store.statuses(db, piece).await.map_err(view::failed::database);
                let Ok(states) = states else { continue };
                let waiting = self.waiting.lock();
                for state in states.into_iter().flatten() {
                    if let Some((notify, _)) = waiting.get(&(state.order, true)) {
                        notify.notify_waiters();
                    }
                }
            }
        }
    }
}

/// Takes a waiter out again, also when its client went away.
struct Leave<'a> {
    waiters: &'a Waiters,
    awaited: Awaited,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiters.waiting.lock();
        if let Some(slot) = waiting.get_mut(&self.awaited) {
            slot.1 -= 1;
            if slot.1 == 0 {
                waiting.remove(&self.awaited);
            }
        }
    }
}
