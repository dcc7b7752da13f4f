//! A log under test, and what the checks say of it.

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

pub(super) fn same<T: PartialEq + std::fmt::Debug>(got: T, want: T) -> Result<()> {
    ensure!(got == want, "got {got:?}, want {want:?}");
    Ok(())
}
