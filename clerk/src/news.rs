//! News from the log: one transaction for as many as a batch has. The ack is last; what is joined a
//! second time changes nothing.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::frame::{self, FrameError, Item};
use domain::life::{Actor, LifeNews, LifeWish};
use futures::future::BoxFuture;
use mutants::Mutant;
use orderlog::port::Partition;
use store::port::{CATALOG_DB, LifeCall, MAX_ORDERS};
use store::{LifeWrite, ParkedWrite, StoreResult};
use view::{CatalogCache, DatabasePatience, FrameWork, Processed};

use crate::metrics::METRICS;

/// Joins news.
pub(crate) struct JoinNews {
    pub lives: Arc<dyn LifeWrite>,
    pub parked: Arc<dyn ParkedWrite>,
    pub catalog: Arc<CatalogCache>,
    pub patience: DatabasePatience,
}

/// News of one batch, in its order.
#[derive(Default)]
struct NewsBatch {
    news: Vec<(Actor, LifeWish, LifeNews)>,
    unreadable: Vec<(Bytes, String)>,
    frames: usize,
    newer: Option<String>,
}

impl NewsBatch {
    fn of(frames: &[Bytes]) -> Self {
        let mut batch = Self::default();
        for bytes in frames {
            match frame::decode(bytes) {
                Ok(items) => items.into_iter().for_each(|item| batch.add(item)),
                Err(e) if FrameError::is_newer(&e) => {
                    batch.newer = Some(e.to_string());
                    return batch;
                }
                Err(e) => batch.unreadable.push((bytes.clone(), e.to_string())),
            }
            batch.frames += 1;
        }
        batch
    }

    fn add(&mut self, item: Item) {
        match item {
            Item::News(news) => {
                let (actor, wish) = wish_of(&news);
                self.news.push((actor, wish, news));
            }
            Item::Tick(_) | Item::Barrier(_) => {}
            order @ Item::Order(..) => {
                let why = "an order among news of lives".to_owned();
                self.unreadable.push((frame::encode(&[order]), why));
            }
        }
    }
}

/// Frames stay in the log until what they tell is joined.
fn not_joined() -> Processed {
    if mutants::on(Mutant::AckBeforeJoin) {
        return Processed::Finished;
    }
    Processed::Again
}

/// What news ask for, and who tells.
fn wish_of(news: &LifeNews) -> (Actor, LifeWish) {
    match news {
        LifeNews::Payment { event, .. } => {
            let actor = Actor::Provider(event.provider.clone());
            (actor, LifeWish::Join(event.clone()))
        }
        LifeNews::Parcel { system, order, parcel, .. } => {
            let actor = Actor::Fulfilment(system.clone());
            (actor, LifeWish::Parcel(*order, parcel.clone()))
        }
        LifeNews::Unreadable { from, why, .. } => {
            (Actor::Clerk, LifeWish::Unreadable(from.clone(), why.clone()))
        }
    }
}

#[async_trait]
impl FrameWork for JoinNews {
    async fn run(&self, here: Partition, frames: &[Bytes]) -> Processed {
        let batch = NewsBatch::of(frames);
        let Partition::Life(db) = here else {
            tracing::error!(partition = %here, "no partition of lives");
            return Processed::Again;
        };
        let mut unreadable = batch.unreadable;
        for run in runs(&batch.news) {
            match self.join(db, run).await {
                Ok(poison) => unreadable.extend(poison),
                Err(e) => {
                    tracing::warn!(partition = %here, error = %e, "news wait");
                    return not_joined();
                }
            }
        }
        for (frame, why) in &unreadable {
            tracing::error!(partition = %here, why, bytes = frame.len(), "parked news");
            let name = here.to_string();
            let park = || self.parked.park_frame(&name, why, frame);
            if let Err(e) = self.patience.call(CATALOG_DB, park).await {
                tracing::warn!(partition = %here, error = %e, "what cannot be joined waits");
                return Processed::Again;
            }
            METRICS.parked.increment(1);
        }
        let Some(what) = batch.newer else { return Processed::Finished };
        tracing::error!(partition = %here, what, "waits for a newer clerk; nothing is lost");
        Processed::Newer(batch.frames)
    }
}

type ToldNews = (Actor, LifeWish, LifeNews);

/// News whose transactions may be one: who tells is the same, or does not matter.
fn runs(news: &[ToldNews]) -> impl Iterator<Item = &[ToldNews]> {
    let one = |a: &ToldNews, b: &ToldNews| {
        let joins = |t: &ToldNews| matches!(t.1, LifeWish::Join(_));
        a.0 == b.0 || (joins(a) && joins(b))
    };
    news.chunk_by(one).flat_map(|run| run.chunks(MAX_ORDERS))
}

impl JoinNews {
    /// Joins them; split in two when that fails for ever, down to single ones, which are answered
    /// with the reason.
    fn join<'a>(
        &'a self,
        db: u16,
        run: &'a [ToldNews],
    ) -> BoxFuture<'a, StoreResult<Vec<(Bytes, String)>>> {
        Box::pin(async move {
            let Some((actor, _, news)) = run.first() else { return Ok(Vec::new()) };
            let wishes = run.iter().map(|told| told.1.clone()).collect();
            let policies = self.catalog.policies();
            let call = LifeCall { db, actor: actor.clone(), policies, wishes };
            match self.patience.call(db, || self.lives.live(&call)).await {
                Ok(_) => {
                    METRICS.news.increment(run.len() as u64);
                    Ok(Vec::new())
                }
                Err(e) if e.is_transient() => Err(e),
                Err(e) if run.len() == 1 => {
                    let alone = frame::encode(&[Item::News(news.clone())]);
                    Ok(vec![(alone, e.to_string())])
                }
                Err(_) => {
                    let (a, b) = run.split_at(run.len() / 2);
                    let mut poison = self.join(db, a).await?;
                    poison.extend(self.join(db, b).await?);
                    Ok(poison)
                }
            }
        })
    }
}
