//! Reading orders: by id (with `wait`), by idempotency key.
//!
//! An order without a row may still be known: by its receipt (`accepted`), by a verdict in the
//! ledger, by a hold (`unconfirmed`). Another buyer's order and an unknown one have the same
//! answer.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use domain::{Buyer, Kind, OfferId, OrderId, Payload, Reason, Status};
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
            offer: l.0.as_str(),
            quantity: l.2,
            unit_price: Money::new(&row.currency, l.3),
        };
        OrderBody {
            order_id: row.order.to_string(),
            status: row.status.as_str(),
            version: row.version,
            lines: row.lines.iter().map(line).collect(),
            amount: Some(Money::new(&row.currency, row.amount)),
            reason: row.reason.as_deref(),
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
        (status, t_ms): (Status, Option<u64>),
        link: &'a str,
    ) -> OrderBody<'a> {
        let line = |l: &'a domain::Line| LineBody {
            offer: l.cell.offer.as_str(),
            quantity: l.qty,
            unit_price: Money::new(&p.currency, l.unit_minor),
        };
        OrderBody {
            order_id: p.order.to_string(),
            status: status.as_str(),
            version: 0,
            lines: p.lines.iter().map(line).collect(),
            amount: Some(Money::new(&p.currency, p.amount_minor())),
            reason: (status == Status::Rejected).then_some("sold_out"),
            metadata: metadata(&p.metadata),
            created_at: t_ms.map(when::show),
            updated_at: t_ms.map(when::show),
            expires_at: t_ms.map(|t| when::show(t + p.window_ms)),
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
        offer: fields.get("offer").and_then(|o| o.parse().ok()),
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
            Err(Down) if receipt.is_some() => None,
            Err(Down) => return down(),
        };
        if let Some((status, payload, t_ms)) = found {
            let accepted = receipt.is_some() && status == Status::Unconfirmed;
            let status = if accepted { Status::Accepted } else { status };
            let body = OrderBody::of_payload(&payload, (status, Some(t_ms)), &link);
            return (answer::json(200, &body), Outcome::Answered);
        }
        // Decided between our look at the row and our look at the hold: the row is there now.
        match self.row().await {
            Ok(Some(row)) => return of_row(&row),
            Ok(None) => {}
            Err(Down) if receipt.is_some() => {}
            Err(Down) => return down(),
        }
        if let Some((payload, t_ms)) = self.parked().await {
            let body = OrderBody::of_payload(&payload, (Status::Accepted, Some(t_ms)), &link);
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

    /// This buyer's order that waits for a person: it was accepted, and nothing else may know it.
    async fn parked(&self) -> Option<(Payload, u64)> {
        let found = self.gate.ports.store.parked(self.order).await.map_err(failed::database);
        let sealed = found.ok().flatten()?.sealed;
        Some((self.mine(&sealed.payload)?, sealed.t_ms))
    }

    /// The verdict or the hold of this buyer's order in the hinted offer's cell.
    async fn look(&self) -> Result<Option<(Status, Payload, u64)>, Down> {
        let ports = &self.gate.ports;
        let Some(offer) = &self.offer else { return Ok(None) };
        let Some(known) = self.gate.catalog.get(offer).await.map_err(failed::database)? else {
            return Ok(None);
        };
        let cell = self.gate.cell_of(&known.offer, self.buyer);
        let verdicts =
            ports.store.find_verdicts(&cell, &[self.order]).await.map_err(failed::database)?;
        let verdict = verdicts.into_iter().flatten().next();
        // Nothing is kept beside the verdict of an order that has its row. Without a verdict the
        // same is asked of the ledger's end, and with one that is not this buyer's also the holds:
        // the time must not tell another buyer's order from one that is not there.
        let seq = verdict.as_ref().map_or(i64::MAX as u64, |v| v.seq);
        let kept = ports.store.kept(&cell, seq).await.map_err(failed::database)?;
        if let Some(verdict) = &verdict {
            let status =
                if verdict.kind == Kind::Claim { Status::Accepted } else { Status::Rejected };
            let mut here = kept.into_iter().filter(|(seq, _)| *seq == verdict.seq);
            let found = here.find_map(|(_, s)| Some((status, self.mine(&s.payload)?, s.t_ms)));
            if found.is_some() {
                return Ok(found);
            }
        }
        let holds = ports.cells.find_holds(&cell, &[self.order]).await.map_err(failed::redis);
        if verdict.is_some() {
            return Ok(None);
        }
        Ok(holds?
            .into_iter()
            .flatten()
            .next()
            .and_then(|h| self.mine(&h.payload).map(|p| (Status::Unconfirmed, p, h.t_ms))))
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
    match gate.ports.store.order_of_key(buyer, &key).await.map_err(failed::database) {
        Ok(Some(row)) => of_row(&row),
        Ok(None) => unknown(),
        Err(Down) => down(),
    }
}
