//! Rows that outlived what the ledger had of them: read in pages, rejected by a rewind.

use std::collections::HashMap;

use bytes::Bytes;
use domain::frame::Sealed;
use domain::{CellId, Line, OfferId, OrderId, Payload};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::find::forced;
use super::{Db, convert};
use crate::entity::{order_line, orders};
use crate::error::StoreResult;
use crate::ladder;
use crate::port::{KeptRow, KeptRows};

pub(super) async fn page(db: &Db, after: Option<OrderId>, limit: u64) -> StoreResult<KeptRows> {
    let conn = db.conn().await?;
    let from = after.map(|o| o.0.to_vec()).unwrap_or_default();
    let found = orders::Entity::find()
        .filter(orders::Column::OrderId.gt(from))
        .order_by_asc(orders::Column::OrderId)
        .limit(limit)
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let last = found.last().filter(|_| found.len() as u64 == limit);
    let next = last.map(|l| convert::order_id(db, &l.order_id)).transpose()?;
    let carts: Vec<Vec<u8>> =
        found.iter().filter(|r| r.more_lines > 0).map(|r| r.order_id.clone()).collect();
    let mut lines: HashMap<Vec<u8>, Vec<order_line::Model>> = HashMap::new();
    for piece in ladder::padded(&carts, ladder::STEPS[0]) {
        let mut find = order_line::Entity::find().filter(order_line::Column::OrderId.is_in(piece));
        forced(&mut find, "PRIMARY");
        for line in find.all(&*conn).await.map_err(|e| db.err(e))? {
            lines.entry(line.order_id.clone()).or_default().push(line);
        }
    }
    let row = |m: orders::Model| {
        let mut of = lines.remove(&m.order_id).unwrap_or_default();
        of.sort_by_key(|l| l.line);
        let order = convert::order_id(db, &m.order_id).map(|id| id.to_string());
        (order.unwrap_or_default(), kept(db, m, of))
    };
    let (mut rows, mut unreadable) = (Vec::new(), 0);
    for (order, read) in found.into_iter().map(row) {
        match read {
            Ok(row) => rows.push(row),
            // One row that a hand has spoiled must not hide all that come after it.
            Err(e) => {
                tracing::error!(database = db.no, %order, error = %e, "a row cannot be read");
                unreadable += 1;
            }
        }
    }
    Ok(KeptRows { rows, unreadable, next })
}

fn line(db: &Db, offer: Vec<u8>, bucket: i16, qty: i32, unit_minor: i64) -> StoreResult<Line> {
    let offer: OfferId = convert::parse(db, offer, "offer of a line")?;
    Ok(Line { cell: offer.cell(bucket as u8), qty: qty as u32, unit_minor })
}

fn kept(db: &Db, m: orders::Model, more: Vec<order_line::Model>) -> StoreResult<KeptRow> {
    let anchor = line(db, m.offer, m.bucket, m.qty, m.unit_minor)?;
    let mut lines = Vec::new();
    for l in more {
        lines.push(line(db, l.offer, l.bucket, l.qty, l.unit_minor)?);
    }
    if lines.is_empty() {
        lines.push(anchor.clone());
    }
    let order = convert::order_id(db, &m.order_id)?;
    let status = convert::status(db, m.status)?;
    let cells: Vec<CellId> = lines.iter().map(|l| l.cell.clone()).collect();
    let (updated_ms, refunded) = (m.updated_at as u64, m.refunded);
    let supersedes = convert::other_order(db, m.supersedes.as_deref())?;
    let key = m.idem_key.map(|key| convert::parse(db, key, "orders.idem_key")).transpose()?;
    if key.is_none() && supersedes.is_none() {
        return Ok(KeptRow { order, status, cells, updated_ms, refunded, sealed: None });
    }
    let payload = Payload {
        order,
        buyer: convert::buyer(db, &m.buyer)?,
        key,
        anchor: cells.iter().position(|c| *c == anchor.cell).unwrap_or(0),
        lines,
        metadata: m.metadata,
        currency: m.currency,
        campaign: order.campaign(),
        window_ms: m.window_ms.unwrap_or(m.expires_at.saturating_sub(m.created_at)) as u64,
        supersedes,
    };
    let sealed = Sealed { t_ms: m.created_at as u64, payload: Bytes::from(payload.encode()) };
    Ok(KeptRow { order, status, cells, updated_ms, refunded, sealed: Some(sealed) })
}
