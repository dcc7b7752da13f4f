//! What the crowd counts while it runs: answers, latencies, half-second series.
//!
//! Latencies are microseconds from the intended start of a request to its definite answer, so
//! that a server which stalls is charged for everyone who had to wait. `late_start` is how late
//! requests left: when it is large, the crowd itself (too few connections) is the limit.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::answer::RequestOutcome;

/// Width of a step of the series, microseconds.
pub(crate) const STEP_US: u64 = 500_000;
/// The longest latency that is told apart.
const MAX_US: u64 = 3_600_000_000;
/// The most steps that are kept: 12 hours.
const MAX_STEPS: usize = 86_400;

/// One half second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StatStep {
    pub sent: u64,
    pub accepted: u64,
    pub refused: u64,
    pub other: u64,
}

/// Everything counted.
#[derive(Clone)]
pub(crate) struct Counts {
    /// Every answer, also the repeated ones.
    pub answers: BTreeMap<RequestOutcome, u64>,
    pub sends: u64,
    pub retries: u64,
    pub in_flight: u64,
    pub definite: Histogram<u64>,
    pub accepted: Histogram<u64>,
    pub refused: Histogram<u64>,
    pub late_start: Histogram<u64>,
    /// Definite answers since the last live line.
    pub recent: Histogram<u64>,
    pub steps: Vec<StatStep>,
    /// (microseconds, claimed minus released units of the ledger).
    pub persisted: Vec<(u64, i64)>,
}

fn histogram() -> Histogram<u64> {
    let made = Histogram::new_with_bounds(1, MAX_US, 3);
    made.expect("the bounds are constants that the crate accepts")
}

impl Counts {
    fn new() -> Self {
        Self {
            answers: BTreeMap::new(),
            sends: 0,
            retries: 0,
            in_flight: 0,
            definite: histogram(),
            accepted: histogram(),
            refused: histogram(),
            late_start: histogram(),
            recent: histogram(),
            steps: Vec::new(),
            persisted: Vec::new(),
        }
    }

    fn step(&mut self, at_us: u64) -> &mut StatStep {
        let index = ((at_us / STEP_US) as usize).min(MAX_STEPS - 1);
        if self.steps.len() <= index {
            self.steps.resize(index + 1, StatStep::default());
        }
        &mut self.steps[index]
    }

    /// The answers by name.
    pub(crate) fn by_label(&self) -> BTreeMap<Cow<'static, str>, u64> {
        let mut out = BTreeMap::new();
        for (outcome, n) in &self.answers {
            *out.entry(outcome.label()).or_insert(0) += n;
        }
        out
    }

    /// Accepted per second in the best full second.
    pub(crate) fn peak_accepted_per_s(&self) -> u64 {
        let per_s = (1_000_000 / STEP_US) as usize;
        let sums = self.steps.windows(per_s).map(|w| w.iter().map(|s| s.accepted).sum());
        sums.max().unwrap_or_else(|| self.steps.iter().map(|s| s.accepted).sum())
    }
}

/// The counts of a run, shared.
pub(crate) struct Stats {
    counts: Mutex<Counts>,
}

/// Where one sending stands in time, microseconds since the start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub intended_us: u64,
    pub end_us: u64,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self { counts: Mutex::new(Counts::new()) }
    }

    /// A request leaves, `late_us` after it was due.
    pub(crate) fn sent(&self, at_us: u64, late_us: u64, again: bool) {
        let mut c = self.counts.lock();
        c.sends += 1;
        c.in_flight += 1;
        c.step(at_us).sent += 1;
        if again {
            c.retries += 1;
        } else {
            c.late_start.saturating_record(late_us.max(1));
        }
    }

    /// Its end; `definite` when it will not be sent again.
    pub(crate) fn ended(&self, outcome: RequestOutcome, span: Span, definite: bool) {
        let mut c = self.counts.lock();
        c.in_flight = c.in_flight.saturating_sub(1);
        *c.answers.entry(outcome).or_insert(0) += 1;
        let latency = span.end_us.saturating_sub(span.intended_us).max(1);
        if definite {
            c.definite.saturating_record(latency);
            c.recent.saturating_record(latency);
        }
        let step = c.step(span.end_us);
        match outcome {
            RequestOutcome::Accepted => {
                step.accepted += 1;
                c.accepted.saturating_record(latency);
            }
            RequestOutcome::Refused(_) => {
                step.refused += 1;
                c.refused.saturating_record(latency);
            }
            RequestOutcome::Unconfirmed | RequestOutcome::Decided(_) | RequestOutcome::Odd(_) => {
                step.other += 1
            }
            RequestOutcome::NoAnswer | RequestOutcome::NotSent => step.other += 1,
        }
    }

    /// A look at the ledger.
    pub(crate) fn persisted(&self, at_us: u64, net: i64) {
        self.counts.lock().persisted.push((at_us, net));
    }

    /// Everything so far; empties `recent`.
    pub(crate) fn live<T>(&self, look: impl FnOnce(&Counts) -> T) -> T {
        let mut c = self.counts.lock();
        let seen = look(&c);
        c.recent.reset();
        seen
    }

    /// A copy of everything.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Reason;

    #[test]
    fn latency_counts_from_the_intended_start() {
        let s = Stats::new();
        s.sent(2_000_000, 1_000_000, false);
        let span = Span { intended_us: 1_000_000, end_us: 2_100_000 };
        s.ended(RequestOutcome::Accepted, span, true);
        s.sent(2_100_000, 0, true);
        s.ended(RequestOutcome::Refused(Reason::SoldOut), Span { end_us: 2_600_000, ..span }, true);
        let c = s.counts();
        assert!((1_090_000..1_110_000).contains(&c.accepted.max()));
        assert_eq!((c.sends, c.retries, c.in_flight), (2, 1, 0));
        assert_eq!(c.steps[4], StatStep { sent: 2, accepted: 1, ..StatStep::default() });
        assert_eq!(c.steps[5].refused, 1);
        assert_eq!(c.peak_accepted_per_s(), 1);
        assert_eq!(c.by_label().get("sold_out"), Some(&1));
    }
}
