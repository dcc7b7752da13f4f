//! hyper's timer for the heads of one HTTP/1 connection.
//!
//! hyper asks for a deadline before each head and drops it when the head is there. A timer of the
//! runtime for each would be entered into its wheel and taken out again with every request. Here a
//! connection has one, which is set anew only when it goes off: deadlines only move on, so it never
//! goes off too late, and at most once per timeout for nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::Sleep;

/// One connection's timer.
#[derive(Clone)]
pub struct Alarm(Arc<Mutex<Pin<Box<Sleep>>>>);

impl Alarm {
    /// For deadlines that are at least `timeout` away when they are asked for.
    pub fn new(timeout: Duration) -> Self {
        Self(Arc::new(Mutex::new(Box::pin(tokio::time::sleep(timeout)))))
    }

    /// True when it has no waker any more and the next deadline has to be polled.
    pub fn has_gone_off(&self) -> bool {
        self.0.lock().is_elapsed()
    }

    /// Ready when the deadline has passed.
    pub fn until(&self, deadline: Instant) -> Until {
        Until { alarm: self.clone(), deadline }
    }
}

impl hyper::rt::Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(self.until(deadline))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// See [`Alarm::until`].
pub struct Until {
    alarm: Alarm,
    deadline: Instant,
}

impl hyper::rt::Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut alarm = self.alarm.0.lock();
        if alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        alarm.as_mut().reset(self.deadline.into());
        alarm.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::rt::Timer;

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_is_kept_and_an_over_one_is_over() {
        let timeout = Duration::from_secs(10);
        let alarm = Alarm::new(timeout);
        let began = tokio::time::Instant::now();
        tokio::time::advance(Duration::from_secs(6)).await;
        alarm.sleep(timeout).await;
        assert_eq!(began.elapsed().as_secs(), 16);
        // The next one begins when the last is over.
        tokio::time::advance(Duration::from_secs(3)).await;
        let first = alarm.sleep(timeout);
        drop(first);
        alarm.sleep(timeout).await;
        assert_eq!(began.elapsed().as_secs(), 29);
        let over = alarm.now();
        tokio::time::advance(Duration::from_secs(1)).await;
        alarm.sleep_until(over).await;
        assert_eq!(began.elapsed().as_secs(), 30);
    }
}
