//! Reading orders: by id (with `wait`), by idempotency key.
//!
//! An order without a row may still be known: by its receipt (`accepted`), by a verdict in the
//! ledger, by a hold (`unconfirmed`). Another buyer's order and an unknown one have the same
//! answer.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use contract::buyers::{Links, Money, Order, OrderLine};
use contract::{Buyers, Problem, Reason, show_time};
use domain::frame::Mode;
use domain::order::{RejectReason, RowStatus};
use domain::{Buyer, IdempotencyKey, Kind, OfferId, OrderId, Payload, Status};
use mutants::Mutant;
use serde_json::value::RawValue;
use store::port::OrderRow;
use tokio::time::Instant;
use view::failed::{self, Down};
use web::{answer, body as read};

use crate::edge::answer::Handled;
use crate::entry::admitted::Admitted;
use crate::metrics::{METRICS, Outcome};
use crate::pay::OrderPath;
use crate::sale::body;
use crate::state::Gate;

/// Where an order stands that has no row yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Held, and nobody knows more.
    Unconfirmed,
    /// In the log, or claimed.
    Accepted,
    /// The ledger said no.
    Rejected(RejectReason),
}

impl Stands {
    /// What its verdict says; `None` for an entry that is no verdict on an order.
    fn decided(kind: Kind, mode: Mode) -> Option<Self> {
        match kind {
            Kind::Claim => Some(Stands::Accepted),
            Kind::Reject => Some(Stands::Rejected(RejectReason::of(mode, true))),
            Kind::Release | Kind::Return(_) | Kind::Supply | Kind::TransferOut | Kind::Flag => None,
        }
    }

    fn status(self) -> Status {
        match self {
            Stands::Unconfirmed => Status::Unconfirmed,
            Stands::Accepted => Status::Accepted,
            Stands::Rejected(_) => Status::Row(RowStatus::Rejected),
        }
    }

    fn reason(self) -> Option<RejectReason> {
        match self {
            Stands::Unconfirmed | Stands::Accepted => None,
            Stands::Rejected(why) => Some(why),
        }
    }
}

fn metadata(text: &str) -> Cow<'_, RawValue> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => Cow::Borrowed(raw),
        Err(_) => Cow::Owned(RawValue::from_string("{}".to_owned()).unwrap_or_default()),
    }
}

/// An order as its row has it.
fn row_body<'a>(row: &'a OrderRow, link: &'a str) -> Order<'a> {
    let line = |l: &'a (OfferId, u8, u32, i64)| OrderLine {
        offer: l.0.name().into(),
        quantity: l.2,
        unit_price: Money::new(&row.currency, l.3),
    };
    Order {
        order_id: row.order,
        status: Status::Row(row.status),
        version: row.version,
        lines: row.lines.iter().map(line).collect(),
        amount: Some(Money::new(&row.currency, row.amount)),
        reason: row.reason,
        metadata: metadata(&row.metadata),
        created_at: Some(show_time(row.created_at)),
        updated_at: Some(show_time(row.updated_at)),
        expires_at: (row.expires_at > 0).then(|| show_time(row.expires_at)),
        captured: Some(Money::new(&row.currency, row.captured)),
        refunded: Some(Money::new(&row.currency, row.refunded)),
        supersedes: row.supersedes,
        superseded_by: row.superseded_by,
        links: Links { this: link.into() },
    }
}

/// An order before there is a row, from what a hold or a verdict carries.
pub(crate) fn payload_body<'a>(
    p: &'a Payload,
    stands: Stands,
    t_ms: u64,
    link: &'a str,
) -> Order<'a> {
    let line = |l: &'a domain::Line| OrderLine {
        offer: l.cell.offer.name().into(),
        quantity: l.qty,
        unit_price: Money::new(&p.currency, l.unit_minor),
    };
    Order {
        order_id: p.order,
        status: stands.status(),
        version: 0,
        lines: p.lines.iter().map(line).collect(),
        amount: Some(Money::new(&p.currency, p.amount_minor())),
        reason: stands.reason(),
        metadata: metadata(&p.metadata),
        created_at: Some(show_time(t_ms)),
        updated_at: Some(show_time(t_ms)),
        expires_at: (p.window_ms > 0).then(|| show_time(p.expires_at(t_ms))),
        captured: None,
        refunded: None,
        supersedes: p.supersedes,
        superseded_by: None,
        links: Links { this: link.into() },
    }
}

/// An order that is known by its receipt alone.
fn bare_body(order: OrderId, link: &str) -> Order<'_> {
    Order {
        order_id: order,
        status: Status::Accepted,
        version: 0,
        lines: Vec::new(),
        amount: None,
        reason: None,
        metadata: metadata("{}"),
        created_at: None,
        updated_at: None,
        expires_at: None,
        captured: None,
        refunded: None,
        supersedes: None,
        superseded_by: None,
        links: Links { this: link.into() },
    }
}

/// The link that finds an order which has no row yet.
pub(crate) fn self_link(order: OrderId, offer: &str, receipt: Option<&str>) -> String {
    let mut link = String::with_capacity(128);
    // Text that grows takes everything.
    let _ = write!(link, "/v1/orders/{order}?offer={offer}");
    if let Some(receipt) = receipt {
        link.push_str("&receipt=");
        link.push_str(receipt);
    }
    link
}

/// An order that has its row. Its link carries the version that was shown: nobody who uses it sees
/// an older one.
pub(crate) async fn of_row(gate: &Gate, row: &OrderRow) -> Handled {
    let link = format!("/v1/orders/{}?v={}", row.order, row.version);
    let superseded_by = bought_again(gate, row).await?;
    let body = Order { superseded_by, ..row_body(row, &link) };
    Ok((answer::json(200, &body), Outcome::Answered))
}

/// The order that its late payment bought: told once that is paid.
async fn bought_again(gate: &Gate, row: &OrderRow) -> Result<Option<OrderId>, Problem> {
    let Some(next) = row.superseded_by else { return Ok(None) };
    let found = gate.ports.store.order(next).await.map_err(failed::database).map_err(down)?;
    let is_paid = found.is_some_and(|r| r.captured > 0);
    Ok(Some(next).filter(|_| is_paid))
}

/// The row of an order after it was changed.
pub(crate) async fn again(gate: &Gate, order: OrderId) -> Handled {
    let found = gate.ports.store.order(order).await.map_err(failed::database).map_err(down)?;
    let row = found.ok_or_else(unknown)?;
    of_row(gate, &row).await
}

/// The row of an order of the buyer, for a call that needs one. One that is known without a row is
/// `not_yet`, one that nobody knows, and another buyer's, is unknown: with the same answer, no
/// sooner.
pub(crate) async fn row_of(
    gate: &Gate,
    who: &Admitted,
    at: OrderPath<'_>,
) -> Result<OrderRow, Problem> {
    let buyer = who.buyer();
    let fields = read::query(at.query, Buyers::Cancel.spec().query)?;
    let order: OrderId = at.id.parse().map_err(|_| unknown())?;
    let offer = fields.get("offer").and_then(|o| OfferId::of(buyer.tenant(), o).ok());
    let receipt = fields.get("receipt").map(|r| &**r);
    let from = Instant::now();
    let mut ask = OrderAsk { gate, buyer, order, offer, receipt };
    if let Some(row) = ask.row().await.map_err(down)? {
        return Ok(row);
    }
    // Where nobody says which offer it is of, those of its campaign are looked at, if they are few.
    let hinted: Vec<OfferId> = match ask.offer.take() {
        Some(offer) => vec![offer],
        None => gate.catalog.of_campaign(order.campaign(), MAX_HINTS),
    };
    for offer in hinted.into_iter().map(Some).chain([None]) {
        ask.offer = offer;
        match ask.without_row().await {
            Ok(_) => return Err(Problem::new(Reason::NotYet).about(order)),
            Err(p) if p.reason == Reason::UnknownOrder => {}
            Err(p) => return Err(p),
        }
    }
    tokio::time::sleep_until(from + UNKNOWN).await;
    Err(unknown())
}

/// What is known of an order of the buyer, as `GET` shows it.
pub(crate) async fn known(gate: &Gate, buyer: &Buyer, order: OrderId, offer: &OfferId) -> Handled {
    let ask = OrderAsk { gate, buyer, order, offer: Some(offer.clone()), receipt: None };
    match ask.row().await.map_err(down)? {
        Some(row) => of_row(gate, &row).await,
        None => ask.without_row().await,
    }
}

/// Offers of a campaign that are looked at for an order without a row.
const MAX_HINTS: usize = 16;

fn unknown() -> Problem {
    Problem::new(Reason::UnknownOrder)
}

fn down(Down: Down) -> Problem {
    Problem::with(Reason::DependencyDown, "the order's database does not answer")
}

/// "Unknown" is not said sooner than this: a row that is read and belongs to another takes a little
/// longer than none, and many askings would tell them apart.
const UNKNOWN: Duration = Duration::from_millis(10);

struct OrderAsk<'a> {
    gate: &'a Gate,
    buyer: &'a Buyer,
    order: OrderId,
    offer: Option<OfferId>,
    receipt: Option<&'a str>,
}

/// `GET /v1/orders/{id}`.
pub(crate) async fn by_id(gate: &Gate, who: &Admitted, id: &str, query: Option<&str>) -> Handled {
    let buyer = who.buyer();
    let fields = read::query(query, Buyers::Order.spec().query)?;
    let wait = fields.get("wait").map(|w| body::wait(w)).transpose()?.unwrap_or(Duration::ZERO);
    let order = id.parse().map_err(|_| unknown())?;
    let ask = OrderAsk {
        gate,
        buyer,
        order,
        offer: fields.get("offer").and_then(|o| OfferId::of(buyer.tenant(), o).ok()),
        receipt: fields.get("receipt").map(|r| &**r),
    };
    let until = Instant::now() + wait;
    if let Some(row) = ask.row().await.map_err(down)? {
        return of_row(gate, &row).await;
    }
    if wait > Duration::ZERO {
        gate.waiters.row(order, until).await;
        if let Some(row) = ask.row().await.map_err(down)? {
            return of_row(gate, &row).await;
        }
        // Another buyer's row has come: not even the time may tell of it.
        gate.waiters.nothing(order, until).await;
    }
    let from = until.min(Instant::now());
    let handled = ask.without_row().await;
    if handled.as_ref().is_err_and(|p| p.reason == Reason::UnknownOrder) {
        tokio::time::sleep_until(from + UNKNOWN).await;
    }
    handled
}

/// What an order's cell knows of it.
#[derive(Default)]
struct FoundOrder {
    /// The order, if it is this buyer's, with the time of its first reserve.
    order: Option<(Stands, Payload, u64)>,
    /// The ledger's word on the id, whoever's it is.
    verdict: Option<Kind>,
}

impl OrderAsk<'_> {
    /// The order's row, if it is this buyer's: another's goes every way that an unknown one goes.
    async fn row(&self) -> Result<Option<OrderRow>, Down> {
        let row = self.gate.ports.store.order(self.order).await.map_err(failed::database)?;
        Ok(row.filter(|row| row.buyer == *self.buyer))
    }

    /// When the log said that it has this order: a receipt proves it, and only for its buyer.
    fn checked_receipt(&self) -> Option<u32> {
        if mutants::on(Mutant::ReceiptIgnored) {
            return None;
        }
        let identity = &self.gate.ports.identity;
        self.receipt.and_then(|token| identity.check_receipt(self.order, self.buyer, token))
    }

    async fn without_row(&self) -> Handled {
        let offer_hint = self.offer.as_ref().map(OfferId::name).unwrap_or_default();
        let link = self_link(self.order, offer_hint, self.receipt);
        let receipt = self.checked_receipt();
        let found = match self.look().await {
            Ok(found) => found,
            Err(Down) if receipt.is_some() => FoundOrder::default(),
            Err(e) => return Err(down(e)),
        };
        if let Some((stands, payload, t_ms)) = found.order {
            let accepted = receipt.is_some() && stands == Stands::Unconfirmed;
            let stands = if accepted { Stands::Accepted } else { stands };
            let body = payload_body(&payload, stands, t_ms, &link);
            return Ok((answer::json(200, &body), Outcome::Answered));
        }
        // Decided between our look at the row and our look at the hold: the row is there now.
        match self.row().await {
            Ok(Some(row)) => return of_row(self.gate, &row).await,
            Ok(None) => {}
            Err(Down) if receipt.is_some() => {}
            Err(e) => return Err(down(e)),
        }
        let parked = match self.parked(found.verdict).await {
            Ok(parked) => parked,
            Err(Down) if receipt.is_some() => None,
            Err(e) => return Err(down(e)),
        };
        if let Some((stands, payload, t_ms)) = parked {
            let body = payload_body(&payload, stands, t_ms, &link);
            return Ok((answer::json(200, &body), Outcome::Answered));
        }
        let accepted_s = receipt.ok_or_else(unknown)?;
        let now_s = self.gate.ports.clock.now_ms() / 1000;
        if now_s.saturating_sub(u64::from(accepted_s)) > 600 {
            METRICS.accepted_missing.increment(1);
            tracing::error!(order = %self.order, "accepted, but neither row, verdict nor hold");
        }
        Ok((answer::json(200, &bare_body(self.order, &link)), Outcome::Answered))
    }

    /// This buyer's order that waits for a person: nothing else may know it. It was accepted,
    /// unless the ledger said no before it was parked.
    async fn parked(&self, verdict: Option<Kind>) -> Result<Option<(Stands, Payload, u64)>, Down> {
        let store = &self.gate.ports.store;
        let found = store.parked(self.order).await.map_err(failed::database)?;
        let Some(parked) = found else { return Ok(None) };
        let Some(payload) = self.mine(&parked.sealed.payload) else { return Ok(None) };
        // Where nobody gave the offer, the order itself says in which cell its verdict is.
        let verdict = match verdict {
            Some(kind) => Some(kind),
            None => {
                let cell = &payload.anchor_line().cell;
                let found = store.find_verdicts(cell, &[self.order.into()]).await;
                let found = found.map_err(failed::database)?;
                found.into_iter().flatten().next().map(|v| v.kind)
            }
        };
        let decided = verdict.and_then(|kind| Stands::decided(kind, parked.mode));
        Ok(Some((decided.unwrap_or(Stands::Accepted), payload, parked.sealed.t_ms)))
    }

    /// The verdict or the hold of this buyer's order in the hinted offer's cell.
    async fn look(&self) -> Result<FoundOrder, Down> {
        let ports = &self.gate.ports;
        let Some(offer) = &self.offer else { return Ok(FoundOrder::default()) };
        let Some(known) = self.gate.catalog.get(offer).await.map_err(failed::database)? else {
            return Ok(FoundOrder::default());
        };
        let cell = self.gate.cell_of(&known.offer, self.buyer);
        let verdicts = ports
            .store
            .find_verdicts(&cell, &[self.order.into()])
            .await
            .map_err(failed::database)?;
        let verdict = verdicts.into_iter().flatten().next();
        // Nothing is kept beside the verdict of an order that has its row. Without a verdict the
        // same is asked of the ledger's end, and with one that is not this buyer's also the holds:
        // the time must not tell another buyer's order from one that is not there.
        let seq = verdict.as_ref().map_or(i64::MAX as u64, |v| v.seq);
        let kept = ports.store.kept(&cell, seq).await.map_err(failed::database)?;
        if let Some(verdict) = &verdict {
            let mut here = kept.into_iter().filter(|k| k.seq == verdict.seq);
            let order = here.find_map(|k| {
                let stands = Stands::decided(verdict.kind, k.mode)?;
                Some((stands, self.mine(&k.sealed.payload)?, k.sealed.t_ms))
            });
            if order.is_some() {
                return Ok(FoundOrder { order, verdict: Some(verdict.kind) });
            }
        }
        let holds =
            ports.cells.find_holds(&cell, &[self.order.into()]).await.map_err(failed::redis);
        if let Some(verdict) = verdict {
            return Ok(FoundOrder { order: None, verdict: Some(verdict.kind) });
        }
        let hold = holds?.into_iter().flatten().next();
        let order =
            hold.and_then(|h| self.mine(&h.payload).map(|p| (Stands::Unconfirmed, p, h.t_ms)));
        Ok(FoundOrder { order, verdict: None })
    }

    fn mine(&self, payload: &[u8]) -> Option<Payload> {
        Payload::decode(payload).ok().filter(|p| p.buyer == *self.buyer && p.order == self.order)
    }
}

/// `GET /v1/orders?idempotency_key=K`.
pub(crate) async fn by_key(gate: &Gate, who: &Admitted, query: Option<&str>) -> Handled {
    let buyer = who.buyer();
    let fields = read::query(query, Buyers::OrderOfKey.spec().query)?;
    let key = fields.get("idempotency_key").and_then(|k| k.parse().ok());
    let key = key.ok_or_else(|| {
        let text = "idempotency_key is needed: 1 to 128 visible ASCII characters";
        Problem::with(Reason::Malformed, text)
    })?;
    let offer = fields.get("offer").map(|o| OfferId::of(buyer.tenant(), o)).transpose();
    let offer = offer.map_err(|_| Problem::new(Reason::BadId))?;
    let row = gate.ports.store.order_of_key(buyer, &key).await.map_err(failed::database);
    if let Some(row) = row.map_err(down)? {
        return of_row(gate, &row).await;
    }
    let offer = offer.ok_or_else(unknown)?;
    let order = under_key(gate, buyer, &key, &offer).await.map_err(down)?.ok_or_else(unknown)?;
    OrderAsk { gate, buyer, order, offer: Some(offer), receipt: None }.without_row().await
}

/// The order of a key that has no row yet: what its cell holds or decided lately, or its ledger.
async fn under_key(
    gate: &Gate,
    buyer: &Buyer,
    key: &IdempotencyKey,
    offer: &OfferId,
) -> Result<Option<OrderId>, Down> {
    let Some(known) = gate.catalog.get(offer).await.map_err(failed::database)? else {
        return Ok(None);
    };
    let key = gate.ports.identity.order_key(known.campaign.number, buyer, key);
    let cell = gate.cell_of(&known.offer, buyer);
    let found = gate.ports.cells.find_keys(&cell, &[key]).await.map_err(failed::redis);
    if let Ok(found) = &found
        && let Some(order) = found.iter().flatten().next()
    {
        return Ok(Some(*order));
    }
    let decided = gate.ports.store.verdict_under(&cell, key).await.map_err(failed::database)?;
    // Without Redis nobody knows of a hold: only a verdict is an answer then.
    if decided.is_none() { found.map(|_| None) } else { Ok(decided) }
}
