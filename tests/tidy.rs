//! The house rules as a test: sizes, headers, the direction of dependencies, bans, and the
//! documents that must list what the code has.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod tidy_docs;
mod tidy_read;
mod tidy_shape;

use std::collections::BTreeSet;
use std::process::Command;

use tidy_read::{Source, lua_sources, rust_sources};

/// Longest file, lines.
const FILE: usize = 500;
/// Longest file of tests.
const TEST_FILE: usize = 800;
/// Longest script.
const LUA_FILE: usize = 120;
/// Longest function.
const FUNCTION: usize = 70;
/// Longest line, characters.
const COLUMNS: usize = 100;

#[track_caller]
fn none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn files_and_lines_are_short() {
    let rust = rust_sources().into_iter().filter_map(|s| {
        let most = if s.is_test { TEST_FILE } else { FILE };
        (s.lines().count() > most).then(|| format!("{}: {} lines", s.path, s.lines().count()))
    });
    let lua = lua_sources().into_iter().filter_map(|s| {
        (s.lines().count() > LUA_FILE).then(|| format!("{}: {}", s.path, s.lines().count()))
    });
    none("files over their bound", rust.chain(lua).collect());
    let all = rust_sources().into_iter().chain(lua_sources());
    let wide = all.flat_map(|s| {
        // A raw string has no place to break.
        let over = |l: &str| l.chars().count() > COLUMNS && !l.contains("r#\"");
        let over = s.text.lines().enumerate().filter(|(_, l)| over(l));
        over.map(|(n, _)| format!("{}:{}", s.path, n + 1)).collect::<Vec<_>>()
    });
    none("lines over 100 columns", wide.collect());
}

#[test]
fn functions_are_short() {
    let mut found = Vec::new();
    for s in rust_sources().iter().filter(|s| !s.is_test) {
        for (name, line, length) in s.functions() {
            if length > FUNCTION {
                found.push(format!("{}:{line}: {name}: {length} lines", s.path));
            }
        }
    }
    none("functions over 70 lines", found);
}

#[test]
fn files_say_what_they_are_for() {
    let rust = rust_sources();
    let bare = rust.iter().filter(|s| !s.text.starts_with("//! "));
    none("Rust files without a header", bare.map(|s| s.path.clone()).collect());
    let mut found = Vec::new();
    for s in lua_sources() {
        let head: String = s.lines().take_while(|l| l.starts_with("--")).collect();
        for word in ["Purpose:", "Keys:", "Args:", "Returns:", "Writes:", "Idempotence:", "Cost:"] {
            if !head.contains(word) {
                found.push(format!("{}: no {word}", s.path));
            }
        }
        let twin = s.path.replace("lua/lua/", "lua/src/").replace(".lua", ".rs");
        if !rust.iter().any(|r| r.path == twin) {
            found.push(format!("{}: no {twin}", s.path));
        }
    }
    none("scripts against their contract", found);
}

#[test]
fn bans_hold_outside_tests() {
    // Put together here, so that this file does not find itself.
    let banned = ["unwrap()", "panic!(", "todo!(", "unimplemented!(", "dbg!(", "unwrap_err()"];
    let mut found = Vec::new();
    for s in rust_sources().iter().filter(|s| !s.is_test) {
        for (n, line) in s.code() {
            let code = tidy_read::without_strings(line);
            let hit = banned.iter().any(|b| code.contains(b));
            let bare = line.contains(".expect()") || line.contains(".expect(\"\")");
            let is_unsafe = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            if hit || bare || is_unsafe.clone().any(|w| w == "unsafe") {
                found.push(format!("{}:{n}: {}", s.path, line.trim()));
            }
        }
    }
    none("banned outside tests", found);
}

/// A URL names this machine, a placeholder, a name reserved for examples or an XML namespace;
/// any other host would tie the product to somebody's server.
#[test]
fn urls_name_nobodys_server() {
    let fine = ["127.0.0.1", "example.org", "example.com", "maven.apache.org", "www.w3.org"];
    let mut found = Vec::new();
    for s in tidy_read::all_texts() {
        for (n, line) in s.lines().enumerate() {
            let urls = line.split("://").skip(1);
            let host = |url: &str| {
                let end = |c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-';
                url.split(end).next().unwrap_or("").trim_end_matches('.').to_owned()
            };
            let real = |h: &String| h.contains('.') && !fine.iter().any(|f| h.ends_with(f));
            if urls.map(host).any(|h| real(&h)) {
                found.push(format!("{}:{}: {}", s.path, n + 1, line.trim()));
            }
        }
    }
    none("URLs of somebody's server", found);
}

/// Every member and what it may use, without the common first part of their names. What a test
/// uses is no arrow of the product.
const ARROWS: [(&str, &[&str]); 23] = [
    ("domain", &["mutants"]),
    ("runtime", &[]),
    ("mutants", &[]),
    ("contract", &["domain"]),
    ("web", &["contract", "domain", "runtime"]),
    ("life", &["contract", "domain", "runtime", "store", "web"]),
    ("log", &["runtime", "web"]),
    ("lua", &["domain", "runtime"]),
    ("store", &["domain", "runtime"]),
    ("view", &["domain", "log", "lua", "mutants", "runtime", "store"]),
    (
        "gate",
        &["contract", "domain", "life", "log", "lua", "mutants", "runtime", "store", "view", "web"],
    ),
    (
        "desk",
        &["contract", "domain", "life", "log", "lua", "mutants", "runtime", "store", "view", "web"],
    ),
    ("writer", &["domain", "log", "lua", "mutants", "runtime", "store", "view"]),
    ("reconciler", &["domain", "log", "lua", "mutants", "runtime", "store", "view"]),
    ("clerk", &["domain", "life", "log", "lua", "mutants", "runtime", "store", "view"]),
    ("loadtest", &["contract", "domain", "life", "lua", "runtime", "store", "web"]),
    (
        "sluicegate",
        &[
            "clerk",
            "contract",
            "desk",
            "domain",
            "gate",
            "life",
            "loadtest",
            "log",
            "lua",
            "reconciler",
            "runtime",
            "store",
            "view",
            "web",
            "writer",
        ],
    ),
    // The proof: run, not linked.
    ("model", &["domain"]),
    ("testkit", &["domain", "log", "lua", "runtime", "store", "view"]),
    (
        "sim",
        &[
            "clerk",
            "contract",
            "desk",
            "domain",
            "gate",
            "life",
            "log",
            "lua",
            "mutants",
            "reconciler",
            "runtime",
            "store",
            "testkit",
            "view",
            "web",
            "writer",
        ],
    ),
    ("chaos", &["domain", "log", "lua", "runtime", "store", "testkit"]),
    (
        "bench",
        &[
            "clerk",
            "domain",
            "gate",
            "life",
            "log",
            "lua",
            "reconciler",
            "runtime",
            "store",
            "testkit",
            "view",
            "web",
            "writer",
        ],
    ),
    ("xtask", &[]),
];

fn metadata() -> serde_json::Value {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Dependencies that no source names: what `runtime::section!` makes of a section is serde's.
const UNNAMED: [(&str, &str); 5] = [
    ("sluicegate-clerk", "serde"),
    ("sluicegate-desk", "serde"),
    ("sluicegate-reconciler", "serde"),
    ("sluicegate-store", "serde"),
    ("sluicegate-writer", "serde"),
];

#[test]
fn every_dependency_is_used() {
    let mut found = Vec::new();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let sources = rust_sources();
    for package in metadata()["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let manifest = package["manifest_path"].as_str().unwrap().strip_prefix(root).unwrap();
        let folder = manifest.strip_suffix("Cargo.toml").unwrap();
        // The root's own sources only: the others have manifests of their own.
        let inside = |path: &str| match folder {
            "" => path.starts_with("src/") || path.starts_with("tests/"),
            folder => path.starts_with(folder),
        };
        let text: String =
            sources.iter().filter(|s| inside(&s.path)).map(|s| s.text.as_str()).collect();
        for dep in package["dependencies"].as_array().unwrap() {
            let to = dep["rename"].as_str().or(dep["name"].as_str()).unwrap();
            let word = to.replace('-', "_");
            let named = [format!("{word}::"), format!("use {word};"), format!("use {word} as")];
            let is_named = named.iter().any(|n| text.contains(n.as_str()));
            if !is_named && !UNNAMED.contains(&(name, to)) {
                found.push(format!("{name}: {to}"));
            }
        }
    }
    none("dependencies that nothing uses", found);
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let short = |name: &serde_json::Value| {
        let name = name.as_str().unwrap();
        name.strip_prefix("sluicegate-").unwrap_or(name).to_owned()
    };
    let ours: BTreeSet<String> = packages.iter().map(|p| short(&p["name"])).collect();
    let mut found = Vec::new();
    for package in packages {
        let name = short(&package["name"]);
        let Some((_, may)) = ARROWS.iter().find(|(member, _)| *member == name) else {
            found.push(format!("{name} is not in the table"));
            continue;
        };
        let all = package["dependencies"].as_array().unwrap();
        let is_path = |d: &&serde_json::Value| d["path"].is_string();
        let used: BTreeSet<String> = all
            .iter()
            .filter(is_path)
            .filter(|d| d["kind"] != "dev")
            .map(|d| short(&d["name"]))
            .collect();
        let may: BTreeSet<String> = may.iter().map(|m| (*m).to_owned()).collect();
        found.extend(used.difference(&may).map(|to| format!("{name} -> {to}")));
        found.extend(may.difference(&used).map(|to| format!("{name} -> {to} is not used")));
        for dep in all {
            let to = dep["name"].as_str().unwrap();
            let pure = ["tokio", "hyper", "sea-orm", "sqlx", "fred", "redis", "pulsar", "rand"];
            if name == "domain" && pure.contains(&to) {
                found.push(format!("{name} -> {to}: domain is pure"));
            }
        }
    }
    found.extend(ARROWS.iter().filter(|(m, _)| !ours.contains(*m)).map(|(m, _)| format!("no {m}")));
    none("dependencies against their direction", found);
}

/// Who reaches what of the databases. Whoever adds a port to a service says why in a review of this
/// line: the gate has no write to the ledger, the writer none to the catalog.
const REACH: [(&str, &str); 5] = [
    (
        "GateStore",
        "LedgerRead + OrdersRead + CatalogRead + ParkedRead + LifeRead + LifeWrite + DetailRead \
         + DetailWrite",
    ),
    (
        "DeskStore",
        "LedgerRead + LedgerWrite + CatalogRead + CatalogWrite + Marks + ParkedRead + ParkedWrite \
         + OrdersRead + LifeRead + LifeWrite + MoneyRead + DetailWrite",
    ),
    (
        "WriterStore",
        "LedgerRead + LedgerWrite + Verdicts + OrdersRead + OrdersWrite + Marks + ParkedWrite",
    ),
    (
        "ReconcilerStore",
        "LedgerRead + LedgerWrite + OrdersRead + CatalogRead + Marks + ParkedRead + LifeRead \
         + MoneyRead + MoneyWrite",
    ),
    (
        "ClerkStore",
        "LedgerRead + LedgerWrite + LifeRead + LifeWrite + OrdersRead + CatalogRead + Marks \
         + ParkedRead + ParkedWrite",
    ),
];

#[test]
fn nobody_holds_a_port_that_is_wider_than_its_table_says() {
    let text = source("crates/view/src/ports.rs").text;
    let (_, table) = text.split_once("reach! {").unwrap();
    let rows: Vec<(String, String)> = table
        .split(';')
        .filter_map(|row| {
            let (name, rest) = row.split_once('(')?;
            let (ports, _) = rest.split_once(')')?;
            let words = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
            Some((words(name).rsplit(' ').next()?.to_owned(), words(ports)))
        })
        .collect();
    let want = REACH.map(|(store, ports)| (store.to_owned(), ports.to_owned()));
    assert_eq!(rows, want, "crates/view/src/ports.rs");
    // And no service takes more than its part.
    let services = ["gate/src/", "desk/src/", "writer/src/", "reconciler/src/"];
    let wide = ["AllStores", "Store", "SqlStore", "Ports"];
    let has = |line: &str| line.split(|c: char| !c.is_alphanumeric()).any(|w| wide.contains(&w));
    let mut found = Vec::new();
    for s in rust_sources().iter().filter(|s| services.iter().any(|p| s.path.starts_with(p))) {
        for (n, line) in s.code().filter(|(_, l)| has(l)) {
            found.push(format!("{}:{n}: {line}", s.path));
        }
    }
    none("a service with all of the databases", found);
}

#[test]
fn domain_has_no_clock_and_no_io() {
    let bad = ["std::fs", "std::net", "SystemTime", "Instant", "std::env", "std::thread", "async "];
    let mut found = Vec::new();
    for s in rust_sources().iter().filter(|s| s.path.starts_with("crates/domain/src/")) {
        for (n, line) in s.code().filter(|(_, l)| bad.iter().any(|b| l.contains(b))) {
            found.push(format!("{}:{n}: {}", s.path, line.trim()));
        }
    }
    none("domain is pure", found);
}

/// Used by the documents' tests too.
fn source(path: &str) -> Source {
    rust_sources().into_iter().find(|s| s.path == path).unwrap()
}

#[test]
fn the_one_place_of_each_port() {
    // The wall clock and the environment enter in one module each.
    assert!(source("crates/runtime/src/clock.rs").text.contains("SystemTime::now"));
    let found = rust_sources().into_iter().filter(|s| {
        !s.is_test
            && !s.path.starts_with("xtask/")
            && s.path != "crates/runtime/src/clock.rs"
            && s.code().any(|(_, l)| l.contains("SystemTime::now") || l.contains("env::var("))
    });
    none("clock or environment outside its module", found.map(|s| s.path).collect());
}
