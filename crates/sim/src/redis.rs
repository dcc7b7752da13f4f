//! Redis: the production scripts in process, with a history of every slot.
//!
//! A failover puts a slot back to what it was some writes ago; because a script is a function of
//! its arguments and its time, that state is a saved one plus the same calls again. The Lua state
//! is used for schedule after schedule; [`Redis::reset`] empties it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cells::CellError;
use cells::embedded::{self, Embedded, Saved};
use cells::look::{self, Look};
use cells::script::{Call, Script};
use cells::value::Value;
use domain::CellId;
use parking_lot::Mutex;
use runtime::Clock;

/// Writes between two saved states.
const EPOCH: usize = 12;
/// Saved states kept; a failover loses at most `EPOCH * (EPOCHS - 1)` writes.
const EPOCHS: usize = 3;

/// Redis time, set before each call.
#[derive(Default)]
struct RedisClock(AtomicU64);

impl Clock for RedisClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Write {
    at: u64,
    primary: u64,
    call: Arc<Call>,
}

struct Epoch {
    from: Saved,
    writes: Vec<Write>,
}

#[derive(Default)]
struct Slot {
    epochs: VecDeque<Epoch>,
    replica: Replica,
    /// How many primaries the slot had before this one.
    primary: u64,
    /// (when, state): what a dump on disk would have.
    dumps: VecDeque<(u64, Saved)>,
}

/// What a slot's replicas are known to have.
#[derive(Debug, Default)]
struct Replica {
    /// Calls that may write, since the history began.
    calls: u64,
    /// The first so many of them are on all replicas: WAIT said so, and no failover loses them.
    covered: u64,
    /// Failovers, losses and hands so far: connections from before are broken.
    times: u64,
    /// Until then there is none.
    away_until: u64,
}

/// What a WAIT on the connection of a call would wait for.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// The call's number; `None` when it wrote nothing.
    at: Option<u64>,
    times: u64,
}

/// What WAIT says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// All replicas have it.
    Ok,
    /// Nothing was written, so nothing is covered, and WAIT says yes.
    Nothing,
    /// Not in time.
    Short,
    /// The connection broke.
    Broken,
}

/// A whole Redis Cluster.
pub struct Redis {
    lua: Embedded,
    /// The primaries that the last failover deposed; some processes still talk to them.
    old: Embedded,
    clock: Arc<RedisClock>,
    slots: Mutex<BTreeMap<CellId, Slot>>,
}

/// False for a script that only reads.
pub fn writes(name: &str) -> bool {
    !matches!(name, "snapshot" | "scan" | "lookup")
}

impl Redis {
    /// With scripts edited by a mutant; `Err` when they do not compile.
    pub fn new(edit: &dyn Fn(&Script) -> String) -> Result<Self, String> {
        let clock = Arc::new(RedisClock::default());
        let lua = embedded::edited(clock.clone(), edit)?;
        let old = embedded::edited(clock.clone(), edit)?;
        Ok(Self { lua, old, clock, slots: Mutex::default() })
    }

    /// Empty, as new.
    pub fn reset(&self) {
        self.lua.wipe_all();
        self.old.wipe_all();
        self.slots.lock().clear();
    }

    /// Runs a script at `now`.
    pub fn run(&self, now: u64, cell: &CellId, call: &Arc<Call>) -> Result<Value, CellError> {
        let mut slots = self.slots.lock();
        if writes(call.script.name) {
            let slot = slots.entry(cell.clone()).or_default();
            self.remember(now, cell, slot, call);
        }
        let primary = slots.get(cell).map_or(0, |slot| slot.primary);
        self.raw(&self.lua, (now, primary), cell, call)
    }

    /// As [`Redis::run`], and what a WAIT behind it would wait for.
    pub fn write(
        &self,
        now: u64,
        cell: &CellId,
        call: &Arc<Call>,
    ) -> (Result<Value, CellError>, Written) {
        let before = self.lua.writes(cell);
        let reply = self.run(now, cell, call);
        let wrote = self.lua.writes(cell) > before;
        let mut slots = self.slots.lock();
        let replica = &slots.entry(cell.clone()).or_default().replica;
        (reply, Written { at: wrote.then_some(replica.calls), times: replica.times })
    }

    /// WAIT at `now`; `lagging` = the replicas do not have it in time.
    pub fn wait(&self, now: u64, cell: &CellId, written: Written, lagging: bool) -> Waited {
        let mut slots = self.slots.lock();
        let replica = &mut slots.entry(cell.clone()).or_default().replica;
        let Some(at) = written.at else { return Waited::Nothing };
        if replica.times != written.times {
            return Waited::Broken;
        }
        if lagging || now < replica.away_until {
            return Waited::Short;
        }
        replica.covered = replica.covered.max(at);
        Waited::Ok
    }

    /// The slot's new primary has no replica until then.
    pub fn alone(&self, cell: &CellId, until: u64) {
        self.slots.lock().entry(cell.clone()).or_default().replica.away_until = until;
    }

    /// Runs a script on the deposed primary: nobody will remember it.
    pub fn run_old(&self, now: u64, cell: &CellId, call: &Call) -> Result<Value, CellError> {
        let before = self.slots.lock().get(cell).map_or(0, |slot| slot.primary.saturating_sub(1));
        self.raw(&self.old, (now, before), cell, call)
    }

    fn raw(
        &self,
        at: &Embedded,
        (now, primary): (u64, u64),
        cell: &CellId,
        call: &Call,
    ) -> Result<Value, CellError> {
        self.clock.0.store(now, Ordering::Relaxed);
        at.set_primary(cell, primary);
        at.run_now(cell, call)
    }

    fn remember(&self, now: u64, cell: &CellId, slot: &mut Slot, call: &Arc<Call>) {
        slot.replica.calls += 1;
        let full = slot.epochs.back().is_none_or(|e| e.writes.len() >= EPOCH);
        if full {
            let from = self.lua.save(cell);
            slot.dumps.push_back((now, from.clone()));
            slot.epochs.push_back(Epoch { from, writes: Vec::new() });
            if slot.epochs.len() > EPOCHS {
                slot.epochs.pop_front();
            }
        }
        if let Some(epoch) = slot.epochs.back_mut() {
            epoch.writes.push(Write { at: now, primary: slot.primary, call: call.clone() });
        }
    }

    /// The cell as it is.
    pub fn look(&self, cell: &CellId) -> Result<Option<Look>, String> {
        look::look(&self.lua, cell)
    }

    /// The cell as the deposed primary has it.
    pub fn look_old(&self, cell: &CellId) -> Result<Option<Look>, String> {
        look::look(&self.old, cell)
    }

    /// The slot's primary is deposed and does not know it; [`Redis::regress`] makes the new one.
    pub fn depose(&self, cell: &CellId) {
        self.old.restore(cell, &self.lua.save(cell));
    }

    /// The slot loses its last `n` writes (or as many as are remembered and no WAIT covered); how
    /// many it lost.
    pub fn regress(&self, cell: &CellId, n: u64) -> u64 {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(cell) else { return 0 };
        let n = n.min(slot.replica.calls - slot.replica.covered);
        let mut left = n;
        while let Some(epoch) = slot.epochs.back_mut() {
            let keep = epoch.writes.len().saturating_sub(left as usize);
            left -= (epoch.writes.len() - keep) as u64;
            epoch.writes.truncate(keep);
            if left == 0 || slot.epochs.len() == 1 {
                break;
            }
            slot.epochs.pop_back();
        }
        if let Some(epoch) = slot.epochs.back() {
            self.lua.restore(cell, &epoch.from);
            for w in &epoch.writes {
                drop(self.raw(&self.lua, (w.at, w.primary), cell, &w.call));
            }
        }
        slot.primary += 1;
        slot.replica.calls -= n - left;
        slot.replica.times += 1;
        n - left
    }

    /// The slot is what a dump of `before` had; false when there is none so old.
    pub fn restore_dump(&self, cell: &CellId, before: u64) -> bool {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get_mut(cell) else { return false };
        let dump = slot.dumps.iter().rev().find(|d| d.0 <= before).map(|d| d.1.clone());
        let Some(dump) = dump else { return false };
        self.lua.restore(cell, &dump);
        slot.primary += 1;
        slot.begin_again();
        true
    }

    /// The slot is empty.
    pub fn lose(&self, cell: &CellId) {
        self.lua.wipe_cell(cell);
        self.cut(cell);
    }

    /// The caches of verdicts are gone.
    pub fn forget_verdicts(&self, cell: &CellId) {
        self.lua.remove(cell, &["d0", "d1"]);
        self.cut(cell);
    }

    /// A hand writes a counter.
    pub fn falsify(&self, cell: &CellId, field: &str, value: i64) {
        self.lua.falsify(cell, "c", field.as_bytes(), value.to_string().as_bytes());
        self.cut(cell);
    }

    /// What was done without a script cannot be played again: the history starts here.
    fn cut(&self, cell: &CellId) {
        if let Some(slot) = self.slots.lock().get_mut(cell) {
            slot.begin_again();
        }
    }
}

impl Slot {
    fn begin_again(&mut self) {
        self.epochs.clear();
        let times = self.replica.times + 1;
        self.replica = Replica { times, ..Replica::default() };
    }
}
