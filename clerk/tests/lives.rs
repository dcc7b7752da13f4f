//! Clerks over real backends while calls of the databases fail before they ran and after: whatever
//! comes first, each order ends as its money says, each unit is sold or back, and the provider's
//! books add up.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::frame::{self, Item};
use domain::life::{
    Actor, AdapterKind, AskedRefund, Cancelled, LifeAnswer, LifeNews, LifeWish, PaymentId,
    PaymentNews, Policies, Portion, Provider, ProviderEvent, RefundAsk, RefundState, TaskDraft,
    audit,
};
use domain::{CellId, OrderId, Payload, RowStatus};
use life::calls::{
    CallError, CapturedSoFar, CloseAnswer, OpenedSession, ProviderCalls, RefundCall, RefundPage,
    RefundTold, SessionAsk, StatedRefund,
};
use orderlog::port::{OrderLog, Partition};
use parking_lot::Mutex;
use runtime::{Phase, Tasks};
use sluicegate_clerk::{ClerkSettings, ClerkWith, RewindLives, RewoundLives, spawn};
use store::port::TasksWanted;
use store::{CatalogWrite, LedgerRead, LifeRead, OrdersRead, Shards};
use testkit::ports::{Fail, START_MS, Site, until};
use view::{CatalogCache, Lost, PublishTimes};

/// What one unit costs.
const PRICE: i64 = 250;
/// When an order's time and the grace after it are over.
const WINDOW_MS: u64 = 900_000;
const GRACE_MS: u64 = 60_000;

/// A provider that does what it is asked and loses every third answer.
#[derive(Default)]
struct LossyBank {
    calls: Mutex<u64>,
    /// By key: payment, order and amount.
    refunds: Mutex<BTreeMap<String, (PaymentId, OrderId, i64)>>,
}

impl LossyBank {
    fn answer<T>(&self, told: T) -> Result<T, CallError> {
        let mut calls = self.calls.lock();
        *calls += 1;
        if calls.is_multiple_of(3) { Err(CallError::Unknown("lost".to_owned())) } else { Ok(told) }
    }

    fn refunded(&self) -> i64 {
        self.refunds.lock().values().map(|(.., amount)| amount).sum()
    }
}

#[async_trait]
impl ProviderCalls for LossyBank {
    fn is_called(&self, _: &Provider) -> bool {
        true
    }
    async fn open(&self, _: &Provider, _: &SessionAsk) -> Result<OpenedSession, CallError> {
        Err(CallError::Nobody)
    }
    async fn close(
        &self,
        _: &Provider,
        _: &PaymentId,
        _: OrderId,
    ) -> Result<CloseAnswer, CallError> {
        self.answer(CloseAnswer::Closed(CapturedSoFar { minor: 0, currency: None }))
    }
    async fn refund(&self, _: &Provider, ask: &RefundCall) -> Result<RefundTold, CallError> {
        let now = (ask.payment.clone(), ask.order, ask.amount);
        let known = self.refunds.lock().entry(ask.key.clone()).or_insert(now.clone()).clone();
        assert_eq!(known, now, "one key is one refund");
        self.answer(RefundTold::Succeeded)
    }
    async fn query(&self, _: &Provider, key: &str) -> Result<Option<RefundTold>, CallError> {
        let known = self.refunds.lock().contains_key(key);
        self.answer(known.then_some(RefundTold::Succeeded))
    }
    async fn refunds(
        &self,
        _: &Provider,
        _: u64,
        after: Option<&str>,
    ) -> Result<RefundPage, CallError> {
        let all = self.refunds.lock().clone();
        let rest = all.iter().filter(|(key, _)| after.is_none_or(|a| key.as_str() > a));
        let stated = rest.map(|(key, (payment, order, amount))| StatedRefund {
            key: key.clone(),
            payment: payment.clone(),
            order: Some(*order),
            amount: *amount,
            currency: "EUR".to_owned(),
            told: RefundTold::Succeeded,
        });
        let refunds: Vec<StatedRefund> = stated.take(2).collect();
        let next = refunds.last().filter(|_| refunds.len() == 2).map(|r| r.key.clone());
        self.answer(RefundPage { refunds, next })
    }
}

fn writer_settings() -> writer::WriterSettings {
    let patience = Duration::from_millis(20);
    writer::WriterSettings { batch_frames: 64, batch_orders: 512, patience, give_up_after: 50 }
}

struct LifeStand {
    site: Site,
    bank: Arc<LossyBank>,
    catalog: Arc<CatalogCache>,
}

impl LifeStand {
    async fn new(databases: u16) -> Self {
        let site = Site::new(databases, 2).await;
        let provider = Provider {
            id: "bank".parse().unwrap(),
            adapter: AdapterKind::Generic,
            secrets: vec!["a secret".to_owned()],
            base_url: Some("http://bank".to_owned()),
            timeout_ms: 1000,
        };
        site.store.put_provider(&provider).await.unwrap();
        let catalog = CatalogCache::new(site.ports.store.clone());
        catalog.refresh().await.unwrap();
        writer::spawn(&site.tasks, &site.ports.writer(), &writer_settings());
        Self { site, bank: Arc::default(), catalog }
    }

    /// One more clerk; it ends with its tasks.
    fn clerk(&self) -> Tasks {
        let tasks = Tasks::new();
        let settings = ClerkSettings {
            pass: Duration::from_millis(5),
            grace_ms: GRACE_MS,
            refund_pauses_ms: vec![10; 30],
            refund_key_ms: 3_600_000,
            late_deadline_ms: 3_600_000,
            late_window_ms: 3_600_000,
            lease_ms: 300,
            patience: Duration::from_millis(50),
            give_up_after: 1000,
        };
        let with = ClerkWith {
            catalog: self.catalog.clone(),
            calls: self.bank.clone(),
            publish: PublishTimes {
                max_age: Duration::from_secs(3),
                timeout: Duration::from_secs(2),
            },
            wait: None,
            settings,
        };
        spawn(&tasks, &self.site.ports.clerk(), &with);
        tasks
    }

    /// An operator's rewind of a database.
    async fn rewind(&self, db: u16) -> RewoundLives {
        let lost = Lost { db, since_ms: START_MS };
        let ports = &self.site.ports;
        let (catalog, bank) = (self.catalog.clone(), self.bank.clone());
        let lives = RewindLives::new(ports.clerk(), catalog, bank, lost);
        let back = lives.refunds(|_, _| {}).await.unwrap();
        let rows = writer::Rewind::new(ports.writer(), &writer_settings(), lost);
        let rows = rows.run(|_, _| {}).await.unwrap();
        assert_eq!(rows.left, 0, "{rows:?}");
        let done = lives.run(back, |_, _| {}).await.unwrap();
        assert_eq!((done.left, done.named.len()), (0, 0), "{done:?}");
        done
    }

    async fn tasks(&self, db: u16) -> Vec<TaskDraft> {
        let wanted = TasksWanted { kind: None, is_open: true, after: None, limit: 100 };
        let rows = self.site.store.tasks(db, &wanted).await.unwrap();
        rows.iter().filter_map(|row| TaskDraft::stored(row.kind, &row.subject)).collect()
    }

    async fn captured(&self, order: OrderId, payment: &str, minor: i64) {
        let event = ProviderEvent {
            event: Some(format!("{payment}-{minor}")),
            provider: "bank".parse().unwrap(),
            payment: payment.parse().unwrap(),
            order,
            currency: "EUR".to_owned(),
            news: PaymentNews::Captured(minor),
            is_final: false,
        };
        let news = Item::News(LifeNews::Payment { event, hash: [0; 32] });
        let to = Partition::Life(self.site.store.order_db(order));
        self.site.log.publish(to, frame::encode(&[news])).await.unwrap();
    }

    async fn ask(&self, actor: Actor, wish: LifeWish) -> LifeAnswer {
        for _ in 0..50 {
            let done =
                life::ask::one(&*self.site.store, actor.clone(), Policies::default(), wish.clone());
            if let Ok(answer) = done.await {
                return answer;
            }
        }
        panic!("no answer");
    }

    async fn status(&self, order: OrderId) -> Option<RowStatus> {
        self.site.store.life(order).await.ok()?.status()
    }

    /// Moves the clock until it is so.
    async fn becomes(&self, orders: &[Payload], want: RowStatus) {
        until(&format!("{} orders {want:?}", orders.len()), || async {
            self.site.clock.advance(50);
            for order in orders {
                if self.status(order.order).await != Some(want) {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Each expired order is bought again, once, and paid.
    async fn bought_again(&self, late: &[Payload]) {
        let successors = async || {
            let mut out = Vec::new();
            for order in late {
                let life = self.site.store.life(order.order).await.unwrap();
                out.push(life.order.unwrap().superseded_by);
            }
            out
        };
        until("successors", || async { successors().await.iter().all(Option::is_some) }).await;
        let bought: Vec<OrderId> = successors().await.into_iter().flatten().collect();
        until("successors that are paid", || async {
            self.site.clock.advance(50);
            let mut all = true;
            for order in &bought {
                all &= self.status(*order).await == Some(RowStatus::Paid);
            }
            all
        })
        .await;
        // Each is the old order's, bought once.
        let row = self.site.store.order(bought[0]).await.unwrap().unwrap();
        assert_eq!((row.supersedes, row.key), (Some(late[0].order), None));
    }

    async fn orders(&self, name: &str, n: usize, cell: &CellId) -> Vec<Payload> {
        let mut out = Vec::new();
        for i in 0..n {
            out.push(self.site.buy(&format!("{name}{i}"), "k", cell).await);
        }
        self.becomes(&out, RowStatus::Pending).await;
        out
    }
}

/// Every seventh call does not run, every fifth runs and its answer is lost.
fn unreliable(site: &Site) {
    site.store.rules.set(|seen| match (seen.name, seen.n) {
        ("live" | "take_due" | "take_givebacks" | "end_givebacks" | "give_back" | "lives", n) => {
            if n.is_multiple_of(7) {
                Fail::Before
            } else if n.is_multiple_of(5) {
                Fail::After
            } else {
                Fail::No
            }
        }
        _ => Fail::No,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_each_order_ends_as_its_money_says() {
    let stand = LifeStand::new(2).await;
    let cells = [
        stand.site.offer("shoe", &[100], 0).await[0].clone(),
        stand.site.offer("hat", &[100], 0).await[0].clone(),
    ];
    let mut groups = Vec::new();
    for name in ["paid", "twice", "unpaid", "late", "refunded", "cancelled"] {
        let mut orders = stand.orders(name, 3, &cells[0]).await;
        orders.extend(stand.orders(&format!("{name}-b"), 3, &cells[1]).await);
        groups.push(orders);
    }
    let [paid, twice, unpaid, late, refunded, cancelled] = groups.try_into().unwrap();
    unreliable(&stand.site);
    let mut clerks = vec![stand.clerk(), stand.clerk()];
    for order in paid.iter().chain(&twice).chain(&refunded) {
        stand.captured(order.order, &format!("p-{}", order.order), PRICE).await;
    }
    for order in twice.iter().chain(&cancelled) {
        stand.captured(order.order, &format!("q-{}", order.order), PRICE - 1).await;
    }
    for orders in [&paid, &twice, &refunded] {
        stand.becomes(orders, RowStatus::Paid).await;
    }
    for order in &refunded {
        let ask = RefundAsk { refund: "r".parse().unwrap(), portion: Portion::Whole };
        let operator = Actor::Operator("olga".to_owned());
        stand.ask(operator, LifeWish::AskRefund(order.order, ask)).await;
    }
    for order in &cancelled {
        let wish = LifeWish::Cancel(order.order, "c".parse().unwrap());
        let told = stand.ask(Actor::Buyer, wish).await;
        assert_eq!(told, LifeAnswer::Cancelled(Cancelled::Done));
    }
    // One of the clerks ends in the middle, and another one comes.
    clerks.remove(0).enter(Phase::Done);
    clerks.push(stand.clerk());
    stand.becomes(&refunded, RowStatus::Refunded).await;
    // Nobody expires before the grace after the window is over.
    for order in unpaid.iter().chain(&late) {
        assert_eq!(stand.status(order.order).await, Some(RowStatus::Pending));
    }
    stand.site.clock.advance(WINDOW_MS + GRACE_MS);
    stand.becomes(&unpaid, RowStatus::Expired).await;
    stand.becomes(&late, RowStatus::Expired).await;
    for order in &late {
        stand.captured(order.order, &format!("l-{}", order.order), PRICE + 10).await;
    }
    stand.bought_again(&late).await;
    // The books: what came in is kept by paid orders or went back, to the last unit of it.
    let n = paid.len() as i64;
    let taken = n * (3 * PRICE + 2 * (PRICE - 1) + PRICE + 10);
    let kept = n * 3 * PRICE;
    until("all money to be where it belongs", || async {
        stand.site.clock.advance(50);
        stand.bank.refunded() == taken - kept
    })
    .await;
    // Goods: three orders in six live on, in each cell.
    for cell in &cells {
        until("the ledger", || async {
            stand.site.clock.advance(50);
            let head = stand.site.store.head(cell).await.unwrap().unwrap();
            head.net == 9
        })
        .await;
    }
    assert_eq!(stand.bank.refunded(), taken - kept, "nothing goes back twice");
    clerks.into_iter().for_each(|tasks| tasks.enter(Phase::Done));
}

/// INV-21: while news that were taken in time are not joined, nobody expires.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_expires_while_news_are_not_joined() {
    let stand = LifeStand::new(1).await;
    let cell = stand.site.offer("shoe", &[9], 0).await[0].clone();
    let orders = stand.orders("b", 2, &cell).await;
    stand.captured(orders[0].order, "in-time", PRICE).await;
    stand.site.clock.advance(WINDOW_MS + GRACE_MS + 60_000);
    // Joining fails, all else works: the horizon stands before the news.
    stand.site.store.rules.set(|seen| match seen.name {
        "live" => Fail::Before,
        _ => Fail::No,
    });
    let clerk = stand.clerk();
    for _ in 0..40 {
        stand.site.clock.advance(500);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stand.site.store.rules.clear();
    stand.becomes(&orders[..1], RowStatus::Paid).await;
    stand.becomes(&orders[1..], RowStatus::Expired).await;
    clerk.enter(Phase::Done);
}

/// Lives of one database are lost, cells are in the other one (PROTOCOL 6.10).
#[tokio::test(flavor = "multi_thread")]
async fn what_lives_lost_comes_back_from_the_log_and_from_the_provider() {
    let stand = LifeStand::new(2).await;
    let site = &stand.site;
    let cell = site.offer(&site.offer_on(0, "shoe"), &[9], 0).await[0].clone();
    let mut orders = Vec::new();
    for name in ["over", "asked", "cancelled"] {
        orders.push(site.buy(&site.buyer_on(1, name), "k", &cell).await);
    }
    stand.becomes(&orders, RowStatus::Pending).await;
    let copies = site.copies().await;
    let [over, asked, cancelled] = [orders[0].order, orders[1].order, orders[2].order];
    let clerk = stand.clerk();
    stand.captured(over, "p-over", PRICE + 10).await;
    stand.captured(asked, "p-asked", PRICE).await;
    stand.becomes(&orders[..2], RowStatus::Paid).await;
    let ask = RefundAsk { refund: "r".parse().unwrap(), portion: Portion::Amount(100) };
    stand.ask(Actor::Buyer, LifeWish::AskRefund(asked, ask.clone())).await;
    let grant = LifeWish::Grant(asked, ask.refund.clone());
    stand.ask(Actor::Operator("olga".to_owned()), grant).await;
    stand.ask(Actor::Buyer, LifeWish::Cancel(cancelled, "c".parse().unwrap())).await;
    stand.captured(cancelled, "p-late", PRICE).await;
    let back = 10 + 100 + PRICE;
    until("all that goes back, and the ledger", || async {
        site.clock.advance(50);
        stand.bank.refunded() == back && site.head(&cell).await.net == 2
    })
    .await;
    clerk.enter(Phase::Done);
    clerk.wait(Duration::from_secs(5)).await;
    site.restore(1, &copies).await;
    assert_eq!(stand.status(over).await, Some(RowStatus::Pending));
    for round in 0..2 {
        let done = stand.rewind(1).await;
        assert_eq!((done.refunds, done.returns), (3, 0), "{done:?}");
        let wants = [RowStatus::Paid, RowStatus::Paid, RowStatus::Rejected];
        for (order, want) in [over, asked, cancelled].into_iter().zip(wants) {
            let life = site.store.life(order).await.unwrap();
            assert_eq!(life.status(), Some(want), "round {round}");
            assert_eq!(audit::when_quiet(&life), []);
            assert!(life.refunds.values().all(|r| r.state == RefundState::Succeeded), "{life:?}");
            assert_eq!(life.refunds.len(), 1);
        }
        let life = site.store.life(asked).await.unwrap();
        assert_eq!(life.order.unwrap().refunded, 100);
        assert_eq!(stand.tasks(1).await.len(), 1, "what was asked for a person looks at");
    }
    // The same refund asked for again is the one that moved.
    let again = stand.ask(Actor::Buyer, LifeWish::AskRefund(asked, ask)).await;
    let done = AskedRefund::Done { state: RefundState::Succeeded, amount: 100 };
    assert_eq!(again, LifeAnswer::Asked(done));
    // Clerks find nothing that is still to be sent.
    let clerk = stand.clerk();
    for _ in 0..40 {
        site.clock.advance(500);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    clerk.enter(Phase::Done);
    assert_eq!(stand.bank.refunded(), back, "nothing goes back twice");
    assert_eq!(site.head(&cell).await.net, 2);
}

/// A ledger lost what refunds of another database's orders brought back to it.
#[tokio::test(flavor = "multi_thread")]
async fn units_that_refunds_brought_back_come_back_again() {
    let stand = LifeStand::new(2).await;
    let site = &stand.site;
    let cell = site.offer(&site.offer_on(0, "shoe"), &[9], 0).await[0].clone();
    let order = site.buy(&site.buyer_on(1, "b"), "k", &cell).await;
    stand.becomes(std::slice::from_ref(&order), RowStatus::Pending).await;
    let copies = site.copies().await;
    let clerk = stand.clerk();
    stand.captured(order.order, "p", PRICE).await;
    stand.becomes(std::slice::from_ref(&order), RowStatus::Paid).await;
    let ask = RefundAsk { refund: "r".parse().unwrap(), portion: Portion::Whole };
    let wish = LifeWish::AskRefund(order.order, ask);
    stand.ask(Actor::Operator("olga".to_owned()), wish).await;
    until("the return", || async {
        site.clock.advance(50);
        site.head(&cell).await.net == 0
    })
    .await;
    clerk.enter(Phase::Done);
    clerk.wait(Duration::from_secs(5)).await;
    site.restore(0, &copies).await;
    assert_eq!(site.head(&cell).await.net, 1);
    assert_eq!(stand.rewind(0).await.returns, 1);
    assert_eq!(site.head(&cell).await.net, 0);
    assert_eq!(stand.rewind(0).await.returns, 0, "once");
    assert_eq!(stand.bank.refunded(), PRICE);
}
