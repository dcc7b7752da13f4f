//! Lives as the tables have them, under their locks: orders in the order of their ids, then their
//! payments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::life::{
    Life, LifeLine, Lives, OrderState, PaySession, Payment, PaymentFate, PaymentKey, PaymentState,
    ProviderId, Refund, RefundKey, RefundSort, RefundState,
};
use domain::{OrderId, Ordinal};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};

use super::super::find::forced;
use super::super::{Db, convert};
use crate::entity::{order_line, orders, pay_session, payment, refund};
use crate::error::StoreResult;
use crate::ladder;

/// What a transaction has to itself.
#[derive(Clone, Copy)]
pub(super) struct Locks<'a> {
    pub orders: &'a BTreeSet<OrderId>,
    pub keys: &'a BTreeSet<PaymentKey>,
}

/// The orders that payments name first, and those that they pay.
pub(super) fn homes(
    payments: &BTreeMap<PaymentKey, Payment>,
) -> impl Iterator<Item = OrderId> + '_ {
    payments.values().flat_map(|p| {
        let paid = match p.fate {
            Some(PaymentFate::Order(order)) => Some(order),
            Some(PaymentFate::Late | PaymentFate::Back) | None => None,
        };
        std::iter::once(p.order).chain(paid)
    })
}

/// Lives, and the rows that they were read from.
pub(super) struct FoundLives {
    pub lives: Lives,
    pub rows: HashMap<OrderId, orders::Model>,
}

impl FoundLives {
    /// Gives payments to the lives of the orders that they name, and of those that they pay.
    pub(super) fn take(&mut self, payments: BTreeMap<PaymentKey, Payment>) {
        for (key, payment) in payments {
            let one = BTreeMap::from([(key, payment)]);
            for order in homes(&one).collect::<BTreeSet<_>>() {
                let life = self.lives.entry(order).or_insert_with(|| Life::new(order));
                life.payments.extend(one.clone());
            }
        }
    }
}

fn keys(orders: &BTreeSet<OrderId>) -> Vec<Vec<u8>> {
    orders.iter().map(|o| o.0.to_vec()).collect()
}

/// The lives of these orders, without their payments and refunds.
pub(super) async fn lives(
    db: &Db,
    tx: &impl ConnectionTrait,
    wanted: &BTreeSet<OrderId>,
    locks: bool,
) -> StoreResult<FoundLives> {
    let ids = keys(wanted);
    let lives = wanted.iter().map(|o| (*o, Life::new(*o))).collect();
    let mut found = FoundLives { lives, rows: HashMap::new() };
    for piece in ladder::padded(&ids, ladder::STEPS[1]) {
        let mut find = orders::Entity::find()
            .filter(orders::Column::OrderId.is_in(piece))
            .order_by_asc(orders::Column::OrderId);
        forced(&mut find, "PRIMARY");
        let find = if locks { find.lock_exclusive() } else { find };
        for row in find.all(tx).await.map_err(|e| db.err(e))? {
            found.rows.insert(convert::order_id(db, &row.order_id)?, row);
        }
    }
    let carts = found.rows.values().filter(|r| r.more_lines > 0).map(|r| r.order_id.clone());
    let mut lines = cart_lines(db, tx, &carts.collect::<Vec<_>>()).await?;
    for (id, row) in &found.rows {
        let more = lines.remove(id).unwrap_or_default();
        if let Some(life) = found.lives.get_mut(id) {
            life.order = Some(order_state(db, row, more)?);
        }
    }
    Ok(found)
}

/// Their refunds. What is read of them after the locks of orders and payments is what there is.
pub(super) async fn refunds(
    db: &Db,
    tx: &impl ConnectionTrait,
    wanted: &BTreeSet<OrderId>,
    found: &mut FoundLives,
) -> StoreResult<()> {
    let ids = keys(wanted);
    for piece in ladder::padded(&ids, ladder::STEPS[1]) {
        let mut find = refund::Entity::find().filter(refund::Column::OrderId.is_in(piece));
        forced(&mut find, "PRIMARY");
        for row in find.all(tx).await.map_err(|e| db.err(e))? {
            let order = convert::order_id(db, &row.order_id)?;
            let (key, refund) = to_refund(db, row)?;
            if let Some(life) = found.lives.get_mut(&order) {
                life.refunds.insert(key, refund);
            }
        }
    }
    Ok(())
}

/// Their sessions at providers.
pub(super) async fn sessions(
    db: &Db,
    tx: &impl ConnectionTrait,
    wanted: &BTreeSet<OrderId>,
    found: &mut FoundLives,
) -> StoreResult<()> {
    let ids = keys(wanted);
    for piece in ladder::padded(&ids, ladder::STEPS[1]) {
        let mut find =
            pay_session::Entity::find().filter(pay_session::Column::OrderId.is_in(piece));
        forced(&mut find, "PRIMARY");
        for row in find.all(tx).await.map_err(|e| db.err(e))? {
            let order = convert::order_id(db, &row.order_id)?;
            let provider = provider_id(db, &row.provider)?;
            let payment = row.payment_id.map(|id| convert::parse(db, id, "pay_session.payment_id"));
            let session = PaySession {
                attempt: row.attempt as u32,
                payment: payment.transpose()?,
                redirect: convert::text(db, row.redirect, "pay_session.redirect")?,
            };
            if let Some(life) = found.lives.get_mut(&order) {
                life.sessions.insert(provider, session);
            }
        }
    }
    Ok(())
}

async fn cart_lines(
    db: &Db,
    tx: &impl ConnectionTrait,
    carts: &[Vec<u8>],
) -> StoreResult<HashMap<OrderId, Vec<LifeLine>>> {
    let mut out: HashMap<OrderId, Vec<LifeLine>> = HashMap::new();
    for piece in ladder::padded(carts, ladder::STEPS[1]) {
        let mut find = order_line::Entity::find()
            .filter(order_line::Column::OrderId.is_in(piece))
            .order_by_asc(order_line::Column::OrderId)
            .order_by_asc(order_line::Column::Line);
        forced(&mut find, "PRIMARY");
        for l in find.all(tx).await.map_err(|e| db.err(e))? {
            let id = convert::order_id(db, &l.order_id)?;
            out.entry(id).or_default().push(line(db, l.offer, l.bucket, l.qty, l.unit_minor)?);
        }
    }
    Ok(out)
}

fn line(db: &Db, offer: Vec<u8>, bucket: i16, qty: i32, unit_minor: i64) -> StoreResult<LifeLine> {
    let offer: domain::OfferId = convert::parse(db, offer, "offer of a line")?;
    Ok(LifeLine { cell: offer.cell(bucket as u8), qty: qty as u32, unit_minor })
}

fn order_state(db: &Db, m: &orders::Model, more: Vec<LifeLine>) -> StoreResult<OrderState> {
    let anchor = line(db, m.offer.clone(), m.bucket, m.qty, m.unit_minor)?;
    let at = more.iter().position(|l| l.cell == anchor.cell).unwrap_or(0);
    Ok(OrderState {
        status: convert::status(db, m.status)?,
        version: m.version as u32,
        amount: m.amount,
        currency: m.currency.clone(),
        lines: if more.is_empty() { vec![anchor] } else { more },
        anchor: at,
        expires_at: (m.expires_at > 0).then_some(m.expires_at as u64),
        captured: m.captured,
        refunded: m.refunded,
        supersedes: convert::other_order(db, m.supersedes.as_deref())?,
        superseded_by: convert::other_order(db, m.superseded_by.as_deref())?,
        came_from: m.came_from.map(|n| convert::status(db, n)).transpose()?,
    })
}

fn to_refund(db: &Db, m: refund::Model) -> StoreResult<(RefundKey, Refund)> {
    let wrong = |what: &str| db.corrupt(format!("refund.{what} of an order"));
    let payment = payment_key(db, &m.provider, &m.payment_id)?;
    let key = RefundKey { refund: convert::parse(db, m.refund_id, "refund.refund_id")?, payment };
    let parts = convert::text(db, m.parts, "refund.parts")?;
    let mut lines = Vec::new();
    for part in parts.split(',').filter(|p| !p.is_empty()) {
        let line =
            part.split_once(' ').and_then(|(cell, n)| Some((cell.parse().ok()?, n.parse().ok()?)));
        lines.push(line.ok_or_else(|| wrong("parts"))?);
    }
    let ordinal = m.ordinal.map(|n| u8::try_from(n).ok().and_then(Ordinal::new));
    let refund = Refund {
        sort: RefundSort::from_number(m.sort).ok_or_else(|| wrong("sort"))?,
        amount: m.amount,
        lines,
        asked: m.asked,
        is_whole: m.is_whole != 0,
        restocks: m.restocks != 0,
        ordinal: ordinal.map(|n| n.ok_or_else(|| wrong("ordinal"))).transpose()?,
        state: RefundState::from_number(m.state).ok_or_else(|| wrong("state"))?,
        tries: m.tries as u32,
        first_sent_ms: m.first_sent as u64,
        moved_ms: m.moved_at as u64,
    };
    Ok((key, refund))
}

pub(super) fn provider_id(db: &Db, provider: &str) -> StoreResult<ProviderId> {
    provider.parse().map_err(|e| db.corrupt(format!("provider {provider:?}: {e}")))
}

pub(super) fn payment_key(db: &Db, provider: &str, payment: &[u8]) -> StoreResult<PaymentKey> {
    let provider = provider_id(db, provider)?;
    Ok(PaymentKey { provider, payment: convert::parse(db, payment.to_vec(), "payment_id")? })
}

fn to_payment(db: &Db, m: payment::Model) -> StoreResult<(PaymentKey, Payment)> {
    let wrong = |what: &str| db.corrupt(format!("payment.{what} {:?}", m.fate));
    let fate = match (m.fate, &m.fate_order) {
        (None, None) => None,
        (Some(1), Some(order)) => Some(PaymentFate::Order(convert::order_id(db, order)?)),
        (Some(2), None) => Some(PaymentFate::Late),
        (Some(3), None) => Some(PaymentFate::Back),
        _ => return Err(wrong("fate")),
    };
    let key = payment_key(db, &m.provider, &m.payment_id)?;
    let payment = Payment {
        order: convert::order_id(db, &m.order_id)?,
        state: PaymentState::from_number(m.state).ok_or_else(|| wrong("state"))?,
        captured: m.captured,
        currency: m.currency,
        fate,
        keep: m.keep,
        closed: m.closed != 0,
        attempt: m.attempt as u32,
        asked: m.asked as u32,
        captured_ms: m.captured_at as u64,
    };
    Ok((key, payment))
}

async fn all(
    db: &Db,
    conn: &impl ConnectionTrait,
    find: Select<payment::Entity>,
    out: &mut BTreeMap<PaymentKey, Payment>,
) -> StoreResult<()> {
    for row in find.all(conn).await.map_err(|e| db.err(e))? {
        let (key, payment) = to_payment(db, row)?;
        out.insert(key, payment);
    }
    Ok(())
}

/// Payments by what their providers call them.
pub(super) async fn by_key(
    db: &Db,
    conn: &impl ConnectionTrait,
    keys: &BTreeSet<PaymentKey>,
    locks: bool,
) -> StoreResult<BTreeMap<PaymentKey, Payment>> {
    let mut out = BTreeMap::new();
    let keys: Vec<&PaymentKey> = keys.iter().collect();
    for piece in ladder::padded(&keys, ladder::STEPS[2]) {
        // SQLite has no IN over pairs of values.
        let any = piece.iter().fold(Condition::any(), |c, key| {
            let id = payment::Column::PaymentId.eq(key.payment.as_str().as_bytes().to_vec());
            c.add(payment::Column::Provider.eq(key.provider.as_str()).and(id))
        });
        let mut find = payment::Entity::find().filter(any);
        forced(&mut find, "PRIMARY");
        let find = if locks { find.lock_exclusive() } else { find };
        all(db, conn, find, &mut out).await?;
    }
    Ok(out)
}

/// The payments of these orders, those that pay them, and those of these keys.
pub(super) async fn payments(
    db: &Db,
    tx: &impl ConnectionTrait,
    wanted: Locks<'_>,
    locks: bool,
) -> StoreResult<BTreeMap<PaymentKey, Payment>> {
    let ids = keys(wanted.orders);
    let mut out = by_key(db, tx, wanted.keys, locks).await?;
    for piece in ladder::padded(&ids, ladder::STEPS[1]) {
        let of = [
            (payment::Column::OrderId, "payment_order"),
            (payment::Column::FateOrder, "payment_fate"),
        ];
        for (column, index) in of {
            let mut find = payment::Entity::find().filter(column.is_in(piece.clone()));
            forced(&mut find, index);
            let find = if locks { find.lock_exclusive() } else { find };
            all(db, tx, find, &mut out).await?;
        }
    }
    Ok(out)
}
