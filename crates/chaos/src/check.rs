//! The checker of a history: what every client was told, against what became of it. Pure, and
//! independent of the load test's own verdict: it reads nothing but the lines.
//!
//! A history that says too little is as wrong as one that says something bad: every planned request
//! must have left, every call must have its answer, and every key that may have an order must have
//! been asked for. The lines are described in the load test's `history` module and docs/faults.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::plan::Plan;

/// What the history says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Checked {
    /// Rule, key and what is wrong.
    pub violations: Vec<Wrong>,
    /// Keys with an accepted answer.
    pub accepted: usize,
    /// Keys whose last answer was `unconfirmed`, or that never had an answer.
    pub unconfirmed: usize,
    /// Accepted keys that ended `rejected` because Redis lost data.
    pub accepted_rejected: usize,
    /// Longest time without a new accepted answer while the crowd was arriving and units were
    /// left, seconds.
    pub without_sales_s: f64,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub rule: &'static str,
    /// Empty when it is the history as a whole.
    pub key: String,
    pub detail: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, key, detail } = self;
        match key.as_str() {
            "" => write!(f, "{rule}: {detail}"),
            key => write!(f, "{rule}: {key} {detail}"),
        }
    }
}

/// Which call of a key: its copy and its attempt.
type Call = (u64, u64);

struct Answer {
    at_us: u64,
    of: Call,
    outcome: String,
    order: Option<String>,
}

#[derive(Clone, Default)]
struct Fate {
    status: String,
    order: Option<String>,
    reason: Option<String>,
}

#[derive(Default)]
struct Key {
    calls: Vec<Call>,
    answers: Vec<Answer>,
    fate: Option<Fate>,
}

/// Everything that the lines say.
#[derive(Default)]
struct Lines {
    /// The first line, if it is a `start`.
    start: Option<Value>,
    keys: BTreeMap<String, Key>,
}

/// Answers that promise that there is no order of this key, if nothing else was ever said of it.
const REFUSALS: [&str; 5] = ["sold_out", "limit_reached", "not_open", "closed", "paused"];
/// What the row of an order that keeps its units says, and a 200 that tells of it.
const LIVE: [&str; 4] = ["pending", "paid", "shipped", "completed"];
/// A row that nothing changes any more without a request; `rejected` has its own rules.
const ENDED: [&str; 4] = ["cancelled", "expired", "refunding", "refunded"];

impl Key {
    /// Somebody was promised an order.
    fn is_promised(&self) -> bool {
        let live = |a: &str| a.strip_prefix("decided_").is_some_and(|s| LIVE.contains(&s));
        self.answers.iter().any(|a| a.outcome == "accepted" || live(&a.outcome))
    }

    /// An order of this key may exist, so that its fate has to be asked for: some call had another
    /// end than a refusal that binds the gate, or none.
    fn may_have_order(&self) -> bool {
        let doubt = |a: &str| {
            matches!(a, "accepted" | "unconfirmed" | "no_answer" | "internal")
                || a.starts_with("decided_")
                || a.starts_with("odd_")
        };
        self.calls.len() > self.answers.len() || self.answers.iter().any(|a| doubt(&a.outcome))
    }
}

fn text(line: &Value, field: &str) -> Option<String> {
    line[field].as_str().map(str::to_owned)
}

/// Reads all lines; a line that cannot be read is where the history was cut.
fn read(history: &str) -> Result<Lines, String> {
    let mut all = Lines::default();
    for (n, line) in history.lines().enumerate() {
        let line: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
        let number = |field: &str| line[field].as_u64().ok_or_else(|| format!("{field}: {line}"));
        if n == 0 && line["event"] == "start" {
            all.start = Some(line);
            continue;
        }
        let name = text(&line, "key").ok_or_else(|| format!("no key: {line}"))?;
        let key = all.keys.entry(name).or_default();
        match line["event"].as_str() {
            Some("call") => key.calls.push((number("copy")?, number("attempt")?)),
            Some("answer") => key.answers.push(Answer {
                at_us: number("at_us")?,
                of: (number("copy")?, number("attempt")?),
                outcome: text(&line, "outcome").unwrap_or_default(),
                order: text(&line, "order_id"),
            }),
            Some("read") => {
                let status = text(&line, "fate").unwrap_or_default();
                let (order, reason) = (text(&line, "order_id"), text(&line, "reason"));
                key.fate = Some(Fate { status, order, reason });
            }
            other => return Err(format!("unknown event {other:?}")),
        }
    }
    Ok(all)
}

/// Checks the whole history of a plan.
pub(crate) fn check(history: &str, plan: &Plan) -> Checked {
    let mut out = Checked::default();
    let lines = match read(history) {
        Ok(lines) => lines,
        Err(detail) => {
            out.wrong(WHOLE, "", detail);
            return out;
        }
    };
    whole(&lines, plan, &mut out);
    for (name, key) in &lines.keys {
        one(name, key, &mut out);
    }
    out.without_sales_s = longest_gap(&lines.keys);
    out
}

const WHOLE: &str = "the history is whole";
const LEARNED: &str = "every outcome is learned";

impl Checked {
    fn wrong(&mut self, rule: &'static str, key: &str, detail: String) {
        self.violations.push(Wrong { rule, key: key.to_owned(), detail });
    }
}

/// The crowd is the one that was planned, and it was not sold more than there was.
fn whole(lines: &Lines, plan: &Plan, out: &mut Checked) {
    let Some(start) = &lines.start else {
        out.wrong(WHOLE, "", "it has no `start` line".to_owned());
        return;
    };
    let twice = lines.keys.values().filter(|k| k.calls.contains(&(1, 0))).count() as u64;
    for (what, seen, planned) in [
        ("requests of the start line", start["requests"].as_u64(), u64::from(plan.requests)),
        ("seed of the start line", start["seed"].as_u64(), plan.seed),
        ("keys", Some(lines.keys.len() as u64), u64::from(plan.requests)),
        ("keys that left twice", start["duplicates"].as_u64(), twice),
    ] {
        if seen != Some(planned) {
            out.wrong(WHOLE, "", format!("{what}: {seen:?}, and it should be {planned}"));
        }
    }
    let live = |k: &&Key| k.fate.as_ref().is_some_and(|f| LIVE.contains(&f.status.as_str()));
    let quantity = start["quantity"].as_u64().unwrap_or(1);
    let sold = quantity * lines.keys.values().filter(live).count() as u64;
    if sold > u64::from(plan.units) {
        out.wrong("never oversold", "", format!("{sold} of {}", plan.units));
    }
}

fn one(name: &str, key: &Key, out: &mut Checked) {
    calls(name, key, out);
    ids(name, key, out);
    fate(name, key, out);
    out.accepted += usize::from(key.answers.iter().any(|a| a.outcome == "accepted"));
    let last = key.answers.last().map(|a| a.outcome.as_str());
    out.unconfirmed += usize::from(matches!(last, None | Some("unconfirmed" | "no_answer")));
}

/// Every copy's attempts follow each other from 0 on, and each has exactly one answer: the crowd
/// writes one for a silent server and for a call that never left, too.
fn calls(name: &str, key: &Key, out: &mut Checked) {
    let calls: BTreeSet<Call> = key.calls.iter().copied().collect();
    let mut answered: Vec<Call> = key.answers.iter().map(|a| a.of).collect();
    answered.sort_unstable();
    if !answered.iter().eq(calls.iter()) || calls.len() != key.calls.len() {
        let detail = format!("calls {:?}, answers {answered:?}", key.calls);
        out.wrong("one answer per call", name, detail);
    }
    let follows = |c: &Call| c.1 == 0 || calls.contains(&(c.0, c.1 - 1));
    if !calls.contains(&(0, 0)) || !calls.iter().all(follows) {
        out.wrong(WHOLE, name, format!("calls are missing: {:?}", key.calls));
    }
}

fn ids(name: &str, key: &Key, out: &mut Checked) {
    let mut ids: Vec<&String> = key.answers.iter().filter_map(|a| a.order.as_ref()).collect();
    ids.sort();
    ids.dedup();
    if ids.len() > 1 {
        out.wrong("one key, one order", name, format!("{ids:?}"));
    }
    let stored = key.fate.as_ref().and_then(|f| f.order.as_ref());
    if let (Some(told), Some(is)) = (ids.first(), stored)
        && *told != is
    {
        out.wrong("one key, one order", name, format!("told {told}, stored {is}"));
    }
}

/// What became of it, against what was said.
fn fate(name: &str, key: &Key, out: &mut Checked) {
    let Some(Fate { status, reason, .. }) = &key.fate else {
        if key.may_have_order() {
            out.wrong(LEARNED, name, "nobody asked what became of it".to_owned());
        }
        return;
    };
    match (key.is_promised(), status.as_str()) {
        (_, s) if LIVE.contains(&s) || ENDED.contains(&s) => {}
        (true, "rejected") => match reason.as_deref() {
            Some("sold_out" | "limit_reached") => out.accepted_rejected += 1,
            other => out.wrong("accepted is kept", name, format!("rejected: {other:?}")),
        },
        (true, "no_order") => out.wrong("accepted has a row", name, "it has none".to_owned()),
        (false, "rejected" | "no_order") => {}
        (_, other) => out.wrong(LEARNED, name, format!("its fate is {other:?}")),
    }
    // Definitive only if nothing else was ever in the air for this key (PROTOCOL 6.3): each call
    // had its answer and each answer was a refusal.
    let refused = !key.answers.is_empty()
        && key.answers.len() == key.calls.len()
        && key.answers.iter().all(|a| REFUSALS.contains(&a.outcome.as_str()));
    if refused && LIVE.contains(&status.as_str()) {
        out.wrong("a refusal is final", name, format!("all of them were, and it is {status}"));
    }
}

/// Between two acceptances; after the last one as long as somebody still got neither an
/// acceptance nor a refusal.
fn longest_gap(keys: &BTreeMap<String, Key>) -> f64 {
    let mut at: Vec<u64> = keys
        .values()
        .filter_map(|k| k.answers.iter().find(|a| a.outcome == "accepted").map(|a| a.at_us))
        .collect();
    let open = |what: &str| !REFUSALS.contains(&what) && !what.starts_with("decided_");
    let answers = keys.values().flat_map(|k| &k.answers);
    at.extend(answers.filter(|a| open(&a.outcome)).map(|a| a.at_us).max());
    at.push(0);
    at.sort_unstable();
    let gaps = at.windows(2).map(|w| w[1] - w[0]);
    gaps.max().unwrap_or(0) as f64 / 1e6
}

/// The lines of a history that are about a key.
pub(crate) fn lines_of<'a>(history: &'a str, key: &str) -> Vec<&'a str> {
    let quoted = format!("\"key\":\"{key}\"");
    history.lines().filter(|l| l.contains(&quoted)).collect()
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
