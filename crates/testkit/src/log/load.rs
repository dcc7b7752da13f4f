//! Many publishers at once, and more than the log can take.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use orderlog::{LogError, OrderLog, Partition};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::subject::{Subject, frame, number};

const TASKS: u64 = 8;
const EACH: u64 = 60;
const FLOOD: u64 = 6000;

/// Each task publishes one after the other, so its numbers must stay in order.
pub(super) async fn many_publishers(s: &Subject) -> Result<()> {
    let partitions = s.log.partitions();
    let mut set = JoinSet::new();
    for task in 0..TASKS {
        let s = s.clone();
        let p = Partition::Main((task % u64::from(partitions)) as u16);
        set.spawn(async move { s.publish(p, (0..EACH).map(|n| task * 1000 + n)).await });
    }
    while let Some(done) = set.join_next().await {
        done??;
    }
    let mut total = 0;
    for p in (0..partitions).map(Partition::Main) {
        let got = s.empty(p).await?;
        for task in 0..TASKS {
            let of_task: Vec<u64> = got.iter().copied().filter(|n| n / 1000 == task).collect();
            ensure!(of_task.is_sorted(), "task {task} out of order on {p}: {of_task:?}");
            total += of_task.iter().collect::<HashSet<_>>().len() as u64;
        }
    }
    ensure!(total == TASKS * EACH, "{total} of {} came", TASKS * EACH);
    Ok(())
}

/// Frames per second and the percentiles of a publish, as a line of text, with `in_flight`
/// publishers of frames of 12.8 kB (64 orders).
pub async fn latency(log: &Arc<dyn OrderLog>, in_flight: u16) -> Result<String> {
    let mut set = JoinSet::new();
    let start = Instant::now();
    for task in 0..in_flight {
        set.spawn(publishes(Arc::clone(log), Partition::Main(task % log.partitions())));
    }
    let mut all = Vec::new();
    while let Some(took) = set.join_next().await {
        all.extend(took??);
    }
    all.sort_unstable();
    let rate = all.len() as f64 / start.elapsed().as_secs_f64();
    let (p50, p99) = (all[all.len() / 2], all[all.len() * 99 / 100]);
    Ok(format!("12.8 kB, {in_flight} in flight: {rate:.0} frames/s, p50 {p50:?}, p99 {p99:?}"))
}

async fn publishes(log: Arc<dyn OrderLog>, p: Partition) -> Result<Vec<Duration>> {
    let body = Bytes::from(vec![1; 12_800]);
    let mut took = Vec::new();
    for _ in 0..400 {
        let at = Instant::now();
        log.publish(p, body.clone()).await?;
        took.push(at.elapsed());
    }
    Ok(took)
}

/// All at once: every one is answered; what has a receipt comes, what was refused does not.
pub(super) async fn flood_is_refused_or_stored(s: &Subject) -> Result<()> {
    let p = Partition::Main(1);
    let mut set = JoinSet::new();
    for n in 0..FLOOD {
        let log = s.log.clone();
        set.spawn(async move { (n, log.publish(p, frame(n)).await) });
    }
    let (mut stored, mut refused) = (HashSet::new(), HashSet::new());
    while let Some(done) = set.join_next().await {
        match done? {
            (n, Ok(())) => stored.insert(n),
            (n, Err(LogError::NotStored(..))) => refused.insert(n),
            (_, Err(LogError::Unknown(..))) => continue,
            (n, Err(e)) => return Err(e).context(format!("publish {n}")),
        };
    }
    ensure!(!stored.is_empty(), "nothing was stored");
    ensure!(!refused.is_empty(), "{FLOOD} frames at once and none was refused: no bound");
    let mut c = s.log.consumer(p).await?;
    let mut got = HashSet::new();
    while got.len() < stored.len() || !stored.is_subset(&got) {
        let d = s.next(&mut c).await.context("a frame with a receipt is missing")?;
        c.ack(&d.id).await?;
        got.insert(number(&d)?);
    }
    got.extend(s.drain(&mut c).await?);
    let ghosts = got.intersection(&refused).count();
    ensure!(ghosts == 0, "{ghosts} refused frames came");
    tokio::time::sleep(s.settle).await;
    Ok(())
}
