//! The fixed schedule of arrivals, and what is sent again. Pure: times are microseconds since
//! the start of the run.
//!
//! Invariant: arrivals never depend on answers (open loop). `take` gives what is due first,
//! be it an arrival or a retry, and never waits.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// One sending that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlannedRequest {
    /// When to send.
    pub due_us: u64,
    /// Which key.
    pub track: u32,
    /// 0, or 1 for the second of a duplicate.
    pub copy: u8,
    /// 0 for the first sending of this copy.
    pub attempt: u16,
    /// When the first sending was due: latency counts from here.
    pub intended_us: u64,
}

/// The arrivals of a run: one per `1/rate` seconds, some of them doubled.
pub(crate) fn arrivals(
    requests: u32,
    rate: f64,
    duplicates: f64,
    seed: u64,
) -> Vec<PlannedRequest> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut jobs = Vec::with_capacity(requests as usize);
    for track in 0..requests {
        let due_us = (f64::from(track) * 1e6 / rate) as u64;
        let job = PlannedRequest { due_us, track, copy: 0, attempt: 0, intended_us: due_us };
        jobs.push(job);
        if rng.random::<f64>() < duplicates {
            jobs.push(PlannedRequest { copy: 1, ..job });
        }
    }
    jobs
}

/// The pause before attempt `attempt + 1`: 50 ms doubling to 2 s, the server's wish if it has
/// one (at most 5 s), and up to half of it more, so that a crowd does not come back in step.
pub(crate) fn pause_us(attempt: u16, retry_after_s: Option<u64>, random: f64) -> u64 {
    let own = 50_000u64 << attempt.min(6);
    let wish = retry_after_s.map_or(0, |s| s.min(5) * 1_000_000);
    let base = own.min(2_000_000).max(wish);
    base + (base as f64 * 0.5 * random) as u64
}

/// Arrivals and retries, shared by all connections.
pub(crate) struct Jobs {
    inner: Mutex<Inner>,
}

struct Inner {
    arrivals: std::vec::IntoIter<PlannedRequest>,
    again: BinaryHeap<Reverse<PlannedRequest>>,
}

impl Jobs {
    pub(crate) fn new(arrivals: Vec<PlannedRequest>) -> Self {
        let inner = Inner { arrivals: arrivals.into_iter(), again: BinaryHeap::new() };
        Self { inner: Mutex::new(inner) }
    }

    /// What is due first; `None` when nothing is left. Whoever adds a retry takes a job after
    /// that, so a retry is never left behind.
    pub(crate) fn take(&self) -> Option<PlannedRequest> {
        let mut inner = self.inner.lock();
        let arrival = inner.arrivals.as_slice().first().map(|j| j.due_us);
        let again = inner.again.peek().map(|j| j.0.due_us);
        match (arrival, again) {
            (Some(a), Some(r)) if r < a => inner.again.pop().map(|j| j.0),
            (Some(_), _) => inner.arrivals.next(),
            (None, _) => inner.again.pop().map(|j| j.0),
        }
    }

    /// Puts a retry in. Bounded by the number of connections times one.
    pub(crate) fn again(&self, job: PlannedRequest) {
        self.inner.lock().again.push(Reverse(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_distance_and_repeat_with_the_seed() {
        let a = arrivals(1000, 500.0, 0.1, 7);
        assert_eq!(a, arrivals(1000, 500.0, 0.1, 7));
        assert_eq!(a.iter().filter(|j| j.copy == 0).count(), 1000);
        let doubled = a.len() - 1000;
        assert!((60..150).contains(&doubled), "{doubled}");
        assert_eq!(a.last().map(|j| j.due_us), Some(999 * 2000));
        assert_eq!(arrivals(10, 1.0, 0.0, 1).len(), 10);
        assert_eq!(arrivals(10, 1.0, 1.0, 1).len(), 20);
    }

    #[test]
    fn what_is_due_first_comes_first() {
        let jobs = Jobs::new(arrivals(3, 1000.0, 0.0, 1));
        let first = jobs.take().unwrap();
        jobs.again(PlannedRequest { due_us: 1500, attempt: 1, ..first });
        let order: Vec<_> = std::iter::from_fn(|| jobs.take()).map(|j| j.due_us).collect();
        assert_eq!(order, [1000, 1500, 2000]);
    }

    #[test]
    fn pauses_grow_to_a_bound_and_respect_the_server() {
        assert_eq!(pause_us(0, None, 0.0), 50_000);
        assert_eq!(pause_us(60, None, 0.0), 2_000_000);
        assert_eq!(pause_us(0, Some(3), 0.0), 3_000_000);
        assert_eq!(pause_us(0, Some(300), 1.0), 7_500_000);
    }
}
