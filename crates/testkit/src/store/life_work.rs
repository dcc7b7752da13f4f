//! Lives: sessions at providers, work at a time, and the pages of what expires.

use anyhow::{Context, Result, ensure};
use domain::life::{
    AdapterKind, DueWork, LifeAnswer, LifeWish, MatchState, PaySession, PaymentNews, Provider,
    SessionAnswer,
};
use domain::{OrderId, Payload, RowStatus};
use store::port::{DueRow, ExpiringOrder, RowAsk};

use super::life::LEASE_MS;
use super::make::row;
use super::subject::{Subject, same};

/// A session is opened once per attempt, whoever asks, and is read back as it was written.
pub(super) async fn sessions(s: &Subject) -> Result<()> {
    let cell = &s.offer("life-session", &[9]).await?[0];
    let order = Payload { window_ms: 0, ..s.orders("session", 1, cell)[0].clone() };
    s.insert(&[row(&order)]).await?;
    let order = order.order;
    let key = s.payment("session");
    let begin = LifeWish::BeginSession(order, key.provider.clone());
    for _ in 0..2 {
        let answer = s.clerk(begin.clone()).await?;
        let LifeAnswer::Session(SessionAnswer::Ask { attempt: 1, amount: 250, .. }) = answer else {
            anyhow::bail!("{answer:?}");
        };
    }
    let opened = PaySession { attempt: 1, payment: None, redirect: "https://pay/ä".to_owned() };
    let opened = LifeWish::SessionOpened(order, key.clone(), opened);
    for wish in [opened.clone(), opened, begin.clone()] {
        let answer = s.clerk(wish).await?;
        let LifeAnswer::Session(SessionAnswer::Open { payment, redirect, .. }) = answer else {
            anyhow::bail!("{answer:?}");
        };
        same((payment, redirect.as_str()), (key.payment.clone(), "https://pay/ä"))?;
    }
    let life = s.store.life(order).await?;
    same(life.payments.get(&key).map(|p| p.attempt), Some(1))?;
    s.clerk(LifeWish::Join(s.event(order, "session", PaymentNews::Failed))).await?;
    let answer = s.clerk(begin).await?;
    ensure!(
        matches!(answer, LifeAnswer::Session(SessionAnswer::Ask { attempt: 2, .. })),
        "{answer:?}"
    );
    let nobody = s.orders("session-nobody", 1, cell)[0].order;
    let unknown = LifeWish::BeginSession(nobody, key.provider);
    same(s.clerk(unknown).await?, LifeAnswer::Session(SessionAnswer::NoRow))
}

/// Work that gets another time keeps how often it was taken and since when it is due.
pub(super) async fn moved_work(s: &Subject) -> Result<()> {
    let cell = &s.offer("life-moved", &[9]).await?[0];
    let order = s.orders("moved", 1, cell)[0].order;
    let db = s.store.order_db(order);
    let key = s.payment("moved");
    s.clerk(s.captured(order, "moved", 250)).await?;
    let work = DueWork::Match(key.clone());
    let take = async || -> Result<Option<DueRow>> {
        let rows = s.store.take_due(db, 512, LEASE_MS).await?;
        Ok(rows.into_iter().find(|r| r.work == work))
    };
    let first = take().await?.context("it is due")?;
    same((first.order, first.attempts), (order, 1))?;
    same(take().await?, None)?;
    let waits = |again_ms| {
        let state = MatchState::Waits { again_ms };
        LifeWish::Match { order, payment: key.clone(), state }
    };
    s.clerk(waits(0)).await?;
    let second = take().await?.context("it is due again")?;
    same((second.attempts, second.started_ms), (2, first.started_ms))?;
    // By one clock, the database's.
    same(first.started_ms <= first.taken_ms && first.taken_ms <= second.taken_ms, true)?;
    s.clerk(waits(LEASE_MS)).await?;
    same(take().await?, None)
}

/// Pages of what expires go on behind the last one, also among orders of one time.
pub(super) async fn expiring_pages(s: &Subject) -> Result<()> {
    let cell = &s.offer("life-pages", &[9]).await?[0];
    let (buyer, cells) = (s.buyer("life-pages"), std::slice::from_ref(cell));
    let of = |n: u32| {
        let key = format!("pages-{n}").parse().expect("visible ASCII");
        s.payload(buyer.clone(), key, cells)
    };
    let orders: Vec<_> = (0..5).map(of).collect();
    let db = s.store.order_db(orders[0].order);
    for (n, order) in orders.iter().enumerate() {
        s.insert(&[RowAsk { t_ms: 20 + (n as u64) / 3, ..row(order) }]).await?;
    }
    let mut want: Vec<(u64, OrderId)> = Vec::new();
    for (n, order) in orders.iter().enumerate() {
        want.push((20 + n as u64 / 3 + order.window_ms, order.order));
    }
    want.sort_unstable();
    let before = 30 + orders[0].window_ms;
    let (mut found, mut after): (Vec<(u64, OrderId)>, Option<ExpiringOrder>) = (Vec::new(), None);
    loop {
        let page = s.store.expiring(db, before, after.as_ref(), 2).await?;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        found.extend(page.iter().map(|e| (e.expires_at, e.order)));
    }
    found.retain(|one| want.contains(one));
    same(found, want)?;
    for order in &orders {
        s.clerk(LifeWish::Expire(order.order)).await?;
    }
    let ids: Vec<OrderId> = orders.iter().map(|o| o.order).collect();
    let lives = s.store.lives(db, &ids).await?;
    same(lives.iter().map(|l| (l.id, l.status())).collect::<Vec<_>>(), {
        ids.iter().map(|id| (*id, Some(RowStatus::Expired))).collect()
    })
}

/// Providers are read back as they were put, and the catalog's version tells of them.
pub(super) async fn providers(s: &Subject) -> Result<()> {
    let provider = |secrets: &[&str], base_url: Option<&str>| Provider {
        id: "conformance".parse().expect("a name"),
        adapter: AdapterKind::StandardWebhooks,
        secrets: secrets.iter().map(|s| (*s).to_owned()).collect(),
        base_url: base_url.map(str::to_owned),
        timeout_ms: 1500,
    };
    let mut created = Vec::new();
    for put in [provider(&["s1"], None), provider(&["s1", "s2 ="], Some("http://x:1/y"))] {
        let version = s.store.catalog_version().await?;
        created.push(s.store.put_provider(&put).await?);
        ensure!(s.store.catalog_version().await? > version, "nobody hears of it");
        let all = s.store.providers().await?;
        same(all.into_iter().find(|p| p.id == put.id), Some(put))?;
    }
    ensure!(!created[1], "{created:?}");
    Ok(())
}

/// What is kept of a person is read back byte by byte, replaced, and erased for one buyer only.
pub(super) async fn details(s: &Subject) -> Result<()> {
    let cell = &s.offer("details", &[9]).await?[0];
    let cells = std::slice::from_ref(cell);
    let of = |buyer: &str, n: usize| s.order(buyer, &format!("details-{n}"), cells);
    let (ada, bob) = (s.buyer("details-ada"), s.buyer("details-bob"));
    let own: Vec<OrderId> = (0..600).map(|n| of("details-ada", n).order).collect();
    let other = of("details-bob", 0).order;
    same(s.store.details(own[0]).await?, None)?;
    same(s.store.erase_details(&ada).await?, 0)?;
    let text = "{\"name\":\"Ada \u{1f389} \\u0000\",\"n\":1e400}";
    for order in &own {
        s.store.put_details(*order, &ada, "{}").await?;
    }
    s.store.put_details(own[0], &ada, text).await?;
    s.store.put_details(other, &bob, text).await?;
    for order in [own[0], other] {
        same(s.other.details(order).await?.as_deref(), Some(text))?;
    }
    same(s.store.details(own[1]).await?.as_deref(), Some("{}"))?;
    // More than one transaction erases.
    same(s.store.erase_details(&ada).await?, 600)?;
    for order in &own[..3] {
        same(s.store.details(*order).await?, None)?;
    }
    same(s.store.details(other).await?.as_deref(), Some(text))?;
    same(s.store.erase_details(&ada).await?, 0)
}
