//! Money beyond one order: pages of payments, what moved in a time, and the sums.

use anyhow::{Result, ensure};
use domain::OrderId;
use domain::life::{
    Actor, LifeWish, MoneyTotals, PaymentKey, PaymentNews, Policies, ProviderEvent, ProviderId,
    RefundSort, provider_key,
};
use store::port::{LifeCall, MoneyMoved, MoneyRow, MoneyWanted, MoneyWay};

use super::make::row;
use super::subject::{Subject, same};

/// Orders of the check, all of one database.
const ORDERS: usize = 5;

struct Till<'a> {
    s: &'a Subject,
    db: u16,
    provider: ProviderId,
    orders: Vec<OrderId>,
}

impl Till<'_> {
    fn key(&self, name: &str) -> PaymentKey {
        let payment = name.parse().expect("visible ASCII");
        PaymentKey { provider: self.provider.clone(), payment }
    }

    fn join(&self, order: OrderId, payment: &str, news: PaymentNews) -> LifeWish {
        let key = self.key(payment);
        LifeWish::Join(ProviderEvent {
            event: None,
            provider: key.provider,
            payment: key.payment,
            order,
            currency: "EUR".into(),
            news,
            is_final: false,
        })
    }

    /// All in one transaction, so that all have one time.
    async fn tell(&self, wishes: Vec<LifeWish>) -> Result<()> {
        let (actor, policies) = (Actor::Clerk, Policies::default());
        self.s.store.live(&LifeCall { db: self.db, actor, policies, wishes }).await?;
        Ok(())
    }

    /// What moved, two by two.
    async fn moved(&self, way: MoneyWay, from_ms: u64, to_ms: u64) -> Result<Vec<MoneyMoved>> {
        let provider = self.provider.clone();
        let mut wanted = MoneyWanted { way, provider, from_ms, to_ms, after: None, limit: 2 };
        let mut all = Vec::new();
        loop {
            let page = self.s.store.moved(self.db, &wanted).await?;
            let Some(last) = page.last().cloned() else { return Ok(all) };
            wanted.after = Some(last);
            all.extend(page);
        }
    }
}

async fn till<'a>(s: &'a Subject, name: &str) -> Result<Till<'a>> {
    let cell = &s.offer(name, &[9]).await?[0];
    let (buyer, cells) = (s.buyer(name), std::slice::from_ref(cell));
    let mut orders = Vec::new();
    for n in 0..ORDERS {
        let key = format!("{name}-{n}").parse().expect("visible ASCII");
        let order = s.payload(buyer.clone(), key, cells);
        s.insert(&[row(&order)]).await?;
        orders.push(order.order);
    }
    let tail = s.tag.len().saturating_sub(24);
    let provider = format!("m-{}", &s.tag[tail..]).parse().expect("short");
    Ok(Till { s, db: s.store.order_db(orders[0]), provider, orders })
}

/// Payments are read page by page, and by name.
pub(super) async fn pages(s: &Subject) -> Result<()> {
    let t = till(s, "money-pages").await?;
    let names = ["a", "a-0", "b", "B", "c"];
    let news = t.orders.iter().zip(names);
    t.tell(news.map(|(o, n)| t.join(*o, n, PaymentNews::Authorised)).collect()).await?;
    let mut want: Vec<(PaymentKey, OrderId)> =
        names.iter().map(|n| t.key(n)).zip(t.orders.iter().copied()).collect();
    want.sort();
    let (mut found, mut after) = (Vec::new(), None::<PaymentKey>);
    loop {
        let page = s.store.payments_after(t.db, after.as_ref(), 3).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.clone());
        ensure!(page.len() <= 3, "{} rows", page.len());
        found.extend(page);
    }
    ensure!(found.is_sorted(), "{found:?}");
    found.retain(|(key, _)| key.provider == t.provider);
    same(&found, &want)?;
    let mut keys: Vec<PaymentKey> = want.iter().map(|(key, _)| key.clone()).collect();
    keys.push(t.key("nobody"));
    let mut named = s.store.payments_named(t.db, &keys).await?;
    named.sort();
    same(named, want)
}

/// What came in and what went back, by time, also where all of it has one time.
pub(super) async fn moved(s: &Subject) -> Result<()> {
    let t = till(s, "money-moved").await?;
    let before = s.store.now_ms().await?;
    same(t.moved(MoneyWay::In, 0, u64::MAX >> 1).await?, vec![])?;
    let all = |prefix: &'static str, news: fn(usize) -> PaymentNews| {
        let orders = t.orders.iter().enumerate();
        let wishes = orders.map(|(n, o)| t.join(*o, &format!("{prefix}{n}"), news(n)));
        wishes.collect::<Vec<_>>()
    };
    // Each order is paid, then paid once more, which goes back by itself.
    t.tell(all("x", |_| PaymentNews::Authorised)).await?;
    t.tell(all("p", |_| PaymentNews::Captured(250))).await?;
    t.tell(all("q", |n| PaymentNews::Captured(10 + n as i64))).await?;
    let came = t.moved(MoneyWay::In, before, u64::MAX >> 1).await?;
    let names: Vec<&str> = came.iter().map(|m| m.payment.payment.as_str()).collect();
    same(&names, &vec!["p0", "p1", "p2", "p3", "p4", "q0", "q1", "q2", "q3", "q4"])?;
    same(came.iter().map(|m| m.order).collect::<Vec<_>>(), t.orders.repeat(2))?;
    ensure!(came.iter().all(|m| m.refund.is_none() && m.at_ms >= before), "{came:?}");
    // The bounds of a time: its first ms is in it, its last is not.
    let (first, last) = (came[0].at_ms, came[9].at_ms);
    same(t.moved(MoneyWay::In, first, last + 1).await?.len(), 10)?;
    same(t.moved(MoneyWay::In, last + 1, u64::MAX >> 1).await?.len(), 0)?;
    same(t.moved(MoneyWay::In, 0, first).await?.len(), 0)?;
    same(t.moved(MoneyWay::Back, 0, u64::MAX >> 1).await?, vec![])?;
    let mut back = Vec::new();
    let mut failed = Vec::new();
    for life in s.store.lives(t.db, &t.orders).await? {
        for (key, refund) in &life.refunds {
            same(refund.sort, RefundSort::Automatic)?;
            let (given, amount) =
                (provider_key(&s.identity, life.id, key, refund.amount), refund.amount);
            let payment = key.payment.payment.as_str();
            let news = PaymentNews::RefundSucceeded { key: given.clone(), amount };
            back.push(t.join(life.id, payment, news));
            failed.push(t.join(life.id, payment, PaymentNews::RefundFailed { key: given }));
        }
    }
    t.tell(back).await?;
    let went = t.moved(MoneyWay::Back, 0, u64::MAX >> 1).await?;
    same(went.len(), ORDERS)?;
    let mut orders = t.orders.clone();
    orders.sort();
    same(went.iter().map(|m| m.order).collect::<Vec<_>>(), orders)?;
    ensure!(went.iter().all(|m| m.refund.is_some() && m.at_ms >= last), "{went:?}");
    // One that bounces did not move.
    t.tell(failed.split_off(1)).await?;
    same(t.moved(MoneyWay::Back, 0, u64::MAX >> 1).await?.len(), 1)
}

/// The sums are replaced as a whole.
pub(super) async fn totals(s: &Subject) -> Result<()> {
    // No order of any other check reads or writes them.
    let row = |currency: &str, captured| MoneyRow {
        currency: currency.to_owned(),
        totals: MoneyTotals { captured, refunded: 2, under_way: 3, manual: 4, broken: 5 },
        at_ms: 0,
    };
    let before = s.store.now_ms().await?;
    s.store.put_money(0, &[row("EUR", 1), row("AED", i64::MAX)]).await?;
    s.store.put_money(0, &[row("USD", 7), row("EUR", 6)]).await?;
    let found = s.store.money(0).await?;
    ensure!(found.iter().all(|r| r.at_ms >= before), "{found:?}");
    let found: Vec<MoneyRow> = found.into_iter().map(|r| MoneyRow { at_ms: 0, ..r }).collect();
    same(found, vec![row("EUR", 6), row("USD", 7)])?;
    s.store.put_money(0, &[]).await?;
    same(s.store.money(0).await?, vec![])
}
