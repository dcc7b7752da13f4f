//! How it stands with the partitions of a process: the answer of `/readyz`, and when a consumer is
//! given up.
//!
//! A process that keeps a partition and cannot finish anything in it would keep a healthy one from
//! it. So rounds without progress are counted per partition; after some of them the consumer is
//! given up. When that changed nothing, the next one is kept for longer, because then everybody is
//! without what this process lacks, and a partition that wanders only costs.

use std::collections::BTreeMap;

use orderlog::port::Partition;
use parking_lot::Mutex;
use runtime::probe::Ready;

/// What is worth counting of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum IntakeCount {
    /// Seconds from the publish of a frame to its ack.
    Lag(f64),
    /// A consumer was given up after rounds without progress.
    GaveUp,
    /// So many partitions wait for a newer program.
    Newer(usize),
}

/// The longest term is this many times the first.
const LONGEST: u32 = 16;

/// How it stands with a partition.
#[derive(Debug, Clone, Copy, Default)]
struct PartitionHealth {
    /// A consumer could be made.
    taken: bool,
    /// Rounds without progress since the last with some.
    fruitless: u32,
    /// The same since the consumer was made.
    term: u32,
    /// Terms that brought nothing, as a power of two.
    longer: u32,
    /// A newer program's frame is next.
    newer: bool,
}

/// How it stands with all partitions of a process.
pub(super) struct Health {
    most: u32,
    partitions: Mutex<BTreeMap<Partition, PartitionHealth>>,
    ready: Ready,
    count: fn(IntakeCount),
}

impl Health {
    /// Nothing is taken yet; a consumer is given up after this many rounds.
    pub(super) fn new(
        most: u32,
        partitions: impl Iterator<Item = Partition>,
        ready: Ready,
        count: fn(IntakeCount),
    ) -> Self {
        let all = partitions.map(|p| (p, PartitionHealth::default())).collect();
        Self { most, partitions: Mutex::new(all), ready, count }
    }

    fn with<T>(&self, p: Partition, change: impl FnOnce(&mut PartitionHealth) -> T) -> T {
        let mut all = self.partitions.lock();
        let done = change(all.entry(p).or_default());
        let good = |one: &PartitionHealth| one.taken && !one.newer && one.fruitless < self.most;
        self.ready.set(all.values().all(good));
        (self.count)(IntakeCount::Newer(all.values().filter(|one| one.newer).count()));
        done
    }

    /// A consumer was made.
    pub(super) fn taken(&self, p: Partition) {
        self.with(p, |one| (one.taken, one.term) = (true, 0));
    }

    /// Something was finished, and database 0 knows.
    pub(super) fn progress(&self, p: Partition) {
        self.with(p, |one| *one = PartitionHealth { taken: true, ..PartitionHealth::default() });
    }

    /// A round brought nothing; true when the consumer is to be given up.
    pub(super) fn fruitless(&self, p: Partition) -> bool {
        let over = self.with(p, |one| {
            (one.fruitless, one.term) = (one.fruitless.saturating_add(1), one.term + 1);
            let over = one.term >= self.most.saturating_mul(1 << one.longer);
            if over {
                one.longer = (one.longer + 1).min(LONGEST.ilog2());
            }
            over
        });
        if over {
            (self.count)(IntakeCount::GaveUp);
        }
        over
    }

    /// The next frame is of a newer program.
    pub(super) fn newer(&self, p: Partition) {
        self.with(p, |one| one.newer = true);
    }

    /// True when the next frame is of a newer program.
    pub(super) fn is_newer(&self, p: Partition) -> bool {
        self.partitions.lock().get(&p).is_some_and(|one| one.newer)
    }

    /// True when the last consumer was given up, or met a newer program's frame.
    pub(super) fn has_trouble(&self, p: Partition) -> bool {
        self.partitions.lock().get(&p).is_some_and(|one| one.longer > 0 || one.newer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_without_progress_end_and_grow() {
        let (a, b) = (Partition::Main(0), Partition::Retry(0));
        let ready = Ready::default();
        let h = Health::new(2, [a, b].into_iter(), ready.clone(), |_| ());
        h.taken(a);
        assert!(!ready.get(), "one partition was never taken");
        h.taken(b);
        assert!(ready.get());
        assert_eq!([(); 2].map(|()| h.fruitless(b)), [false, true]);
        assert!(!ready.get() && h.has_trouble(b) && !h.has_trouble(a));
        h.taken(b);
        assert_eq!([(); 4].map(|()| h.fruitless(b)), [false, false, false, true]);
        for _ in 0..40 {
            h.taken(b);
            assert!(!h.fruitless(b), "a term is never shorter than the first");
        }
        h.progress(b);
        assert!(ready.get() && !h.has_trouble(b));
        h.newer(a);
        assert!(!ready.get() && h.has_trouble(a));
        h.taken(a);
        assert!(!ready.get(), "it still waits");
        h.progress(a);
        assert!(ready.get());
        assert_eq!([(); 2].map(|()| h.fruitless(b)), [false, true], "the first term again");
    }
}
