//! The port of the cells: what a gate, a writer and a reconciler may do to a cell in Redis.
//!
//! One method is one script, one script is one atomic step on one slot, and every call may be
//! repeated (INV-3, INV-4 hold after each step). Backends: Redis Cluster through fred (the gate's
//! path), through redis-rs (reconciler and tools), and the same Lua in process (embedded). All
//! pass one conformance suite. A [`CellError`] after the call was sent means *unknown outcome*:
//! repeat with the same nonce, never assume that nothing happened.

use async_trait::async_trait;
use bytes::Bytes;
use domain::supply::Transfer;
use domain::{Buyer, CellId, Entry, EntryId, Flag, Hold, HoldState, Key, Kind, Nonce};
use domain::{OrderId, Tok, Totals};
use std::time::Duration;

/// The most items of one vectorised call; more is a caller's bug and refused.
pub const MAX_BATCH: usize = 256;

/// The most buyers of one mend; more are mended in several calls without `buyers_full`.
pub const MAX_MEND: usize = 10_000;

/// Why a call has no reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CellError {
    /// No answer in time, or the connection broke: the script may have run.
    #[error("cell {0}: no answer, outcome unknown")]
    Unknown(CellId),
    /// The call was certainly not run (not connected, queue full).
    #[error("cell {0}: not sent: {1}")]
    NotSent(CellId, String),
    /// The script refused its arguments or answered what no script answers: a bug.
    #[error("cell {0}: {1}")]
    Broken(CellId, String),
}

impl CellError {
    /// True when trying again can help.
    pub fn is_transient(&self) -> bool {
        !matches!(self, CellError::Broken(..))
    }
}

/// Shorthand for the replies below.
pub type CellResult<T> = Result<T, CellError>;

/// One order's line in a reserve call.
#[derive(Debug, Clone)]
pub struct ReserveItem {
    /// The order's, or that of the transfer.
    pub id: EntryId,
    /// The buyer; `None` for a transfer (state `Transfer`), which passes every check but stock.
    pub buyer: Option<Buyer>,
    /// [`domain::Identity::buyer_hash`] of the buyer: goes into `adds`. 0 for a transfer.
    pub buyer_hash: u64,
    /// Units, at least 1.
    pub qty: u32,
    /// This attempt.
    pub nonce: Nonce,
    /// `Sealed`, `Line` or `Transfer`.
    pub state: HoldState,
    /// The immutable payload to keep with the hold.
    pub payload: Bytes,
    /// True once the caller has looked for a row of (buyer, key): a returning buyer may pass.
    pub checked: bool,
    /// True for the relay: passes window, flag and RETURNING.
    pub relay: bool,
}

/// One vectorised reserve on one cell; equal to its single calls in order.
#[derive(Debug, Clone)]
pub struct ReserveCall {
    /// The most units one buyer may have; 0 = no limit.
    pub limit: u32,
    /// Redis time after which nothing is created, ms; 0 = none.
    pub deadline_ms: u64,
    /// Start of the window, ms of Redis time; 0 = none.
    pub opens_at_ms: u64,
    /// End of the window, ms of Redis time; 0 = none.
    pub closes_at_ms: u64,
    /// Wait for replicas after the call; `None` = do not.
    pub wait: Option<Wait>,
    /// 1 to [`MAX_BATCH`] items.
    pub items: Vec<ReserveItem>,
}

impl ReserveCall {
    /// Sets the units of a transfer aside where they leave (a T hold, PROTOCOL 6.8).
    pub fn transfer(id: EntryId, nonce: Nonce, transfer: &Transfer, wait: Option<Wait>) -> Self {
        let item = ReserveItem {
            id,
            buyer: None,
            buyer_hash: 0,
            qty: transfer.units,
            nonce,
            state: HoldState::Transfer,
            payload: transfer.encode().into(),
            checked: true,
            relay: true,
        };
        let (limit, deadline_ms, opens_at_ms, closes_at_ms) = (0, 0, 0, 0);
        Self { limit, deadline_ms, opens_at_ms, closes_at_ms, wait, items: vec![item] }
    }
}

/// How many replicas must have what a call wrote before its reply says `replicated`, and how long
/// they get for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// At least 1. Only *all* replicas of a primary protect against its failover.
    pub replicas: u8,
    /// At least 1 ms.
    pub timeout: Duration,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// This attempt has the hold (created at `t_ms` of Redis time).
    New {
        /// Redis time of the hold's creation.
        t_ms: u64,
    },
    /// Another attempt made the hold; publish exactly these bytes.
    Held {
        /// Redis time of the hold's creation.
        t_ms: u64,
        /// The stored payload.
        payload: Bytes,
    },
    /// The order is decided.
    Verdict(Kind),
    /// The relay is aborting this order.
    Fenced,
    /// The key's first request had other content: its id.
    Conflict(OrderId),
    /// The cell is not in Redis.
    Missing,
    /// The deadline had passed.
    Late,
    /// The buyer has something in this cell; look for a row of (buyer, key), then set `checked`.
    Returning,
    /// Before the window. No `+`: nothing can be bought before.
    NotOpen,
    /// A refusal.
    Refused {
        /// Why.
        why: Refusal,
        /// `+`: the buyer has a field in b, so look in the database before you say no.
        known_buyer: bool,
    },
}

impl Reserved {
    /// True when the units are held for this order.
    pub fn is_hold(&self) -> bool {
        matches!(self, Self::New { .. } | Self::Held { .. })
    }
}

/// The refusals that a `+` can follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Flag closed, or after the window.
    Closed,
    /// Flag paused.
    Paused,
    /// The buyer's limit.
    Limit,
    /// No units.
    SoldOut,
}

/// What every vectorised reply carries besides the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Redis time, ms.
    pub redis_ms: u64,
    /// W after the call; 0 when the cell is missing.
    pub watermark: u64,
    /// Sum of the hashes of the buyers that got a field in b.
    pub adds: u64,
    /// Incarnation: changed by every load.
    pub inc: u64,
    /// supply - net - held after the call.
    pub available: i64,
}

/// The reply of a reserve call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveReply {
    /// Where the cell stands after the call.
    pub mark: Mark,
    /// One result per item, in order.
    pub results: Vec<Reserved>,
    /// False when [`ReserveCall::wait`] asked and fewer replicas have the call's writes, in time
    /// or at all. It speaks for NEW and HELD, which wrote; also on a repeat, which writes again.
    pub replicated: bool,
}

/// The ledger entries to fold into a cell; consecutive, the first at `prev.seq + 1`.
#[derive(Debug, Clone)]
pub struct ApplyCall {
    /// Position before the first entry.
    pub prev_seq: u64,
    /// Token before the first entry.
    pub prev_tok: Tok,
    /// 1 to [`MAX_BATCH`] entries, gap-free.
    pub entries: Vec<ApplyEntry>,
}

/// What apply needs of an [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyEntry {
    /// Position.
    pub seq: u64,
    /// What it does.
    pub kind: Kind,
    /// The order's or the request's.
    pub id: EntryId,
    /// Empty where there is none.
    pub buyer: String,
    /// See [`ReserveItem::buyer_hash`].
    pub buyer_hash: u64,
    /// Units, or the flag.
    pub qty: i64,
    /// Token after the entry.
    pub tok: Tok,
}

impl ApplyEntry {
    /// Takes what apply needs out of a ledger entry.
    pub fn of(e: &Entry, buyer_hash: u64) -> Self {
        Self {
            seq: e.seq,
            kind: e.kind,
            id: e.id,
            buyer: e.buyer.clone(),
            buyer_hash,
            qty: e.qty,
            tok: e.tok,
        }
    }
}

/// The reply of apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Folded in; W is now this.
    Ok {
        /// W after the call.
        watermark: u64,
        /// Fresh claims (seq > W before) that found no hold (PROTOCOL INV-14's alarm).
        without_hold: u32,
    },
    /// The cell is not in Redis.
    Missing,
    /// Entries between W and the first one are missing: read from `watermark + 1`.
    Gap {
        /// W of the cell.
        watermark: u64,
    },
    /// The token at W is not the ledger's.
    Fork,
}

/// What conditional calls answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Done.
    Ok,
    /// The condition did not hold; nothing was changed.
    Changed,
    /// load: the cell exists.
    Exists,
    /// The cell is not in Redis.
    Missing,
}

/// What fence and unseal answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FenceReply {
    /// The anchor is fenced.
    Fenced,
    /// fence: the anchor is sealed (or held); the pass over it decides.
    Sealed,
    /// fence: decided.
    Verdict(Kind),
    /// unseal: somebody touched it since.
    Changed,
    /// The cell is not in Redis.
    Missing,
}

/// c in one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellView {
    /// supply, net, W (`totals.seq`), open and tok.
    pub totals: Totals,
    /// Sum of the holds.
    pub held: i64,
    /// Number of holds.
    pub holds: u64,
    /// adds, inc, Redis time.
    pub mark: Mark,
}

impl CellView {
    /// supply - net - held; may be negative.
    pub fn available(&self) -> i64 {
        self.totals.supply - self.totals.net - self.held
    }
}

/// A page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Where to go on; 0 = the end.
    pub cursor: u64,
    /// What was found; a scan may show an element twice.
    pub items: Vec<T>,
}

/// What load puts into a missing cell.
#[derive(Debug, Clone)]
pub struct LoadCall {
    /// The ledger at its head.
    pub totals: Totals,
    /// The new incarnation: unique (a fresh random number below 2^46).
    pub inc: u64,
    /// Sum of the hashes of the buyers staged before, mod 2^46.
    pub adds: u64,
    /// Must be the ticket that this primary stored in the slot; `None` only for a cell that never
    /// existed (a new offer), where nothing can be outstanding.
    pub ticket: Option<String>,
    /// The staging key's suffix that [`Cells::stage`] used; `None` = no buyers.
    pub staged: Option<String>,
    /// How many distinct buyers were staged; 0 without `staged`. A staging key that has another
    /// number (it expired, or a failover lost a chunk) is not loaded: `Changed`.
    pub staged_len: u64,
    /// The offer has a limit (b is kept for ever) or not (two generations of a day).
    pub limited: bool,
}

/// What mend sets; holds stay, held is recomputed from them.
#[derive(Debug, Clone)]
pub struct MendCall {
    /// inc, W and tok as the caller saw them.
    pub inc: u64,
    /// The ledger's totals at that W.
    pub totals: Totals,
    /// Token the caller saw in Redis (may differ from the ledger's only if it was falsified).
    pub seen_tok: Tok,
    /// Ledger quantity per buyer at W for the buyers whose b is wrong or all (see `buyers_full`).
    pub buyers: Vec<(String, i64)>,
    /// True: b is set to `buyers` plus holds, a field that is not listed to its holds alone (it
    /// stays, also at 0); false: only the listed buyers are set.
    pub buyers_full: bool,
}

/// Operations on cells. Implementations are cheap to share.
#[async_trait]
pub trait Cells: Send + Sync {
    /// Takes holds. See the table of replies at [`Reserved`].
    async fn reserve(&self, cell: &CellId, call: &ReserveCall) -> CellResult<ReserveReply>;
    /// Folds ledger entries in (the only way counters follow the ledger).
    async fn apply(&self, cell: &CellId, call: ApplyCall) -> CellResult<Applied>;
    /// Drops holds whose verdict (at the given seq) is folded in already: `s <= W`.
    /// Answers how many were dropped.
    async fn resolve(&self, cell: &CellId, ids: &[(EntryId, u64)]) -> CellResult<u32>;
    /// Drops a line hold that exactly this attempt created. `Ok` or `Changed` (= KEPT).
    async fn cancel(&self, cell: &CellId, order: OrderId, nonce: Nonce) -> CellResult<Changed>;
    /// Fences an anchor that is not held (compares the whole id).
    async fn fence(&self, cell: &CellId, order: OrderId, payload: &[u8]) -> CellResult<FenceReply>;
    /// Turns a sealed anchor that nobody touched since into a fence.
    async fn unseal(&self, cell: &CellId, order: OrderId, att: &str) -> CellResult<FenceReply>;
    /// Stores a ticket in the slot; it dies with the node's data, and with its primary. `Changed`
    /// when another one was stored, by this primary, within `respect_ms` of Redis time: somebody
    /// is building, and nobody voids a load of his. Without `respect_ms` the ticket is only made
    /// fresh, and `Changed` is the answer where it is not stored (any more).
    async fn take_ticket(
        &self,
        cell: &CellId,
        ticket: &str,
        respect_ms: Option<u64>,
    ) -> CellResult<Changed>;
    /// The same over any other.
    async fn ticket(&self, cell: &CellId, ticket: &str) -> CellResult<()> {
        self.take_ticket(cell, ticket, Some(0)).await.map(|_| ())
    }
    /// Adds (buyer, qty) pairs, at most 1,000 a call, to the staging key of a coming load.
    async fn stage(&self, cell: &CellId, suffix: &str, b: &[(String, i64)]) -> CellResult<()>;
    /// Creates a missing cell. `Ok`, `Exists`, or `Changed` (another ticket).
    async fn load(&self, cell: &CellId, call: LoadCall) -> CellResult<Changed>;
    /// Sets falsified counters right, holds stay.
    async fn mend(&self, cell: &CellId, call: MendCall) -> CellResult<Changed>;
    /// Deletes the cell if inc, W and tok are as seen, and h is empty unless `fork`.
    async fn drop_cell(
        &self,
        cell: &CellId,
        seen: (u64, u64, Tok),
        fork: bool,
    ) -> CellResult<Changed>;
    /// c in one read; `None` when the cell is missing.
    async fn snapshot(&self, cell: &CellId) -> CellResult<Option<CellView>>;
    /// Holds by cursor (0 starts). `count` is a hint, 1 to 1,000.
    async fn scan_holds(&self, cell: &CellId, cursor: u64, count: u32) -> CellResult<Page<Hold>>;
    /// b by cursor: (buyer, qty).
    async fn scan_buyers(
        &self,
        cell: &CellId,
        cursor: u64,
        count: u32,
    ) -> CellResult<Page<(String, i64)>>;
    /// The raw quantities in b (None = no field) of some buyers (at most [`MAX_BATCH`]).
    async fn buyers(&self, cell: &CellId, buyers: &[String]) -> CellResult<Vec<Option<i64>>>;
    /// Finds some holds (at most [`MAX_BATCH`]): the API's "hold alone".
    async fn find_holds(&self, cell: &CellId, ids: &[EntryId]) -> CellResult<Vec<Option<Hold>>>;
    /// The orders that are held, or were decided lately, under some keys; at most [`MAX_BATCH`].
    async fn find_keys(&self, cell: &CellId, keys: &[Key]) -> CellResult<Vec<Option<OrderId>>>;
    /// True when the backend answers at all.
    async fn ping(&self) -> bool;
}

/// The flag of a missing cell's gate answer is decided elsewhere; kept here so that backends
/// agree on how a flag travels.
pub fn flag_code(flag: Flag) -> i64 {
    flag as i64
}
