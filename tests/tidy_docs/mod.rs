//! Documents that must list exactly what the code has: reasons, metrics, configuration keys.

use std::collections::BTreeSet;

use crate::tidy_read::rust_sources;

fn text(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The rows of a document's first table are these; what stands around them is a person's.
fn golden_table(path: &str, want: &[String]) {
    let lines: Vec<String> = text(path).lines().map(str::to_owned).collect();
    let first = lines.iter().position(|l| l.starts_with('|')).unwrap() + 2;
    let rest = lines[first..].iter().filter(|l| !l.starts_with('|')).cloned().collect::<Vec<_>>();
    let whole = [&lines[..first], want, &rest].concat().join("\n") + "\n";
    testkit::golden::golden(env!("CARGO_MANIFEST_DIR"), path, &whole);
}

#[test]
fn reasons_are_documented() {
    let row = |r: &contract::Reason| {
        let (name, retry) = (r.as_str(), r.retry().as_str());
        format!("| `{name}` | {} | `{retry}` | {} |", r.status(), r.title())
    };
    let want: Vec<String> = contract::Reason::ALL.iter().map(row).collect();
    golden_table("docs/reasons.md", &want);
    let names: BTreeSet<_> = contract::Reason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(names.len(), contract::Reason::ALL.len(), "a code stands for one reason");
}

/// The least rights that operators are told are those that the secure stack is tested with.
#[test]
fn least_rights_are_documented() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = words(&text("docs/operations.md"));
    let acl = text("deploy/native/secure/users.acl").replace("{{password}}", "PASSWORD");
    let rule = acl.lines().find(|l| l.starts_with("user sluicegate")).unwrap();
    assert!(told.contains(&words(rule)), "{rule}");
    let grants = text("deploy/native/secure/grants.sql").replace("{{password}}", "PASSWORD");
    let grants = words(&grants.replace("{{user}}", "USER"));
    assert!(told.contains(&grants), "{grants}");
}

#[test]
fn metrics_are_documented() {
    let parts = [
        runtime::METRICS,
        gate::METRICS,
        writer::METRICS,
        clerk::METRICS,
        reconciler::METRICS,
        view::METRICS,
    ];
    let calls = |text: &str| text.matches("runtime::metrics! {").count();
    let sources = rust_sources();
    let declared = sources.iter().filter(|s| !s.is_test && s.path != "crates/runtime/src/meter.rs");
    let declared: usize = declared.map(|s| calls(&s.text)).sum();
    assert_eq!(declared + 1, parts.len(), "a crate's metrics are not in this list");
    let row = |m: &runtime::meter::Described| {
        let labels: Vec<String> = m.labels.iter().map(|l| format!("`{l}`")).collect();
        format!("| `{}` | {} | {} | {} |", m.name, m.kind, labels.join(", "), m.help())
    };
    let mut all: Vec<_> = parts.into_iter().flatten().collect();
    all.sort_by_key(|m| m.name);
    let want: Vec<String> = all.iter().map(|m| row(m)).collect();
    golden_table("docs/metrics.md", &want);
    let names: BTreeSet<_> = all.iter().map(|m| m.name).collect();
    assert_eq!(names.len(), all.len(), "a name stands for one metric");
    for m in all {
        assert!(m.name.starts_with("sluicegate_") && !m.help().is_empty(), "{}", m.name);
        let counter = m.kind == "counter";
        assert_eq!(counter, m.name.ends_with("_total"), "{}: a counter ends with _total", m.name);
    }
    // Nothing is counted beside the tables.
    let beside = sources.iter().filter(|s| !s.is_test && !s.path.ends_with("runtime/src/meter.rs"));
    for source in beside {
        for call in ["counter!(", "gauge!(", "histogram!("] {
            assert!(!source.text.contains(call), "{}: {call}", source.path);
        }
    }
}
