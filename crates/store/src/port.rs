//! The port of the database: the protocol's transactions, and the reads that go with them.
//!
//! Every method is idempotent and atomic; a batch equals its single transactions in order. After
//! [`StoreError::is_transient`] the outcome is unknown: run the same call again. All of a call's
//! cells must live on one database (`cell_db`), all of its rows on one (`order_db`).
//!
//! Transactions and [`Ledger::locked`] see what is committed, and a deployment sees to it that
//! [`Ledger::find_verdicts`] does. Others may come from a replica that is behind.

use async_trait::async_trait;
use bytes::Bytes;
use domain::frame::{Mode, Sealed};
use domain::kept::Kept;
use domain::offer::Fixed;
use domain::order::{RejectReason, RowStatus};
use domain::rows::Traces;
use domain::{Buyer, Campaign, CellId, Entry, EntryId, Flag, IdempotencyKey, Key, Kind};
use domain::{Offer, OfferId, OrderId, Payload, ShardMap, Totals};

use crate::error::StoreResult;

/// The most cells of one verdict transaction.
pub const MAX_CELLS: usize = 64;
/// The most orders of one verdict or row transaction; an order counts once per cell.
pub const MAX_ORDERS: usize = 512;
/// Where a count of what is parked ends.
pub const MOST_COUNTED: u64 = 10_000;
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

/// What a claim (more) or a release (less) did to a buyer's units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Whose.
    pub buyer: String,
    /// Units.
    pub units: i64,
}

/// An order that wants a row.
#[derive(Debug, Clone)]
pub struct RowAsk {
    /// The order.
    pub payload: Payload,
    /// Redis time of the first reserve, ms.
    pub t_ms: u64,
    /// `Some` when a line was rejected.
    pub rejected: Option<RejectReason>,
}

/// The row as it stands after the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowState {
    /// The order.
    pub order: OrderId,
    /// Its status.
    pub status: RowStatus,
    /// Its reason, when rejected.
    pub reason: Option<RejectReason>,
    /// True when this call inserted it.
    pub fresh: bool,
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

/// Transactions and reads on cell shards.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The database of an offer's cells.
    fn cell_db(&self, offer: &OfferId) -> u16;
    /// How many databases there are.
    fn databases(&self) -> u16;
    /// PROTOCOL `verdicts`: locks the cells in cell order, reads what exists under the lock,
    /// appends what is missing (INV-1, INV-2). At most [`MAX_CELLS`] and [`MAX_ORDERS`].
    async fn verdicts(&self, batch: &[CellAsks]) -> StoreResult<Vec<CellVerdicts>>;
    /// Appends a release for each order that has a claim and none (INV-6).
    async fn release(&self, cell: &CellId, orders: &[OrderId]) -> StoreResult<Appended>;
    /// Forgets finished ranges.
    async fn finish_unrowed(&self, db: u16, ranges: &[UnrowedRange]) -> StoreResult<()>;
    /// Ranges written before `before_ms`, oldest first, at most `limit`.
    async fn unrowed(&self, db: u16, before_ms: u64, limit: u64) -> StoreResult<Vec<UnrowedRange>>;
    /// The orders of the range that covers `seq`, ascending. Empty once they have their rows.
    async fn kept(&self, cell: &CellId, seq: u64) -> StoreResult<Vec<Kept>>;
    /// Creates the cells of a new offer with supply and flag(open); nothing where they exist.
    async fn create_cells(
        &self,
        cells: &[(CellId, i64)],
        ids: (EntryId, EntryId),
    ) -> StoreResult<Vec<Appended>>;
    /// Adds units, idempotent by `id`, all cells in one transaction.
    async fn supply(&self, cells: &[(CellId, i64)], id: EntryId) -> StoreResult<Change>;
    /// Appends a flag entry on every cell whose flag differs, if the present one is in `from`. A
    /// `note` marks a repair, which does not undo an operator's pause (no note) on its own.
    async fn flag(
        &self,
        cells: &[CellId],
        id: EntryId,
        to: (Flag, &[Flag]),
        note: &[u8],
    ) -> StoreResult<Change>;
    /// The last flag entry of a cell.
    async fn last_flag(&self, cell: &CellId) -> StoreResult<Option<Entry>>;
    /// Appends the flag that a repair's pause (at `pause_seq`) stored, if no flag entry follows it.
    async fn restore_flag(&self, cell: &CellId, id: EntryId, pause_seq: u64)
    -> StoreResult<Change>;
    /// PROTOCOL `transfer`: units leave `from` and, if given, enter `to`, in one transaction.
    async fn transfer(
        &self,
        id: EntryId,
        from: &CellId,
        to: Option<&CellId>,
        units: u32,
    ) -> StoreResult<Change>;
    /// The cell row.
    async fn head(&self, cell: &CellId) -> StoreResult<Option<Totals>>;
    /// The totals at a position: exact for ever. Position 0 is the empty cell.
    async fn at(&self, cell: &CellId, seq: u64) -> StoreResult<Option<Totals>>;
    /// The cell under its row's lock; `None` when there is no such cell.
    async fn locked(&self, cell: &CellId, seq: u64) -> StoreResult<Option<Proven>>;
    /// Entries after `seq`, at most `limit`; `None` when there is no such cell.
    async fn after(&self, cell: &CellId, seq: u64, limit: u64) -> StoreResult<Option<LedgerPage>>;
    /// The totals after the last entry, whatever the row says (INV-2); `None` without such a cell.
    async fn last(&self, cell: &CellId) -> StoreResult<Option<Totals>>;
    /// Verdicts of some orders or transfers, read from the primary.
    async fn find_verdicts(
        &self,
        cell: &CellId,
        ids: &[EntryId],
    ) -> StoreResult<Vec<Option<Verdict>>>;
    /// What the ledgers of a database say of the lines of some orders, whatever their cells.
    async fn traces(&self, db: u16, orders: &[OrderId]) -> StoreResult<Traces>;
    /// The order under a key (INV-8) that has a verdict in the cell; of several one with a claim.
    async fn verdict_under(&self, cell: &CellId, key: Key) -> StoreResult<Option<OrderId>>;
    /// What claims and releases in `from + 1 ..= until` did, in the ledger's order. At most
    /// [`MAX_STRETCH`] positions. Transient where it ends before `until`: a replica is behind.
    async fn units(&self, cell: &CellId, from: u64, until: u64) -> StoreResult<Vec<Moved>>;
    /// All cells of a database, ascending, after `after`, at most `limit`.
    async fn cells(&self, db: u16, after: Option<&CellId>, limit: u64) -> StoreResult<Vec<CellId>>;
    /// True when the database answers.
    async fn ping(&self, db: u16) -> bool;
}

/// An order row with its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// The order.
    pub order: OrderId,
    /// Who bought.
    pub buyer: Buyer,
    /// The client's key; `None` on the loser of a key conflict.
    pub key: Option<IdempotencyKey>,
    /// Where it stands.
    pub status: RowStatus,
    /// Why it was rejected.
    pub reason: Option<RejectReason>,
    /// Grows with each change.
    pub version: u32,
    /// (offer, bucket, units, unit price).
    pub lines: Vec<(OfferId, u8, u32, i64)>,
    /// ISO 4217.
    pub currency: String,
    /// Minor units over all lines.
    pub amount: i64,
    /// Canonical JSON object, or empty.
    pub metadata: String,
    /// Redis time of the first reserve, ms.
    pub created_at: u64,
    /// Last change, ms.
    pub updated_at: u64,
    /// Unpaid orders expire then, ms.
    pub expires_at: u64,
}

/// A part of the rows of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPage {
    /// Those of the offer, with their keys (`None` on the loser of a key conflict).
    pub rows: Vec<(RowState, Option<IdempotencyKey>)>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<OrderId>,
}

/// An order's row, for a comparison with the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    /// The order.
    pub order: OrderId,
    /// Where it stands.
    pub status: RowStatus,
    /// The cells of its lines.
    pub cells: Vec<CellId>,
    /// Last change, ms.
    pub updated_ms: u64,
    /// What was published, made again from the row; `None` on the loser of a key conflict.
    pub sealed: Option<Sealed>,
}

/// Some rows of a database, whatever their offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRows {
    /// Ascending by id.
    pub rows: Vec<KeptRow>,
    /// Rows of the page that cannot be read: a hand has spoiled them. They are in the log of the
    /// process, each with its id where it has one.
    pub unreadable: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<OrderId>,
}

/// Transactions and reads on buyer shards.
#[async_trait]
pub trait Orders: Send + Sync {
    /// The database of an order (its id carries the shard).
    fn order_db(&self, order: OrderId) -> u16;
    /// The database of a buyer's orders.
    fn buyer_db(&self, buyer: &Buyer) -> u16;
    /// PROTOCOL `row`: inserts what is absent, never updates (INV-7, INV-8). One per ask. An ask
    /// that is rejected as the loser of a key conflict leaves the key to others.
    async fn rows(&self, db: u16, asks: &[RowAsk]) -> StoreResult<Vec<RowState>>;
    /// Rejects those of these orders that are pending (INV-9: only a rewind may); which they were.
    async fn reject(&self, db: u16, orders: &[OrderId]) -> StoreResult<Vec<OrderId>>;
    /// Rows of a database by id after `after`, at most `limit`.
    async fn kept_rows(&self, db: u16, after: Option<OrderId>, limit: u64)
    -> StoreResult<KeptRows>;
    /// Status of some orders; `None` where there is no row.
    async fn statuses(&self, db: u16, orders: &[OrderId]) -> StoreResult<Vec<Option<RowState>>>;
    /// One order with its lines.
    async fn order(&self, order: OrderId) -> StoreResult<Option<OrderRow>>;
    /// The order of a buyer's key.
    async fn order_of_key(
        &self,
        buyer: &Buyer,
        key: &IdempotencyKey,
    ) -> StoreResult<Option<OrderRow>>;
    /// Looks at `limit` rows of a database by id after `after` and answers those of an offer: what
    /// a call costs does not depend on how many others there are.
    async fn scan_rows(
        &self,
        db: u16,
        offer: &OfferId,
        after: Option<OrderId>,
        limit: u64,
    ) -> StoreResult<RowPage>;
}

/// Campaigns, offers, deployment facts: database 0.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Migrations, the identity fingerprint and the shard map; idempotent, under a named lock.
    async fn init(&self, fingerprint: &str) -> StoreResult<InitOutcome>;
    /// Grows with every change of the catalog.
    async fn catalog_version(&self) -> StoreResult<u64>;
    /// All campaigns.
    async fn campaigns(&self) -> StoreResult<Vec<Campaign>>;
    /// All offers.
    async fn offers(&self) -> StoreResult<Vec<Offer>>;
    /// One offer with its campaign.
    async fn offer(&self, id: &OfferId) -> StoreResult<Option<(Offer, Campaign)>>;
    /// Creates (true) or changes (false) a campaign; its number is given at creation.
    async fn put_campaign(&self, c: &Campaign) -> StoreResult<bool>;
    /// Creates or changes an offer. One transaction compares what is fixed and writes, so that of
    /// two that create one offer at once the second hears of the first.
    async fn put_offer(&self, o: &Offer) -> StoreResult<OfferPut>;
}

/// What became of an offer that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferPut {
    /// It is new.
    Created,
    /// It was there and is as it was put now.
    Changed,
    /// It was there and differs in what never changes: nothing was written.
    Fixed(Fixed),
}

/// What init found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitOutcome {
    /// Ready; this is the shard map in force.
    Ready(ShardMap),
    /// The deployment was made with another identity secret.
    OtherIdentity,
    /// The stored shard map is for another number of databases.
    OtherDatabases(u16),
}

/// A parked order in a list, which one that cannot be read is on as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedOrder {
    /// The order.
    pub order: OrderId,
    /// What failed.
    pub reason: String,
    /// How often it was parked.
    pub times: u32,
}

/// A parked order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The order.
    pub order: OrderId,
    /// What failed.
    pub reason: String,
    /// What its frame asked for.
    pub mode: Mode,
    /// What was to be written.
    pub sealed: Sealed,
    /// How often it was parked.
    pub times: u32,
}

/// A parked frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedFrame {
    /// SHA-256 of the bytes, 64 hex digits.
    pub id: String,
    /// The partition that it came from.
    pub partition: String,
    /// What failed.
    pub reason: String,
    /// The bytes; empty in a list.
    pub frame: Bytes,
    /// How often it was parked.
    pub times: u32,
}

/// Progress, barriers, leases, parked work: database 0.
#[async_trait]
pub trait Marks: Send + Sync {
    /// Database 0's clock, UTC ms: the one that all processes share.
    async fn now_ms(&self) -> StoreResult<u64>;
    /// Stores the publish time up to which a partition is finished (never goes back).
    async fn set_progress(&self, partition: &str, finished_until: u64) -> StoreResult<()>;
    /// Progress of all partitions.
    async fn progress(&self) -> StoreResult<Vec<(String, u64)>>;
    /// A partition's writer passed a barrier.
    async fn mark_barrier(&self, barrier: &str, partition: &str) -> StoreResult<()>;
    /// The partitions that passed it.
    async fn barrier_seen(&self, barrier: &str) -> StoreResult<Vec<String>>;
    /// Takes or renews a lease by the database's clock; false when another holds it.
    async fn lease(&self, name: &str, holder: &str, ttl_ms: u64) -> StoreResult<bool>;
    /// Parks an order. One that is parked already counts once more.
    async fn park(&self, order: OrderId, reason: &str, item: (Mode, &Sealed)) -> StoreResult<()>;
    /// Which of these orders are parked.
    async fn parked_among(&self, orders: &[OrderId]) -> StoreResult<Vec<OrderId>>;
    /// One parked order.
    async fn parked(&self, order: OrderId) -> StoreResult<Option<Parked>>;
    /// Parked orders by id after `after`, at most `limit`.
    async fn parked_orders(
        &self,
        after: Option<OrderId>,
        limit: u64,
    ) -> StoreResult<Vec<ParkedOrder>>;
    /// Takes an order off the list, unless it was parked again since it was read with `times`, a
    /// number that no other parking of this order has.
    async fn unpark(&self, order: OrderId, times: u32) -> StoreResult<bool>;
    /// Parks a frame that cannot be decoded. One that is parked already counts once more.
    async fn park_frame(&self, partition: &str, reason: &str, frame: &Bytes) -> StoreResult<()>;
    /// One parked frame, with its bytes.
    async fn parked_frame(&self, id: &str) -> StoreResult<Option<ParkedFrame>>;
    /// Parked frames by id after `after`, without their bytes, at most `limit`.
    async fn parked_frames(&self, after: Option<&str>, limit: u64)
    -> StoreResult<Vec<ParkedFrame>>;
    /// Takes a frame off the list, as [`Marks::unpark`] does an order.
    async fn unpark_frame(&self, id: &str, times: u32) -> StoreResult<bool>;
    /// (parked orders, parked frames), each counted up to [`MOST_COUNTED`].
    async fn parked_counts(&self) -> StoreResult<(u64, u64)>;
}

/// All of it: what a service takes.
pub trait Store: Ledger + Orders + Catalog + Marks {}
impl<T: Ledger + Orders + Catalog + Marks> Store for T {}
