//! Cells and their ledgers.

use async_trait::async_trait;
use domain::frame::{Mode, Sealed};
use domain::kept::Kept;
use domain::rows::Traces;
use domain::{Buyer, CellId, Entry, EntryId, Flag, Giveback, Key, Kind, OrderId, Totals};

use super::Shards;
use super::declare::port;
use crate::error::StoreResult;

/// The most positions of a ledger that one call reads.
pub const MAX_STRETCH: u64 = 20_000;

/// One order's line that wants a verdict.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The order.
    pub order: OrderId,
    /// The buyer.
    pub buyer: Buyer,
    /// Units.
    pub qty: u32,
    /// `Abort` rejects, `Full` claims if it fits.
    pub mode: Mode,
    /// True when this line is the order's anchor: the verdict then enters `unrowed`.
    pub anchor: bool,
    /// What the ledger keeps with the verdict.
    pub sealed: Sealed,
}

/// The asks of one cell.
#[derive(Debug, Clone)]
pub struct CellAsks {
    /// The cell.
    pub cell: CellId,
    /// In frame order; an order may occur twice.
    pub asks: Vec<Ask>,
}

/// A verdict and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Claim, reject or transfer-out.
    pub kind: Kind,
    /// Its position.
    pub seq: u64,
    /// True when this very call appended it.
    pub fresh: bool,
}

/// What a verdict transaction made of one cell.
#[derive(Debug, Clone)]
pub struct CellVerdicts {
    /// The cell.
    pub cell: CellId,
    /// The cell row before the call; `None` when the cell was left out.
    pub prev: Option<Totals>,
    /// What was appended, gap-free from `prev.seq + 1`.
    pub entries: Vec<Entry>,
    /// One per ask, in order (empty when `prev` is `None`).
    pub verdicts: Vec<Verdict>,
    /// The `unrowed` range this call wrote, to be finished when the rows are.
    pub unrowed: Option<UnrowedRange>,
    /// Why nothing was decided in this cell; `prev` is `None` then.
    pub skipped: Option<Skipped>,
}

/// Why a verdict transaction left a cell out. The other cells of the call are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// The database has no such cell.
    NoCell,
    /// Somebody else has had it locked for longer than is usual: again later.
    Busy,
    /// Its row is not the fold of its ledger (INV-2): again when the reconciler has set it right.
    Broken,
}

/// A range of anchor verdicts whose rows may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnrowedRange {
    /// The cell.
    pub cell: CellId,
    /// First position.
    pub first_seq: u64,
    /// Last position.
    pub last_seq: u64,
    /// When the verdicts were written, UTC ms.
    pub at_ms: u64,
}

/// What a claim (more), a release or a return (less) did to a buyer's units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Whose.
    pub buyer: String,
    /// Units.
    pub units: i64,
}

/// What a call of givebacks did.
#[derive(Debug, Clone)]
pub struct GivenBack {
    /// The new entries.
    pub appended: Appended,
    /// Those that the ledger does not bear out, as they were asked for: a return of more than is
    /// claimed, a release beside a return. They are refused for ever (INV-15).
    pub refused: Vec<Giveback>,
}

/// New entries of a cell, ready for apply.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The cell.
    pub cell: CellId,
    /// The totals before the first entry.
    pub prev: Totals,
    /// Gap-free; may be empty.
    pub entries: Vec<Entry>,
}

/// A stretch of a ledger.
#[derive(Debug, Clone)]
pub struct LedgerPage {
    /// Totals at the position asked for; `None` when the ledger does not reach it.
    pub base: Option<Totals>,
    /// What follows, at most the asked number.
    pub entries: Vec<Entry>,
    /// The cell row.
    pub head: Totals,
}

/// A cell as it is while nobody can append to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// The cell row.
    pub head: Totals,
    /// What the ledger says at the row's position; `None` when it has no such entry.
    pub folded: Option<Totals>,
    /// The totals after its last entry.
    pub last: Totals,
    /// The totals at the position asked for; `None` when the ledger has no such entry.
    pub at: Option<Totals>,
}

/// What a supply, flag or transfer call answers.
#[derive(Debug, Clone)]
pub enum Change {
    /// Done, now or earlier; the new entries per cell (none for a repeat).
    Done(Vec<Appended>),
    /// The request id was used with other units.
    OtherUnits,
    /// The present flag does not allow it.
    Illegal(Flag),
    /// Fewer unclaimed units than asked for; a reject was written under the id.
    Refused(Vec<Appended>),
    /// The database has no such cell.
    NoCell,
}

port! { $
    /// What ledgers say.
    trait LedgerRead, handed on by each_ledger_read {
        /// The cell row.
        reads fn head(cell: &CellId) -> Option<Totals>, on cell;
        /// The totals at a position: exact for ever. Position 0 is the empty cell.
        reads fn at(cell: &CellId, seq: u64) -> Option<Totals>, on cell;
        /// The cell under its row's lock; `None` when there is no such cell.
        locks fn locked(cell: &CellId, seq: u64) -> Option<Proven>, on cell;
        /// Entries after `seq`, at most `limit`; `None` when there is no such cell.
        reads fn after(cell: &CellId, seq: u64, limit: u64) -> Option<LedgerPage>, on cell;
        /// The totals after the last entry, whatever the row says (INV-2); `None` without such a
        /// cell.
        reads fn last(cell: &CellId) -> Option<Totals>, on cell;
        /// The last flag entry of a cell.
        reads fn last_flag(cell: &CellId) -> Option<Entry>, on cell;
        /// Verdicts of some orders or transfers, read from the primary.
        reads fn find_verdicts(cell: &CellId, ids: &[EntryId]) -> Vec<Option<Verdict>>, on cell;
        /// The order under a key (INV-8) that has a verdict in the cell; of several one with a
        /// claim.
        reads fn verdict_under(cell: &CellId, key: Key) -> Option<OrderId>, on cell;
        /// The orders of the range that covers `seq`, ascending. Empty once they have their rows.
        reads fn kept(cell: &CellId, seq: u64) -> Vec<Kept>, on cell;
        /// What claims, releases and returns in `from + 1 ..= until` did to buyers, in the ledger's
        /// order. At most [`MAX_STRETCH`] positions. Transient where it ends before `until`: a
        /// replica is behind.
        reads fn units(cell: &CellId, from: u64, until: u64) -> Vec<Moved>, on cell;
        /// What the ledgers of a database say of the lines of some orders, whatever their cells.
        reads fn traces(db: u16, orders: &[OrderId]) -> Traces, on db;
        /// Ranges written before `before_ms`, oldest first, at most `limit`.
        reads fn unrowed(db: u16, before_ms: u64, limit: u64) -> Vec<UnrowedRange>, on db;
        /// All cells of a database, ascending, after `after`, at most `limit`.
        reads fn cells(db: u16, after: Option<&CellId>, limit: u64) -> Vec<CellId>, on db;
    }
}

port! { $
    /// The writer's transaction.
    trait Verdicts, handed on by each_verdict {
        /// PROTOCOL `verdicts`: locks the cells in cell order, reads what exists under the lock,
        /// appends what is missing (INV-1, INV-2). At most [`super::MAX_CELLS`] and
        /// [`super::MAX_ORDERS`].
        writes fn verdicts(batch: &[CellAsks]) -> Vec<CellVerdicts>, on batch;
    }
}

port! { $
    /// What is written to ledgers besides verdicts.
    trait LedgerWrite, handed on by each_ledger_write {
        /// Appends what is missing of these (INV-6, INV-15).
        writes fn give_back(cell: &CellId, all: &[Giveback]) -> GivenBack, on cell;
        /// Forgets finished ranges.
        writes fn finish_unrowed(db: u16, ranges: &[UnrowedRange]) -> (), on db;
        /// Creates the cells of a new offer with supply and flag(open); nothing where they exist.
        writes fn create_cells(cells: &[(CellId, i64)], ids: (EntryId, EntryId)) -> Vec<Appended>,
            on cells;
        /// Adds units, idempotent by `id`, all cells in one transaction.
        writes fn supply(cells: &[(CellId, i64)], id: EntryId) -> Change, on cells;
        /// Appends a flag entry on every cell whose flag differs, if the present one is in `from`.
        /// A `note` marks a repair, which does not undo an operator's pause (no note) on its own.
        writes fn flag(cells: &[CellId], id: EntryId, to: (Flag, &[Flag]), note: &[u8]) -> Change,
            on cells;
        /// Appends the flag that a repair's pause (at `pause_seq`) stored, if no flag entry
        /// follows it.
        writes fn restore_flag(cell: &CellId, id: EntryId, pause_seq: u64) -> Change, on cell;
        /// PROTOCOL `transfer`: units leave `from` and, if given, enter `to`, in one transaction.
        writes fn transfer(id: EntryId, from: &CellId, to: Option<&CellId>, units: u32) -> Change,
            on (from, to);
    }
}
