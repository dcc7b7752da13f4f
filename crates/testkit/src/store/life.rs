//! Lives: what every store makes of news, deaths, refunds and late payments (INV-9, INV-15 to
//! INV-20), and the work that follows. What is decided is `domain::life`'s and tested there; here
//! it is read back from the tables.

use anyhow::{Context, Result, ensure};
use domain::life::{
    Actor, AskedRefund, Cancelled, DueWork, Life, LifeAnswer, LifeWish, MatchState, PaymentFate,
    PaymentKey, PaymentNews, Policies, Portion, ProviderEvent, RefundAnswer, RefundAsk, RefundKey,
    RefundState, TaskDraft,
};
use domain::moves::Cause;
use domain::{CellId, Giveback, OrderId, Payload, RowStatus};
use store::port::{DueRow, ExpiringOrder, GivebackRow, LifeCall, RowAsk, TaskRow, TasksWanted};
use tokio::task::JoinSet;

use super::make::row;
use super::subject::{Subject, same};

const AMOUNT: i64 = 250;
/// After the time of an order that was first reserved at 1, and before that of any other.
const LONG_AGO_MS: u64 = 1_000_000_000;
/// Long enough that nothing which is taken is due again in a check.
pub(super) const LEASE_MS: u64 = 3_600_000;

impl Subject {
    /// Orders that have their rows, each of one unit of the cell.
    pub(super) async fn rows_of(
        &self,
        name: &str,
        n: usize,
        cell: &CellId,
    ) -> Result<Vec<Payload>> {
        let orders = self.orders(name, n, cell);
        for order in &orders {
            self.insert(&[row(order)]).await?;
        }
        Ok(orders)
    }

    async fn live(&self, actor: &Actor, wishes: Vec<LifeWish>) -> Result<Vec<LifeAnswer>> {
        let order = wishes.iter().flat_map(LifeWish::orders).next().context("a wish")?;
        let db = self.store.order_db(order);
        let policies = Policies::default();
        let call = LifeCall { db, actor: actor.clone(), policies, wishes };
        Ok(self.store.live(&call).await?)
    }

    /// What the clerk asks for.
    pub(super) async fn clerk(&self, wish: LifeWish) -> Result<LifeAnswer> {
        let answers = self.live(&Actor::Clerk, vec![wish]).await?;
        answers.into_iter().next().context("an answer")
    }

    pub(super) fn payment(&self, name: &str) -> PaymentKey {
        format!("card/{}-{name}", self.tag).parse().expect("visible ASCII")
    }

    pub(super) fn event(&self, order: OrderId, payment: &str, news: PaymentNews) -> ProviderEvent {
        let key = self.payment(payment);
        ProviderEvent {
            event: Some("e".to_owned()),
            provider: key.provider,
            payment: key.payment,
            order,
            currency: "EUR".to_owned(),
            news,
            is_final: false,
        }
    }

    pub(super) fn captured(&self, order: OrderId, payment: &str, amount: i64) -> LifeWish {
        LifeWish::Join(self.event(order, payment, PaymentNews::Captured(amount)))
    }

    async fn paid(&self, name: &str, cell: &CellId) -> Result<OrderId> {
        let order = self.rows_of(name, 1, cell).await?[0].order;
        self.clerk(self.captured(order, name, AMOUNT)).await?;
        Ok(order)
    }

    /// All work that is due for an order. What is due for others is another check's, and is taken
    /// with it: no two checks look for the same.
    async fn due_of(&self, order: OrderId) -> Result<Vec<DueRow>> {
        let db = self.store.order_db(order);
        let mut found = Vec::new();
        loop {
            let page = self.store.take_due(db, 100, LEASE_MS).await?;
            let last = page.len() < 100;
            found.extend(page.into_iter().filter(|row| row.order == order));
            if last {
                return Ok(found);
            }
        }
    }

    async fn givebacks_of(&self, orders: &[OrderId], cell: &CellId) -> Result<Vec<GivebackRow>> {
        let to = self.store.cell_db(&cell.offer);
        let mut found = Vec::new();
        for db in 0..self.store.databases() {
            loop {
                let page = self.store.take_givebacks(db, to, 100, LEASE_MS).await?;
                let last = page.len() < 100;
                found.extend(page.into_iter().filter(|row| orders.contains(&row.give.order)));
                if last {
                    break;
                }
            }
        }
        found.sort_by(|a, b| (&a.cell, a.give).cmp(&(&b.cell, b.give)));
        Ok(found)
    }

    async fn causes(&self, order: OrderId) -> Result<Vec<(u32, RowStatus, Cause, String)>> {
        let rows = self.store.history(order).await?;
        ensure!(rows.iter().all(|r| r.at_ms > 0), "{rows:?}");
        Ok(rows.into_iter().map(|r| (r.version, r.to, r.cause, r.actor)).collect())
    }
}

fn status(life: &Life) -> Option<RowStatus> {
    life.order.as_ref().map(|o| o.status)
}

/// Repeated, in another order, split: paid once, and what is over goes back.
pub(super) async fn payments(s: &Subject) -> Result<()> {
    let cell = &s.offer("life-pay", &[9]).await?[0];
    let order = s.rows_of("life-pay", 1, cell).await?[0].order;
    let part = |payment: &str, amount| s.captured(order, payment, amount);
    let failed = LifeWish::Join(s.event(order, "pay-a", PaymentNews::Failed));
    for wish in [part("pay-a", 100), failed, part("pay-a", 100), part("pay-b", 200)] {
        same(s.clerk(wish).await?, LifeAnswer::Done)?;
    }
    let life = s.store.life(order).await?;
    same(status(&life), Some(RowStatus::Paid))?;
    let kept = |name| life.payments.get(&s.payment(name)).map(|p| (p.fate, p.captured, p.keep));
    same(kept("pay-a"), Some((Some(PaymentFate::Order(order)), 100, 100)))?;
    same(kept("pay-b"), Some((Some(PaymentFate::Order(order)), 200, 150)))?;
    let back: Vec<i64> = life.refunds.values().map(|r| r.amount).collect();
    same(back, vec![50])?;
    let provider = "provider:card".to_owned();
    same(s.causes(order).await?, vec![(2, RowStatus::Paid, Cause::Captured, provider)])?;
    let row = s.store.order(order).await?.context("the row")?;
    same((row.status, row.version, row.captured), (RowStatus::Paid, 2, AMOUNT))?;
    // What follows: two payments to close, one refund to send; a repetition adds nothing.
    s.clerk(part("pay-b", 200)).await?;
    let mut kinds: Vec<i8> = s.due_of(order).await?.iter().map(|d| d.work.kind()).collect();
    kinds.sort_unstable();
    same(kinds, vec![2, 4, 4])?;
    same(s.due_of(order).await?, vec![])?;
    let closed = ProviderEvent {
        event: None,
        is_final: true,
        ..s.event(order, "pay-a", PaymentNews::Closed)
    };
    s.clerk(LifeWish::Join(closed)).await?;
    let life = s.store.life(order).await?;
    ensure!(life.payments[&s.payment("pay-a")].closed, "{life:?}");
    same(s.store.life(order).await?, life)
}

/// News of one payment that is new, from several processes at once: all of it is joined.
pub(super) async fn at_once(s: &Subject) -> Result<()> {
    let cell = &s.offer("life-race", &[9]).await?[0];
    let with_row = s.rows_of("life-race", 1, cell).await?[0].order;
    let without = s.order("life-race-x", "k", std::slice::from_ref(cell)).order;
    for (order, name) in [(with_row, "race-a"), (without, "race-b")] {
        let mut set = JoinSet::new();
        for n in 0..8i64 {
            let s = s.clone();
            set.spawn(async move {
                let other = Subject { store: s.other.clone(), ..s.clone() };
                let process = if n % 2 == 0 { &s } else { &other };
                let mut tries = 0;
                loop {
                    tries += 1;
                    match process.clerk(process.captured(order, name, 30 * (n + 2))).await {
                        Err(_) if tries < 50 => {}
                        done => return done,
                    }
                }
            });
        }
        while let Some(done) = set.join_next().await {
            done??;
        }
        let life = s.store.life(order).await?;
        let payment = life.payments.get(&s.payment(name)).context("the payment")?;
        same(payment.captured, 270)?;
        let kept: i64 = life.payments.values().map(|p| p.keep).sum();
        let back: i64 = life.refunds.values().map(|r| r.amount).sum();
        let paid = status(&life) == Some(RowStatus::Paid);
        same((kept, back), if paid { (AMOUNT, 20) } else { (0, 0) })?;
        same(paid, order == with_row)?;
    }
    let work: Vec<DueWork> = s.due_of(without).await?.into_iter().map(|d| d.work).collect();
    same(work, vec![DueWork::Match(s.payment("race-b"))])
}

/// Money that came before the row finds it; money of no order goes back, if it is ours.
pub(super) async fn matches(s: &Subject) -> Result<()> {
    let cell = &s.offer("life-match", &[9]).await?[0];
    let orders = s.orders("life-match", 3, cell);
    let names = ["match-0", "match-1", "match-2"];
    for (order, name) in orders.iter().zip(names) {
        s.clerk(s.captured(order.order, name, AMOUNT)).await?;
        same(s.due_of(order.order).await?.len(), 1)?;
    }
    s.insert(&[row(&orders[0])]).await?;
    let look = |n: usize, state| {
        let (order, payment) = (orders[n].order, s.payment(names[n]));
        s.clerk(LifeWish::Match { order, payment, state })
    };
    look(0, MatchState::Waits { again_ms: 0 }).await?;
    look(1, MatchState::Over { is_ours: true }).await?;
    look(2, MatchState::Over { is_ours: false }).await?;
    same(status(&s.store.life(orders[0].order).await?), Some(RowStatus::Paid))?;
    let back = s.store.life(orders[1].order).await?;
    same(back.payments[&s.payment("match-1")].fate, Some(PaymentFate::Back))?;
    same(back.refunds.values().map(|r| r.amount).sum::<i64>(), AMOUNT)?;
    let orphan = TaskDraft::Orphan(s.payment("match-2"));
    same(times(s, orders[2].order, &orphan).await?, 1)?;
    // Its row comes all the same.
    s.insert(&[row(&orders[1])]).await?;
    s.clerk(LifeWish::Settle(orders[1].order)).await?;
    same(status(&s.store.life(orders[1].order).await?), Some(RowStatus::Pending))
}

/// How often a task was opened; 0 when it is not open.
async fn times(s: &Subject, order: OrderId, task: &TaskDraft) -> Result<u32> {
    let (db, subject) = (s.store.order_db(order), task.subject(order));
    let mut after = None;
    loop {
        let wanted = TasksWanted { is_open: true, kind: None, after: after.clone(), limit: 50 };
        let page = s.store.tasks(db, &wanted).await?;
        let is = |t: &&TaskRow| (t.kind, &t.subject, t.order) == (task.kind(), &subject, order);
        if let Some(found) = page.iter().find(is) {
            return Ok(found.times);
        }
        match page.last() {
            Some(last) if page.len() == 50 => after = Some((last.kind, last.subject.clone())),
            _ => return Ok(0),
        }
    }
}

fn has(page: &[ExpiringOrder], order: OrderId) -> bool {
    page.iter().any(|e| e.order == order)
}

/// Expired and cancelled orders give back what they had, each line once.
pub(super) async fn deaths(s: &Subject) -> Result<()> {
    let cells = s.offer("life-die", &[9, 9]).await?;
    let mut dead = Vec::new();
    for (n, name) in ["die-0", "die-1"].into_iter().enumerate() {
        let order = s.order(name, "k", &cells);
        // Older than any other here, so that it is among the first that expire.
        s.insert(&[RowAsk { t_ms: 1, ..row(&order) }]).await?;
        dead.push(order.order);
        let wish = match n {
            0 => LifeWish::Expire(order.order),
            _ => LifeWish::Cancel(order.order, "c".parse()?),
        };
        let db = s.store.order_db(order.order);
        let late = s.store.expiring(db, LONG_AGO_MS, None, 512).await?;
        ensure!(has(&late, order.order), "it is not among those that expire");
        let early = s.store.expiring(db, 1 + order.window_ms, None, 512).await?;
        ensure!(!has(&early, order.order), "it is before its time");
        for _ in 0..2 {
            let answer = s.clerk_or_buyer(n, wish.clone()).await?;
            ensure!(
                matches!(answer, LifeAnswer::Done | LifeAnswer::Cancelled(Cancelled::Done)),
                "{answer:?}"
            );
        }
        let late = s.store.expiring(db, LONG_AGO_MS, None, 512).await?;
        ensure!(!has(&late, order.order), "it is still among those that expire");
    }
    let all = s.givebacks_of(&dead, &cells[0]).await?;
    same(s.givebacks_of(&dead, &cells[0]).await?, vec![])?;
    for order in &dead {
        let of = |r: &&GivebackRow| r.give == Giveback::release(*order);
        let rows: Vec<GivebackRow> = all.iter().filter(of).cloned().collect();
        same(rows.iter().map(|r| r.cell.clone()).collect::<Vec<_>>(), cells.clone())?;
        ensure!(rows.iter().all(|r| r.attempts == 1), "{rows:?}");
        let db = s.store.order_db(*order);
        s.store.end_givebacks(db, &rows[..1], &rows[1..]).await?;
        s.store.end_givebacks(db, &rows[..1], &rows[1..]).await?;
        let task = TaskDraft::Giveback(rows[1].cell.clone(), 2);
        same(times(s, *order, &task).await?, 2)?;
    }
    let buyer = (2, RowStatus::Cancelled, Cause::Cancelled, "buyer".to_owned());
    same(s.causes(dead[1]).await?, vec![buyer])?;
    let clerk = (2, RowStatus::Expired, Cause::NotPaid, "clerk".to_owned());
    same(s.causes(dead[0]).await?, vec![clerk])
}

impl Subject {
    async fn clerk_or_buyer(&self, n: usize, wish: LifeWish) -> Result<LifeAnswer> {
        let actor = if n == 0 { Actor::Clerk } else { Actor::Buyer };
        let answers = self.live(&actor, vec![wish]).await?;
        answers.into_iter().next().context("an answer")
    }
}

/// Asked for, sent, answered; told when the money moved, and the goods with it.
pub(super) async fn refunds(s: &Subject) -> Result<()> {
    let cell = &s.offer("life-refund", &[9]).await?[0];
    let order = s.paid("life-refund", cell).await?;
    s.due_of(order).await?;
    let operator = Actor::Operator("olga".to_owned());
    let ask = RefundAsk { refund: "r-1".parse()?, portion: Portion::Whole };
    let asked =
        LifeAnswer::Asked(AskedRefund::Done { state: RefundState::Requested, amount: AMOUNT });
    for _ in 0..2 {
        let wish = LifeWish::AskRefund(order, ask.clone());
        same(s.live(&operator, vec![wish]).await?, vec![asked.clone()])?;
    }
    let key = RefundKey { refund: ask.refund.clone(), payment: s.payment("life-refund") };
    let due = s.due_of(order).await?;
    same(due.iter().map(|d| d.work.clone()).collect(), vec![DueWork::Refund(key.clone())])?;
    same(s.clerk(LifeWish::SendRefund(order, key.clone(), 5)).await?, LifeAnswer::Done)?;
    let again = RefundAnswer::Unknown(0);
    s.clerk(LifeWish::AnswerRefund(order, key.clone(), again)).await?;
    // It is due again at once, and only once.
    same(s.due_of(order).await?.len(), 1)?;
    let life = s.store.life(order).await?;
    let sent = life.refunds.get(&key).context("the refund")?;
    same((sent.state, sent.tries, sent.first_sent_ms > 0), (RefundState::Unknown, 1, true))?;
    same(s.givebacks_of(&[order], cell).await?, vec![])?;
    for _ in 0..2 {
        let done = RefundAnswer::Succeeded;
        s.clerk(LifeWish::AnswerRefund(order, key.clone(), done)).await?;
    }
    let life = s.store.life(order).await?;
    same(status(&life), Some(RowStatus::Refunded))?;
    same(life.order.as_ref().map(|o| o.refunded), Some(AMOUNT))?;
    let back = s.givebacks_of(&[order], cell).await?;
    let classes: Vec<i8> = back.iter().map(|r| r.give.gives.class().number()).collect();
    same(classes, vec![16])?;
    let causes: Vec<Cause> = s.causes(order).await?.into_iter().map(|c| c.2).collect();
    // One version tells what goes back, one that the order is refunded.
    let moved = Cause::RefundSucceeded;
    same(causes, vec![Cause::Captured, Cause::RefundAsked, moved, moved])
}

/// Of a late payment: one successor is bought, or the money goes back, whichever comes first.
pub(super) async fn late(s: &Subject) -> Result<()> {
    let cell = &s.offer("life-late", &[9]).await?[0];
    let orders = s.rows_of("life-late", 2, cell).await?;
    for (n, order) in orders.iter().enumerate() {
        let (old, name) = (order.order, format!("late-{n}"));
        s.clerk(LifeWish::Expire(old)).await?;
        s.clerk(s.captured(old, &name, AMOUNT + 1)).await?;
        let payment = s.payment(&name);
        let life = s.store.life(old).await?;
        same(life.payments[&payment].fate, Some(PaymentFate::Late))?;
        let successor = life.order.and_then(|o| o.superseded_by).context("a successor")?;
        same(s.store.order_db(successor), s.store.order_db(old))?;
        let attach = || LifeWish::Attach { old, successor, payment: payment.clone() };
        s.clerk(attach()).await?;
        let bought =
            Payload { order: successor, key: None, supersedes: Some(old), ..order.clone() };
        s.insert(&[row(&bought)]).await?;
        let row = s.store.order(successor).await?.context("the row")?;
        same((row.key, row.supersedes), (None, Some(old)))?;
        let forgo = LifeWish::Forgo(old, payment.clone());
        let both = if n == 0 { vec![attach(), forgo] } else { vec![forgo, attach()] };
        for _ in 0..2 {
            s.live(&Actor::Clerk, both.clone()).await?;
        }
        let (life, next) = (s.store.life(old).await?, s.store.life(successor).await?);
        let back = |life: &Life| life.refunds.values().map(|r| r.amount).sum::<i64>();
        if n == 0 {
            same(status(&next), Some(RowStatus::Paid))?;
            same(next.payments[&payment].fate, Some(PaymentFate::Order(successor)))?;
            same((back(&life), back(&next)), (0, 1))?;
            // News of it reach the order that it pays now.
            s.clerk(s.captured(old, &name, AMOUNT + 3)).await?;
            same(back(&s.store.life(successor).await?), 3)?;
        } else {
            same(status(&next), Some(RowStatus::Pending))?;
            same(back(&life), AMOUNT + 1)?;
        }
    }
    Ok(())
}

/// Many orders in one transaction.
pub(super) async fn batches(s: &Subject) -> Result<()> {
    let cell = &s.offer("life-many", &[300]).await?[0];
    let buyer = s.buyer("life-many");
    let of = |n: usize| {
        let key = format!("many-{n}").parse().expect("visible ASCII");
        s.payload(buyer.clone(), key, std::slice::from_ref(cell))
    };
    let orders: Vec<Payload> = (0..200).map(of).collect();
    let asks: Vec<_> = orders.iter().map(row).collect();
    s.insert(&asks).await?;
    let wish = |(n, order): (usize, &Payload)| {
        let amount = if n % 10 == 0 { AMOUNT - 1 } else { AMOUNT };
        s.captured(order.order, &format!("many-{n}"), amount)
    };
    let wishes: Vec<LifeWish> = orders.iter().enumerate().map(wish).collect();
    for _ in 0..2 {
        same(s.live(&Actor::Clerk, wishes.clone()).await?.len(), 200)?;
    }
    let db = s.store.order_db(orders[0].order);
    let ids: Vec<OrderId> = orders.iter().map(|o| o.order).collect();
    let found = s.store.statuses(db, &ids).await?;
    for (n, state) in found.into_iter().enumerate() {
        let want = if n % 10 == 0 { RowStatus::Pending } else { RowStatus::Paid };
        same(state.map(|s| s.status), Some(want))?;
    }
    let rest: Vec<LifeWish> = ids.iter().map(|id| LifeWish::Expire(*id)).collect();
    // Their payments are closed first, or cannot be.
    let close = |n: &usize| {
        let payment = s.payment(&format!("many-{n}"));
        LifeWish::CloseUnknown(ids[*n], payment, n.is_multiple_of(20).then_some(1000))
    };
    let close: Vec<LifeWish> = (0..200).step_by(10).collect::<Vec<_>>().iter().map(close).collect();
    for wants in [0, 10] {
        s.live(&Actor::Clerk, rest.clone()).await?;
        let found = s.store.statuses(db, &ids).await?;
        let dead = found.iter().flatten().filter(|s| s.status == RowStatus::Expired).count();
        same(dead, wants)?;
        s.live(&Actor::Clerk, close.clone()).await?;
    }
    Ok(())
}
