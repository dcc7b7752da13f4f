//! Work that is due: payments that look for their orders, payments to close, refunds to send, late
//! payments. It is taken by moving its time forward, so no lock is held over a provider's call, and
//! whoever dies with it leaves it to others. A provider that is slow holds up its own work alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::OrderId;
use domain::life::{
    Actor, DueWork, Life, LifeAnswer, LifeWish, MatchState, PaymentKey, PaymentNews, Provider,
    ProviderEvent, ProviderId, Refund, RefundAnswer, RefundKey, provider_key,
};
use futures::StreamExt;
use futures::stream;
use life::calls::{CallError, CapturedSoFar, CloseAnswer, ProviderCalls, RefundCall, RefundTold};
use mutants::Mutant;
use runtime::unique::Unique;
use store::port::DueRow;
use store::{LifeRead, LifeWrite, ParkedRead, StoreResult};
use view::{CatalogCache, Horizons};

use crate::late::BuyAgain;
use crate::metrics::{CallOf, METRICS};
use crate::settings::ClerkSettings;

/// Work that is taken at once.
pub(crate) const TAKEN: u64 = 128;
/// Calls of one group at once.
const AT_ONCE: usize = 32;
/// The longest pause between two looks for an order, ms.
const LONGEST_MATCH: u64 = 60_000;
/// The longest pause between two calls that close a payment, ms.
const LONGEST_CLOSE: u64 = 3_600_000;
/// Work that found no room is due again after this, ms.
const NO_ROOM: u64 = 500;
/// A refund that a provider says is under way is asked about after this, ms.
const PENDING: u64 = 60_000;

/// Does work that is due.
pub(crate) struct DoDue {
    pub db: u16,
    pub reads: Arc<dyn LifeRead>,
    pub lives: Arc<dyn LifeWrite>,
    pub parked: Arc<dyn ParkedRead>,
    pub catalog: Arc<CatalogCache>,
    pub calls: Arc<dyn ProviderCalls>,
    pub horizons: Arc<Horizons>,
    pub identity: domain::Identity,
    pub unique: Arc<dyn Unique>,
    pub again: BuyAgain,
    pub settings: ClerkSettings,
}

/// Work of one sort with one provider, which is done together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DueGroup {
    /// Nobody is called.
    Match,
    /// Redis and the log are.
    Reclaim,
    /// Its provider is.
    Close(ProviderId),
    /// Its provider is.
    Refund(ProviderId),
}

/// Rows by what they need.
pub(crate) fn groups(rows: Vec<DueRow>) -> BTreeMap<DueGroup, Vec<DueRow>> {
    let mut out = BTreeMap::<DueGroup, Vec<DueRow>>::new();
    for row in rows {
        let group = match &row.work {
            DueWork::Match(_) => DueGroup::Match,
            DueWork::Reclaim(_) => DueGroup::Reclaim,
            DueWork::Close(key) => DueGroup::Close(key.provider.clone()),
            DueWork::Refund(key) => DueGroup::Refund(key.payment.provider.clone()),
        };
        out.entry(group).or_default().push(row);
    }
    out
}

/// What a try to close a payment came to.
fn closed(
    key: &PaymentKey,
    order: OrderId,
    currency: &str,
    told: Result<CloseAnswer, CallError>,
    asked: u32,
) -> LifeWish {
    let so_far = match told {
        Ok(CloseAnswer::Closed(so_far) | CloseAnswer::Captured(so_far)) => so_far,
        // One that is left alone counts as well: orders must not wait for it for ever.
        Ok(CloseAnswer::Unknown) | Err(CallError::Unknown(_) | CallError::NotCalled(_)) => {
            let pause = 1000u64.saturating_mul(1 << asked.min(12)).min(LONGEST_CLOSE);
            return LifeWish::CloseUnknown(order, key.clone(), Some(pause));
        }
        Err(CallError::Nobody) => return LifeWish::CloseUnknown(order, key.clone(), None),
    };
    let news = learned(&so_far);
    LifeWish::Join(ProviderEvent {
        event: None,
        provider: key.provider.clone(),
        payment: key.payment.clone(),
        order,
        currency: so_far.currency.unwrap_or_else(|| currency.to_owned()),
        news,
        is_final: true,
    })
}

/// What a provider answers is news like what it tells.
fn learned(so_far: &CapturedSoFar) -> PaymentNews {
    if mutants::on(Mutant::AnswersDropped) {
        return PaymentNews::Closed;
    }
    match so_far.minor {
        0 => PaymentNews::Closed,
        minor => PaymentNews::Captured(minor),
    }
}

impl DoDue {
    /// Does all of a group.
    pub(crate) async fn group(&self, group: DueGroup, rows: Vec<DueRow>) -> StoreResult<()> {
        match group {
            DueGroup::Match => self.matches(&rows).await,
            DueGroup::Reclaim => self.reclaims(&rows).await,
            DueGroup::Close(provider) => self.closes(&provider, &rows).await,
            DueGroup::Refund(provider) => self.refunds(&provider, &rows).await,
        }
    }

    /// Work that finds no room now is due again soon: others have theirs meanwhile.
    pub(crate) async fn put_back(&self, rows: Vec<DueRow>) -> StoreResult<()> {
        let later =
            |row: DueRow| LifeWish::Later { order: row.order, work: row.work, again_ms: NO_ROOM };
        let wishes: Vec<LifeWish> = rows.into_iter().map(later).collect();
        self.ask(&wishes).await.map(drop)
    }

    async fn lives_of(&self, rows: &[DueRow]) -> StoreResult<BTreeMap<OrderId, Life>> {
        let orders = life::ask::distinct(rows.iter().map(|row| row.order));
        let lives = self.reads.lives(self.db, &orders).await?;
        Ok(lives.into_iter().map(|life| (life.id, life)).collect())
    }

    async fn ask(&self, wishes: &[LifeWish]) -> StoreResult<Vec<LifeAnswer>> {
        let policies = self.catalog.policies();
        life::ask::many(&*self.lives, self.db, &Actor::Clerk, &policies, wishes).await
    }

    /// Payments whose order had no row. There will be none once the log is finished past the news,
    /// everywhere, and the order is not parked (LIFE 2).
    async fn matches(&self, rows: &[DueRow]) -> StoreResult<()> {
        let lives = self.lives_of(rows).await?;
        let dbs: Vec<u16> = (0..self.lives.databases()).collect();
        let finished = self.horizons.read().await.map_or(0, |h| h.of(&dbs));
        let mut wishes = Vec::new();
        for row in rows {
            let DueWork::Match(payment) = &row.work else { continue };
            let has_row = lives.get(&row.order).is_some_and(|l| l.order.is_some());
            let again_ms = row.age_ms().clamp(1000, LONGEST_MATCH);
            let past = finished > row.started_ms.saturating_add(self.settings.grace_ms);
            let state = if !has_row && past && self.parked.parked(row.order).await?.is_none() {
                MatchState::Over { is_ours: false }
            } else {
                MatchState::Waits { again_ms }
            };
            wishes.push(LifeWish::Match { order: row.order, payment: payment.clone(), state });
        }
        self.ask(&wishes).await.map(drop)
    }

    async fn closes(&self, provider: &ProviderId, rows: &[DueRow]) -> StoreResult<()> {
        let lives = self.lives_of(rows).await?;
        let provider = self.catalog.provider(provider);
        let call = |row: &DueRow| {
            let DueWork::Close(key) = &row.work else { return None };
            let life = lives.get(&row.order)?;
            let payment = life.payments.get(key)?;
            let (key, order, provider) = (key.clone(), row.order, provider.clone());
            // Of a payment without a capture, the order's is meant.
            let own = life.order.as_ref().filter(|_| payment.captured == 0).map(|o| &o.currency);
            let (currency, asked) = (own.unwrap_or(&payment.currency).clone(), payment.asked);
            Some(async move {
                let told = match &provider {
                    Some(p) => self.calls.close(p, &key.payment, order).await,
                    None => Err(CallError::Nobody),
                };
                counted(CallOf::Close, matches!(told, Err(CallError::Unknown(_))));
                closed(&key, order, &currency, told, asked)
            })
        };
        let calls: Vec<_> = rows.iter().filter_map(call).collect();
        self.tell_all(calls).await
    }

    /// Makes calls, and keeps what they come to as they come.
    async fn tell_all<F>(&self, calls: Vec<F>) -> StoreResult<()>
    where
        F: Future<Output = LifeWish>,
    {
        let mut told = stream::iter(calls).buffer_unordered(AT_ONCE).ready_chunks(AT_ONCE);
        while let Some(wishes) = told.next().await {
            self.ask(&wishes).await?;
        }
        Ok(())
    }

    /// Each refund is noted as sent before it is; one that was sent before is asked about first.
    async fn refunds(&self, provider: &ProviderId, rows: &[DueRow]) -> StoreResult<()> {
        let known = self.catalog.provider(provider);
        if known.as_ref().is_some_and(|p| p.base_url.is_some() && !self.calls.is_called(p)) {
            return Ok(());
        }
        let tries = self.settings.refund_pauses_ms.len() as u32;
        let wishes = rows.iter().filter_map(|row| {
            let DueWork::Refund(key) = &row.work else { return None };
            Some(LifeWish::SendRefund(row.order, key.clone(), tries))
        });
        let answers = self.ask(&wishes.collect::<Vec<_>>()).await?;
        let sent = rows.iter().zip(answers).filter(|(_, a)| *a == LifeAnswer::Done);
        // Read after it was noted: from here on its amount does not change.
        let lives = self.lives_of(rows).await?;
        let calls: Vec<_> = sent
            .filter_map(|(row, _)| {
                let DueWork::Refund(key) = &row.work else { return None };
                let life = lives.get(&row.order)?;
                let send = SendOne::of(&self.identity, life, key, row.taken_ms)?;
                let provider = known.clone();
                Some(async move {
                    let answer = self.send(provider, send).await;
                    LifeWish::AnswerRefund(row.order, key.clone(), answer)
                })
            })
            .collect();
        self.tell_all(calls).await
    }

    async fn send(&self, provider: Option<Arc<Provider>>, one: SendOne) -> RefundAnswer {
        let told = match &provider {
            Some(p) => self.tell(p, &one).await,
            None => Err(CallError::Nobody),
        };
        match told {
            Ok(Some(RefundTold::Succeeded)) => RefundAnswer::Succeeded,
            Ok(Some(RefundTold::Failed)) => RefundAnswer::Failed,
            Ok(Some(RefundTold::Pending)) => RefundAnswer::Pending(PENDING),
            // Too old to be sent again under its key, or nobody can be called: a person's.
            Ok(None) | Err(CallError::Nobody) => RefundAnswer::Failed,
            Err(CallError::Unknown(_)) => RefundAnswer::Unknown(self.pause(one.tries)),
            Err(CallError::NotCalled(_)) => RefundAnswer::NotSent(self.pause(one.tries)),
        }
    }

    /// `None`: it never arrived, and may not be sent any more.
    async fn tell(&self, p: &Provider, one: &SendOne) -> Result<Option<RefundTold>, CallError> {
        if one.was_sent {
            let told = self.calls.query(p, &one.ask.key).await;
            counted(CallOf::Query, told.is_err());
            if let Some(told) = told? {
                return Ok(Some(told));
            }
            if one.age_ms > self.settings.refund_key_ms {
                return Ok(None);
            }
        }
        let told = self.calls.refund(p, &one.ask).await;
        counted(CallOf::Refund, told.is_err());
        told.map(Some)
    }

    /// With up to a quarter more, so that what failed together does not come back together.
    fn pause(&self, tries: u32) -> u64 {
        let pauses = &self.settings.refund_pauses_ms;
        let at = (tries as usize).min(pauses.len().saturating_sub(1));
        let pause = pauses.get(at).copied().unwrap_or(1000);
        pause + self.unique.next() % (pause / 4 + 1)
    }

    async fn reclaims(&self, rows: &[DueRow]) -> StoreResult<()> {
        let lives = self.lives_of(rows).await?;
        let mut wishes = Vec::new();
        for row in rows {
            let (DueWork::Reclaim(key), Some(old)) = (&row.work, lives.get(&row.order)) else {
                continue;
            };
            match self.again.step(row, old, key).await {
                Ok(wish) => wishes.push(wish),
                // One whose database or cell does not answer holds up no other.
                Err(e) => {
                    view::failed::database(e);
                }
            }
        }
        self.ask(&wishes).await.map(drop)
    }
}

/// The key of a refund at the provider is the same at every try.
fn key_of(identity: &domain::Identity, of: (OrderId, &RefundKey), refund: &Refund) -> String {
    if mutants::on(Mutant::NewRefundKey) {
        let key = provider_key(identity, of.0, of.1, refund.amount);
        return format!("{key}-{}", refund.tries);
    }
    provider_key(identity, of.0, of.1, refund.amount)
}

fn counted(call: CallOf, unclear: bool) {
    METRICS.calls.of(call).increment(1);
    if unclear {
        METRICS.unclear.of(call).increment(1);
    }
}

/// A part of a refund that is to be sent.
struct SendOne {
    ask: RefundCall,
    was_sent: bool,
    /// Since it was first sent, ms.
    age_ms: u64,
    /// Before this try.
    tries: u32,
}

impl SendOne {
    /// After this try was noted.
    fn of(
        identity: &domain::Identity,
        life: &Life,
        key: &RefundKey,
        taken_ms: u64,
    ) -> Option<Self> {
        let refund = life.refunds.get(key)?;
        let payment = life.payments.get(&key.payment)?;
        Some(Self {
            ask: RefundCall {
                key: key_of(identity, (life.id, key), refund),
                payment: key.payment.payment.clone(),
                order: life.id,
                amount: refund.amount,
                currency: payment.currency.clone(),
            },
            was_sent: refund.tries > 1,
            age_ms: taken_ms.saturating_sub(refund.first_sent_ms),
            tries: refund.tries.saturating_sub(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use life::calls::CapturedSoFar;

    use super::*;

    #[test]
    fn what_a_provider_says_of_a_payment_becomes_news_or_another_try() {
        let key: PaymentKey = "card/p".parse().unwrap();
        let order: OrderId = "00000104-d000-8000-8000-00160000000a".parse().unwrap();
        let news = |told| {
            let LifeWish::Join(event) = closed(&key, order, "EUR", told, 0) else { return None };
            assert!(event.is_final && event.event.is_none() && event.currency == "EUR");
            Some(event.news)
        };
        let so_far = |minor| CapturedSoFar { minor, currency: None };
        assert_eq!(news(Ok(CloseAnswer::Closed(so_far(0)))), Some(PaymentNews::Closed));
        assert_eq!(news(Ok(CloseAnswer::Closed(so_far(5)))), Some(PaymentNews::Captured(5)));
        assert_eq!(news(Ok(CloseAnswer::Captured(so_far(9)))), Some(PaymentNews::Captured(9)));
        let again = |told, asked| {
            let wish = closed(&key, order, "EUR", told, asked);
            if let LifeWish::CloseUnknown(_, _, pause) = wish { Some(pause) } else { None }
        };
        let unknown = || Err(CallError::Unknown("no answer".to_owned()));
        let pauses: Vec<_> = [0, 1, 4, 12, 99].map(|n| again(unknown(), n)).into();
        assert_eq!(pauses, [1000, 2000, 16_000, 3_600_000, 3_600_000].map(|p| Some(Some(p))));
        assert_eq!(again(Ok(CloseAnswer::Unknown), 0), Some(Some(1000)));
        assert_eq!(again(Err(CallError::Nobody), 0), Some(None));
        assert_eq!(again(Err(CallError::NotCalled("x")), 1), Some(Some(2000)));
    }
}
