//! Small histories, each with one thing wrong or nothing.

use super::*;

/// One key's lines: `(copy, attempt, outcome)` per answered call, then its fate.
struct Story {
    lines: Vec<String>,
    key: &'static str,
    order: String,
    at_us: u64,
}

fn line(event: &str, key: &str, more: &str) -> String {
    format!(r#"{{"event":"{event}","buyer":"b","key":"{key}",{more}}}"#)
}

/// A key whose order has this id.
fn key(key: &'static str, order: u32) -> Story {
    Story { lines: Vec::new(), key, order: order.to_string(), at_us: 0 }
}

impl Story {
    fn call(mut self, copy: u32, attempt: u32) -> Self {
        let more = format!(r#""at_us":{},"copy":{copy},"attempt":{attempt}"#, self.at_us);
        self.lines.push(line("call", self.key, &more));
        self
    }

    fn answer(mut self, copy: u32, attempt: u32, outcome: &str) -> Self {
        let (at_us, order) = (self.at_us, &self.order);
        let more = format!(
            r#""at_us":{at_us},"copy":{copy},"attempt":{attempt},"outcome":"{outcome}","order_id":"{order}""#
        );
        self.lines.push(line("answer", self.key, &more));
        self
    }

    /// Copy 0 leaves once for each of these outcomes, which come at these seconds.
    fn told(mut self, outcomes: &[(u64, &str)]) -> Self {
        for (attempt, (at_s, outcome)) in (0..).zip(outcomes) {
            self.at_us = at_s * 1_000_000;
            self = self.call(0, attempt).answer(0, attempt, outcome);
        }
        self
    }

    fn read(mut self, fate: &str, reason: &str) -> Self {
        let order = &self.order;
        let more = format!(r#""at_us":9,"fate":"{fate}","order_id":"{order}","reason":"{reason}""#);
        self.lines.push(line("read", self.key, &more));
        self
    }

    fn order(mut self, order: u32) -> Self {
        self.order = order.to_string();
        self
    }
}

fn plan(requests: u32) -> Plan {
    Plan { requests, units: 2, ..Plan::of(7, &[]) }
}

fn start(requests: usize, duplicates: usize) -> String {
    format!(
        r#"{{"event":"start","requests":{requests},"duplicates":{duplicates},"seed":7,"quantity":1}}"#
    )
}

/// A whole history of these keys, none of them doubled.
fn history(stories: Vec<Story>) -> String {
    let first = start(stories.len(), 0);
    let lines: Vec<String> = stories.into_iter().flat_map(|s| s.lines).collect();
    format!("{first}\n{}", lines.join("\n"))
}

fn checked(stories: Vec<Story>) -> Checked {
    let plan = plan(stories.len() as u32);
    check(&history(stories), &plan)
}

fn rules_of(checked: &Checked) -> Vec<&'static str> {
    checked.violations.iter().map(|v| v.rule).collect()
}

#[track_caller]
fn broken(story: Story, rules: &[&str]) {
    let seen = checked(vec![story]);
    assert_eq!(rules_of(&seen), rules, "{seen:?}");
}

#[test]
fn a_good_history_has_nothing_wrong() {
    let seen = checked(vec![
        key("a", 1).told(&[(1, "unconfirmed"), (2, "accepted")]).read("pending", ""),
        key("b", 2).told(&[(5, "accepted")]).read("rejected", "sold_out"),
        key("c", 3).told(&[(6, "sold_out")]),
        key("d", 4).told(&[(6, "not_sent"), (6, "overloaded"), (6, "sold_out")]),
        key("e", 5).told(&[(6, "no_answer"), (6, "sold_out")]).read("no_order", ""),
    ]);
    assert_eq!(seen.violations, []);
    assert_eq!((seen.accepted, seen.unconfirmed, seen.accepted_rejected), (2, 0, 1));
    assert!((seen.without_sales_s - 3.0).abs() < 1e-9);
}

#[test]
fn every_promise_can_be_broken() {
    let accepted = || key("a", 1).told(&[(1, "accepted")]);
    broken(accepted().read("no_order", ""), &["accepted has a row"]);
    broken(accepted().read("rejected", "aborted"), &["accepted is kept"]);
    broken(accepted().order(2).read("pending", ""), &["one key, one order"]);
    let shown = key("a", 1).told(&[(1, "unconfirmed"), (2, "decided_pending")]);
    broken(shown.read("no_order", ""), &["accepted has a row"]);
    let two = key("a", 1).told(&[(1, "unconfirmed")]).order(2).call(0, 1).answer(0, 1, "accepted");
    broken(two.read("pending", ""), &["one key, one order", "one key, one order"]);
    let late = key("a", 1).told(&[(1, "sold_out")]);
    broken(late.read("pending", ""), &["a refusal is final"]);
}

#[test]
fn more_orders_than_units_are_oversold() {
    let sold = |name| key(name, 1).told(&[(1, "accepted")]).read("pending", "");
    let seen = checked(vec![sold("a"), sold("b"), sold("c")]);
    assert_eq!(rules_of(&seen), ["never oversold"]);
}

#[test]
fn whoever_may_have_an_order_learns_its_fate() {
    for doubt in ["accepted", "unconfirmed", "no_answer", "odd_502", "internal", "decided_rejected"]
    {
        let told = || key("a", 1).told(&[(1, doubt)]);
        broken(told(), &[LEARNED]);
        broken(told().read("no_answer", ""), &[LEARNED]);
        broken(told().read("unconfirmed", ""), &[LEARNED]);
        // A refusal afterwards does not take the doubt away.
        let after = key("a", 1).told(&[(1, doubt), (2, "sold_out")]);
        broken(after, &[LEARNED]);
    }
    broken(key("a", 1).told(&[(1, "sold_out")]).read("no_answer", ""), &[LEARNED]);
}

#[test]
fn a_cut_history_is_not_whole() {
    let whole = history(vec![
        key("a", 1).told(&[(1, "accepted")]).read("pending", ""),
        key("b", 2).told(&[(2, "no_answer"), (3, "accepted")]).read("pending", ""),
    ]);
    assert_eq!(check(&whole, &plan(2)).violations, []);
    assert_eq!(rules_of(&check("", &plan(2))), [WHOLE]);
    // Wherever it ends, in the middle of a line too.
    for end in 0..whole.len() {
        let seen = check(&whole[..end], &plan(2));
        assert!(!seen.violations.is_empty(), "{}", &whole[..end]);
    }
    // Without any one of its lines as well.
    for gone in 0..whole.lines().count() {
        let rest = whole.lines().enumerate().filter(|(n, _)| *n != gone).map(|(_, l)| l);
        let rest = rest.collect::<Vec<_>>().join("\n");
        assert!(!check(&rest, &plan(2)).violations.is_empty(), "{rest}");
    }
}

#[test]
fn it_is_the_history_of_the_plan() {
    let one = || history(vec![key("a", 1).told(&[(1, "sold_out")])]);
    assert_eq!(rules_of(&check(&one(), &plan(2))), [WHOLE, WHOLE]);
    assert_eq!(rules_of(&check(&one(), &Plan { seed: 8, ..plan(1) })), [WHOLE]);
    let again = format!("{0}\n{0}", one());
    assert_eq!(rules_of(&check(&again, &plan(1))), [WHOLE]);
}

#[test]
fn both_copies_of_a_planned_duplicate_leave() {
    let one = key("a", 1).told(&[(1, "sold_out")]);
    let both = key("a", 1).told(&[(1, "sold_out")]).call(1, 0).answer(1, 0, "sold_out");
    let of = |s: Story| format!("{}\n{}", start(1, 1), s.lines.join("\n"));
    assert_eq!(rules_of(&check(&of(one), &plan(1))), [WHOLE]);
    assert_eq!(check(&of(both), &plan(1)).violations, []);
}

#[test]
fn every_call_has_one_answer() {
    let rule = "one answer per call";
    broken(key("a", 1).told(&[(1, "sold_out")]).call(0, 1), &[rule, LEARNED]);
    broken(key("a", 1).told(&[(1, "sold_out")]).answer(0, 0, "sold_out"), &[rule]);
    broken(key("a", 1).told(&[(1, "sold_out")]).answer(0, 1, "sold_out"), &[rule]);
    broken(key("a", 1).call(0, 1).answer(0, 1, "sold_out"), &[WHOLE]);
}

#[test]
fn an_outage_lasts_until_the_last_open_answer() {
    let seen = checked(vec![
        key("a", 1).told(&[(1, "accepted")]).read("pending", ""),
        key("b", 2).told(&[(7, "unconfirmed")]).read("pending", ""),
        key("c", 3).told(&[(9, "sold_out")]),
    ]);
    assert!((seen.without_sales_s - 6.0).abs() < 1e-9, "{seen:?}");
}

#[test]
fn a_refusal_beside_an_open_call_promises_nothing() {
    broken(key("a", 1).told(&[(1, "no_answer"), (2, "sold_out")]).read("pending", ""), &[]);
}
