//! Reading orders: by id (with `wait`), by idempotency key.
//!
//! An order without a row may still be known: by its receipt (`accepted`), by a verdict in the
//! ledger, by a hold (`unconfirmed`). Another buyer's order and an unknown one have the same
//! answer.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use domain::frame::Mode;
use domain::order::{RejectReason, RowStatus};
use domain::{Buyer, IdempotencyKey, Kind, OfferId, OrderId, Payload, Reason, Status};
use runtime::mutant::{self, Mutant};
use serde::Serialize;
use serde_json::value::RawValue;
use store::port::OrderRow;
use tokio::time::Instant;

use crate::answer::{self, Links, Problem};
use crate::body;
use crate::buy::{Ended, problem};
use crate::failed::{self, Down};
use crate::metrics::Outcome;
use crate::state::Gate;
use crate::when;

/// An amount of money.
#[derive(Serialize)]
pub(crate) struct Money<'a> {
    currency: &'a str,
    minor: i64,
}

impl<'a> Money<'a> {
    pub fn new(currency: &'a str, minor: i64) -> Self {
        Self { currency, minor }
    }
}

#[derive(Serialize)]
struct LineBody<'a> {
    offer: &'a str,
    quantity: u32,
    unit_price: Money<'a>,
}

/// An order as GET shows it.
#[derive(Serialize)]
pub(crate) struct OrderBody<'a> {
    order_id: String,
    status: &'static str,
    version: u32,
    lines: Vec<LineBody<'a>>,
    amount: Option<Money<'a>>,
    reason: Option<&'a str>,
    metadata: Cow<'a, RawValue>,
    created_at: Option<String>,
    updated_at: Option<String>,
    expires_at: Option<String>,
    links: Links<'a>,
}

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
            Kind::Release | Kind::Supply | Kind::TransferOut | Kind::Flag => None,
        }
    }

    fn status(self) -> Status {
        match self {
            Stands::Unconfirmed => Status::Unconfirmed,
            Stands::Accepted => Status::Accepted,
            Stands::Rejected(_) => Status::Row(RowStatus::Rejected),
        }
    }

    fn reason(self) -> Option<&'static str> {
        match self {
            Stands::Unconfirmed | Stands::Accepted => None,
            Stands::Rejected(why) => Some(why.as_str()),
        }
    }
}

fn metadata(text: &str) -> Cow<'_, RawValue> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => Cow::Borrowed(raw),
        Err(_) => Cow::Owned(RawValue::from_string("{}".to_owned()).unwrap_or_default()),
    }
}

impl<'a> OrderBody<'a> {
    /// From its row.
    pub fn of_row(row: &'a OrderRow, link: &'a str) -> OrderBody<'a> {
        let line = |l: &'a (OfferId, u8, u32, i64)| LineBody {
            offer: l.0.name(),
            quantity: l.2,
            unit_price: Money::new(&row.currency, l.3),
        };
        OrderBody {
            order_id: row.order.to_string(),
            status: row.status.as_str(),
            version: row.version,
            lines: row.lines.iter().map(line).collect(),
            amount: Some(Money::new(&row.currency, row.amount)),
            reason: row.reason.map(RejectReason::as_str),
            metadata: metadata(&row.metadata),
            created_at: Some(when::show(row.created_at)),
            updated_at: Some(when::show(row.updated_at)),
            expires_at: Some(when::show(row.expires_at)),
            links: Links { this: link },
        }
    }

    /// Before there is a row, from what a hold or a verdict carries.
    pub fn of_payload(
        p: &'a Payload,
        (stands, t_ms): (Stands, u64),
        link: &'a str,
    ) -> OrderBody<'a> {
        let line = |l: &'a domain::Line| LineBody {
            offer: l.cell.offer.name(),
            quantity: l.qty,
            unit_price: Money::new(&p.currency, l.unit_minor),
        };
        OrderBody {
            order_id: p.order.to_string(),
            status: stands.status().as_str(),
            version: 0,
            lines: p.lines.iter().map(line).collect(),
            amount: Some(Money::new(&p.currency, p.amount_minor())),
            reason: stands.reason(),
            metadata: metadata(&p.metadata),
            created_at: Some(when::show(t_ms)),
            updated_at: Some(when::show(t_ms)),
            expires_at: Some(when::show(t_ms + p.window_ms)),
            links: Links { this: link },
        }
    }

    /// Known by its receipt alone.
    fn bare(order: OrderId, link: &'a str) -> OrderBody<'a> {
        OrderBody {
            order_id: order.to_string(),
            status: Status::Accepted.as_str(),
            version: 0,
            lines: Vec::new(),
            amount: None,
            reason: None,
            metadata: metadata("{}"),
            created_at: None,
            updated_at: None,
            expires_at: None,
            links: Links { this: link },
        }
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

/// An order that has its row.
pub(crate) fn of_row(row: &OrderRow) -> Ended {
    let link = format!("/v1/orders/{}", row.order);
    (answer::json(200, &OrderBody::of_row(row, &link)), Outcome::Answered)
}

fn unknown() -> Ended {
    problem(Problem::new(Reason::UnknownOrder))
}

fn down() -> Ended {
    problem(Problem::with(Reason::DependencyDown, "the order's database does not answer"))
}

/// "Unknown" is not said sooner than this: a row that is read and belongs to another takes a little
/// longer than none, and many askings would tell them apart.
const UNKNOWN: Duration = Duration::from_millis(10);

struct Ask<'a> {
    gate: &'a Gate,
    buyer: &'a Buyer,
    order: OrderId,
    offer: Option<OfferId>,
    receipt: Option<&'a str>,
}

/// `GET /v1/orders/{id}`.
pub(crate) async fn by_id(gate: &Gate, buyer: &Buyer, id: &str, query: Option<&str>) -> Ended {
    let fields = match body::query(query, &["offer", "receipt", "wait"]) {
        Ok(fields) => fields,
        Err(e) => return problem(e.into()),
    };
    let wait = match fields.get("wait").map(|w| body::wait(w)).transpose() {
        Ok(wait) => wait.unwrap_or(Duration::ZERO),
        Err(e) => return problem(e.into()),
    };
    let Ok(order) = id.parse::<OrderId>() else { return unknown() };
    let ask = Ask {
        gate,
        buyer,
        order,
        offer: fields.get("offer").and_then(|o| OfferId::of(buyer.tenant(), o).ok()),
        receipt: fields.get("receipt").map(|r| &**r),
    };
    let until = Instant::now() + wait;
    match ask.row().await {
        Ok(Some(row)) => return of_row(&row),
        Ok(None) => {}
        Err(Down) => return down(),
    }
    if wait > Duration::ZERO {
        gate.waiters.row(order, until).await;
        match ask.row().await {
            Ok(Some(row)) => return of_row(&row),
            // Another buyer's row has come: not even the time may tell of it.
            Ok(None) => gate.waiters.nothing(order, until).await,
            Err(Down) => return down(),
        }
    }
    let from = until.min(Instant::now());
    let ended = ask.without_row().await;
    if matches!(ended.1, Outcome::Problem(Reason::UnknownOrder)) {
        tokio::time::sleep_until(from + UNKNOWN).await;
    }
    ended
}

/// What an order's cell knows of it.
#[derive(Default)]
struct Found {
    /// The order, if it is this buyer's, with the time of its first reserve.
    order: Option<(Stands, Payload, u64)>,
    /// The ledger's word on the id, whoever's it is.
    verdict: Option<Kind>,
}

impl Ask<'_> {
    /// The order's row, if it is this buyer's: another's goes every way that an unknown one goes.
    async fn row(&self) -> Result<Option<OrderRow>, Down> {
        let row = self.gate.ports.store.order(self.order).await.map_err(failed::database)?;
        Ok(row.filter(|row| row.buyer == *self.buyer))
    }

    async fn without_row(&self) -> Ended {
        let offer_hint = self.offer.as_ref().map(OfferId::as_str).unwrap_or_default();
        let link = self_link(self.order, offer_hint, self.receipt);
        let receipt = self.receipt.filter(|_| !mutant::on(Mutant::ReceiptIgnored));
        let receipt = receipt.and_then(|token| {
            self.gate.ports.identity.check_receipt(self.order, self.buyer, token)
        });
        let found = match self.look().await {
            Ok(found) => found,
            Err(Down) if receipt.is_some() => Found::default(),
            Err(Down) => return down(),
        };
        if let Some((stands, payload, t_ms)) = found.order {
            let accepted = receipt.is_some() && stands == Stands::Unconfirmed;
            let stands = if accepted { Stands::Accepted } else { stands };
            let body = OrderBody::of_payload(&payload, (stands, t_ms), &link);
            return (answer::json(200, &body), Outcome::Answered);
        }
        // Decided between our look at the row and our look at the hold: the row is there now.
        match self.row().await {
            Ok(Some(row)) => return of_row(&row),
            Ok(None) => {}
            Err(Down) if receipt.is_some() => {}
            Err(Down) => return down(),
        }
        let parked = match self.parked(found.verdict).await {
            Ok(parked) => parked,
            Err(Down) if receipt.is_some() => None,
            Err(Down) => return down(),
        };
        if let Some((stands, payload, t_ms)) = parked {
            let body = OrderBody::of_payload(&payload, (stands, t_ms), &link);
            return (answer::json(200, &body), Outcome::Answered);
        }
        let Some(accepted_s) = receipt else { return unknown() };
        let now_s = self.gate.ports.clock.now_ms() / 1000;
        if now_s.saturating_sub(u64::from(accepted_s)) > 600 {
            crate::metrics::accepted_missing();
            tracing::error!(order = %self.order, "accepted, but neither row, verdict nor hold");
        }
        (answer::json(200, &OrderBody::bare(self.order, &link)), Outcome::Answered)
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
    async fn look(&self) -> Result<Found, Down> {
        let ports = &self.gate.ports;
        let Some(offer) = &self.offer else { return Ok(Found::default()) };
        let Some(known) = self.gate.catalog.get(offer).await.map_err(failed::database)? else {
            return Ok(Found::default());
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
                return Ok(Found { order, verdict: Some(verdict.kind) });
            }
        }
        let holds =
            ports.cells.find_holds(&cell, &[self.order.into()]).await.map_err(failed::redis);
        if let Some(verdict) = verdict {
            return Ok(Found { order: None, verdict: Some(verdict.kind) });
        }
        let hold = holds?.into_iter().flatten().next();
        let order =
            hold.and_then(|h| self.mine(&h.payload).map(|p| (Stands::Unconfirmed, p, h.t_ms)));
        Ok(Found { order, verdict: None })
    }

    fn mine(&self, payload: &[u8]) -> Option<Payload> {
        Payload::decode(payload).ok().filter(|p| p.buyer == *self.buyer && p.order == self.order)
    }
}

/// `GET /v1/orders?idempotency_key=K`.
pub(crate) async fn by_key(gate: &Gate, buyer: &Buyer, query: Option<&str>) -> Ended {
    let fields = match body::query(query, &["idempotency_key", "offer"]) {
        Ok(fields) => fields,
        Err(e) => return problem(e.into()),
    };
    let key = fields.get("idempotency_key").and_then(|k| k.parse().ok());
    let Some(key) = key else {
        let text = "idempotency_key is needed: 1 to 128 visible ASCII characters";
        return problem(Problem::with(Reason::Malformed, text));
    };
    let offer = match fields.get("offer").map(|o| OfferId::of(buyer.tenant(), o)).transpose() {
        Ok(offer) => offer,
        Err(_) => return problem(Problem::new(Reason::BadId)),
    };
    match gate.ports.store.order_of_key(buyer, &key).await.map_err(failed::database) {
        Ok(Some(row)) => return of_row(&row),
        Ok(None) => {}
        Err(Down) => return down(),
    }
    let Some(offer) = offer else { return unknown() };
    match under_key(gate, buyer, &key, &offer).await {
        Ok(Some(order)) => {
            let ask = Ask { gate, buyer, order, offer: Some(offer), receipt: None };
            ask.without_row().await
        }
        Ok(None) => unknown(),
        Err(Down) => down(),
    }
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
