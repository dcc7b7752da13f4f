//! When a provider is left alone: after calls without an answer, for a time that grows.

use std::time::Duration;

use tokio::time::Instant;

/// So many calls in a row without an answer.
const FAILURES: u32 = 20;
/// How long it is left alone first, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// How it stands with a provider.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    /// Until then nobody calls; afterwards one call tries it.
    until: Option<Instant>,
}

impl Breaker {
    /// True when a call would be let through.
    pub(crate) fn is_closed(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Lets a call through; while the provider is tried again, one at a time.
    pub(crate) fn enter(&mut self, now: Instant) -> bool {
        let enters = self.is_closed(now);
        if enters && self.until.is_some() {
            self.until = Some(now + self.pause());
        }
        enters
    }

    /// How a call ended.
    pub(crate) fn ended(&mut self, answered: bool, now: Instant) {
        if answered {
            *self = Self::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.until = Some(now + self.pause());
        }
    }

    fn pause(&self) -> Duration {
        let over = self.failures.saturating_sub(FAILURES).min(5);
        (FIRST * (1 << over)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_provider_is_left_alone_and_tried_again() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert!(breaker.enter(at(0)));
            breaker.ended(false, at(0));
        }
        breaker.ended(true, at(0));
        for _ in 0..FAILURES {
            assert!(breaker.enter(at(0)), "an answer begins anew");
            breaker.ended(false, at(0));
        }
        assert!(!breaker.enter(at(999)));
        assert!(breaker.enter(at(1000)) && !breaker.enter(at(1001)), "one at a time");
        breaker.ended(false, at(1500));
        assert!(!breaker.is_closed(at(3499)) && breaker.is_closed(at(3500)), "longer");
        for _ in 0..40 {
            breaker.ended(false, at(4000));
        }
        assert!(breaker.is_closed(at(34_000)), "never longer than that");
        assert!(breaker.enter(at(34_000)));
        breaker.ended(true, at(34_100));
        assert!(breaker.enter(at(34_100)) && breaker.enter(at(34_100)));
    }
}
