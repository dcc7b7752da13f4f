//! Named tasks and the phases of a shutdown.
//!
//! Every spawned task is tracked, so that a shutdown can wait for it; the phases are an enum and
//! a gauge. A second signal exits at once.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Context;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// A phase, looked at from one task again and again: the first look leaves the task's waker, each
/// later one is a load.
pub struct Watch {
    tasks: Tasks,
    phase: Phase,
    asked: bool,
    reached: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Watch {
    /// True when the phase is there; otherwise the task is woken when it comes.
    pub fn is_reached(&mut self, cx: &mut Context<'_>) -> bool {
        if self.tasks.is_at(self.phase) {
            return true;
        }
        if self.asked {
            return false;
        }
        self.asked = true;
        pin!(tokio::task::unconstrained(&mut self.reached)).poll(cx).is_ready()
    }
}

/// Where a process stands on its way down. Later phases are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Working.
    Running,
    /// Readiness says no, so that balancers look elsewhere; requests still work.
    NotReady,
    /// No new connections, `Connection: close` on the old ones.
    StopAccept,
    /// Requests under way finish.
    DrainRequests,
    /// What was accepted reaches the log; consumers finish their batch.
    FlushLog,
    /// Pools close.
    ClosePools,
    /// Gone.
    Done,
}

/// Spawns and tracks tasks, and tells them the phase. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    phase: watch::Sender<Phase>,
    /// The phase again, for those who ask with every request: reading the watch takes a lock.
    now: Arc<AtomicU8>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// No tasks, phase `Running`.
    pub fn new() -> Self {
        Self {
            tracker: TaskTracker::new(),
            phase: watch::Sender::new(Phase::Running),
            now: Arc::default(),
        }
    }

    /// Spawns a task that the shutdown waits for. `name` stands in logs when it panics.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tracker.track_future(task);
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        let handle = tokio::spawn(task);
        #[expect(clippy::disallowed_methods, reason = "watches the task above")]
        tokio::spawn(async move {
            if let Err(e) = handle.await
                && e.is_panic()
            {
                metrics::counter!("sluicegate_task_panics_total", "task" => name).increment(1);
                tracing::error!(task = name, "a task panicked; this is a bug");
            }
        });
    }

    /// Spawns a task for one connection or request: tracked, without a watcher of its own.
    pub fn spawn_request(&self, task: impl Future<Output = ()> + Send + 'static) {
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        tokio::spawn(self.tracker.track_future(task));
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// True when the phase is at least this one; costs one load.
    pub fn is_at(&self, phase: Phase) -> bool {
        self.now.load(Ordering::Acquire) >= phase as u8
    }

    /// Moves on to a later phase; an earlier one is ignored.
    pub fn enter(&self, phase: Phase) {
        let moved = self.phase.send_if_modified(|p| {
            let later = phase > *p;
            if later {
                *p = phase;
                // Before the watch wakes anybody, so that whoever is woken sees it.
                self.now.store(phase as u8, Ordering::Release);
            }
            later
        });
        if moved {
            metrics::gauge!("sluicegate_shutdown_phase").set(f64::from(phase as u8));
            tracing::info!(?phase, "shutdown");
        }
    }

    /// Waits until the phase is at least this one.
    pub async fn reached(&self, phase: Phase) {
        let mut rx = self.phase.subscribe();
        // The sender lives in self, so this only ends when the phase is there.
        let _ = rx.wait_for(|p| *p >= phase).await;
    }

    /// The same for a poll function that runs often.
    pub fn watch(&self, phase: Phase) -> Watch {
        let tasks = self.clone();
        let reached = Box::pin(async move { tasks.reached(phase).await });
        Watch { tasks: self.clone(), phase, asked: false, reached }
    }

    /// Runs a future unless the phase comes first; `None` then.
    pub async fn unless<T>(&self, phase: Phase, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.reached(phase) => None,
            done = work => Some(done),
        }
    }

    /// Waits for all tasks to end, at most `limit`; false when some were still running.
    pub async fn wait(&self, limit: Duration) -> bool {
        self.tracker.close();
        let ended = tokio::time::timeout(limit, self.tracker.wait()).await.is_ok();
        self.tracker.reopen();
        ended
    }
}

/// Waits for SIGTERM or Ctrl-C. A second one ends the process at once with 130.
pub async fn signal() {
    let name = first_signal().await;
    tracing::info!(signal = name, "draining; a second signal exits at once");
    #[expect(clippy::disallowed_methods, reason = "untracked: a shutdown must not wait for it")]
    tokio::spawn(async {
        first_signal().await;
        tracing::warn!("second signal: exit without draining");
        std::process::exit(130);
    });
}

async fn first_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        tracing::warn!("no handler for SIGTERM; Ctrl-C only");
        let _ = tokio::signal::ctrl_c().await;
        return "SIGINT";
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "SIGINT",
        _ = term.recv() => "SIGTERM",
    }
}
