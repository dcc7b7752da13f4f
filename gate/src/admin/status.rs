//! `GET /admin/status`: how far behind the writers are, what waits for a person, which database
//! answers.

use contract::Problem;
use contract::operators::{Shard, Status};

use super::{Admin, input};
use crate::answer::{self, Answer};
use crate::failed;

/// Answers also while parts are down: a part that does not answer shows as 0 or unhealthy.
pub(super) async fn get(admin: &Admin) -> Result<Answer, Problem> {
    let ports = &admin.gate.ports;
    let mut shards = Vec::new();
    for shard in 0..ports.store.databases() {
        shards.push(Shard { shard, healthy: ports.store.ping(shard).await });
    }
    let holds = admin.reconciler.holds();
    let (parked_orders, parked_frames) = ports.store.parked_counts().await.map_err(input::down)?;
    let backlog_frames = ports.log.backlog().await.map_err(failed::log).unwrap_or(0);
    let body = Status {
        lag_ms: if backlog_frames == 0 { 0 } else { lag(admin).await },
        backlog_frames,
        oldest_hold_ms: holds.oldest_ms,
        holds_overdue: holds.overdue,
        parked_orders,
        parked_frames,
        apply_without_hold: counter(admin, "sluicegate_apply_without_hold_total"),
        cells_diverged: holds.diverged,
        shards,
    };
    Ok(answer::json(200, &body))
}

/// How long ago the slowest main partition was finished.
async fn lag(admin: &Admin) -> u64 {
    let progress = admin.gate.ports.store.progress().await;
    let progress = progress.map_err(failed::database).unwrap_or_default();
    let mains = progress.iter().filter(|p| p.0.starts_with("main-")).map(|p| p.1);
    let now = admin.gate.ports.clock.now_ms();
    mains.min().map_or(0, |until| now.saturating_sub(until))
}

/// A counter of this process, as the exporter shows it.
fn counter(admin: &Admin, name: &str) -> u64 {
    let text = admin.metrics.render();
    let line = text.lines().find(|l| l.strip_prefix(name).is_some_and(|r| r.starts_with(' ')));
    line.and_then(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).map_or(0, |n| n as u64)
}
