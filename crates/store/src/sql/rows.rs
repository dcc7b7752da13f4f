//! The row transaction: insert what is absent, never update (INV-5, INV-7).
//!
//! The unique key (buyer, idempotency key) is the arbiter of INV-8: the second id under a key gets
//! a row that is rejected with `key_conflict` and a NULL key. Rows that are there, and owners of
//! keys, are read only when a unique key turns a row away.

use std::collections::HashMap;

use domain::OrderId;
use domain::order::{RejectReason, RowStatus};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait,
    QueryFilter, QuerySelect,
};

use super::db::LookUp;
use super::find::forced;
use super::{Db, convert, facts, insert};
use crate::entity::{fact, order_line, orders};
use crate::error::StoreResult;
use crate::ladder;
use crate::port::{RowAsk, RowState};

/// Status of orders that have a row.
pub(super) async fn states(
    db: &Db,
    conn: &impl ConnectionTrait,
    ids: &[OrderId],
) -> StoreResult<HashMap<OrderId, RowState>> {
    let keys: Vec<Vec<u8>> = ids.iter().map(|o| o.0.to_vec()).collect();
    let mut found = HashMap::new();
    for piece in ladder::padded(&keys, ladder::STEPS[0]) {
        let mut find = orders::Entity::find()
            .select_only()
            .columns([orders::Column::OrderId, orders::Column::Status, orders::Column::Reason])
            .filter(orders::Column::OrderId.is_in(piece));
        forced(&mut find, "PRIMARY");
        let rows: Vec<(Vec<u8>, i8, Option<String>)> =
            find.into_tuple().all(conn).await.map_err(|e| db.err(e))?;
        for (id, status, reason) in rows {
            let order = convert::order_id(db, &id)?;
            let (status, reason) = (convert::status(db, status)?, convert::reason(db, reason)?);
            found.insert(order, RowState { order, status, reason, fresh: false });
        }
    }
    Ok(found)
}

type BuyerKey = (Vec<u8>, Vec<u8>);

/// `None` for an order that no client asked for: it takes no key.
fn buyer_key(ask: &RowAsk) -> Option<BuyerKey> {
    let p = &ask.payload;
    let key = p.key.as_ref()?.as_str().as_bytes().to_vec();
    Some((p.buyer.scoped().into_owned(), key))
}

/// Which (buyer, key) pairs are taken, and by which order.
async fn owners(
    db: &Db,
    tx: &DatabaseTransaction,
    pairs: &[BuyerKey],
) -> StoreResult<HashMap<BuyerKey, OrderId>> {
    let mut found = HashMap::new();
    for piece in ladder::padded(pairs, db.most) {
        // Buyers narrow it down by the index; the keys are compared here, because SQLite has no
        // IN over pairs of values.
        let any = piece.iter().fold(Condition::any(), |c, (buyer, key)| {
            let same_key = Expr::col(orders::Column::IdemKey).eq(key.clone());
            c.add(orders::Column::Buyer.eq(buyer.clone()).and(same_key))
        });
        let mut find = orders::Entity::find()
            .select_only()
            .columns([orders::Column::Buyer, orders::Column::IdemKey, orders::Column::OrderId])
            .filter(any);
        forced(&mut find, "orders_key");
        let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> =
            find.into_tuple().all(tx).await.map_err(|e| db.err(e))?;
        for (buyer, key, id) in rows {
            found.insert((buyer, key), convert::order_id(db, &id)?);
        }
    }
    Ok(found)
}

pub(super) async fn run(db: &Db, asks: &[RowAsk], now_ms: i64) -> StoreResult<Vec<RowState>> {
    let attempt = async |look| {
        let tx = db.begin().await?;
        let done = within(db, &tx, asks, now_ms, look).await;
        db.end(tx, done).await
    };
    db.insert_first(&db.met_rows, attempt).await
}

/// The states, and whether some rows, or owners of keys, were there.
async fn within(
    db: &Db,
    tx: &DatabaseTransaction,
    asks: &[RowAsk],
    now_ms: i64,
    look: LookUp,
) -> StoreResult<(Vec<RowState>, bool)> {
    let look = look != LookUp::No;
    let ids: Vec<OrderId> = asks.iter().map(|a| a.payload.order).collect();
    let mut known = states(db, tx, if look { &ids } else { &[] }).await?;
    let absent: Vec<&RowAsk> =
        asks.iter().filter(|a| !known.contains_key(&a.payload.order)).collect();
    let pairs: Vec<BuyerKey> =
        absent.iter().filter(|_| look).filter_map(|a| buyer_key(a)).collect();
    let mut taken = owners(db, tx, &pairs).await?;
    let found = !known.is_empty() || !taken.is_empty();
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for ask in absent {
        let order = ask.payload.order;
        if known.contains_key(&order) {
            continue;
        }
        // One that lost its key before, when its row was there, has lost it for ever.
        let lost = ask.rejected == Some(RejectReason::KeyConflict);
        let mut is_owner = |key| *taken.entry(key).or_insert(order) == order;
        let owns = !lost && buyer_key(ask).is_none_or(&mut is_owner);
        let rejected = if owns { ask.rejected } else { Some(RejectReason::KeyConflict) };
        let state = RowState {
            order,
            status: if rejected.is_some() { RowStatus::Rejected } else { RowStatus::Pending },
            reason: rejected,
            fresh: true,
        };
        rows.push(row(ask, &state, owns, now_ms));
        lines.extend(line_rows(ask));
        known.insert(order, state);
    }
    // Ids are random: in their order a statement goes through the tables once.
    rows.sort_unstable_by(|a, b| a.order_id.as_ref().cmp(b.order_id.as_ref()));
    lines.sort_unstable_by(|a, b| a.order_id.as_ref().cmp(b.order_id.as_ref()));
    let facts = first_facts(&rows, now_ms);
    insert::many(db, tx, rows, None).await?;
    insert::many(db, tx, lines, None).await?;
    facts::insert(db, tx, facts).await?;
    let mut first = std::collections::HashSet::new();
    let state = |id: &OrderId| {
        let s = known[id].clone();
        let fresh = s.fresh && first.insert(*id);
        RowState { fresh, ..s }
    };
    Ok((ids.iter().map(state).collect(), found))
}

fn row(ask: &RowAsk, s: &RowState, owns_key: bool, now_ms: i64) -> orders::ActiveModel {
    let p = &ask.payload;
    let anchor = p.anchor_line();
    let key = p.key.as_ref().filter(|_| owns_key);
    let expires_at = p.expires_in_row(ask.t_ms, now_ms as u64, ask.least_ms);
    orders::ActiveModel {
        order_id: Set(p.order.0.to_vec()),
        buyer: Set(p.buyer.scoped().into_owned()),
        idem_key: Set(key.map(|key| key.as_str().as_bytes().to_vec())),
        status: Set(s.status as i8),
        reason: Set(s.reason.map(|r| r.as_str().to_owned())),
        version: Set(1),
        offer: Set(anchor.cell.offer.as_str().as_bytes().to_vec()),
        bucket: Set(i16::from(anchor.cell.bucket)),
        qty: Set(anchor.qty as i32),
        unit_minor: Set(anchor.unit_minor),
        more_lines: Set(if p.lines.len() > 1 { p.lines.len() as i8 } else { 0 }),
        currency: Set(p.currency.clone()),
        amount: Set(p.amount_minor()),
        metadata: Set(p.metadata.clone()),
        created_at: Set(ask.t_ms as i64),
        updated_at: Set(now_ms),
        expires_at: Set(expires_at as i64),
        captured: Set(0),
        refunded: Set(0),
        supersedes: Set(p.supersedes.map(|old| old.0.to_vec())),
        superseded_by: Set(None),
        came_from: Set(None),
        window_ms: Set(Some(p.window_ms as i64)),
    }
}

/// The first fact of each of these (INV-19): a row for all that are pending, and one for all that
/// are rejected.
fn first_facts(rows: &[orders::ActiveModel], now_ms: i64) -> Vec<fact::ActiveModel> {
    let of = |status: RowStatus| {
        let own = rows.iter().filter(|row| *row.status.as_ref() == status as i8);
        let orders: Vec<u8> = own.flat_map(|row| row.order_id.as_ref().clone()).collect();
        let fact = format!("order.{}", status.as_str());
        (!orders.is_empty()).then(|| facts::row(orders, 1, fact, now_ms))
    };
    [RowStatus::Pending, RowStatus::Rejected].into_iter().filter_map(of).collect()
}

/// The lines of a cart. The one line of another order is in its row.
fn line_rows(ask: &RowAsk) -> impl Iterator<Item = order_line::ActiveModel> + '_ {
    let lines = &ask.payload.lines;
    let lines = if lines.len() > 1 { &lines[..] } else { &[] };
    (0i16..).zip(lines).map(|(n, l)| order_line::ActiveModel {
        order_id: Set(ask.payload.order.0.to_vec()),
        line: Set(n),
        offer: Set(l.cell.offer.as_str().as_bytes().to_vec()),
        bucket: Set(i16::from(l.cell.bucket)),
        qty: Set(l.qty as i32),
        unit_minor: Set(l.unit_minor),
    })
}
