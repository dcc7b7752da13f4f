//! One publisher, one consumer: order, redelivery, standing by, sizes.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use orderlog::{LogError, MAX_FRAME, Partition};
use tokio::time::{Instant, timeout};

use super::subject::{DATABASES, Subject, frame, number, same};

const P: Partition = Partition::Main(0);

pub(super) async fn init_is_idempotent(s: &Subject) -> Result<()> {
    s.log.init(DATABASES).await?;
    s.log.init(DATABASES).await?;
    s.log.ready().await?;
    ensure!(s.log.partitions() >= 2);
    let nowhere = Partition::Retry(DATABASES + 40);
    let refused = s.log.publish(nowhere, frame(1)).await;
    ensure!(matches!(refused, Err(LogError::NotStored(..))), "publish nowhere: {refused:?}");
    ensure!(s.log.consumer(nowhere).await.is_err(), "a consumer of nothing");
    Ok(())
}

pub(super) async fn order_is_kept(s: &Subject) -> Result<()> {
    s.publish(P, 0..200).await?;
    let mut c = s.log.consumer(P).await?;
    let got = s.take(&mut c, 200).await?;
    ensure!(got.is_sorted_by_key(|d| d.published_ms), "publish times go back");
    ensure!(got[0].published_ms > 1_700_000_000_000, "publish time {}", got[0].published_ms);
    for d in &got {
        c.ack(&d.id).await?;
    }
    let numbers: Result<Vec<u64>> = got.iter().map(number).collect();
    same(numbers?, (0..200).collect())?;
    tokio::time::sleep(s.settle).await;
    drop(c);
    same(s.empty(P).await?, vec![])
}

pub(super) async fn unacked_come_again(s: &Subject) -> Result<()> {
    s.publish(P, 0..20).await?;
    let mut first = s.log.consumer(P).await?;
    for d in s.take(&mut first, 20).await? {
        if number(&d)? % 2 == 0 {
            first.ack(&d.id).await?;
        }
    }
    tokio::time::sleep(s.settle).await;
    drop(first);
    let odd: Vec<u64> = (0..20).filter(|n| n % 2 == 1).collect();
    let mut second = s.log.consumer(P).await?;
    let again: Result<Vec<u64>> = s.take(&mut second, 10).await?.iter().map(number).collect();
    same(again?, odd.clone())?;
    drop(second);
    same(s.empty(P).await?, odd)?;
    same(s.empty(P).await?, vec![])
}

pub(super) async fn second_consumer_stands_by(s: &Subject) -> Result<()> {
    let mut active = s.log.consumer(P).await?;
    s.publish(P, 0..3).await?;
    s.take(&mut active, 1).await?;
    let mut standby = s.log.consumer(P).await?;
    let early = timeout(s.quiet, standby.next()).await;
    ensure!(early.is_err(), "two active consumers: {early:?}");
    s.take(&mut active, 2).await?;
    drop(active);
    same(s.drain(&mut standby).await?, vec![0, 1, 2])?;
    tokio::time::sleep(s.settle).await;
    Ok(())
}

pub(super) async fn publish_wakes(s: &Subject) -> Result<()> {
    let mut c = s.log.consumer(P).await?;
    same(s.drain(&mut c).await?, vec![])?;
    for n in 0..5 {
        let next = async {
            let d = s.next(&mut c).await?;
            anyhow::Ok((Instant::now(), d))
        };
        let publish = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            s.publish(P, [n]).await?;
            anyhow::Ok(Instant::now())
        };
        let ((arrived, d), sent) = tokio::try_join!(next, publish)?;
        let late = arrived.saturating_duration_since(sent);
        ensure!(late < Duration::from_millis(500), "delivered {late:?} after the receipt");
        same(number(&d)?, n)?;
        c.ack(&d.id).await?;
    }
    tokio::time::sleep(s.settle).await;
    Ok(())
}

pub(super) async fn next_may_be_dropped(s: &Subject) -> Result<()> {
    let mut c = s.log.consumer(P).await?;
    let (mut got, mut sent) = (Vec::new(), 0);
    let until = Instant::now() + Duration::from_secs(20);
    while got.len() < 50 {
        if sent < 50 {
            s.publish(P, [sent]).await?;
            sent += 1;
        }
        for wait in [0, 50, 400] {
            if let Ok(d) = timeout(Duration::from_micros(wait), c.next()).await {
                let d = d?;
                c.ack(&d.id).await?;
                got.push(number(&d)?);
            }
        }
        ensure!(Instant::now() < until, "a dropped next lost a frame: {got:?}");
    }
    same(got, (0..50).collect())?;
    tokio::time::sleep(s.settle).await;
    Ok(())
}

pub(super) async fn partitions_are_apart(s: &Subject) -> Result<()> {
    let places = [P, Partition::Main(1), Partition::Retry(0), Partition::Retry(1)];
    for (n, p) in (100u64..).zip(places) {
        s.publish(p, [n]).await?;
    }
    for (n, p) in (100u64..).zip(places) {
        same(s.empty(p).await.with_context(|| p.to_string())?, vec![n])?;
    }
    Ok(())
}

pub(super) async fn sizes(s: &Subject) -> Result<()> {
    let large = Bytes::from(vec![5; MAX_FRAME]);
    for _ in 0..5 {
        s.log.publish(P, large.clone()).await.context("the largest frame")?;
    }
    match s.log.publish(P, vec![5; MAX_FRAME + 1].into()).await {
        Err(LogError::NotStored(p, _)) if p == P => {}
        other => bail!("a frame that is too large: {other:?}"),
    }
    let mut c = s.log.consumer(P).await?;
    for d in s.take(&mut c, 5).await? {
        ensure!(d.frame == large, "{} bytes came back", d.frame.len());
        c.ack(&d.id).await?;
    }
    same(s.drain(&mut c).await?, vec![])
}

pub(super) async fn backlog_counts(s: &Subject) -> Result<()> {
    reaches(s, 0).await?;
    s.publish(P, 0..3).await?;
    s.publish(Partition::Retry(1), 0..1).await?;
    s.publish(Partition::Life(1), 0..1).await?;
    reaches(s, 5).await?;
    s.empty(P).await?;
    s.empty(Partition::Retry(1)).await?;
    s.empty(Partition::Life(1)).await?;
    reaches(s, 0).await
}

async fn reaches(s: &Subject, want: u64) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let got = s.log.backlog().await?;
        if got == want {
            return Ok(());
        }
        ensure!(Instant::now() < until, "backlog is {got}, want {want}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
