//! Results: one JSON line per schedule, and the table of what each fault costs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

/// One schedule's result.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub seed: u64,
    /// Names of the kinds of fault.
    pub faults: Vec<String>,
    pub requests: u64,
    pub accepted: u64,
    /// Rows that are live at the end.
    pub sold: u64,
    pub unconfirmed: u64,
    pub accepted_rejected: u64,
    pub without_sales_s: f64,
    /// From the first arrival to the verdict.
    pub seconds: f64,
    /// What was broken; empty when everything was conserved.
    pub violations: Vec<String>,
}

/// Per kind of fault, over the schedules that had it.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut by_kind: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        for kind in &outcome.faults {
            by_kind.entry(kind).or_default().push(outcome);
        }
    }
    let mut out = String::from(
        "| fault | schedules | violated | s without sales, median | worst | unconfirmed, median | \
         worst | accepted, then rejected |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (kind, of) in &by_kind {
        let bad = of.iter().filter(|o| !o.violations.is_empty()).count();
        let gaps = sorted(of.iter().map(|o| o.without_sales_s));
        let open = sorted(of.iter().map(|o| o.unconfirmed as f64));
        let rejected: u64 = of.iter().map(|o| o.accepted_rejected).sum();
        let _ = writeln!(
            out,
            "| {kind} | {} | {bad} | {:.1} | {:.1} | {:.0} | {:.0} | {rejected} |",
            of.len(),
            middle(&gaps),
            gaps.last().unwrap_or(&0.0),
            middle(&open),
            open.last().unwrap_or(&0.0),
        );
    }
    let bad = outcomes.iter().filter(|o| !o.violations.is_empty()).count();
    let sum = |f: fn(&Outcome) -> u64| outcomes.iter().map(f).sum::<u64>();
    let _ = writeln!(
        out,
        "\n{} schedules, {bad} violated; {} requests, {} keys accepted, {} orders live at the end, \
         {} accepted and then rejected.",
        outcomes.len(),
        sum(|o| o.requests),
        sum(|o| o.accepted),
        sum(|o| o.sold),
        sum(|o| o.accepted_rejected),
    );
    out
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_counts_for_each_of_its_faults() {
        let one = |faults: &[&str], gap: f64, bad: usize| Outcome {
            faults: faults.iter().map(|f| (*f).to_owned()).collect(),
            without_sales_s: gap,
            violations: vec!["x".to_owned(); bad],
            ..Outcome::default()
        };
        let text = table(&[one(&["a", "b"], 1.0, 0), one(&["a"], 3.0, 1), one(&["a"], 2.0, 0)]);
        assert!(text.contains("| a | 3 | 1 | 2.0 | 3.0 | 0 | 0 | 0 |"), "{text}");
        assert!(text.contains("| b | 1 | 0 | 1.0 | 1.0 |"), "{text}");
        assert!(text.contains("3 schedules, 1 violated"), "{text}");
    }
}
