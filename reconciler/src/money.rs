//! All money, added up: a look at every payment with its order and its refunds, database by
//! database. What does not add up (INV-16, INV-17, INV-18) is an alarm; nothing is repaired, since
//! no rule says whose the money is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::OrderId;
use domain::invariant::Violation;
use domain::life::{Life, MoneyTotals, NO_CURRENCY, PaymentKey, audit};
use store::port::{MAX_ORDERS, MoneyRow};
use store::{LifeRead, Marks, MoneyRead, MoneyWrite, StoreResult};
use view::OperateError;

use crate::down::down;
use crate::metrics::METRICS;

/// Between two pages: a look is never in a hurry, and buyers are.
const PAUSE: Duration = Duration::from_millis(20);
/// What seems broken is read again so often: a plain read may see a transaction in parts.
const PROOFS: u32 = 3;
const PROOF_PAUSE: Duration = Duration::from_millis(200);

/// How often a page is read again while its database does not answer, and the pause before.
const TRIES: u32 = 20;
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// The step.
pub(crate) struct AddUp {
    pub payments: Arc<dyn MoneyRead>,
    pub lives: Arc<dyn LifeRead>,
    pub totals: Arc<dyn MoneyWrite>,
    pub marks: Arc<dyn Marks>,
}

/// By currency.
type Sums = BTreeMap<String, MoneyTotals>;

impl AddUp {
    /// True when the sums of a database are older than this, or there are none.
    pub(crate) async fn is_due(&self, db: u16, age: Duration) -> Result<bool, OperateError> {
        let rows = self.payments.money(db).await.map_err(down)?;
        let Some(then) = rows.iter().map(|r| r.at_ms).max() else { return Ok(true) };
        let now = self.marks.now_ms().await.map_err(down)?;
        Ok(now.saturating_sub(then) >= age.as_millis() as u64)
    }

    /// Looks at all payments of a database, and leaves the sums there.
    pub(crate) async fn run(&self, db: u16) -> Result<(), OperateError> {
        let mut sums = Sums::new();
        let mut after: Option<PaymentKey> = None;
        loop {
            let behind = after.as_ref();
            let read = || self.payments.payments_after(db, behind, MAX_ORDERS as u64);
            let page = patiently(read).await.map_err(down)?;
            let Some((last, _)) = page.last() else { break };
            let next = Some(last.clone());
            self.page(db, &page, &mut sums).await?;
            after = next;
            tokio::time::sleep(PAUSE).await;
        }
        // A payment of nothing has no currency yet; it moves no money.
        sums.retain(|_, totals| *totals != MoneyTotals::default());
        let row = |(currency, totals)| MoneyRow { currency, totals, at_ms: 0 };
        let rows: Vec<MoneyRow> = sums.into_iter().map(row).collect();
        self.totals.put_money(db, &rows).await.map_err(down)
    }

    async fn page(
        &self,
        db: u16,
        page: &[(PaymentKey, OrderId)],
        sums: &mut Sums,
    ) -> Result<(), OperateError> {
        let homes: BTreeSet<OrderId> = page.iter().map(|(_, home)| *home).collect();
        let lives = self.readable(db, homes.into_iter().collect(), sums).await?;
        let mut suspects = BTreeMap::<OrderId, Vec<Violation>>::new();
        for (key, home) in page {
            let Some(life) = lives.get(home) else { continue };
            if let Some(payment) = life.payments.get(key) {
                sums.entry(payment.currency.clone()).or_default().count(life, key);
            }
            // An order's payments may stand in several pages.
            if last_of(life) == Some(key) {
                let broken = audit::when_quiet(life);
                if !broken.is_empty() {
                    suspects.insert(*home, broken);
                }
            }
        }
        self.prove(db, &mut suspects).await?;
        for (order, broken) in suspects {
            for Violation { id, detail } in &broken {
                METRICS.violations.of(*id).increment(1);
                tracing::error!(id, %order, "{detail}");
            }
            let currency = lives.get(&order).and_then(|l| Some(&l.order.as_ref()?.currency));
            let currency = currency.map_or(NO_CURRENCY, String::as_str);
            sums.entry(currency.to_owned()).or_default().broken += 1;
        }
        Ok(())
    }

    /// The lives of these orders. One that cannot be read is counted as broken and holds up no
    /// other.
    async fn readable(
        &self,
        db: u16,
        orders: Vec<OrderId>,
        sums: &mut Sums,
    ) -> Result<BTreeMap<OrderId, Life>, OperateError> {
        let mut found = BTreeMap::new();
        match patiently(|| self.lives.lives(db, &orders)).await {
            Ok(all) => found.extend(all.into_iter().map(|life| (life.id, life))),
            Err(e) if e.is_transient() => return Err(down(e)),
            Err(_) => {
                for order in orders {
                    match patiently(|| self.lives.life(order)).await {
                        Ok(life) => drop(found.insert(order, life)),
                        Err(e) if e.is_transient() => return Err(down(e)),
                        Err(e) => {
                            tracing::error!(%order, error = %e, "its money cannot be read");
                            sums.entry(NO_CURRENCY.to_owned()).or_default().broken += 1;
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Reads again what seems broken; what a reading finds sound is sound.
    async fn prove(
        &self,
        db: u16,
        suspects: &mut BTreeMap<OrderId, Vec<Violation>>,
    ) -> Result<(), OperateError> {
        for _ in 0..PROOFS {
            if suspects.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(PROOF_PAUSE).await;
            let orders: Vec<OrderId> = suspects.keys().copied().collect();
            let again = patiently(|| self.lives.lives(db, &orders)).await.map_err(down)?;
            for life in again {
                let broken = audit::when_quiet(&life);
                if let Some(before) = suspects.get_mut(&life.id) {
                    before.retain(|one| broken.contains(one));
                }
            }
            suspects.retain(|_, broken| !broken.is_empty());
        }
        Ok(())
    }
}

/// Reads again while the database does not answer: a look at all money is long, and must not begin
/// anew for a moment's outage.
async fn patiently<T, F>(read: impl Fn() -> F) -> StoreResult<T>
where
    F: Future<Output = StoreResult<T>>,
{
    let mut tries = 0;
    loop {
        match read().await {
            Err(e) if e.is_transient() && tries < TRIES => tries += 1,
            done => return done,
        }
        tokio::time::sleep(AWAY_PAUSE).await;
    }
}

/// The last payment that this order decides on.
fn last_of(life: &Life) -> Option<&PaymentKey> {
    life.payments.iter().filter(|(_, p)| p.home() == life.id).map(|(key, _)| key).next_back()
}
