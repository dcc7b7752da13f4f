//! A late payment buys its expired order again (LIFE 4): a successor with the old lines and prices
//! is held and published as a gate does it, by the script's rules but without its window, and the
//! ledger decides as for any order. Every step may be repeated; one transaction ends it.

use std::sync::Arc;
use std::time::Duration;

use cells::port::{Cells, Refusal, ReserveCall, ReserveItem, ReserveReply, Reserved, Wait};
use domain::frame::{self, Item, Mode, Sealed};
use domain::life::{DueWork, Life, LifeWish, PaymentFate, PaymentKey};
use domain::{CellId, Flag, HoldState, Identity, Nonce, OrderId, Payload};
use orderlog::port::{OrderLog, Partition};
use runtime::unique::Unique;
use store::port::{DueRow, OrderRow};
use store::{LedgerRead, LifeRead, OrdersRead, StoreResult};
use view::{CatalogCache, Follow, Followed, PublishTimes};

use crate::settings::ClerkSettings;

/// Between two looks for its row, ms.
const SOON: u64 = 250;
/// Until something that is in the way has passed, ms.
const LATER: u64 = 1000;

/// Buys again.
pub(crate) struct BuyAgain {
    pub cells: Arc<dyn Cells>,
    pub log: Arc<dyn OrderLog>,
    pub rows: Arc<dyn OrdersRead>,
    pub ledger: Arc<dyn LedgerRead>,
    pub reads: Arc<dyn LifeRead>,
    pub catalog: Arc<CatalogCache>,
    pub follow: Follow,
    pub identity: Identity,
    pub unique: Arc<dyn Unique>,
    pub times: PublishTimes,
    pub wait: Option<Wait>,
    pub settings: ClerkSettings,
}

/// What is known of a successor without a row.
enum Successor {
    /// Held, published or decided: its row will come.
    UnderWay,
    /// There are no units, or its buyer has all that one may have.
    Refused,
    /// Something is in the way.
    Waits,
}

impl BuyAgain {
    /// The next step of a late payment of an expired order.
    pub(crate) async fn step(
        &self,
        row: &DueRow,
        old: &Life,
        key: &PaymentKey,
    ) -> StoreResult<LifeWish> {
        let payment = key.clone();
        let is_late = old.payments.get(key).is_some_and(|p| p.fate == Some(PaymentFate::Late));
        let state = old.order.as_ref().filter(|_| is_late);
        let Some(successor) = state.and_then(|o| o.superseded_by) else {
            return Ok(LifeWish::Forgo(row.order, payment));
        };
        let next = self.reads.life(successor).await?;
        if next.order.is_some() {
            return Ok(LifeWish::Attach { old: row.order, successor, payment });
        }
        if row.age_ms() > self.settings.late_deadline_ms {
            return Ok(LifeWish::Forgo(row.order, payment));
        }
        let again_ms = match self.buy(old, successor).await? {
            Successor::Refused => return Ok(LifeWish::Forgo(row.order, payment)),
            Successor::UnderWay => SOON,
            Successor::Waits => LATER,
        };
        let work = DueWork::Reclaim(payment);
        Ok(LifeWish::Later { order: row.order, work, again_ms })
    }

    async fn buy(&self, old: &Life, successor: OrderId) -> StoreResult<Successor> {
        let Some(row) = self.rows.order(old.id).await? else { return Ok(Successor::Waits) };
        // Several cells are all or none: a cart's successor is not bought in this version.
        let window_ms = self.settings.late_window_ms;
        let Some(payload) = payload(&row, successor, window_ms) else {
            return Ok(Successor::Refused);
        };
        let cell = payload.anchor_line().cell.clone();
        let found = self.ledger.find_verdicts(&cell, &[successor.into()]).await?;
        if found.into_iter().flatten().next().is_some() {
            return Ok(Successor::UnderWay);
        }
        if !self.is_given_back(old, &cell).await? {
            return Ok(Successor::Waits);
        }
        match self.cells.snapshot(&cell).await {
            Ok(Some(view)) if view.totals.open != Flag::Paused => {}
            _ => return Ok(Successor::Waits),
        }
        self.hold(&cell, &payload).await
    }

    /// Its own units must be back first, in the cell too, or they would count against it.
    async fn is_given_back(&self, old: &Life, cell: &CellId) -> StoreResult<bool> {
        let db = self.ledger.cell_db(&cell.offer);
        let traces = self.ledger.traces(db, &[old.id]).await?;
        let released = traces.get(&(old.id, cell.clone())).is_some_and(|t| t.released);
        Ok(released && matches!(self.follow.catch_up(cell).await, Followed::Ok { .. }))
    }

    async fn hold(&self, cell: &CellId, payload: &Payload) -> StoreResult<Successor> {
        let offer = self.catalog.get(&cell.offer).await?;
        let limit = offer.and_then(|known| known.offer.limit_per_buyer).unwrap_or(0);
        let bytes: bytes::Bytes = payload.encode().into();
        let item = ReserveItem {
            id: payload.order.into(),
            buyer: Some(payload.buyer.clone()),
            buyer_hash: self.identity.buyer_hash(&payload.buyer),
            qty: payload.anchor_line().qty,
            nonce: Nonce(self.unique.next()),
            state: HoldState::Sealed,
            payload: bytes.clone(),
            checked: true,
            relay: true,
        };
        let call = ReserveCall {
            limit,
            deadline_ms: 0,
            opens_at_ms: 0,
            closes_at_ms: 0,
            wait: self.wait,
            items: vec![item],
        };
        match self.cells.reserve(cell, &call).await {
            Ok(reply) => Ok(self.held(payload, bytes, reply).await),
            Err(e) => {
                view::failed::redis(e);
                Ok(Successor::Waits)
            }
        }
    }

    /// A hold goes to the log while it is young and no failover can lose it; the relay has the
    /// rest.
    async fn held(&self, payload: &Payload, own: bytes::Bytes, reply: ReserveReply) -> Successor {
        let now = reply.mark.redis_ms;
        let sealed = match reply.results.into_iter().next() {
            Some(Reserved::New { t_ms }) => Sealed { t_ms, payload: own },
            Some(Reserved::Held { t_ms, payload }) => Sealed { t_ms, payload },
            Some(Reserved::Verdict(_)) => return Successor::UnderWay,
            Some(Reserved::Refused { why: Refusal::Limit | Refusal::SoldOut, .. }) => {
                return Successor::Refused;
            }
            Some(
                Reserved::Refused { why: Refusal::Closed | Refusal::Paused, .. }
                | Reserved::Fenced
                | Reserved::Conflict(_)
                | Reserved::Missing
                | Reserved::Late
                | Reserved::Returning
                | Reserved::NotOpen,
            )
            | None => return Successor::Waits,
        };
        let young = Duration::from_millis(now.saturating_sub(sealed.t_ms)) < self.times.max_age;
        if reply.replicated && young {
            let home = domain::home(payload, &self.identity, self.log.partitions());
            let frame = frame::encode(&[Item::Order(Mode::Full, sealed)]);
            let publish = self.log.publish(Partition::Main(home), frame);
            match tokio::time::timeout(self.times.timeout, publish).await {
                Ok(Ok(())) => {}
                Ok(Err(e)) => tracing::warn!(order = %payload.order, error = %e, "no receipt"),
                Err(_) => tracing::warn!(order = %payload.order, "no receipt in time"),
            }
        }
        Successor::UnderWay
    }
}

/// What an expired order of one line buys again; `None` for one of several.
fn payload(row: &OrderRow, successor: OrderId, window_ms: u64) -> Option<Payload> {
    let [(offer, bucket, qty, unit_minor)] = row.lines.as_slice() else { return None };
    let cell = offer.cell(*bucket);
    Some(Payload {
        order: successor,
        buyer: row.buyer.clone(),
        key: None,
        lines: vec![domain::Line { cell, qty: *qty, unit_minor: *unit_minor }],
        anchor: 0,
        metadata: row.metadata.clone(),
        currency: row.currency.clone(),
        campaign: row.order.campaign(),
        window_ms,
        supersedes: Some(row.order),
    })
}
