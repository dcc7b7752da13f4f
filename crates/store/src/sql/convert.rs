//! Between rows and the words of `domain`. A value that no code of ours wrote is an error with
//! the place it was found, never a panic.

use domain::ledger::{Flag, Kind, Tok, Totals};
use domain::order::{RejectReason, RowStatus};
use domain::{Buyer, CellId, Entry, EntryId, OrderId};
use sea_orm::ActiveValue::Set;

use super::Db;
use crate::entity::{cell, ledger};
use crate::error::StoreResult;

pub(crate) fn cell_key(cell: &CellId) -> Vec<u8> {
    cell.to_string().into_bytes()
}

pub(crate) fn text(db: &Db, bytes: Vec<u8>, what: &str) -> StoreResult<String> {
    String::from_utf8(bytes).map_err(|_| db.corrupt(format!("{what} is not UTF-8")))
}

pub(crate) fn parse<T: std::str::FromStr>(db: &Db, bytes: Vec<u8>, what: &str) -> StoreResult<T>
where
    T::Err: std::fmt::Display,
{
    text(db, bytes, what)?.parse().map_err(|e| db.corrupt(format!("{what}: {e}")))
}

pub(crate) fn order_id(db: &Db, bytes: &[u8]) -> StoreResult<OrderId> {
    OrderId::from_slice(bytes).map_err(|e| db.corrupt(e.to_string()))
}

pub(crate) fn other_order(db: &Db, bytes: Option<&[u8]>) -> StoreResult<Option<OrderId>> {
    bytes.map(|bytes| order_id(db, bytes)).transpose()
}

pub(crate) fn entry_id(db: &Db, bytes: &[u8]) -> StoreResult<EntryId> {
    EntryId::from_slice(bytes).map_err(|e| db.corrupt(e.to_string()))
}

pub(crate) fn status(db: &Db, n: i8) -> StoreResult<RowStatus> {
    RowStatus::from_number(n).ok_or_else(|| db.corrupt(format!("order status {n}")))
}

/// A buyer of a table that all tenants share.
pub(crate) fn buyer(db: &Db, bytes: &[u8]) -> StoreResult<Buyer> {
    Buyer::from_scoped(bytes).map_err(|e| db.corrupt(format!("orders.buyer: {e}")))
}

pub(crate) fn reason(db: &Db, text: Option<String>) -> StoreResult<Option<RejectReason>> {
    let one = |text: String| {
        RejectReason::parse(&text).ok_or_else(|| db.corrupt(format!("orders.reason {text:?}")))
    };
    text.map(one).transpose()
}

pub(crate) fn flag(db: &Db, n: i8) -> StoreResult<Flag> {
    Flag::from_number(i64::from(n)).ok_or_else(|| db.corrupt(format!("flag {n}")))
}

/// The kind of an entry. One with another class than its own is an error: it must not pass for an
/// order without a verdict.
pub(crate) fn kind(db: &Db, kind: i8, class: i8) -> StoreResult<Kind> {
    Kind::stored(kind, class)
        .ok_or_else(|| db.corrupt(format!("ledger kind {kind} with the class {class}")))
}

pub(crate) fn totals(db: &Db, m: &cell::Model) -> StoreResult<Totals> {
    Ok(Totals {
        supply: m.supply,
        net: m.net,
        seq: m.seq as u64,
        open: flag(db, m.open)?,
        tok: Tok(m.tok as u64),
    })
}

pub(crate) fn entry(db: &Db, m: ledger::Model) -> StoreResult<Entry> {
    Ok(Entry {
        seq: m.seq as u64,
        kind: kind(db, m.kind, m.class)?,
        id: entry_id(db, &m.order_id)?,
        buyer: text(db, m.buyer, "ledger.buyer")?,
        qty: m.qty,
        payload: m.note,
        supply_after: m.supply_after,
        net_after: m.net_after,
        open_after: flag(db, m.open_after)?,
        tok: Tok(m.tok as u64),
        at_ms: m.at_ms,
    })
}

pub(crate) fn entry_row(cell_no: i32, e: &Entry) -> ledger::ActiveModel {
    ledger::ActiveModel {
        cell_no: Set(cell_no),
        seq: Set(e.seq as i64),
        kind: Set(e.kind.number()),
        class: Set(e.kind.class().number()),
        order_id: Set(e.id.0.to_vec()),
        buyer: Set(e.buyer.as_bytes().to_vec()),
        qty: Set(e.qty),
        note: Set(e.payload.clone()),
        supply_after: Set(e.supply_after),
        net_after: Set(e.net_after),
        open_after: Set(e.open_after as i8),
        tok: Set(e.tok.0 as i64),
        at_ms: Set(e.at_ms),
    }
}
