//! The checker of a history: what every client was told, against what became of it. Pure, and
//! independent of the load test's own verdict: it reads nothing but the lines.
//!
//! The lines are described in the load test's `history` module and in docs/faults.md.

use std::collections::BTreeMap;

use serde_json::Value;

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
    pub key: String,
    pub detail: String,
}

#[derive(Default)]
struct Key {
    /// Times and outcomes of the answers.
    answers: Vec<(u64, String, Option<String>)>,
    calls: usize,
    fate: Option<(String, Option<String>, Option<String>)>,
}

/// Answers that promise that there is no order of this key, if nothing else was ever said of it.
const REFUSALS: [&str; 5] = ["sold_out", "limit_reached", "not_open", "closed", "paused"];

fn text(line: &Value, field: &str) -> Option<String> {
    line[field].as_str().map(str::to_owned)
}

fn read(history: &str) -> Result<BTreeMap<String, Key>, String> {
    let mut keys: BTreeMap<String, Key> = BTreeMap::new();
    for line in history.lines() {
        let line: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
        let Some(name) = text(&line, "key") else { continue };
        let key = keys.entry(name).or_default();
        match line["event"].as_str() {
            Some("call") => key.calls += 1,
            Some("answer") => {
                let at = line["at_us"].as_u64().unwrap_or(0);
                let outcome = text(&line, "outcome").unwrap_or_default();
                key.answers.push((at, outcome, text(&line, "order_id")));
            }
            Some("read") => {
                let fate = text(&line, "fate").unwrap_or_default();
                key.fate = Some((fate, text(&line, "order_id"), text(&line, "reason")));
            }
            other => return Err(format!("unknown event {other:?}")),
        }
    }
    Ok(keys)
}

/// Checks a whole history.
pub(crate) fn check(history: &str) -> Result<Checked, String> {
    let keys = read(history)?;
    let mut out = Checked::default();
    for (name, key) in &keys {
        one(name, key, &mut out);
    }
    out.without_sales_s = longest_gap(&keys);
    Ok(out)
}

fn one(name: &str, key: &Key, out: &mut Checked) {
    let mut wrong = |rule, detail: String| {
        out.violations.push(Wrong { rule, key: name.to_owned(), detail });
    };
    let said = |what: &str| key.answers.iter().any(|a| a.1 == what);
    let mut ids: Vec<&String> = key.answers.iter().filter_map(|a| a.2.as_ref()).collect();
    ids.sort();
    ids.dedup();
    if ids.len() > 1 {
        wrong("one key, one order", format!("{ids:?}"));
    }
    let (fate, id, reason) = key.fate.clone().unwrap_or_default();
    if let (Some(told), Some(is)) = (ids.first(), &id)
        && *told != is
    {
        wrong("one key, one order", format!("told {told}, stored {is}"));
    }
    let accepted = said("accepted");
    out.accepted += usize::from(accepted);
    match (accepted, fate.as_str()) {
        (true, "pending" | "paid" | "cancelled" | "expired" | "refunded") => {}
        (true, "rejected") => match reason.as_deref() {
            Some("sold_out" | "limit_reached") => out.accepted_rejected += 1,
            other => wrong("accepted is kept", format!("rejected: {other:?}")),
        },
        (true, other) => wrong("accepted has a row", format!("its fate is {other:?}")),
        (false, "" | "no_order" | "rejected" | "pending") => {}
        (false, other) => wrong("every outcome is learned", format!("its fate is {other:?}")),
    }
    let last = key.answers.last().map(|a| a.1.as_str());
    let open = matches!(last, None | Some("unconfirmed" | "no_answer"));
    out.unconfirmed += usize::from(open);
    // Definitive only if nothing else was ever in the air for this key (PROTOCOL 6.3): each call
    // had its answer and each answer was a refusal.
    let refused = !key.answers.is_empty()
        && key.answers.len() == key.calls
        && key.answers.iter().all(|a| REFUSALS.contains(&a.1.as_str()));
    if refused && fate == "pending" {
        wrong("a refusal is final", format!("{:?}, and it is pending", last.unwrap_or("")));
    }
    if key.calls > 0 && key.answers.len() > key.calls {
        wrong("one answer per call", format!("{} for {}", key.answers.len(), key.calls));
    }
}

/// Between two acceptances; after the last one as long as somebody still got neither an
/// acceptance nor a refusal.
fn longest_gap(keys: &BTreeMap<String, Key>) -> f64 {
    let mut at: Vec<u64> = keys
        .values()
        .filter_map(|k| k.answers.iter().find(|a| a.1 == "accepted").map(|a| a.0))
        .collect();
    let open = |what: &str| !REFUSALS.contains(&what) && !what.starts_with("decided_");
    let answers = keys.values().flat_map(|k| &k.answers);
    at.extend(answers.filter(|a| open(&a.1)).map(|a| a.0).max());
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
mod tests {
    use super::*;

    fn call(key: &str) -> String {
        format!(r#"{{"event":"call","at_us":1,"buyer":"b","key":"{key}","copy":0,"attempt":0}}"#)
    }
    fn answer(key: &str, at: u64, outcome: &str, id: &str) -> String {
        format!(
            r#"{{"event":"answer","at_us":{at},"buyer":"b","key":"{key}","copy":0,"attempt":0,"outcome":"{outcome}","order_id":"{id}"}}"#
        )
    }
    fn fate(key: &str, fate: &str, id: &str, reason: &str) -> String {
        format!(
            r#"{{"event":"read","at_us":9,"buyer":"b","key":"{key}","fate":"{fate}","order_id":"{id}","reason":"{reason}"}}"#
        )
    }
    fn rules(lines: &[String]) -> Vec<&'static str> {
        check(&lines.join("\n")).unwrap().violations.iter().map(|v| v.rule).collect()
    }

    #[test]
    fn a_good_history_has_nothing_wrong() {
        let lines = [
            call("a"),
            answer("a", 1_000_000, "unconfirmed", "1"),
            call("a"),
            answer("a", 2_000_000, "accepted", "1"),
            fate("a", "pending", "1", ""),
            call("b"),
            answer("b", 5_000_000, "accepted", "2"),
            fate("b", "rejected", "2", "sold_out"),
            call("c"),
            answer("c", 6_000_000, "sold_out", "3"),
            fate("c", "no_order", "3", ""),
        ];
        let seen = check(&lines.join("\n")).unwrap();
        assert_eq!(seen.violations, []);
        assert_eq!((seen.accepted, seen.unconfirmed, seen.accepted_rejected), (2, 0, 1));
        assert!((seen.without_sales_s - 3.0).abs() < 1e-9);
    }

    #[test]
    fn every_rule_can_be_broken() {
        let lost = [call("a"), answer("a", 1, "accepted", "1"), fate("a", "no_order", "1", "")];
        assert_eq!(rules(&lost), ["accepted has a row"]);
        let aborted =
            [call("a"), answer("a", 1, "accepted", "1"), fate("a", "rejected", "1", "aborted")];
        assert_eq!(rules(&aborted), ["accepted is kept"]);
        let two = [call("a"), answer("a", 1, "accepted", "1"), fate("a", "pending", "2", "")];
        assert_eq!(rules(&two), ["one key, one order"]);
        let late = [call("a"), answer("a", 1, "sold_out", "1"), fate("a", "pending", "1", "")];
        assert_eq!(rules(&late), ["a refusal is final"]);
        let never = [call("a"), answer("a", 1, "no_answer", "1"), fate("a", "no_answer", "1", "")];
        assert_eq!(rules(&never), ["every outcome is learned"]);
        assert!(check("nonsense").is_err());
    }

    #[test]
    fn an_outage_lasts_until_the_last_open_answer() {
        let lines = [
            call("a"),
            answer("a", 1_000_000, "accepted", "1"),
            fate("a", "pending", "1", ""),
            call("b"),
            answer("b", 7_000_000, "unconfirmed", "2"),
            fate("b", "pending", "2", ""),
            call("c"),
            answer("c", 9_000_000, "sold_out", "3"),
            fate("c", "no_order", "3", ""),
        ];
        let seen = check(&lines.join("\n")).unwrap();
        assert!((seen.without_sales_s - 6.0).abs() < 1e-9, "{seen:?}");
    }

    #[test]
    fn a_refusal_beside_an_open_call_promises_nothing() {
        let lines =
            [call("a"), call("a"), answer("a", 1, "sold_out", "1"), fate("a", "pending", "1", "")];
        assert_eq!(rules(&lines), Vec::<&str>::new());
    }
}
