//! `--report FILE`: the run as one HTML page. Nothing is loaded from elsewhere, no script.
//!
//! Secrets never reach the page: the configuration is printed redacted, and of the command line
//! every value that looks like one is hidden. Pure but for the caller's `write`.

use std::fmt::Write as _;

use crate::progress::show_us;
use crate::stats::{Counts, STEP_US};
use crate::summary::{QUANTILES, Summary, latencies, table_rows};
use crate::svg::{self, Bar};

const CSS: &str = include_str!("report.css");

/// What the page shows beside the summary.
pub(crate) struct Origin<'a> {
    /// The command line, as it was typed.
    pub command: &'a [String],
    /// The configuration in force, redacted.
    pub config: &'a str,
    /// Units of one order: the ledger counts units, the crowd orders.
    pub quantity: u32,
}

/// The whole page.
pub(crate) fn page(s: &Summary, origin: &Origin<'_>) -> String {
    let mut out = String::with_capacity(1 << 16);
    let verdict = s.verdict_line();
    let class = if s.verdict.is_conserved() { "good" } else { "bad" };
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Sluicegate load test {run}</title><style>{CSS}</style></head><body><main>\
         <h1>Load test {run}</h1><p class=\"verdict {class}\">{verdict}</p>",
        run = s.run,
    );
    violations(&mut out, s);
    tiles(&mut out, s);
    over_time(&mut out, s, f64::from(origin.quantity.max(1)));
    out.push_str("<div class=\"two\">");
    latency(&mut out, &s.counts);
    answers(&mut out, &s.counts);
    conservation(&mut out, s);
    out.push_str("</div>");
    about(&mut out, s, origin);
    out + "</main></body></html>\n"
}

fn violations(out: &mut String, s: &Summary) {
    if s.verdict.is_conserved() {
        return;
    }
    out.push_str("<ul class=\"bad\">");
    for v in s.violations() {
        let _ = write!(out, "<li>{}</li>", escape(&v));
    }
    out.push_str("</ul>");
}

fn tiles(out: &mut String, s: &Summary) {
    let c = &s.counts;
    let t = &s.verdict.table;
    let tiles = [
        ("accepted", t.accepted.to_string()),
        ("accepted/s, best second", c.peak_accepted_per_s().to_string()),
        ("p50 accepted", show_us(c.accepted.value_at_quantile(0.5))),
        ("p99 accepted", show_us(c.accepted.value_at_quantile(0.99))),
        ("lost", t.lost.to_string()),
        ("doubled", t.doubled.to_string()),
        ("oversold", t.oversold.to_string()),
    ];
    out.push_str("<div class=\"tiles\">");
    for (name, value) in tiles {
        let _ = write!(out, "<div><b>{value}</b><span>{name}</span></div>");
    }
    out.push_str("</div>");
}

/// Rates of the half seconds, (seconds, per second).
fn accepted_rates(c: &Counts) -> Vec<(f64, f64)> {
    let step = STEP_US as f64 / 1e6;
    let rate = |(i, n): (usize, u64)| ((i as f64 + 0.5) * step, n as f64 / step);
    c.steps.iter().map(|s| s.accepted).enumerate().map(rate).collect()
}

/// Growth of the ledger between two looks, in orders per second.
fn persisted_rates(c: &Counts, quantity: f64) -> Vec<(f64, f64)> {
    let rate = |w: &[(u64, i64)]| {
        let seconds = (w[1].0.saturating_sub(w[0].0)) as f64 / 1e6;
        let grown = (w[1].1 - w[0].1).max(0) as f64 / quantity;
        (w[1].0 as f64 / 1e6, if seconds > 0.0 { grown / seconds } else { 0.0 })
    };
    c.persisted.windows(2).map(rate).collect()
}

fn over_time(out: &mut String, s: &Summary, quantity: f64) {
    let accepted = accepted_rates(&s.counts);
    let persisted = persisted_rates(&s.counts, quantity);
    let both = || accepted.iter().chain(&persisted);
    let maxima = (both().map(|p| p.0).fold(0.0, f64::max), both().map(|p| p.1).fold(0.0, f64::max));
    let _ = write!(
        out,
        "<div class=\"two\"><section><h2>Accepted per second</h2>{}\
         <p>202 answers: durable in the log.</p></section>\
         <section><h2>Persisted per second</h2>{}\
         <p>Growth of the database's ledger, in orders. Same scale.</p></section></div>",
        svg::line("accepted per second over time", "a", &accepted, maxima),
        svg::line("persisted per second over time", "b", &persisted, maxima),
    );
}

/// Half octaves from 50 microseconds on, cut to where there is something.
fn bars(h: &hdrhistogram::Histogram<u64>) -> Vec<Bar> {
    let bound = |i: i32| (50.0 * 2f64.powf(f64::from(i) / 2.0)) as u64;
    let last = (1..50).find(|i| bound(*i) >= h.max()).unwrap_or(50);
    let first = (0..last).rev().find(|i| bound(*i) <= h.min()).unwrap_or(0);
    let bar = |i: i32| {
        let (lo, hi) = (if i == 0 { 0 } else { bound(i) }, bound(i + 1));
        let count = h.count_between(lo, hi - 1);
        let range = format!("{} to {}", show_us(lo), show_us(hi));
        let tick = if (i - first) % 4 == 0 { show_us(lo) } else { String::new() };
        Bar { tick, title: format!("{range}: {count}"), count }
    };
    (first..last.max(first + 1)).map(bar).collect()
}

fn latency(out: &mut String, c: &Counts) {
    let _ = write!(
        out,
        "<section><h2>Latency until the definite answer</h2>{}\
         <p>From the moment a request was due, so a stall is charged to everyone who waited.</p>\
         <table><tr><th></th><th>answers</th>",
        svg::histogram("latency histogram", &bars(&c.definite)),
    );
    for (name, _) in QUANTILES {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str("</tr>");
    for (name, h) in latencies(c) {
        let _ = write!(out, "<tr><th>{name}</th><td>{}</td>", h.len());
        for (_, q) in QUANTILES {
            let _ = write!(out, "<td>{}</td>", show_us(h.value_at_quantile(q)));
        }
        out.push_str("</tr>");
    }
    out.push_str(
        "</table><p><b>late start</b>: how late requests left. When it is large, the crowd is \
         the limit: give it more --connections.</p></section>",
    );
}

fn answers(out: &mut String, c: &Counts) {
    let all = c.by_label();
    let most = all.values().copied().max().unwrap_or(1).max(1);
    out.push_str("<section><h2>Answers by outcome</h2><table>");
    for (label, n) in &all {
        let width = n * 100 / most;
        let _ = write!(
            out,
            "<tr><th>{label}</th><td>{n}</td>\
             <td class=\"wide\"><i style=\"width:{width}%\"></i></td></tr>"
        );
    }
    let _ = write!(out, "</table><p>{} sends, {} of them again.</p></section>", c.sends, c.retries);
}

fn conservation(out: &mut String, s: &Summary) {
    out.push_str("<section><h2>Conservation</h2><table>");
    for (name, n) in table_rows(&s.verdict.table) {
        let _ = write!(out, "<tr><th>{name}</th><td>{n}</td></tr>");
    }
    let more = [
        ("accepted, then rejected: ", &s.verdict.accepted_rejected),
        ("without a definite promise: ", &s.verdict.fates),
    ];
    for (title, map) in more {
        for (name, n) in map {
            let _ = write!(out, "<tr><th>{title}{}</th><td>{n}</td></tr>", escape(name));
        }
    }
    let _ = write!(out, "</table><p>{}</p></section>", escape(&s.checked));
}

fn about(out: &mut String, s: &Summary, origin: &Origin<'_>) {
    let _ = write!(
        out,
        "<section><h2>How it was made</h2><pre>{}</pre><p>{} requests in {:.1} s to {}, offer {}{}\
         </p><details><summary>Configuration</summary><pre>{}</pre></details></section>",
        escape(&redacted(origin.command)),
        s.requests,
        s.seconds,
        escape(&s.gate),
        escape(&s.offer),
        if s.interrupted { ", interrupted" } else { "" },
        escape(origin.config),
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The command line without what looks like a secret.
fn redacted(command: &[String]) -> String {
    const WORDS: [&str; 4] = ["secret", "token", "hs256", "databases"];
    let hide = |arg: &String| {
        let word = WORDS.iter().filter_map(|w| arg.find(w)).min();
        match word.and_then(|at| Some(at + arg[at..].find('=')?)) {
            Some(end) => format!("{}=<redacted>", &arg[..end]),
            None => arg.clone(),
        }
    };
    command.iter().map(hide).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::RequestOutcome;
    use crate::stats::{Span, Stats};
    use crate::verdict::RunVerdict;

    fn summary() -> Summary {
        let stats = Stats::new();
        stats.sent(0, 0, false);
        stats.ended(RequestOutcome::Accepted, Span { intended_us: 0, end_us: 900 }, true);
        stats.persisted(0, 0);
        stats.persisted(500_000, 10);
        Summary {
            run: "r".into(),
            offer: "o".into(),
            gate: "g:1".into(),
            started_ms: 0,
            seconds: 1.0,
            requests: 1,
            interrupted: false,
            quiet: true,
            checked: "all of <it>".into(),
            counts: stats.counts(),
            verdict: RunVerdict::default(),
        }
    }

    #[test]
    fn the_page_is_self_contained_and_has_no_secret() {
        let command: Vec<String> =
            ["sluicegate", "--set=admin.token=hunter2"].map(str::to_owned).into();
        let page = page(&summary(), &Origin { command: &command, config: "x = 1", quantity: 1 });
        assert!(page.contains("verdict: conserved") && page.contains("all of &lt;it&gt;"));
        assert!(!page.contains("hunter2") && !page.contains("http"), "{page}");
        assert!(!page.contains("<script") && !page.contains("NaN"));
    }

    #[test]
    fn persisted_rates_are_orders_per_second() {
        let s = summary();
        assert_eq!(persisted_rates(&s.counts, 2.0), [(0.5, 10.0)]);
        assert_eq!(accepted_rates(&s.counts), [(0.25, 2.0)]);
    }
}
