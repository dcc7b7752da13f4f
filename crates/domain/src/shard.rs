//! 4,096 logical shards and the versioned map that sends them to databases.
//!
//! A logical shard never changes for a buyer or an offer; only the map does, and every change has
//! a higher version. The catalog stores the map, so every process agrees.

/// 0 to 4095; buyers and offers each hash to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogicalShard(pub u16);

/// How many logical shards there are.
pub const LOGICAL_SHARDS: u16 = 4096;

/// Which database holds which logical shard.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ShardMap {
    /// Grows by one with each change.
    pub version: u64,
    /// How many databases there are; indexes below are smaller.
    pub databases: u16,
    /// (first shard, database): ascending, the first entry starts at 0.
    pub ranges: Vec<(u16, u16)>,
}

/// Why a map was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shard map: {0}")]
pub struct ShardMapError(pub String);

impl ShardMap {
    /// Version 1: equal slices over `databases` (at least 1).
    pub fn even(databases: u16) -> Self {
        let n = databases.max(1);
        let first = |db: u16| (u32::from(db) * u32::from(LOGICAL_SHARDS) / u32::from(n)) as u16;
        Self { version: 1, databases: n, ranges: (0..n).map(|db| (first(db), db)).collect() }
    }

    /// Checks the shape: starts at 0, ascending, every database index below `databases`.
    pub fn check(&self) -> Result<(), ShardMapError> {
        let fail = |text: &str| Err(ShardMapError(text.to_owned()));
        if self.ranges.first().map(|r| r.0) != Some(0) {
            return fail("the first range starts at shard 0");
        }
        if self.ranges.windows(2).any(|w| w[0].0 >= w[1].0) {
            return fail("ranges ascend");
        }
        let bad = |r: &(u16, u16)| r.1 >= self.databases || r.0 >= LOGICAL_SHARDS;
        if self.ranges.iter().any(bad) {
            return fail("a range points outside the shards or the databases");
        }
        Ok(())
    }

    /// The database of a shard.
    pub fn database(&self, shard: LogicalShard) -> u16 {
        let at = self.ranges.partition_point(|r| r.0 <= shard.0 % LOGICAL_SHARDS);
        self.ranges[at.saturating_sub(1)].1
    }
}
