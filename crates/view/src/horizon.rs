//! How far the log is finished: the relay and the sweeper act only behind this (PROTOCOL 6.5).
//!
//! A partition without traffic tells nothing by itself, so ticks are put into it. All of it is in
//! the clock of database 0, which nobody's own clock can falsify: ticks carry that time, and the
//! age of a hold is taken from the clock that gave it its time, its Redis node's. Compared are
//! ages, never the times of two clocks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::frame::{self, Item};
use mutants::Mutant;
use orderlog::port::{OrderLog, Partition};
use runtime::Clock;
use store::{Marks, StoreResult};
use tokio::time::Instant;

/// A horizon that was read longer ago is read again.
const FRESH: Duration = Duration::from_millis(250);

/// Times of database 0 up to which partitions are finished.
#[derive(Debug, Clone)]
pub struct Horizon {
    read: Instant,
    now: u64,
    mains: u64,
    retries: HashMap<u16, u64>,
    lives: HashMap<u16, u64>,
}

impl Horizon {
    /// The time before which news of lives of a database's orders are finished in the log; never in
    /// the future.
    pub fn of_lives(&self, db: u16) -> u64 {
        if mutants::on(Mutant::NoLifeHorizon) {
            return u64::MAX;
        }
        self.lives.get(&db).copied().unwrap_or(0).min(self.now)
    }

    /// The time before which an order that touches these databases is finished in the log; never
    /// in the future, whatever a clock that was ahead has left there.
    pub fn of(&self, dbs: &[u16]) -> u64 {
        if mutants::on(Mutant::NoHorizon) {
            return u64::MAX;
        }
        let retry = |db: &u16| self.retries.get(db).copied().unwrap_or(0);
        dbs.iter().map(retry).fold(self.mains.min(self.now), u64::min)
    }

    /// When something of this age came to be.
    pub fn before(&self, age_ms: u64) -> u64 {
        self.now.saturating_sub(age_ms)
    }

    /// The time at which it was read.
    pub fn now(&self) -> u64 {
        self.now
    }
}

/// The age of a hold made at `t_ms`, both times from its Redis node. A time that lies further in
/// the future than `slack` was given by a clock that was ahead, and has since been set back or
/// failed over: such a hold must not wait until that hour has come, so it counts as old.
pub fn age(t_ms: u64, redis_now: u64, slack: u64) -> u64 {
    if t_ms > redis_now.saturating_add(slack) { redis_now } else { redis_now.saturating_sub(t_ms) }
}

/// Reads it, and keeps it moving.
pub struct Horizons {
    /// Progress, and the time that ticks carry.
    pub marks: Arc<dyn Marks>,
    /// Where ticks go.
    pub log: Arc<dyn OrderLog>,
    /// This machine's own time.
    pub clock: Arc<dyn Clock>,
}

impl Horizons {
    /// Reads progress. `None` when database 0 does not answer: nobody is declared dead then.
    pub async fn read(&self) -> Option<Horizon> {
        let read = Instant::now();
        // The clock first: what is read after it cannot be finished past it in earnest.
        let now = self.marks.now_ms().await.ok()?;
        let progress: HashMap<String, u64> =
            self.marks.progress().await.ok()?.into_iter().collect();
        let until = |p: Partition| progress.get(&p.to_string()).copied().unwrap_or(0);
        let mains = (0..self.log.partitions()).map(|n| until(Partition::Main(n))).min();
        let retries = (0..self.marks.databases()).map(|d| (d, until(Partition::Retry(d))));
        let lives = (0..self.marks.databases()).map(|d| (d, until(Partition::Life(d))));
        let (retries, lives) = (retries.collect(), lives.collect());
        Some(Horizon { read, now, mains: mains.unwrap_or(0), retries, lives })
    }

    /// The same, or a new one where this one is old or missing.
    pub async fn fresh(&self, horizon: Option<Horizon>) -> Option<Horizon> {
        match horizon {
            Some(h) if h.read.elapsed() <= FRESH => Some(h),
            _ => self.read().await,
        }
    }

    /// Puts a tick into each of these partitions whose progress is older than a second. Its time is
    /// that of database 0, read before it is published: what the tick finds finished was published
    /// before it.
    pub async fn tick_idle(&self, partitions: impl Iterator<Item = Partition>) {
        if mutants::on(Mutant::NoTicks) {
            return;
        }
        let Ok(now) = self.time_of_ticks().await else { return };
        let Ok(progress) = self.marks.progress().await else { return };
        let progress: HashMap<String, u64> = progress.into_iter().collect();
        for p in partitions {
            let until = progress.get(&p.to_string()).copied().unwrap_or(0);
            if until + 1000 > now {
                continue;
            }
            let tick = frame::encode(&[Item::Tick(now)]);
            if let Err(e) = self.log.publish(p, tick).await {
                tracing::debug!(partition = %p, error = %e, "no tick");
            }
        }
    }

    /// A tick says that what was published before it is older than this: database 0's time.
    async fn time_of_ticks(&self) -> StoreResult<u64> {
        if mutants::on(Mutant::TickOwnClock) {
            return Ok(self.clock.now_ms());
        }
        self.marks.now_ms().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const NOW: u64 = 500 * HOUR;

    fn horizon(mains: u64, retry: u64) -> Horizon {
        let (retries, lives) = (HashMap::from([(0, retry)]), HashMap::from([(0, retry)]));
        Horizon { read: Instant::now(), now: NOW, mains, retries, lives }
    }

    #[tokio::test]
    async fn the_future_is_not_finished() {
        let cases = [
            (NOW - 5, NOW - 9, NOW - 9),
            (NOW - 9, NOW - 5, NOW - 9),
            (NOW + HOUR, NOW + HOUR, NOW),
            (NOW + HOUR, NOW - HOUR, NOW - HOUR),
        ];
        for (mains, retry, until) in cases {
            assert_eq!(horizon(mains, retry).of(&[0]), until);
        }
        assert_eq!(horizon(NOW, NOW).of(&[0, 1]), 0, "a partition that nobody knows");
        let lives = horizon(NOW, NOW - 5);
        assert_eq!((lives.of_lives(0), lives.of_lives(1)), (NOW - 5, 0));
        assert_eq!(horizon(NOW, NOW + HOUR).of_lives(0), NOW);
    }

    #[test]
    fn ages_are_of_one_clock() {
        for (t, now, want) in [
            (NOW - 7, NOW, 7),
            (NOW, NOW, 0),
            (NOW + 900, NOW, 0),
            (NOW + 1001, NOW, NOW),
            (NOW + HOUR, NOW, NOW),
            (NOW, NOW + HOUR, HOUR),
            (u64::MAX, NOW, NOW),
        ] {
            assert_eq!(age(t, now, 1000), want, "{t} {now}");
        }
    }
}
