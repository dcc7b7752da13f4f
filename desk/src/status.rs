//! `GET /admin/status`: how far behind the writers are, what waits for a person, which database
//! answers.

use contract::Problem;
use std::collections::BTreeMap;

use contract::operators::{MoneyStanding, Shard, Standing};
use domain::life::MoneyTotals;
use view::failed;
use web::answer::{self, Answer};

use super::{Desk, input};

/// Answers also while parts are down: a part that does not answer shows as 0 or unhealthy.
pub(super) async fn get(desk: &Desk) -> Result<Answer, Problem> {
    let ports = &desk.ports;
    let mut shards = Vec::new();
    for shard in 0..ports.store.databases() {
        shards.push(Shard { shard, healthy: ports.store.ping(shard).await });
    }
    let holds = desk.reconciler.holds();
    let (parked_orders, parked_frames) = ports.store.parked_counts().await.map_err(input::down)?;
    let backlog_frames = ports.log.backlog().await.map_err(failed::log).unwrap_or(0);
    let body = Standing {
        lag_ms: if backlog_frames == 0 { 0 } else { lag(desk).await },
        backlog_frames,
        oldest_hold_ms: holds.oldest_ms,
        holds_overdue: holds.overdue,
        parked_orders,
        parked_frames,
        apply_without_hold: view::without_hold(),
        cells_diverged: holds.diverged,
        shards,
        money: money(desk).await,
    };
    Ok(answer::json(200, &body))
}

/// The sums of all databases that answer.
async fn money(desk: &Desk) -> Vec<MoneyStanding> {
    let mut all = BTreeMap::<String, (MoneyTotals, u64)>::new();
    for db in 0..desk.ports.store.databases() {
        let rows = desk.ports.store.money(db).await.map_err(failed::database).unwrap_or_default();
        for row in rows {
            let (totals, as_of) =
                all.entry(row.currency).or_insert((MoneyTotals::default(), row.at_ms));
            totals.add(&row.totals);
            *as_of = row.at_ms.min(*as_of);
        }
    }
    let shown = |(currency, (totals, as_of)): (String, (MoneyTotals, u64))| MoneyStanding {
        currency,
        captured: totals.captured,
        refunded: totals.refunded,
        under_way: totals.under_way,
        manual: totals.manual,
        broken: totals.broken,
        as_of: contract::show_time(as_of),
    };
    all.into_iter().map(shown).collect()
}

/// How long ago the slowest main partition was finished.
async fn lag(desk: &Desk) -> u64 {
    let progress = desk.ports.store.progress().await;
    let progress = progress.map_err(failed::database).unwrap_or_default();
    let mains = progress.iter().filter(|p| p.0.starts_with("main-")).map(|p| p.1);
    let now = desk.ports.clock.now_ms();
    mains.min().map_or(0, |until| now.saturating_sub(until))
}
