//! One-line orders: PROTOCOL 6.1, 6.3 and 6.11.
//!
//! place -> reserve -> publish -> receipt -> 202. The hold is never removed here. "No" is said
//! only when no attempt of this request has an unknown outcome and, where the script answered `+`,
//! the database knows neither a row nor a verdict; otherwise the answer is `unconfirmed`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cells::port::{CellError, Mark, Refusal, ReserveItem, Reserved};
use contract::buyers::{Links, Money, Taken};
use contract::{Problem, Reason, show_time};
use domain::frame::{Mode, Sealed};
use domain::order::RejectReason;
use domain::{HoldState, IdempotencyKey, Kind, Line, Nonce, OrderId, Payload, Status};
use runtime::mutant::{self, Mutant};
use store::port::OrderRow;
use tokio::sync::oneshot;
use tokio::time::Instant;
use view::Known;
use view::failed::{self, Down};
use web::answer::{self, Answer};

use crate::admitted::Admitted;
use crate::answer::Handled;
use crate::body::BuyBody;
use crate::emit::{Held, Place, Tell};
use crate::metrics::Outcome;
use crate::orders::{self, Stands};
use crate::reserve::{Done, Lane};
use crate::state::Gate;

/// A request that was read and understood.
pub(crate) struct Request {
    pub known: Arc<Known>,
    /// The buyer's cell.
    pub lane: Arc<Lane>,
    pub who: Admitted,
    pub key: IdempotencyKey,
    pub body: BuyBody,
}

struct Attempt<'a> {
    gate: &'a Gate,
    request: &'a Request,
    order: OrderId,
    payload: Payload,
    bytes: Bytes,
    nonce: Nonce,
    /// True once an attempt of this request may have run without an answer.
    unknown: bool,
}

/// 409 or 410 before anything is sent to Redis: only when it is certain (see `not_open_yet`).
pub(crate) fn early(
    known: &Known,
    lane: &Lane,
    buyer_hash: impl FnOnce() -> u64,
) -> Option<Problem> {
    if let (Some(opens), Some(now)) = (known.campaign.opens_at_ms, lane.redis_now())
        && opens as u64 >= now + 1000
    {
        return Some(not_open(opens as u64, now));
    }
    lane.sold_out.refuses(buyer_hash).then(|| Problem::new(Reason::SoldOut))
}

fn not_open(opens: u64, now: u64) -> Problem {
    let mut p = Problem::with(Reason::NotOpen, format!("opens at {}", show_time(opens)));
    p.retry_after = Some(opens.saturating_sub(now).div_ceil(1000).max(1));
    p
}

/// Buys.
pub(crate) async fn buy(gate: &Gate, request: Request) -> Handled {
    let offer = &request.known.offer;
    let lines = [(&offer.id, request.body.quantity)];
    let mut content = domain::content(&lines, &request.body.metadata);
    if mutant::on(Mutant::RandomIds) {
        content.extend(gate.ports.unique.next().to_be_bytes());
    }
    let campaign = request.known.campaign.number;
    let identity = &gate.ports.identity;
    let order = identity.order_id(campaign, request.who.buyer(), &request.key, &content);
    let Some(place) = gate.emit.place(request.lane.partition) else {
        let p = Problem::with(Reason::Overloaded, "the log's queue is full");
        return Err(p.about(order));
    };
    let payload = payload(&request, order);
    let attempt = Attempt {
        gate,
        order,
        bytes: payload.encode().into(),
        payload,
        nonce: Nonce(gate.ports.unique.next()),
        unknown: false,
        request: &request,
    };
    attempt.run(place).await
}

fn payload(request: &Request, order: OrderId) -> Payload {
    let (offer, campaign) = (&request.known.offer, &request.known.campaign);
    let cell = request.lane.cell.clone();
    let line = Line { cell, qty: request.body.quantity, unit_minor: offer.price.minor };
    Payload {
        order,
        buyer: request.who.buyer().clone(),
        key: request.key.clone(),
        lines: vec![line],
        anchor: 0,
        metadata: request.body.metadata.clone(),
        currency: offer.price.currency.clone(),
        campaign: campaign.number,
        window_ms: u64::from(campaign.payment_window_s) * 1000,
    }
}

impl Attempt<'_> {
    async fn run(mut self, mut place: Place) -> Handled {
        let mut checked = false;
        loop {
            let Some(mut done) = self.reserve(checked, place).await else {
                let text = "too many requests wait for this offer";
                return self.shed(Problem::with(Reason::Overloaded, text));
            };
            self.unknown |= done.unknown;
            let mark = (done.mark, done.at);
            return match (done.result, done.place.take()) {
                (Ok(Reserved::New { t_ms }), _) => self.told(done.receipt, t_ms).await,
                (Ok(Reserved::Held { t_ms, payload }), Some(own)) => {
                    let sealed = Sealed { t_ms, payload };
                    self.held(own, (sealed, done.replicated), mark).await
                }
                (Ok(Reserved::Returning), Some(own)) if !checked => {
                    if let Some(ended) = Box::pin(self.returning()).await {
                        return ended;
                    }
                    (checked, place) = (true, own);
                    continue;
                }
                (Ok(other), _) => Box::pin(self.decided(other)).await,
                (Err(e), _) => self.no_answer(&e),
            };
        }
    }

    /// A buyer who has or had something here: what the database knows of this key, or nothing. The
    /// ledger too: a decided order whose row is still to come must not take a second hold, with
    /// the price of today.
    async fn returning(&mut self) -> Option<Handled> {
        match self.row_of_key().await {
            Ok(Some(row)) => return Some(self.row_under_key(row)),
            Ok(None) => {}
            Err(Down) => return Some(self.shed(down("the buyer's orders cannot be read"))),
        }
        if mutant::on(Mutant::ReturningBlind) {
            return None;
        }
        match self.ledgers_word().await {
            Ok(decided) => decided,
            Err(Down) => Some(self.shed(down("the ledger cannot be read"))),
        }
    }

    async fn reserve(&self, checked: bool, place: Place) -> Option<Done> {
        let item = ReserveItem {
            id: self.order.into(),
            buyer: Some(self.request.who.buyer().clone()),
            buyer_hash: self.request.who.hash(&self.gate.ports.identity),
            qty: self.request.body.quantity,
            nonce: self.nonce,
            state: HoldState::Sealed,
            payload: self.bytes.clone(),
            checked,
            relay: false,
        };
        let waiting = {
            let (lane, known) = (&self.request.lane, &self.request.known);
            self.gate.reserve.enter(lane, known, item, place)?
        };
        match waiting.await {
            Ok(done) => Some(done),
            // The lane's task died, which is a bug; the call may have run.
            Err(_) => Some(Done {
                result: Err(CellError::Unknown(self.request.lane.cell.clone())),
                unknown: true,
                replicated: false,
                mark: Mark::default(),
                at: Instant::now(),
                place: None,
                receipt: None,
            }),
        }
    }

    /// Publishes a hold that was there already. The first attempt's bytes are what is promised,
    /// also after a price change.
    async fn held(
        &mut self,
        place: Place,
        (mut sealed, replicated): (Sealed, bool),
        (mark, seen): (Mark, Instant),
    ) -> Handled {
        match Payload::decode(&sealed.payload) {
            Ok(first) => self.payload = first,
            Err(e) => tracing::error!(order = %self.order, error = %e, "hold payload"),
        }
        if mutant::on(Mutant::RetryBytes) {
            sealed.payload = self.bytes.clone();
        }
        let t_ms = sealed.t_ms;
        if !replicated {
            return self.unconfirmed(Some(t_ms));
        }
        let age = Duration::from_millis(mark.redis_ms.saturating_sub(t_ms));
        let (tell, receipt) = oneshot::channel();
        self.gate.emit.publish(vec![Held { place, sealed, age, seen, tell: Tell::Receipt(tell) }]);
        let receipt = receipt.await.ok();
        self.told(receipt, t_ms).await
    }

    /// What the log said of the frame; nothing, when there was none. A hold that a failover may
    /// lose is no acceptance: its units could be promised again before the ledger decides.
    async fn told(&self, receipt: Option<bool>, t_ms: u64) -> Handled {
        let receipt = receipt == Some(true);
        if receipt && mutant::on(Mutant::DropOnReceipt) {
            let _ = self
                .gate
                .ports
                .cells
                .resolve(&self.request.lane.cell, &[(self.order.into(), 0)])
                .await;
        }
        let receipt = receipt || mutant::on(Mutant::AcceptWithoutReceipt);
        if receipt { self.accepted(Some(t_ms)) } else { self.unconfirmed(Some(t_ms)) }
    }

    /// Everything that is neither a hold nor RETURNING.
    async fn decided(&mut self, result: Reserved) -> Handled {
        match result {
            Reserved::Verdict(_) => self.after_verdict().await,
            Reserved::Fenced => match self.row().await {
                Ok(Some(row)) => self.replay(&row),
                Ok(None) | Err(Down) => self.unconfirmed(None),
            },
            Reserved::Conflict(first) => match self.row_of_key().await {
                Ok(Some(row)) if row.order == self.order => self.replay(&row),
                Ok(Some(row)) => self.conflict(row.order),
                Ok(None) | Err(Down) => {
                    tracing::debug!(order = %self.order, %first, "key used with other content");
                    self.unconfirmed(None)
                }
            },
            Reserved::Missing => self.shed(down("the cell is being rebuilt")),
            Reserved::Late => {
                self.shed(Problem::with(Reason::Overloaded, "no answer within the time budget"))
            }
            Reserved::NotOpen => {
                let opens = self.request.known.campaign.opens_at_ms.unwrap_or(0).max(0) as u64;
                let now = self.request.lane.redis_now().unwrap_or(opens);
                self.shed(not_open(opens, now))
            }
            Reserved::Refused { why, known_buyer } => self.refused(why, known_buyer).await,
            Reserved::New { .. } | Reserved::Held { .. } | Reserved::Returning => {
                self.unconfirmed(None)
            }
        }
    }

    async fn refused(&mut self, why: Refusal, known_buyer: bool) -> Handled {
        let no = Problem::new(match why {
            Refusal::Closed => Reason::Closed,
            Refusal::Paused => Reason::Paused,
            Refusal::Limit => Reason::LimitReached,
            Refusal::SoldOut => Reason::SoldOut,
        });
        if !known_buyer || mutant::on(Mutant::NoLookup) {
            return self.shed(no);
        }
        // The buyer has or had something here: this very order may have fallen out of the cache.
        match self.row().await {
            Ok(Some(row)) => return self.replay(&row),
            Ok(None) => {}
            Err(Down) => return self.unconfirmed(None),
        }
        match self.row_of_key().await {
            Ok(Some(row)) => return self.row_under_key(row),
            Ok(None) => {}
            Err(Down) => return self.unconfirmed(None),
        }
        match self.ledgers_word().await {
            Ok(Some(decided)) => decided,
            Ok(None) => self.shed(no),
            Err(Down) => self.unconfirmed(None),
        }
    }

    async fn after_verdict(&mut self) -> Handled {
        if let Ok(Some(row)) = self.row().await {
            return self.replay(&row);
        }
        match self.ledgers_word().await {
            Ok(Some(decided)) => decided,
            Ok(None) | Err(Down) => self.unconfirmed(None),
        }
    }

    /// The answer that the ledger's verdict gives; `None` without one. The bytes that are kept with
    /// it are what was promised, also after a price change: from here on they are this attempt's.
    async fn ledgers_word(&mut self) -> Result<Option<Handled>, Down> {
        let (store, cell) = (&self.gate.ports.store, &self.request.lane.cell);
        let found =
            store.find_verdicts(cell, &[self.order.into()]).await.map_err(failed::database)?;
        let Some(verdict) = found.into_iter().flatten().next() else {
            return Ok(None);
        };
        let kept = store.kept(cell, verdict.seq).await.map_err(failed::database)?;
        let Some(kept) = kept.into_iter().find(|k| k.seq == verdict.seq) else {
            // It got its row since we looked for one, or it is parked.
            if let Some(row) = self.row().await? {
                return Ok(Some(self.replay(&row)));
            }
            let parked = store.parked(self.order).await.map_err(failed::database)?;
            return Ok(Some(match parked {
                Some(p) => {
                    self.payload = Payload::decode(&p.sealed.payload).map_err(failed::payload)?;
                    self.verdict_without_row(verdict.kind, p.mode, p.sealed.t_ms)
                }
                None => self.unconfirmed(None),
            }));
        };
        let payload = Payload::decode(&kept.sealed.payload).map_err(failed::payload)?;
        if !mutant::on(Mutant::OwnPrice) {
            self.payload = payload;
        }
        Ok(Some(self.verdict_without_row(verdict.kind, kept.mode, kept.sealed.t_ms)))
    }

    fn verdict_without_row(&self, kind: Kind, mode: Mode, t_ms: u64) -> Handled {
        match kind {
            Kind::Claim => self.accepted(Some(t_ms)),
            Kind::Reject => self.rejected_without_row(mode, t_ms),
            Kind::Release | Kind::Supply | Kind::TransferOut | Kind::Flag => self.unconfirmed(None),
        }
    }

    fn row_under_key(&self, row: OrderRow) -> Handled {
        if row.order == self.order { self.replay(&row) } else { self.conflict(row.order) }
    }

    async fn row(&self) -> Result<Option<OrderRow>, Down> {
        self.gate.ports.store.order(self.order).await.map_err(failed::database)
    }

    async fn row_of_key(&self) -> Result<Option<OrderRow>, Down> {
        let (buyer, key) = (self.request.who.buyer(), &self.request.key);
        self.gate.ports.store.order_of_key(buyer, key).await.map_err(failed::database)
    }

    fn no_answer(&self, e: &CellError) -> Handled {
        let unknown = self.unknown || matches!(e, CellError::Unknown(_));
        if unknown && !mutant::on(Mutant::Indefinite) {
            return self.unconfirmed(None);
        }
        self.shed(down("Redis does not answer"))
    }

    /// A definitive answer, unless an attempt of this request may still become an order.
    fn shed(&self, p: Problem) -> Handled {
        let unknown = self.unknown && !mutant::on(Mutant::Indefinite);
        if unknown { self.unconfirmed(None) } else { Err(p.about(self.order)) }
    }

    fn conflict(&self, first: OrderId) -> Handled {
        let detail = "this Idempotency-Key was used with other content";
        let mut p = Problem::with(Reason::KeyConflict, detail).about(first);
        p.self_link = Some(format!("/v1/orders/{first}"));
        Err(p)
    }

    fn replay(&self, row: &OrderRow) -> Handled {
        orders::of_row(row)
    }

    fn rejected_without_row(&self, mode: Mode, t_ms: u64) -> Handled {
        let link = self.link(None);
        let stands = Stands::Rejected(RejectReason::of(mode, true));
        let body = orders::payload_body(&self.payload, (stands, t_ms), &link);
        Ok((answer::json(200, &body), Outcome::Answered))
    }

    fn accepted(&self, t_ms: Option<u64>) -> Handled {
        let now_s = (self.gate.ports.clock.now_ms() / 1000) as u32;
        let receipt = self.gate.ports.identity.receipt(self.order, self.request.who.buyer(), now_s);
        let link = self.link(Some(&receipt));
        Ok((self.taken(Status::Accepted, t_ms, link), Outcome::Accepted))
    }

    fn unconfirmed(&self, t_ms: Option<u64>) -> Handled {
        Ok((self.taken(Status::Unconfirmed, t_ms, self.link(None)), Outcome::Unconfirmed))
    }

    fn link(&self, receipt: Option<&str>) -> String {
        orders::self_link(self.order, self.request.known.offer.id.name(), receipt)
    }

    fn taken(&self, status: Status, t_ms: Option<u64>, link: String) -> Answer {
        let t_ms = t_ms.or_else(|| self.request.lane.redis_now());
        let p = &self.payload;
        let body = Taken {
            order_id: self.order,
            status,
            offer: self.request.known.offer.id.name().into(),
            quantity: p.anchor_line().qty,
            amount: Money::new(&p.currency, p.amount_minor()),
            expires_at: t_ms.map(|t| show_time(t + p.window_ms)),
            links: Links { this: link.as_str().into() },
        };
        answer::json(202, &body).at(link)
    }
}

fn down(detail: &str) -> Problem {
    Problem::with(Reason::DependencyDown, detail)
}
