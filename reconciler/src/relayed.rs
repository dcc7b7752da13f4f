//! What was published again and may still be on its way to a writer, so that no pass publishes it
//! once more before a writer had its chance. Pure.
//!
//! Bounded: an order is forgotten as soon as the log is finished past its publish, and where too
//! many are under way the relay waits. Each pair of databases has its own share, so that orders
//! which wait for one that is down do not hold the others up. May be lost: that only costs work.

use std::collections::HashMap;

use domain::EntryId;

/// The databases of an order: its cell's and its buyer's.
pub(crate) type Dbs = (u16, u16);

/// Orders under way.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    most: usize,
    by_dbs: HashMap<Dbs, HashMap<EntryId, u64>>,
}

impl Relayed {
    /// At most so many in all, of so many databases.
    pub(crate) fn new(most: usize, databases: u16) -> Self {
        let pairs = usize::from(databases).pow(2).max(1);
        Self { most: (most / pairs).max(1), by_dbs: HashMap::new() }
    }

    /// When it was published, ms; 0 when that is not known.
    pub(crate) fn at(&self, dbs: Dbs, id: EntryId) -> u64 {
        self.by_dbs.get(&dbs).and_then(|of| of.get(&id)).copied().unwrap_or(0)
    }

    /// How many more may be published.
    pub(crate) fn room(&self, dbs: Dbs) -> usize {
        self.most.saturating_sub(self.by_dbs.get(&dbs).map_or(0, HashMap::len))
    }

    /// One was published at this time, ms.
    pub(crate) fn add(&mut self, dbs: Dbs, id: EntryId, at: u64) {
        self.by_dbs.entry(dbs).or_default().insert(id, at);
    }

    /// Forgets those that are past their chance: `over` says so of databases and time.
    pub(crate) fn prune(&mut self, over: impl Fn(Dbs, u64) -> bool) {
        self.by_dbs.retain(|dbs, of| {
            of.retain(|_, at| !over(*dbs, *at));
            of.shrink_to(of.len() * 2);
            !of.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_databases_that_stands_still_leaves_room_for_the_others() {
        let id = |n| EntryId([n; 16]);
        let mut r = Relayed::new(8, 2);
        assert_eq!((r.room((0, 0)), r.room((1, 0))), (2, 2));
        r.add((0, 0), id(1), 5);
        r.add((0, 0), id(1), 7);
        r.add((0, 0), id(2), 9);
        r.add((1, 0), id(3), 9);
        assert_eq!((r.at((0, 0), id(1)), r.at((0, 0), id(9))), (7, 0));
        assert_eq!((r.room((0, 0)), r.room((1, 0)), r.room((1, 1))), (0, 1, 2));
        r.prune(|dbs, at| dbs == (0, 0) && at < 9);
        assert_eq!((r.room((0, 0)), r.at((0, 0), id(1))), (1, 0));
        r.prune(|dbs, _| dbs != (1, 0));
        assert_eq!((r.room((0, 0)), r.room((1, 0))), (2, 1));
        assert!(Relayed::new(0, 300).room((0, 0)) > 0);
    }
}
