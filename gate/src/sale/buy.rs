//! One-line orders: PROTOCOL 6.1, 6.3 and 6.11.
//!
//! place -> reserve -> publish -> receipt -> 202. The hold is never removed here. What is next is
//! [`crate::sale::purchase`]'s word; here it is done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cells::port::{Refusal, ReserveItem, Reserved};
use contract::buyers::{Links, Money, Taken};
use contract::{Problem, Reason, show_time};
use domain::frame::{Mode, Sealed};
use domain::order::RejectReason;
use domain::{HoldState, IdempotencyKey, Kind, Line, Nonce, OrderId, Payload, Status};
use mutants::Mutant;
use store::StoreResult;
use store::port::OrderRow;
use tokio::sync::oneshot;
use tokio::time::Instant;
use view::Known;
use view::failed::{self, Down};
use web::answer::{self, Answer};

use crate::edge::answer::Handled;
use crate::entry::admitted::Admitted;
use crate::metrics::Outcome;
use crate::sale::body::BuyBody;
use crate::sale::emit::Held;
use crate::sale::place::{Answered, Place, Told, What};
use crate::sale::purchase::{
    Buying, Denial, Ending, Happened, LedgerSays, Next, RowFound, ScriptSays,
};
use crate::sale::reserve::Lane;
use crate::show::orders::{self, Stands};
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

/// A purchase on its way: what [`Buying`] decides is done here, and what its answer is made of is
/// kept here.
struct Attempt<'a> {
    gate: &'a Gate,
    request: &'a Request,
    order: OrderId,
    /// What is promised: this request's, or what an earlier one of the same order promised, also
    /// after a price change.
    payload: Payload,
    bytes: Bytes,
    nonce: Nonce,
    /// The request's place in the log's queue, while nobody has it.
    place: Option<Place>,
    /// The hold that was there.
    first: Option<First>,
    /// The row that answers.
    row: Option<OrderRow>,
    /// How the order was asked for that the ledger rejected.
    mode: Mode,
    /// Redis time of the order's first reserve, once it is known.
    t_ms: Option<u64>,
}

/// A hold that an earlier attempt took.
struct First {
    sealed: Sealed,
    /// Its age when the script told of it, and when the script was asked.
    age: Duration,
    seen: Instant,
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

/// The same request has the same content, and so the same order id.
fn content(gate: &Gate, request: &Request) -> Vec<u8> {
    if mutants::on(Mutant::RandomIds) {
        return gate.ports.unique.next().to_be_bytes().to_vec();
    }
    let lines = [(&request.known.offer.id, request.body.quantity)];
    domain::content(&lines, &request.body.metadata)
}

/// The first attempt's bytes, not a retry's, are what is promised.
fn promised(first: Sealed, own: &Bytes) -> Sealed {
    if mutants::on(Mutant::RetryBytes) {
        return Sealed { payload: own.clone(), ..first };
    }
    first
}

/// Buys.
pub(crate) async fn buy(gate: &Gate, request: Request) -> Handled {
    let content = content(gate, &request);
    let campaign = request.known.campaign.number;
    let identity = &gate.ports.identity;
    let order = identity.order_id(campaign, request.who.buyer(), &request.key, &content);
    if let Some(changed) = price_changed(&request) {
        // What was accepted under this key stays what it is.
        let known = orders::known(gate, request.who.buyer(), order, &request.known.offer.id).await;
        return match known {
            Err(p) if p.reason == Reason::UnknownOrder => Err(changed.about(order)),
            told => told,
        };
    }
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
        place: Some(place),
        first: None,
        row: None,
        mode: Mode::Full,
        t_ms: None,
        request: &request,
    };
    attempt.run().await
}

/// 409 when the buyer was shown another price.
fn price_changed(request: &Request) -> Option<Problem> {
    let expected = request.body.expected.as_ref()?;
    let price = &request.known.offer.price;
    let minor = price.minor.saturating_mul(i64::from(request.body.quantity));
    if expected.currency == price.currency && expected.minor == minor {
        return None;
    }
    let text = format!("it costs {minor} minor units of {}", price.currency);
    Some(Problem::with(Reason::PriceChanged, text))
}

fn payload(request: &Request, order: OrderId) -> Payload {
    let (offer, campaign) = (&request.known.offer, &request.known.campaign);
    let cell = request.lane.cell.clone();
    let line = Line { cell, qty: request.body.quantity, unit_minor: offer.price.minor };
    Payload {
        order,
        buyer: request.who.buyer().clone(),
        key: Some(request.key.clone()),
        lines: vec![line],
        anchor: 0,
        metadata: request.body.metadata.clone(),
        currency: offer.price.currency.clone(),
        campaign: campaign.number,
        window_ms: u64::from(campaign.payment_window_s) * 1000,
        supersedes: None,
    }
}

impl Attempt<'_> {
    async fn run(mut self) -> Handled {
        let (mut purchase, mut step) = Buying::begin();
        loop {
            // What is rare does not make every purchase larger.
            let event = match step {
                Next::Reserve { checked } => self.reserve(checked).await,
                Next::Publish => Happened::Receipt(Box::pin(self.publish()).await),
                Next::LookForRow => Happened::Row(Box::pin(self.look_for_row()).await),
                Next::LookForKey => Happened::Key(Box::pin(self.look_for_key()).await),
                Next::AskLedger => Happened::Ledger(Box::pin(self.ask_ledger()).await),
                Next::Ending(end) => return Box::pin(self.end(end)).await,
            };
            step = purchase.next(event);
        }
    }

    async fn reserve(&mut self, checked: bool) -> Happened {
        // The lane's task died, which is a bug; the call may have run.
        let lost = Happened::Reserve { reply: ScriptSays::Silence, unknown: true };
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
        let Some(place) = self.place.take() else { return lost };
        let waiting = {
            let (lane, known) = (&self.request.lane, &self.request.known);
            self.gate.reserve.enter(lane, known, item, place)
        };
        let Some(waiting) = waiting else {
            return Happened::Reserve { reply: ScriptSays::NoRoom, unknown: false };
        };
        let Ok(Told { unknown, what }) = waiting.await else { return lost };
        let reply = self.heard(what);
        if reply == (ScriptSays::New { receipt: true }) {
            self.keep_hold().await;
        }
        Happened::Reserve { reply, unknown }
    }

    /// Keeps what the script's answer has for this purchase.
    fn heard(&mut self, what: What) -> ScriptSays {
        let Answered { reserved, replicated, mark, at, place } = match what {
            What::Silence => return ScriptSays::Silence,
            What::Published { t_ms, receipt } => {
                self.t_ms = Some(t_ms);
                return ScriptSays::New { receipt };
            }
            What::Answered(answered) => answered,
        };
        self.place = Some(place);
        match reserved {
            // A failover may lose it.
            Reserved::New { t_ms } => {
                self.t_ms = Some(t_ms);
                ScriptSays::New { receipt: false }
            }
            Reserved::Held { t_ms, payload } => {
                self.t_ms = Some(t_ms);
                match Payload::decode(&payload) {
                    Ok(first) => self.payload = first,
                    Err(e) => tracing::error!(order = %self.order, error = %e, "hold payload"),
                }
                let age = Duration::from_millis(mark.redis_ms.saturating_sub(t_ms));
                self.first = Some(First { sealed: Sealed { t_ms, payload }, age, seen: at });
                ScriptSays::Held { replicated }
            }
            Reserved::Returning => ScriptSays::Returning,
            Reserved::Verdict(_) => ScriptSays::Verdict,
            Reserved::Fenced => ScriptSays::Fenced,
            Reserved::Conflict(first) => {
                tracing::debug!(order = %self.order, %first, "key used with other content");
                ScriptSays::Conflict
            }
            Reserved::Refused { why, known_buyer } => {
                ScriptSays::Refused { why, known: known_buyer }
            }
            Reserved::NotOpen => ScriptSays::NotOpen,
            Reserved::Missing => ScriptSays::Missing,
            Reserved::Late => ScriptSays::Late,
        }
    }

    /// Publishes a hold that was there already; true with the log's receipt. The first attempt's
    /// bytes are what is promised.
    async fn publish(&mut self) -> bool {
        let (Some(place), Some(first)) = (self.place.take(), self.first.take()) else {
            return false;
        };
        let First { sealed, age, seen } = first;
        let sealed = promised(sealed, &self.bytes);
        let (tell, told) = oneshot::channel();
        let unknown = false;
        self.gate.emit.publish(vec![Held { place, sealed, age, seen, unknown, tell }]);
        let told = told.await.map(|told| told.what);
        let receipt = matches!(told, Ok(What::Published { receipt: true, .. }));
        if receipt {
            self.keep_hold().await;
        }
        receipt
    }

    /// A hold stays until its verdict is applied (INV-4).
    async fn keep_hold(&self) {
        if mutants::on(Mutant::DropOnReceipt) {
            let (cells, cell) = (&self.gate.ports.cells, &self.request.lane.cell);
            let _ = cells.resolve(cell, &[(self.order.into(), 0)]).await;
        }
    }

    async fn look_for_row(&mut self) -> RowFound {
        self.found(self.gate.ports.store.order(self.order).await)
    }

    async fn look_for_key(&mut self) -> RowFound {
        let (buyer, key) = (self.request.who.buyer(), &self.request.key);
        self.found(self.gate.ports.store.order_of_key(buyer, key).await)
    }

    fn found(&mut self, row: StoreResult<Option<OrderRow>>) -> RowFound {
        match row.map_err(failed::database) {
            Ok(Some(row)) => {
                let found = if row.order == self.order { RowFound::This } else { RowFound::Other };
                self.row = Some(row);
                found
            }
            Ok(None) => RowFound::Nothing,
            Err(Down) => RowFound::Down,
        }
    }

    async fn ask_ledger(&mut self) -> LedgerSays {
        self.ledgers_word().await.unwrap_or(LedgerSays::Down)
    }

    /// What the ledger says. The bytes that are kept with a verdict are what was promised: from
    /// here on they are this attempt's.
    async fn ledgers_word(&mut self) -> Result<LedgerSays, Down> {
        let (store, cell) = (&self.gate.ports.store, &self.request.lane.cell);
        let found =
            store.find_verdicts(cell, &[self.order.into()]).await.map_err(failed::database)?;
        let Some(verdict) = found.into_iter().flatten().next() else {
            return Ok(LedgerSays::Nothing);
        };
        let kept = store.kept(cell, verdict.seq).await.map_err(failed::database)?;
        let (mode, sealed) = match kept.into_iter().find(|k| k.seq == verdict.seq) {
            Some(kept) => (kept.mode, kept.sealed),
            // It got its row since we looked for one, or it is parked.
            None => match self.look_for_row().await {
                RowFound::This | RowFound::Other => return Ok(LedgerSays::Row),
                RowFound::Down => return Ok(LedgerSays::Down),
                RowFound::Nothing => {
                    let parked = self.gate.ports.store.parked(self.order).await;
                    let Some(parked) = parked.map_err(failed::database)? else {
                        return Ok(LedgerSays::Unreadable);
                    };
                    (parked.mode, parked.sealed)
                }
            },
        };
        let payload = Payload::decode(&sealed.payload).map_err(failed::payload)?;
        self.take(payload);
        (self.mode, self.t_ms) = (mode, Some(sealed.t_ms));
        Ok(match verdict.kind {
            Kind::Claim => LedgerSays::Claimed,
            Kind::Reject => LedgerSays::Rejected,
            Kind::Release | Kind::Return(_) | Kind::Supply | Kind::TransferOut | Kind::Flag => {
                LedgerSays::Unreadable
            }
        })
    }

    /// What was decided is what the buyer is told, with its price.
    fn take(&mut self, decided: Payload) {
        if mutants::on(Mutant::OwnPrice) {
            return;
        }
        self.payload = decided;
    }

    async fn end(&self, end: Ending) -> Handled {
        match (end, &self.row) {
            (Ending::Accepted, _) => self.accepted(),
            (Ending::Row, Some(row)) => orders::of_row(self.gate, row).await,
            (Ending::Conflict, Some(row)) => self.conflict(row.order),
            (Ending::Rejected, _) => self.rejected(),
            (Ending::Denial(no), _) => Err(self.problem(no).about(self.order)),
            (Ending::Unconfirmed, _) | (Ending::Row | Ending::Conflict, None) => self.unconfirmed(),
        }
    }

    fn problem(&self, no: Denial) -> Problem {
        let down = |detail: &str| Problem::with(Reason::DependencyDown, detail);
        let overloaded = |detail: &str| Problem::with(Reason::Overloaded, detail);
        match no {
            Denial::Refused(Refusal::Closed) => Problem::new(Reason::Closed),
            Denial::Refused(Refusal::Paused) => Problem::new(Reason::Paused),
            Denial::Refused(Refusal::Limit) => Problem::new(Reason::LimitReached),
            Denial::Refused(Refusal::SoldOut) => Problem::new(Reason::SoldOut),
            Denial::NotOpen => {
                let opens = self.request.known.campaign.opens_at_ms.unwrap_or(0).max(0) as u64;
                not_open(opens, self.request.lane.redis_now().unwrap_or(opens))
            }
            Denial::Rebuilding => down("the cell is being rebuilt"),
            Denial::Silence => down("Redis does not answer"),
            Denial::NoRows => down("the buyer's orders cannot be read"),
            Denial::NoLedger => down("the ledger cannot be read"),
            Denial::Late => overloaded("no answer within the time budget"),
            Denial::NoRoom => overloaded("too many requests wait for this offer"),
        }
    }

    fn conflict(&self, first: OrderId) -> Handled {
        let detail = "this Idempotency-Key was used with other content";
        let mut p = Problem::with(Reason::KeyConflict, detail).about(first);
        p.self_link = Some(format!("/v1/orders/{first}"));
        Err(p)
    }

    fn rejected(&self) -> Handled {
        let stands = Stands::Rejected(RejectReason::of(self.mode, true));
        let (t_ms, link) = (self.t_ms.unwrap_or_default(), self.link(None));
        let body = orders::payload_body(&self.payload, stands, t_ms, &link);
        Ok((answer::json(200, &body), Outcome::Answered))
    }

    fn accepted(&self) -> Handled {
        let now_s = (self.gate.ports.clock.now_ms() / 1000) as u32;
        let receipt = self.gate.ports.identity.receipt(self.order, self.request.who.buyer(), now_s);
        let link = self.link(Some(&receipt));
        Ok((self.taken(Status::Accepted, link), Outcome::Accepted))
    }

    fn unconfirmed(&self) -> Handled {
        Ok((self.taken(Status::Unconfirmed, self.link(None)), Outcome::Unconfirmed))
    }

    fn link(&self, receipt: Option<&str>) -> String {
        orders::self_link(self.order, self.request.known.offer.id.name(), receipt)
    }

    fn taken(&self, status: Status, link: String) -> Answer {
        let t_ms = self.t_ms.or_else(|| self.request.lane.redis_now());
        let p = &self.payload;
        let body = Taken {
            order_id: self.order,
            status,
            offer: self.request.known.offer.id.name().into(),
            quantity: p.anchor_line().qty,
            amount: Money::new(&p.currency, p.amount_minor()),
            expires_at: t_ms.filter(|_| p.window_ms > 0).map(|t| show_time(p.expires_at(t))),
            links: Links { this: link.as_str().into() },
        };
        answer::json(202, &body).at(link)
    }
}
