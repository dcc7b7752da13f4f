//! What must hold: the invariants after every step, the rules of answers, and what must be true
//! in the end.
//!
//! The oracle reads the stores beside every process and changes nothing. Its checks are
//! `domain::invariant`'s, the ones that tests and live metrics use, plus rules of the protocol
//! that only an observer of all processes can check (section numbers instead of INV ids).

mod answers;
mod cells;
mod end;
mod ledger;
mod lives;
mod log;
mod money;
mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ::cells::look::Look;
use domain::invariant::{LedgerWatch, Violation};
use domain::order::RejectReason;
use domain::{Buyer, CellId, EntryId, IdempotencyKey, OrderId, RowStatus, Totals};

use crate::plan::Plan;

pub use answers::{Answered, Ask};
use lives::LivesSeen;

/// What is known of a cell.
#[derive(Default)]
struct CellFacts {
    watch: LedgerWatch,
    /// Totals after each entry; index 0 is the empty cell.
    prefix: Vec<Totals>,
    /// Units per buyer after each entry.
    sums: Vec<HashMap<String, i64>>,
    /// Redis after the last step.
    view: Option<Look>,
    /// When Redis last lost it.
    lost_at: Option<u64>,
    /// A hand wrote into it and nobody has mended it yet.
    falsified: bool,
    /// A hand wrote into it: an older state may bring that back.
    touched: bool,
    /// Its ledger lost a suffix: until the end the view may be one of the ledger that was.
    forked: bool,
    /// A hand wrote into its row when the ledger had so many entries.
    hand_at: Option<usize>,
}

/// What is known of an order.
#[derive(Debug, Clone, Default)]
struct Facts {
    who: Option<(Buyer, IdempotencyKey)>,
    /// First frame in the log.
    published_at: Option<u64>,
    /// A gate sent one of its frames.
    by_gate: bool,
    /// First answer `accepted`.
    accepted_at: Option<u64>,
    /// What that answer promised, minor units.
    promised: Option<i64>,
    /// Requests sent.
    sent: u32,
    /// Requests that were refused for good.
    refused: u32,
    /// The cell of its anchor.
    cell: Option<CellId>,
    /// The log lost a frame of it.
    frame_lost: bool,
}

/// A row as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RowFacts {
    status: RowStatus,
    version: u32,
    reason: Option<RejectReason>,
    amount: i64,
    cells: Vec<CellId>,
}

/// The oracle of one schedule.
pub struct Oracle {
    /// The first one found.
    pub violation: Option<Violation>,
    /// Redis lost data: what holds only without that is not asked any more.
    pub redis_lost: bool,
    /// Redis lost what no replica keeps, or a hand wrote into it.
    pub beyond_replicas: bool,
    /// Gates wait for the replicas.
    waits: bool,
    /// Holds that a failover lost and nobody has taken again.
    lost_holds: BTreeSet<(CellId, EntryId)>,
    /// A database lost commits: rows and verdicts are not each other's any more.
    pub db_lost: bool,
    /// An operator rewinds the databases that lost commits, or has done so.
    pub rewinds: bool,
    /// Orders that have lost their units for good, after their goods were sent.
    unmended: BTreeSet<OrderId>,
    cells: BTreeMap<CellId, CellFacts>,
    orders: BTreeMap<OrderId, Facts>,
    rows: BTreeMap<OrderId, RowFacts>,
    commits: u64,
    limits: BTreeMap<String, u32>,
    /// Units an operator asked for, by request: each at most once in the ledger.
    asked: BTreeMap<EntryId, i64>,
    supplied: BTreeSet<EntryId>,
    /// Units between buckets: from, to, how many.
    transfers: BTreeMap<EntryId, (CellId, CellId, i64)>,
    /// The halves of transfers that are in a ledger; true = the units left.
    halves: BTreeSet<(EntryId, bool)>,
    /// Flags that a repair gave back: no operator said them.
    given_back: BTreeSet<EntryId>,
    giving_back: bool,
    /// Transfers that the relay wrote into a ledger.
    relayed: BTreeSet<EntryId>,
    relaying: bool,
    lives: LivesSeen,
}

impl Oracle {
    /// Nothing has happened yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            violation: None,
            redis_lost: false,
            beyond_replicas: false,
            waits: plan.waits,
            lost_holds: BTreeSet::new(),
            db_lost: false,
            rewinds: false,
            unmended: BTreeSet::new(),
            cells: BTreeMap::new(),
            orders: BTreeMap::new(),
            rows: BTreeMap::new(),
            commits: 0,
            limits: plan.offers.iter().map(|o| (o.name.clone(), o.limit)).collect(),
            asked: BTreeMap::new(),
            supplied: BTreeSet::new(),
            transfers: BTreeMap::new(),
            halves: BTreeSet::new(),
            given_back: BTreeSet::new(),
            giving_back: false,
            relayed: BTreeSet::new(),
            relaying: false,
            lives: LivesSeen::default(),
        }
    }

    fn bad(&mut self, id: &'static str, detail: String) {
        self.violation.get_or_insert(Violation { id, detail });
    }

    fn all(&mut self, found: Vec<Violation>) {
        if let Some(first) = found.into_iter().next() {
            self.violation.get_or_insert(first);
        }
    }

    /// An operator asks for units under this id.
    pub fn asks(&mut self, id: EntryId, units: i64) {
        self.asked.insert(id, units);
    }

    /// Somebody moves units from one bucket to another under this id.
    pub fn moves(&mut self, id: EntryId, from: CellId, to: CellId, units: i64) {
        self.transfers.insert(id, (from, to, units));
    }

    /// The schedule could not begin.
    pub fn broken_setup(&mut self, why: String) {
        self.bad("setup", why);
    }

    /// INV-11: faults ended long ago and something still moves.
    pub fn never_quiet(&mut self, what: String) {
        self.bad("INV-11", what);
    }

    /// All cells.
    pub fn cell_ids(&self) -> Vec<CellId> {
        self.cells.keys().cloned().collect()
    }

    fn cell_of(&mut self, cell: &CellId) -> &mut CellFacts {
        if !self.cells.contains_key(cell) {
            let facts = CellFacts {
                prefix: vec![Totals::default()],
                sums: vec![HashMap::new()],
                ..CellFacts::default()
            };
            self.cells.insert(cell.clone(), facts);
        }
        self.cells.entry(cell.clone()).or_default()
    }

    fn limited(&self, cell: &CellId) -> Option<i64> {
        let limit = self.limits.get(cell.offer.as_str()).copied().unwrap_or(0);
        (limit > 0).then_some(i64::from(limit))
    }
}
