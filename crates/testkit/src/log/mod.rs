//! What every order log must do, whatever backend is below it.
//!
//! The checks use the port only. They run one after the other on one log and leave every
//! partition empty, so that one set of topics serves them all.

mod flow;
mod load;
mod readers;

pub use load::latency;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use orderlog::{Consumer, Delivery, OrderLog, Partition};
use tokio::time::timeout;

/// How many retry partitions the suite uses.
pub const DATABASES: u16 = 2;

/// A log under test.
#[derive(Clone)]
pub struct Subject {
    /// At least two main partitions, empty.
    pub log: Arc<dyn OrderLog>,
    /// After this long without a delivery a partition counts as empty. Longer than the log takes
    /// to serve a new consumer.
    pub quiet: Duration,
    /// After this long an ack has arrived.
    pub settle: Duration,
}

/// Runs every check; the error names the one that failed.
pub async fn conformance(s: &Subject) -> Result<()> {
    s.log.init(DATABASES).await.context("init")?;
    flow::init_is_idempotent(s).await.context("init is idempotent")?;
    flow::order_is_kept(s).await.context("order is kept")?;
    flow::unacked_come_again(s).await.context("unacked come again")?;
    flow::second_consumer_stands_by(s).await.context("a second consumer stands by")?;
    flow::publish_wakes(s).await.context("a publish wakes the consumer")?;
    flow::next_may_be_dropped(s).await.context("next may be dropped")?;
    flow::partitions_are_apart(s).await.context("partitions are apart")?;
    flow::sizes(s).await.context("sizes")?;
    readers::see_what_was_acked(s).await.context("readers see what was acked")?;
    readers::begin_at_a_time(s).await.context("readers begin at a time")?;
    flow::backlog_counts(s).await.context("backlog counts")?;
    load::many_publishers(s).await.context("many publishers")?;
    load::flood_is_refused_or_stored(s).await.context("a flood is refused or stored")?;
    Ok(())
}

/// A frame that carries a number.
pub fn frame(n: u64) -> Bytes {
    let mut body = n.to_be_bytes().to_vec();
    body.resize(64, 7);
    body.into()
}

/// The number of a frame.
pub fn number(d: &Delivery) -> Result<u64> {
    let head = d.frame.first_chunk::<8>().context("a frame that the suite did not make")?;
    Ok(u64::from_be_bytes(*head))
}

impl Subject {
    /// The next delivery, within ten seconds.
    pub async fn next(&self, c: &mut Box<dyn Consumer>) -> Result<Delivery> {
        let next = timeout(Duration::from_secs(10), c.next()).await;
        next.context("no delivery within 10 s")?.context("next")
    }

    /// Takes `n` deliveries without an ack.
    pub async fn take(&self, c: &mut Box<dyn Consumer>, n: usize) -> Result<Vec<Delivery>> {
        let mut got = Vec::with_capacity(n);
        while got.len() < n {
            got.push(self.next(c).await.with_context(|| format!("{} of {n}", got.len()))?);
        }
        Ok(got)
    }

    /// Takes and acks until nothing comes any more; the numbers in order of arrival.
    pub async fn drain(&self, c: &mut Box<dyn Consumer>) -> Result<Vec<u64>> {
        let mut got = Vec::new();
        while let Ok(next) = timeout(self.quiet, c.next()).await {
            let next = next.context("next")?;
            c.ack(&next.id).await?;
            got.push(number(&next)?);
        }
        Ok(got)
    }

    /// A consumer's whole remaining partition, acked.
    pub async fn empty(&self, p: Partition) -> Result<Vec<u64>> {
        let mut c = self.log.consumer(p).await?;
        let got = self.drain(&mut c).await?;
        // Acks are sent and forgotten: give them time to arrive before the consumer goes.
        tokio::time::sleep(self.settle).await;
        Ok(got)
    }

    /// Publishes the numbers one after the other.
    pub async fn publish(
        &self,
        p: Partition,
        numbers: impl IntoIterator<Item = u64>,
    ) -> Result<()> {
        for n in numbers {
            self.log.publish(p, frame(n)).await.with_context(|| format!("publish {n}"))?;
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, want: T) -> Result<()> {
    ensure!(got == want, "got {got:?}, want {want:?}");
    Ok(())
}
