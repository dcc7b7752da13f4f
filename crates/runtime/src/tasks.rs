//! Named tasks and the phases of a shutdown.
//!
//! Every spawned task is tracked, so that a shutdown can wait for it; the phases are an enum and
//! a gauge. A second signal exits at once. A panic is a bug, is counted, and never leaves a process
//! half alive: a loop begins again, and a task that cannot ends its process.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Context;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::counted::METRICS;

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

/// Before a loop that panicked begins again.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs `work`; a panic in it is counted and logged under `name`, and `None` is the answer. What
/// `work` held is dropped by then, and nothing else: counts that it had raised are the caller's.
pub async fn caught<T>(name: &'static str, work: impl Future<Output = T>) -> Option<T> {
    // Nothing behind a panic is seen again but through locks that guard whole values.
    let done = AssertUnwindSafe(work).catch_unwind().await;
    if done.is_err() {
        METRICS.task_panics.of(name).increment(1);
        tracing::error!(task = name, "a task panicked; this is a bug");
    }
    done.ok()
}

/// Spawns and tracks tasks, and tells them the phase. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    /// A task that panicked and without which the process is not whole.
    lost: watch::Sender<Option<&'static str>>,
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
            lost: watch::Sender::new(None),
            phase: watch::Sender::new(Phase::Running),
            now: Arc::default(),
        }
    }

    /// Spawns a task that the shutdown waits for and that cannot begin again: when it panics, its
    /// process has to end (see [`Tasks::lost`]).
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let lost = self.lost.clone();
        self.spawn_replaceable(name, async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                lost.send_replace(Some(name));
                std::panic::resume_unwind(panic);
            }
        });
    }

    /// Spawns a loop that the shutdown waits for; after a panic it is made again, a second later.
    pub fn spawn_loop<F>(&self, name: &'static str, make: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let me = self.clone();
        self.spawn_replaceable(name, async move {
            while caught(name, make()).await.is_none() {
                if me.unless(Phase::FlushLog, tokio::time::sleep(AGAIN)).await.is_none() {
                    return;
                }
            }
        });
    }

    /// Spawns a task that others do without, or make again, when it panics: of one connection, of
    /// one call.
    pub fn spawn_replaceable(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = async move {
            // Whoever waits for it notices by what it dropped.
            let _ = caught(name, task).await;
        };
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        tokio::spawn(self.tracker.track_future(task));
    }

    /// Waits until a task is lost without which this process is not whole, and tells its name.
    pub async fn lost(&self) -> &'static str {
        let mut rx = self.lost.subscribe();
        match rx.wait_for(Option::is_some).await {
            Ok(name) => name.unwrap_or_default(),
            // The sender lives in self.
            Err(_) => std::future::pending().await,
        }
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
            METRICS.shutdown_phase.set(f64::from(phase as u8));
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(60);

    #[allow(clippy::panic, reason = "the subject")]
    fn bug() {
        panic!("a bug of the test");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_begins_again() {
        let (tasks, runs) = (Tasks::new(), Arc::new(AtomicU32::new(0)));
        let (count, t) = (runs.clone(), tasks.clone());
        tasks.spawn_loop("a loop", move || {
            let (count, t) = (count.clone(), t.clone());
            async move {
                if count.fetch_add(1, Ordering::SeqCst) < 3 {
                    bug();
                }
                t.reached(Phase::StopAccept).await;
            }
        });
        tokio::time::sleep(SOON).await;
        assert_eq!(runs.load(Ordering::SeqCst), 4);
        assert!(timeout(SOON, tasks.lost()).await.is_err(), "nothing is lost");
        tasks.enter(Phase::StopAccept);
        assert!(tasks.wait(SOON).await);
        assert_eq!(runs.load(Ordering::SeqCst), 4, "one that ended well is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_always_panics_ends_with_the_process() {
        let tasks = Tasks::new();
        tasks.spawn_loop("a loop", || async { bug() });
        tasks.enter(Phase::Done);
        assert!(tasks.wait(SOON).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_cannot_begin_again_takes_its_process_along() {
        let tasks = Tasks::new();
        tasks.spawn("fine", async {});
        tasks.spawn_replaceable("small", async { bug() });
        assert!(timeout(SOON, tasks.lost()).await.is_err(), "neither is missed");
        let waiting = tasks.clone();
        tasks.spawn("vital", async { bug() });
        assert_eq!(timeout(SOON, waiting.lost()).await, Ok("vital"));
        assert_eq!(timeout(SOON, tasks.lost()).await, Ok("vital"), "also for who asks later");
        assert!(tasks.wait(SOON).await);
    }

    #[tokio::test]
    async fn what_panicked_has_let_go_of_what_it_held() {
        let (tell, heard) = oneshot::channel::<()>();
        let done = caught("a call", async move {
            let _tell = tell;
            bug();
        });
        assert_eq!(done.await, None);
        assert!(heard.await.is_err());
        assert_eq!(caught("a call", async { 7 }).await, Some(7));
    }
}
