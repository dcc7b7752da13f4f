//! Readers beside the consumers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use orderlog::{Delivery, Partition, Reader};
use tokio::time::timeout;

use super::subject::{DATABASES, Subject, number, same};

const P: Partition = Partition::Main(1);

async fn next(r: &mut Box<dyn Reader>) -> Result<Delivery> {
    timeout(Duration::from_secs(10), r.next()).await.context("nothing within 10 s")?.context("next")
}

/// The next `n` numbers from `least` on: a log may begin a little earlier than it was told.
async fn read(r: &mut Box<dyn Reader>, n: usize, least: u64) -> Result<Vec<u64>> {
    let mut got = Vec::new();
    while got.len() < n {
        let one = next(r).await.with_context(|| format!("after {got:?}"))?;
        got.extend(Some(number(&one)?).filter(|n| *n >= least));
    }
    Ok(got)
}

pub(super) async fn see_what_was_acked(s: &Subject) -> Result<()> {
    let nowhere = Partition::Retry(DATABASES + 40);
    ensure!(s.log.reader(nowhere, 0).await.is_err(), "a reader of nothing");
    s.publish(P, [900]).await?;
    let first = s.take(&mut s.log.consumer(P).await?, 1).await?;
    s.publish(P, 901..940).await?;
    let since = first[0].published_ms;
    let mut early = s.log.reader(P, since).await?;
    same(read(&mut early, 20, 900).await?, (900..920).collect())?;
    // What is read is not taken from the consumers, and what they ack is still read.
    same(s.empty(P).await?, (900..940).collect())?;
    tokio::time::sleep(s.settle).await;
    same(read(&mut early, 20, 900).await?, (920..940).collect())?;
    let mut late = s.log.reader(P, since).await?;
    same(read(&mut late, 40, 900).await?, (900..940).collect())?;
    // Then what comes.
    s.publish(P, [940]).await?;
    same(read(&mut late, 1, 900).await?, vec![940])?;
    drop((early, late));
    same(s.empty(P).await?, vec![940])
}

pub(super) async fn begin_at_a_time(s: &Subject) -> Result<()> {
    let p = Partition::Retry(0);
    s.publish(p, 950..953).await?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    s.publish(p, 960..963).await?;
    let mut all = s.log.reader(p, 0).await?;
    let mut since = None;
    while since.is_none() {
        let one = next(&mut all).await?;
        since = (number(&one)? == 960).then_some(one.published_ms);
    }
    let mut later = s.log.reader(p, since.unwrap_or(0)).await?;
    let first = number(&next(&mut later).await?)?;
    ensure!(first == 960 || first == 952, "it begins at {first}");
    same(read(&mut later, 2, 961).await?, vec![961, 962])?;
    same(s.empty(p).await?, vec![950, 951, 952, 960, 961, 962])
}
