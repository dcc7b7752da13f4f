//! `sluicegate reconciler rewind`: what a database lost comes back from the log.

use std::time::Duration;

use clerk::{RewindLives, RewoundLives};
use life::http::HttpProviders;
use runtime::{Phase, Tasks, telemetry};
use tokio::time::Instant;
use view::{CatalogCache, Lost, Ports, RewindError};
use writer::{Rewind, Rewound};

use crate::cli::RewindArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::secrets;
use crate::wire::{self, RedisClient};

/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn run(mut config: Config, args: &RewindArgs) -> Result<(), Exit> {
    let since_ms = since(&args.since, runtime::clock::system_clock().now_ms())?;
    let databases = config.store.databases.len().max(1);
    if usize::from(args.database) >= databases {
        return Err(Exit::usage(format!(
            "--database {}: store.databases has {databases}, counted from 0",
            args.database
        )));
    }
    let _lock = match config.is_embedded() {
        true => Some(wire::own_data_dir(&config.data_dir)?),
        false => None,
    };
    secrets::fill(&mut config)?;
    telemetry::logs(&config.telemetry).map_err(Exit::usage)?;
    let tasks = Tasks::new();
    let ports = wire::ports(&config, &tasks, RedisClient::Tools).await?;
    debug_assert_eq!(usize::from(ports.store.databases()), databases);
    let hours = u64::from(config.log.retention_hours);
    if since_ms + hours * 3_600_000 < ports.clock.now_ms() {
        runtime::note!(
            "--since is more than log.retention_hours = {hours} ago: the log may begin later"
        );
    }
    let lost = Lost { db: args.database, since_ms };
    let done = rewound(&config, &ports, lost).await;
    // The embedded log puts what is queued into its file.
    tasks.enter(Phase::ClosePools);
    tasks.wait(Duration::from_secs(5)).await;
    let (rows, lives) = done.map_err(|e| match e {
        RewindError::Down(_) => Exit::unavailable(format!("{e}; begin it again, nothing is lost")),
        RewindError::Newer(..) => Exit::no(format!("{e}: use that version's program")),
    })?;
    runtime::say!("{}", line(&rows));
    runtime::say!("{}", line_of_lives(&lives));
    rows.named.iter().for_each(|(order, why)| runtime::say!("left: {order}: {why}"));
    lives.named.iter().for_each(|what| runtime::say!("left: {what}"));
    match rows.left + lives.left {
        0 => Ok(()),
        n => Err(Exit::no(format!("{n} orders or providers are left as they are"))),
    }
}

/// What went back, then the rows, then what else came after them.
async fn rewound(
    config: &Config,
    ports: &Ports,
    lost: Lost,
) -> Result<(Rewound, RewoundLives), RewindError> {
    let mut told = Instant::now();
    let mut tell = move |text: &dyn Fn() -> String| {
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            runtime::note!("{}", text());
        }
    };
    let catalog = CatalogCache::new(ports.store.clone());
    catalog.refresh().await?;
    let calls = HttpProviders::new(ports.clock.clone());
    let lives = RewindLives::new(ports.clerk(), catalog, calls, lost);
    let of_lives = |place: &str, sums: &RewoundLives| format!("{place}: {}", line_of_lives(sums));
    let back = lives.refunds(|place, sums| tell(&|| of_lives(place, sums))).await?;
    let rewind = Rewind::new(ports.writer(), &(&config.writer).into(), lost);
    let rows = rewind.run(|place, sums| tell(&|| format!("{place}: {}", line(sums)))).await?;
    let lives = lives.run(back, |place, sums| tell(&|| of_lives(place, sums))).await?;
    Ok((rows, lives))
}

/// UTC ms of what was given.
fn since(text: &str, now_ms: u64) -> Result<u64, Exit> {
    let fail = |why: &str| Err(Exit::usage(format!("--since {text}: {why}")));
    match contract::parse_time(text).map(|ms| ms as u64) {
        None => fail("RFC 3339 with an offset, such as 2026-11-27T09:55:00Z"),
        Some(ms) if ms > now_ms => fail("it is in the future"),
        Some(ms) => Ok(ms),
    }
}

fn line(r: &Rewound) -> String {
    format!(
        "{} frames, {} orders: {} claims and {} rejects appended, {} rows inserted; {} rows \
         compared, {} became rejected, {} paid without units; {} frames unreadable, {} orders left",
        r.frames,
        r.orders,
        r.claimed,
        r.rejected,
        r.rows,
        r.compared,
        r.refused,
        r.owed,
        r.unreadable,
        r.left
    )
}

fn line_of_lives(r: &RewoundLives) -> String {
    format!(
        "lives: {} frames joined, {} refunds known from providers, {} returns appended, {} left",
        r.frames, r.refunds, r.returns, r.left
    )
}

#[cfg(test)]
mod tests {
    use super::since;

    #[test]
    fn a_time_is_rfc_3339_and_past() {
        const NOW: u64 = 1_764_237_300_000;
        assert_eq!(since("2025-11-27T09:55:00Z", NOW).ok(), Some(NOW));
        assert_eq!(since("2025-11-27T10:55:00.000+01:00", NOW).ok(), Some(NOW));
        for bad in ["2025-11-27T09:55:00.001Z", "2025-11-27", "2025-11-27T09:55:00", "5m", "", "-1"]
        {
            let refused = since(bad, NOW).err().map(|e| (e.code, e.line)).unwrap_or_default();
            assert_eq!(refused.0, 64, "{bad}");
            assert!(refused.1.contains(bad), "{}", refused.1);
        }
    }
}
