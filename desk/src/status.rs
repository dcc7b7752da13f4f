//! `GET /admin/status`: how far behind the writers are, what waits for a person, which database
//! answers.

use contract::Problem;
use contract::operators::{Shard, Standing};
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
    };
    Ok(answer::json(200, &body))
}

/// How long ago the slowest main partition was finished.
async fn lag(desk: &Desk) -> u64 {
    let progress = desk.ports.store.progress().await;
    let progress = progress.map_err(failed::database).unwrap_or_default();
    let mains = progress.iter().filter(|p| p.0.starts_with("main-")).map(|p| p.1);
    let now = desk.ports.clock.now_ms();
    mains.min().map_or(0, |until| now.saturating_sub(until))
}
