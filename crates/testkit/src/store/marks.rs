//! Progress, barriers, leases and parked work.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use domain::frame::Mode;

use store::port::{ParkedFrame, ParkedOrder};

use super::make::sealed;
use super::subject::{Subject, same};

impl Subject {
    /// A name of at most 32 characters that no other run uses.
    fn short(&self, name: &str) -> String {
        let tail = self.tag.len().saturating_sub(20);
        format!("{}-{name}", &self.tag[tail..])
    }
}

pub(super) async fn progress(s: &Subject) -> Result<()> {
    let (name, other) = (s.short("main-0"), s.short("main-1"));
    let read = |name: String| async move {
        let all = s.store.progress().await?;
        anyhow::Ok(all.into_iter().find(|p| p.0 == name).map(|p| p.1))
    };
    same(read(name.clone()).await?, None)?;
    for (set, want) in [(100, 100), (250, 250), (180, 250), (250, 250), (251, 251)] {
        s.store.set_progress(&name, set).await?;
        same(read(name.clone()).await?, Some(want))?;
    }
    s.store.set_progress(&other, 7).await?;
    same((read(name).await?, read(other).await?), (Some(251), Some(7)))
}

pub(super) async fn barrier(s: &Subject) -> Result<()> {
    let barrier = s.short("barrier");
    same(s.store.barrier_seen(&barrier).await?, vec![])?;
    for partition in ["main-0", "retry-1", "main-0"] {
        s.store.mark_barrier(&barrier, partition).await?;
    }
    let mut seen = s.store.barrier_seen(&barrier).await?;
    seen.sort_unstable();
    same(seen, vec!["main-0".to_owned(), "retry-1".to_owned()])
}

pub(super) async fn lease(s: &Subject) -> Result<()> {
    let name = s.short("lease");
    ensure!(s.store.lease(&name, "a", 600).await?, "a free lease");
    ensure!(!s.other.lease(&name, "b", 600).await?, "a lease that another holds");
    ensure!(s.store.lease(&name, "a", 600).await?, "renewed");
    ensure!(!s.other.lease(&name, "A", 600).await?, "another case is another holder");
    tokio::time::sleep(Duration::from_millis(700)).await;
    ensure!(s.other.lease(&name, "b", 60_000).await?, "a lease that ran out");
    ensure!(!s.store.lease(&name, "a", 600).await?, "the other has it now");
    Ok(())
}

pub(super) async fn parked(s: &Subject) -> Result<()> {
    let (orders, frames) = s.store.parked_counts().await?;
    let cell = s.offer_id("parked").cell(0);
    let p = s.order("parked", "k", std::slice::from_ref(&cell));
    let free = s.order("parked", "k2", &[cell]);
    let long = "ä".repeat(2000);
    s.store.park(p.order, &long, (Mode::Full, &sealed(&p))).await?;
    s.store.park(p.order, "again", (Mode::Abort, &sealed(&p))).await?;
    same(s.store.parked_among(&[free.order, p.order, p.order]).await?, vec![p.order])?;
    same(s.store.parked_among(&[]).await?, vec![])?;
    let mut frame = vec![0xff; 256 * 1024];
    frame.splice(..s.tag.len(), s.tag.bytes());
    let frame = Bytes::from(frame);
    s.store.park_frame("main-0", "checksum", &frame).await.context("a whole frame")?;
    s.store.park_frame("main-0", "checksum", &frame).await?;
    same(s.store.parked_counts().await?, (orders + 1, frames + 1))?;
    let again = s.store.parked(p.order).await?.context("parked")?;
    same((again.times, again.reason.as_str(), again.mode), (2, "again", Mode::Abort))?;
    ensure!(again.sealed == sealed(&p), "{again:?}");
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = s.store.parked_orders(after, 500).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.order);
        listed.extend(page.into_iter().filter(|q| q.order == p.order));
    }
    let (reason, times) = (again.reason, again.times);
    same(listed, vec![ParkedOrder { order: p.order, reason, times }])?;
    let beyond = s.store.parked_orders(Some(p.order), 1000).await?;
    ensure!(beyond.iter().all(|q| q.order > p.order), "{beyond:?}");
    let id = domain::identity::sha256_hex(&frame);
    let whole = s.store.parked_frame(&id).await?.context("parked frame")?;
    same((whole.times, whole.partition.as_str()), (2, "main-0"))?;
    ensure!(whole.frame == frame, "the bytes");
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = s.store.parked_frames(after.as_deref(), 500).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        listed.extend(page.into_iter().filter(|f| f.id == id));
    }
    same(listed, vec![ParkedFrame { frame: Bytes::new(), ..whole }])?;
    let beyond = s.store.parked_frames(Some(&id), 1000).await?;
    ensure!(beyond.iter().all(|f| f.id > id), "{beyond:?}");
    // What was parked again meanwhile stays.
    same(s.store.unpark(p.order, 1).await?, false)?;
    same(s.store.unpark(p.order, 2).await?, true)?;
    same(s.store.unpark(p.order, 2).await?, false)?;
    same(s.store.unpark_frame(&id, 1).await?, false)?;
    same(s.store.unpark_frame(&id, 2).await?, true)?;
    same(s.store.parked(p.order).await?, None)?;
    same(s.store.parked_frame(&id).await?, None)?;
    same(s.store.parked_among(&[p.order]).await?, vec![])?;
    // Parked once more: whoever still knows an earlier parking does not take this one away.
    s.store.park(p.order, "third", (Mode::Full, &sealed(&p))).await?;
    s.store.park_frame("main-0", "checksum", &frame).await?;
    for earlier in [1, 2] {
        same(s.store.unpark(p.order, earlier).await?, false)?;
        same(s.store.unpark_frame(&id, earlier).await?, false)?;
    }
    same(s.store.parked(p.order).await?.map(|p| (p.times, p.mode)), Some((3, Mode::Full)))?;
    same(s.store.unpark(p.order, 3).await?, true)?;
    same(s.store.unpark_frame(&id, 3).await?, true)?;
    same(s.store.parked_counts().await?, (orders, frames))
}
