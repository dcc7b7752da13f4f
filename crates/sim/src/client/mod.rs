//! The buyers: they buy, send again with the same key, give up, race two gates, use keys twice and
//! ask how their orders stand.

mod pays;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contract::Reason;
use domain::{Buyer, CampaignNo, IdempotencyKey, OrderId};
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use tokio::time::sleep;

use crate::http::{Heard, send};
use crate::oracle::{Answered, Ask};
use crate::plan::Act;
use crate::process::Fleet;
use crate::rng::{Rng, mix};
use crate::world::World;

/// One client with what it remembers.
pub struct Client {
    fleet: Arc<Fleet>,
    number: usize,
    name: String,
    token: String,
    offer: String,
    buyer: Buyer,
    rng: Rng,
    /// The last request and the link of its answer.
    last: Option<(Ask, Option<String>)>,
    /// The last order that was accepted, and what it costs, minor units.
    bought: Option<(OrderId, i64)>,
    /// Payments that it began.
    payments: u64,
}

impl Client {
    /// The client of this number in the plan; `tokens` are the buyers', by their number.
    pub fn new(fleet: &Arc<Fleet>, number: usize, tokens: &[(Buyer, String)]) -> Self {
        let plan = &fleet.world.plan.clients[number];
        let (buyer, token) = tokens[plan.buyer as usize % tokens.len()].clone();
        Self {
            fleet: fleet.clone(),
            number,
            name: format!("client-{number}"),
            token,
            offer: fleet.world.plan.offers[plan.offer].name.clone(),
            buyer,
            rng: Rng::new(mix(&[fleet.world.plan.seed, 3, number as u64])),
            last: None,
            bought: None,
            payments: 0,
        }
    }

    /// Does everything that was planned.
    pub async fn run(mut self) {
        let plan = self.fleet.world.plan.clients[self.number].clone();
        self.fleet.world.until(plan.at).await;
        for (after, act) in plan.acts {
            sleep(Duration::from_millis(after)).await;
            match act {
                Act::Buy { key, qty, tries } => self.buy(key, qty, tries).await,
                Act::Race { key, qty } => self.race(key, qty).await,
                Act::Poll => self.poll().await,
                Act::PollKey { key } => self.poll_key(key).await,
                Act::Pay(how) => self.pay(how).await,
                Act::Cancel => self.cancel().await,
                Act::AskRefund(name, what) => self.ask_refund(name, what).await,
                Act::Parcel(what) => self.parcel(what),
            }
        }
    }

    fn world(&self) -> &Arc<World> {
        &self.fleet.world
    }

    /// Most keys are the client's own; some are the buyer's, whom other clients serve too.
    fn key(&self, key: u8) -> IdempotencyKey {
        let shared = mix(&[self.world().plan.seed, 5, self.number as u64]) % 10 < 3;
        let text = match shared {
            true => format!("k{key}"),
            false => format!("c{}k{key}", self.number),
        };
        text.parse().expect("letters and digits")
    }

    fn ask(&self, key: u8, qty: u32) -> Ask {
        let key = self.key(key);
        let content = format!("{}\n{qty}\n", self.offer);
        let identity = &self.world().identity;
        // Campaigns are made in the order of the offers; number 0 is the evergreen one.
        let offer = self.world().plan.clients[self.number].offer;
        let campaign = CampaignNo(offer as u32 + 1);
        let order = identity.order_id(campaign, &self.buyer, &key, content.as_bytes());
        Ask { order, buyer: self.buyer.clone(), key, sent_at: self.world().at() }
    }

    async fn buy(&mut self, key: u8, qty: u32, tries: u8) {
        for _ in 0..tries {
            let ask = self.ask(key, qty);
            let gate = self.rng.below(self.world().plan.gates);
            let patience = self.rng.pick(&[120, 600, 1500, 1500]);
            let (answer, link) = self.buy_at(&ask, qty, (gate, patience)).await;
            self.bought(&answer);
            self.last = Some((ask, link));
            let again = match answer {
                Answered::Nothing | Answered::Unconfirmed { .. } => true,
                Answered::Refused { status, .. } => status == 503 || self.rng.chance(200),
                Answered::Accepted { .. } | Answered::Rejected { .. } => self.rng.chance(250),
            };
            if !again {
                return;
            }
            sleep(Duration::from_millis(self.rng.range(5, 300))).await;
        }
    }

    async fn race(&mut self, key: u8, qty: u32) {
        let (one, two) = (self.ask(key, qty), self.ask(key, qty));
        let late = self.rng.below(20);
        let patience = self.rng.pick(&[300, 1500]);
        let second = async {
            sleep(Duration::from_millis(late)).await;
            self.buy_at(&two, qty, (1, patience)).await
        };
        let (first, _) = tokio::join!(self.buy_at(&one, qty, (0, patience)), second);
        self.bought(&first.0);
        self.last = Some((one, first.1));
    }

    fn bought(&mut self, answer: &Answered) {
        if let Answered::Accepted { order: Some(order), amount: Some(amount) } = answer {
            self.bought = Some((*order, *amount));
        }
    }

    async fn buy_at(
        &self,
        ask: &Ask,
        qty: u32,
        (gate, patience): (u64, u64),
    ) -> (Answered, Option<String>) {
        let world = self.world();
        let (key, offer) = (&ask.key, &self.offer);
        let id = crate::cells::short(&ask.order.0);
        world.tell(&self.name, || format!("buys {qty} of {offer} key {key} ({id}) at gate-{gate}"));
        world.check(|oracle, _| oracle.sent(ask));
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v1/offers/{offer}/orders"))
            .header(AUTHORIZATION, &self.token)
            .header("idempotency-key", key.as_str())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(format!("{{\"quantity\":{qty}}}"))))
            .expect("a sound request");
        let heard = self.call(gate, patience, request).await;
        let answer = heard.as_ref().map_or(Answered::Nothing, understand);
        // The link of a 422 is another order's.
        let own = heard.filter(|h| h.status < 300);
        let link = own.and_then(|h| h.body["links"]["self"].as_str().map(str::to_owned));
        world.met("answer", label(&answer));
        world.tell(&self.name, || format!("hears of {id}: {answer:?}"));
        world.check(|oracle, world| oracle.answered(world, ask, &answer));
        (answer, link)
    }

    async fn call(&self, gate: u64, patience: u64, request: Request<Full<Bytes>>) -> Option<Heard> {
        let world = self.world();
        let dice = mix(&[world.plan.seed, 9, self.number as u64, world.at(), gate]);
        send(&self.fleet, (gate, patience), dice, request).await
    }

    async fn get(&self, path: &str) -> Option<Heard> {
        let request = Request::builder()
            .uri(path)
            .header(AUTHORIZATION, &self.token)
            .body(Full::default())
            .expect("a sound request");
        let gate = self.world().at() % self.world().plan.gates;
        self.call(gate, 1500, request).await
    }

    async fn poll(&mut self) {
        let Some((ask, Some(link))) = self.last.clone() else { return };
        let wait = if self.rng.chance(300) { "&wait=300ms" } else { "" };
        let path = if link.contains('?') { format!("{link}{wait}") } else { link.clone() };
        let Some(heard) = self.get(&path).await else { return };
        let receipt = link.contains("receipt=");
        self.world().tell(&self.name, || format!("polls {path}: {} {}", heard.status, heard.body));
        self.world().met("poll", status(heard.status));
        self.world().check(|oracle, _| oracle.polled(&ask, heard.status, receipt));
        if heard.status == 200 {
            let answer = understand(&heard);
            if !matches!(answer, Answered::Accepted { .. }) {
                self.world().check(|oracle, world| oracle.answered(world, &ask, &answer));
            }
        }
    }

    async fn poll_key(&mut self, key: u8) {
        let key = self.key(key);
        let path = format!("/v1/orders?idempotency_key={key}");
        if let Some(heard) = self.get(&path).await {
            self.world().met("poll_key", status(heard.status));
        }
    }
}

fn status(status: u16) -> &'static str {
    match status {
        200 => "200",
        404 => "404",
        503 => "503",
        _ => "other",
    }
}

fn label(answer: &Answered) -> &'static str {
    match answer {
        Answered::Accepted { .. } => "accepted",
        Answered::Unconfirmed { .. } => "unconfirmed",
        Answered::Rejected { .. } => "rejected",
        Answered::Refused { reason, .. } => reason.map_or("other", Reason::as_str),
        Answered::Nothing => "nothing",
    }
}

fn understand(heard: &Heard) -> Answered {
    let body = &heard.body;
    let order = body["order_id"].as_str().and_then(|id| id.parse().ok());
    match (heard.status, body["status"].as_str()) {
        (200, Some("rejected")) => {
            Answered::Rejected { order, reason: body["reason"].as_str().map(str::to_owned) }
        }
        (200 | 202, Some("unconfirmed")) => Answered::Unconfirmed { order },
        (200 | 202, _) => Answered::Accepted { order, amount: body["amount"]["minor"].as_i64() },
        (status, _) => {
            let code = body["reason"].as_str();
            let reason = Reason::ALL.iter().copied().find(|r| Some(r.as_str()) == code);
            Answered::Refused { reason, status }
        }
    }
}
