//! What a person sees while it runs: a bar on a terminal, a line each second, on standard error.
//!
//! Here too is the sampling of the ledger, twice a second, that the report draws as
//! `persisted/s`. Standard output is left to the verdict.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::ledger_net;
use crate::crowd::Crowd;
use crate::stats::Counts;

const BAR: usize = 30;

/// Numbers of the line before, for rates.
#[derive(Debug, Clone, Copy, Default)]
struct Before {
    accepted: u64,
    refused: u64,
}

fn totals(c: &Counts) -> Before {
    let accepted = c.steps.iter().map(|s| s.accepted).sum();
    let refused = c.steps.iter().map(|s| s.refused).sum();
    Before { accepted, refused }
}

fn bar(done: u64, all: u64) -> String {
    let full = (done * BAR as u64).checked_div(all).unwrap_or(0).min(BAR as u64) as usize;
    let percent = (done * 100).checked_div(all).unwrap_or(0).min(100);
    format!("[{}{}] {percent:3}%", "#".repeat(full), "-".repeat(BAR - full))
}

/// `1.2ms`, `340us`, `2.5s`.
pub(crate) fn show_us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => format!("{:.1}ms", us as f64 / 1e3),
        _ => format!("{:.2}s", us as f64 / 1e6),
    }
}

fn line(c: &Counts, second: u64, before: Before) -> String {
    let now = totals(c);
    let quantile = |q| match c.recent.is_empty() {
        true => "-".to_owned(),
        false => show_us(c.recent.value_at_quantile(q)),
    };
    let mut text = format!(
        "{second:4}s sent {} accepted {}/s refused {}/s in flight {} p50 {} p99 {}",
        c.sends,
        now.accepted - before.accepted,
        now.refused - before.refused,
        c.in_flight,
        quantile(0.5),
        quantile(0.99),
    );
    if c.retries > 0 {
        let _ = write!(text, " sent again {}", c.retries);
    }
    text
}

/// Prints until dropped.
pub(crate) async fn show(crowd: Arc<Crowd>) {
    let all = crowd.tracks.len() as u64;
    let mut before = Before::default();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    for second in 1u64.. {
        ticks.tick().await;
        let (text, sent) = crowd.stats.live(|c| {
            let text = line(c, second, before);
            before = totals(c);
            (text, c.sends.saturating_sub(c.retries))
        });
        print(sent, all, &text);
    }
}

/// A bar with a text on a terminal, a line of text elsewhere.
fn print(done: u64, all: u64, text: &str) {
    if std::io::stderr().is_terminal() {
        runtime::tell::err(format_args!("\r\x1b[2K{} {text}", bar(done, all)));
    } else {
        runtime::note!("{text}");
    }
}

/// Prints how many of a step are done, until dropped: each second on a terminal, each ten seconds
/// elsewhere.
pub(crate) async fn show_step(step: &str, all: u64, done: impl Fn() -> u64) -> Infallible {
    let every = if std::io::stderr().is_terminal() { 1 } else { 10 };
    let mut ticks = tokio::time::interval(Duration::from_secs(every));
    ticks.tick().await;
    let mut before = 0;
    loop {
        ticks.tick().await;
        let now = done();
        print(now, all, &format!("{step}: {now} of {all}, {}/s", (now - before) / every));
        before = now;
    }
}

/// Ends the bar's line.
pub(crate) fn end_line() {
    if std::io::stderr().is_terminal() {
        runtime::note!("");
    }
}

/// Samples the ledger until dropped.
pub(crate) async fn sample(crowd: Arc<Crowd>) -> Infallible {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Ok(view) = crowd.ground.to.admin.view(&crowd.ground.offer).await {
            let net = ledger_net(&view) - ledger_net(&crowd.ground.before);
            crowd.stats.persisted(crowd.now_us(), net);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_and_times() {
        assert_eq!(bar(0, 0), format!("[{}]   0%", "-".repeat(BAR)));
        assert!(bar(50, 100).contains(" 50%"));
        assert!(bar(200, 100).ends_with("100%"));
        assert_eq!((show_us(999), show_us(1500)), ("999us".into(), "1.5ms".into()));
    }
}
