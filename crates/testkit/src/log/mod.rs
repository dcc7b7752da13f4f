//! What every order log must do, whatever backend is below it.
//!
//! The checks use the port only. They run one after the other on one log and leave every
//! partition empty, so that one set of topics serves them all.

mod flow;
mod load;
mod readers;
mod subject;

use anyhow::{Context, Result};

pub use load::latency;
pub use subject::{DATABASES, Subject, frame, number};

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
