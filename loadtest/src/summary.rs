//! The end of a run for people (standard output) and for machines (`--json`). Pure.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::progress::show_us;
use crate::stats::Counts;
use crate::verdict::{RunVerdict, Table};

/// The most violations that are printed.
const SHOWN: usize = 20;

/// Everything that a report tells.
pub(crate) struct Summary {
    pub run: String,
    pub offer: String,
    pub gate: String,
    pub started_ms: u64,
    /// From the start to the last answer.
    pub seconds: f64,
    pub requests: u32,
    pub interrupted: bool,
    pub quiet: bool,
    /// What was read for the verdict.
    pub checked: String,
    pub counts: Counts,
    pub verdict: RunVerdict,
}

impl Summary {
    /// `verdict: ...`, one line.
    pub(crate) fn verdict_line(&self) -> String {
        if !self.verdict.is_conserved() {
            return "verdict: BROKEN".to_owned();
        }
        match self.verdict.accepted_rejected.values().sum::<u64>() {
            0 => "verdict: conserved".to_owned(),
            n => {
                format!("verdict: conserved, {n} accepted orders rejected because Redis lost data")
            }
        }
    }

    /// Accepted answers per second over the whole run.
    pub(crate) fn accepted_per_s(&self) -> f64 {
        let n = self.counts.steps.iter().map(|s| s.accepted).sum::<u64>();
        if self.seconds > 0.0 { n as f64 / self.seconds } else { 0.0 }
    }

    /// The first violations, one per line, and how many more there are.
    pub(crate) fn violations(&self) -> Vec<String> {
        let all = &self.verdict.violations;
        let mut out: Vec<String> =
            all.iter().take(SHOWN).map(|v| format!("{}: {}", v.id, v.detail)).collect();
        if all.len() > SHOWN {
            out.push(format!("and {} more", all.len() - SHOWN));
        }
        out
    }

    /// The text of standard output.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let c = &self.counts;
        let _ = writeln!(
            out,
            "{} requests, {} sends ({} again) in {:.1} s, offer {}{}",
            self.requests,
            c.sends,
            c.retries,
            self.seconds,
            self.offer,
            if self.interrupted { ", interrupted" } else { "" },
        );
        let _ = writeln!(out, "\nanswers");
        for (label, n) in c.by_label() {
            let _ = writeln!(out, "  {label:<22}{n:>10}");
        }
        let rate = self.accepted_per_s();
        let peak = c.peak_accepted_per_s();
        let _ = writeln!(out, "\naccepted/s {rate:.0} on average, {peak} in the best second");
        let _ = writeln!(out, "\nlatency from the intended start");
        for (name, h) in latencies(c) {
            if !h.is_empty() {
                let _ = writeln!(out, "  {name:<12}{}", percentiles(h));
            }
        }
        let _ = writeln!(out, "\nconservation ({})", self.checked);
        for (name, n) in table_rows(&self.verdict.table) {
            let _ = writeln!(out, "  {name:<22}{n:>10}");
        }
        lines(&mut out, "accepted, then rejected", &self.verdict.accepted_rejected);
        lines(&mut out, "without a definite promise", &self.verdict.fates);
        let _ = writeln!(out, "\n{}", self.verdict_line());
        for v in self.violations() {
            let _ = writeln!(out, "  {v}");
        }
        out
    }

    /// The object of `--json`; its fields are documented in the help.
    pub(crate) fn json(&self) -> Value {
        let c = &self.counts;
        let latency: serde_json::Map<String, Value> = latencies(c)
            .into_iter()
            .map(|(name, h)| (name.replace(' ', "_"), histogram_json(h)))
            .collect();
        let violations: Vec<String> = self
            .verdict
            .violations
            .iter()
            .take(1000)
            .map(|v| format!("{}: {}", v.id, v.detail))
            .collect();
        json!({
            "run": self.run,
            "offer": self.offer,
            "started_ms": self.started_ms,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "requests": self.requests,
            "sends": c.sends,
            "retries": c.retries,
            "answers": c.by_label(),
            "rates": {
                "accepted_per_s": self.accepted_per_s(),
                "peak_accepted_per_s": c.peak_accepted_per_s(),
            },
            "latency_ms": latency,
            "table": self.verdict.table,
            "accepted_rejected": self.verdict.accepted_rejected,
            "fates": self.verdict.fates,
            "quiet": self.quiet,
            "checked": self.checked,
            "verdict": if self.verdict.is_conserved() { "conserved" } else { "broken" },
            "violations": violations,
        })
    }
}

fn lines(out: &mut String, title: &str, map: &std::collections::BTreeMap<String, u64>) {
    if map.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    for (name, n) in map {
        let _ = writeln!(out, "  {name:<22}{n:>10}");
    }
}

/// The histograms by name.
pub(crate) fn latencies(c: &Counts) -> Vec<(&'static str, &Histogram<u64>)> {
    vec![
        ("definite", &c.definite),
        ("accepted", &c.accepted),
        ("refused", &c.refused),
        ("late start", &c.late_start),
    ]
}

/// The percentiles that are shown.
pub(crate) const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

fn percentiles(h: &Histogram<u64>) -> String {
    QUANTILES
        .iter()
        .map(|(name, q)| format!("{name} {:<9}", show_us(h.value_at_quantile(*q))))
        .collect()
}

fn histogram_json(h: &Histogram<u64>) -> Value {
    let mut out = json!({"count": h.len(), "mean": h.mean() / 1e3});
    for (name, q) in QUANTILES {
        out[name] = json!(h.value_at_quantile(q) as f64 / 1e3);
    }
    out
}

/// The conservation table, top to bottom.
pub(crate) fn table_rows(t: &Table) -> Vec<(&'static str, String)> {
    let n = |n: u64| n.to_string();
    let known = |n: Option<i64>| n.map_or_else(|| "not read".to_owned(), |n| n.to_string());
    vec![
        ("supply", t.supply.to_string()),
        ("claimed", known(t.claimed)),
        ("released", known(t.released)),
        ("net", t.net.to_string()),
        ("held", t.held.to_string()),
        ("available", t.available.to_string()),
        ("rows pending", n(t.rows_pending)),
        ("rows live", n(t.rows_live)),
        ("rows rejected", n(t.rows_rejected)),
        ("rows otherwise dead", n(t.rows_dead)),
        ("rows of other clients", n(t.rows_foreign)),
        ("keys accepted", n(t.accepted)),
        ("lost", n(t.lost)),
        ("doubled", n(t.doubled)),
        ("oversold", t.oversold.to_string()),
    ]
}
