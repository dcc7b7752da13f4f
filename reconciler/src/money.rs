//! All money, added up: a look at every payment with its order and its refunds, database by
//! database. What does not add up (INV-16, INV-17, INV-18) is an alarm; nothing is repaired, since
//! no rule says whose the money is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::OrderId;
use domain::invariant::Violation;
use domain::life::{Life, MoneyTotals, PaymentKey, audit};
use store::port::{MAX_ORDERS, MoneyRow};
use store::{LifeRead, MoneyRead, MoneyWrite};
use view::OperateError;

use crate::down::down;
use crate::metrics::METRICS;

/// Between two pages: a look is never in a hurry, and buyers are.
const PAUSE: Duration = Duration::from_millis(20);
/// What seems broken is read again so often: a plain read may see a transaction in parts.
const PROOFS: u32 = 3;
const PROOF_PAUSE: Duration = Duration::from_millis(200);

/// The step.
pub(crate) struct AddUp {
    pub payments: Arc<dyn MoneyRead>,
    pub lives: Arc<dyn LifeRead>,
    pub totals: Arc<dyn MoneyWrite>,
}

impl AddUp {
    /// Looks at all payments of a database, and leaves the sums there.
    pub(crate) async fn run(&self, db: u16) -> Result<(), OperateError> {
        let mut sums = BTreeMap::<String, MoneyTotals>::new();
        let mut after: Option<PaymentKey> = None;
        loop {
            let page = self.payments.payments_after(db, after.as_ref(), MAX_ORDERS as u64).await;
            let page = page.map_err(down)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let orders: BTreeSet<OrderId> = page.iter().map(|(_, order)| *order).collect();
            let orders: Vec<OrderId> = orders.into_iter().collect();
            let lives = self.lives.lives(db, &orders).await.map_err(down)?;
            let lives: BTreeMap<OrderId, Life> = lives.into_iter().map(|l| (l.id, l)).collect();
            for (key, order) in &page {
                let Some(life) = lives.get(order) else { continue };
                if let Some(payment) = life.payments.get(key) {
                    sums.entry(payment.currency.clone()).or_default().count(life, key);
                }
                // An order's payments may stand in several pages.
                if last_of(life) == Some(key) {
                    self.audit(life, &mut sums).await?;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        // A payment of nothing has no currency yet; it moves no money.
        sums.retain(|_, totals| *totals != MoneyTotals::default());
        let row = |(currency, totals)| MoneyRow { currency, totals, at_ms: 0 };
        let rows: Vec<MoneyRow> = sums.into_iter().map(row).collect();
        self.totals.put_money(db, &rows).await.map_err(down)
    }

    /// Reads again what seems broken; counts and tells what is.
    async fn audit(
        &self,
        life: &Life,
        sums: &mut BTreeMap<String, MoneyTotals>,
    ) -> Result<(), OperateError> {
        let mut broken = audit::when_quiet(life);
        for _ in 0..PROOFS {
            if broken.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(PROOF_PAUSE).await;
            let again = audit::when_quiet(&self.lives.life(life.id).await.map_err(down)?);
            broken.retain(|one| again.contains(one));
        }
        for Violation { id, detail } in &broken {
            METRICS.violations.of(*id).increment(1);
            tracing::error!(id, order = %life.id, "{detail}");
        }
        let payment = life.payments.values().next();
        if let Some(payment) = payment.filter(|_| !broken.is_empty()) {
            sums.entry(payment.currency.clone()).or_default().broken += 1;
        }
        Ok(())
    }
}

/// The last payment that named this order first.
fn last_of(life: &Life) -> Option<&PaymentKey> {
    life.payments.iter().filter(|(_, p)| p.order == life.id).map(|(key, _)| key).next_back()
}
