//! Documents that must list exactly what the code has: reasons, metrics, configuration keys.

use std::collections::{BTreeMap, BTreeSet};

use runtime::config::Config;

use crate::tidy_read::rust_sources;

fn text(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The lines of the first table, without its two head lines.
fn table(path: &str) -> Vec<String> {
    text(path).lines().filter(|l| l.starts_with('|')).skip(2).map(str::to_owned).collect()
}

#[test]
fn reasons_are_documented() {
    let row = |r: &contract::Reason| {
        let (name, retry) = (r.as_str(), r.retry().as_str());
        format!("| `{name}` | {} | `{retry}` | {} |", r.status(), r.title())
    };
    let want: Vec<String> = contract::Reason::ALL.iter().map(row).collect();
    assert_eq!(table("docs/reasons.md"), want, "docs/reasons.md should be:\n{}", want.join("\n"));
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

/// name -> kind of every macro call such as `describe_counter!("name"`.
fn metrics(prefix: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for source in rust_sources().iter().filter(|s| !s.is_test) {
        for kind in ["counter", "gauge", "histogram"] {
            let call = format!("{prefix}{kind}!(");
            for (at, _) in source.text.match_indices(&call) {
                let whole = source.text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                let rest = source.text[at + call.len()..].trim_start();
                let name = rest.strip_prefix('"').and_then(|r| r.split('"').next());
                if let (false, Some(name)) = (whole, name) {
                    found.insert(name.to_owned(), kind.to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn metrics_are_described_and_documented() {
    let described = metrics("describe_");
    assert!(described.len() > 20, "{described:?}");
    for (name, kind) in metrics("") {
        assert_eq!(described.get(&name), Some(&kind), "{name} is used but not described");
    }
    let documented: BTreeMap<String, String> = table("docs/metrics.md")
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            assert!(!cells[3].is_empty(), "{row}");
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect();
    assert_eq!(documented, described, "docs/metrics.md lists every metric once");
    for name in described.keys() {
        assert!(name.starts_with("sluicegate_"), "{name}");
        let counter = described[name] == "counter";
        assert_eq!(counter, name.ends_with("_total"), "{name}: a counter ends with _total");
    }
}

/// Every key path with its value.
fn keys(prefix: &str, table: &toml::Table, out: &mut BTreeMap<String, toml::Value>) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => keys(&path, inner, out),
            other => drop(out.insert(path, other.clone())),
        }
    }
}

fn uncommented(marks: &[&str]) -> toml::Table {
    let text = text("sluicegate.toml");
    let lines = text.lines().map(|l| marks.iter().find_map(|m| l.strip_prefix(m)).unwrap_or(l));
    let text: String = lines.map(|l| format!("{l}\n")).collect();
    text.parse().unwrap_or_else(|e| panic!("sluicegate.toml, uncommented: {e}"))
}

#[test]
fn the_configuration_file_lists_every_key_with_its_default() {
    let all = |t: &toml::Table| {
        let mut out = BTreeMap::new();
        keys("", t, &mut out);
        out
    };
    let as_it_is = all(&uncommented(&[]));
    assert!(as_it_is.is_empty(), "everything is commented out: {as_it_is:?}");
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    assert_eq!(all(&uncommented(&["# "])), all(&defaults));
    // Keys that are unset by default.
    let mut set = Config::default();
    (set.auth.issuer, set.auth.audience) = (Some("x".into()), Some("x".into()));
    let every: Vec<String> = all(&toml::Table::try_from(set).unwrap()).into_keys().collect();
    let listed = uncommented(&["# ", "#? "]);
    assert_eq!(all(&listed).into_keys().collect::<Vec<_>>(), every);
    listed.try_into::<Config>().expect("every example is a value of its key");
}
