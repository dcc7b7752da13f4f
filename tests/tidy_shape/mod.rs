//! The shape inside a member: modules that lean on each other in a circle, and where mutants stand.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy_read::{Source, rust_sources};

/// The circles that there are, by the first of their modules, each with its reason.
const CIRCLES: [(&str, &str); 2] = [
    ("crates/chaos/deployment", "a deployment keeps what each fault did to it, to undo it"),
    ("crates/sim/net", "a world has nodes and servers, and each of them acts in its world"),
];

/// A circle of modules can only be read, tested and moved as one.
#[test]
fn modules_lean_one_way() {
    let sources = rust_sources();
    let mut members: BTreeMap<String, Vec<&Source>> = BTreeMap::new();
    for s in sources.iter().filter(|s| !s.path.ends_with("/tests.rs")) {
        if let Some(at) = s.path.find("src/").filter(|at| *at == 0 || s.path[..*at].ends_with('/'))
        {
            members.entry(s.path[..at].to_owned()).or_default().push(s);
        }
    }
    assert!(members.len() > 15, "{:?}", members.keys());
    let mut found = BTreeMap::new();
    for (member, files) in members {
        for circle in circles(&leans(&files)) {
            let name = format!("{member}{}", circle.iter().next().unwrap());
            found.insert(name, circle);
        }
    }
    let known: BTreeSet<&str> = CIRCLES.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = found.iter().filter(|(name, _)| !known.contains(name.as_str())).collect();
    assert!(new.is_empty(), "{} new circles: {new:#?}", new.len());
    assert_eq!(found.len(), known.len(), "a circle that is no more is still in the table");
}

/// Which module leans on which, of a member; the root is "lib".
fn leans(files: &[&Source]) -> BTreeMap<String, BTreeSet<String>> {
    let named = |s: &&Source| {
        let (_, inside) = s.path.rsplit_once("src/").unwrap();
        let mut parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
        if ["mod", "lib", "main"].contains(parts.last().unwrap()) {
            parts.pop();
        }
        parts.join("::")
    };
    let modules: BTreeMap<String, &&Source> = files.iter().map(|s| (named(s), s)).collect();
    let mut out = BTreeMap::new();
    for (module, source) in &modules {
        let text: String = source.code().map(|(_, l)| format!("{l}\n")).collect();
        let (uses, rest) = split_uses(&text);
        let mut paths: Vec<String> = uses.iter().flat_map(|u| expand(u)).collect();
        paths.extend(paths_in(&rest));
        let mut to: BTreeSet<String> = BTreeSet::new();
        for path in &paths {
            let found = resolve(module, path, |m| modules.contains_key(m));
            to.extend(found.filter(|m| m != module));
        }
        let show = |m: &str| if m.is_empty() { "lib".to_owned() } else { m.to_owned() };
        out.insert(show(module), to.iter().map(|m| show(m)).collect());
    }
    out
}

/// The paths of `use` items (not those that only show a child), and the text without them.
fn split_uses(text: &str) -> (Vec<String>, String) {
    let (mut uses, mut rest) = (Vec::new(), String::new());
    let mut open: Option<(String, bool)> = None;
    for line in text.lines() {
        let bare = line.trim_start();
        let shown = bare.strip_prefix("pub ").or_else(|| bare.strip_prefix("pub(crate) "));
        let shown = shown.or_else(|| bare.strip_prefix("pub(super) "));
        if open.is_none() && shown.unwrap_or(bare).starts_with("use ") {
            open = Some((String::new(), shown.is_some()));
        }
        let Some((item, is_shown)) = &mut open else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        item.push_str(shown.unwrap_or(bare));
        if item.ends_with(';') {
            let path = item.trim_start_matches("use ").trim_end_matches(';').to_owned();
            if !*is_shown || path.starts_with("crate::") || path.starts_with("super::") {
                uses.push(path);
            }
            open = None;
        }
    }
    (uses, rest)
}

/// `a::{b, c::{d, e}}` as its single paths.
fn expand(path: &str) -> Vec<String> {
    let Some((head, tail)) = path.split_once('{') else {
        return vec![path.split(" as ").next().unwrap().trim().to_owned()];
    };
    let body = tail.rsplit_once('}').map_or(tail, |(body, _)| body);
    let (mut depth, mut parts, mut part) = (0, Vec::new(), String::new());
    for c in body.chars() {
        match c {
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            c => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                part.push(c);
            }
        }
    }
    parts.push(part);
    let whole = parts.iter().filter(|p| !p.trim().is_empty());
    whole.flat_map(|p| expand(&format!("{head}{}", p.trim()))).collect()
}

/// Every path that stands in code.
fn paths_in(code: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c| !is_part(c));
    words.filter(|w| w.contains("::")).map(|w| w.trim_matches(':').to_owned()).collect()
}

/// The module of this member that a path in `module` leads into.
fn resolve(
    module: &str,
    path: &str,
    is_module: impl Fn(&str) -> bool,
) -> impl Iterator<Item = String> {
    let mut segments: Vec<&str> = path.split("::").collect();
    let mut base: Vec<&str> = module.split("::").filter(|s| !s.is_empty()).collect();
    let mut inside = true;
    match segments.first().copied() {
        Some("crate") => base.clear(),
        Some("self") => {}
        Some("super") => {
            while segments.first() == Some(&"super") {
                base.pop();
                segments.remove(0);
            }
            segments.insert(0, "");
        }
        // A child by its name, or another crate.
        Some(child) => {
            let whole = [&base[..], &[child]].concat().join("::");
            inside = is_module(&whole);
            segments.insert(0, "");
        }
        None => {}
    }
    segments.remove(0);
    let mut whole: Vec<&str> = base.into_iter().chain(segments).collect();
    while !whole.is_empty() && !is_module(&whole.join("::")) {
        whole.pop();
    }
    inside.then(|| whole.join("::")).into_iter()
}

/// Sets of modules each of which leads to each other.
fn circles(leans: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let from = |start: &str| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![start.to_owned()]);
        while let Some(at) = todo.pop() {
            for next in leans.get(&at).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    todo.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = leans.keys().map(|m| (m, from(m))).collect();
    let mut out: Vec<BTreeSet<String>> = Vec::new();
    for (module, reach) in &reached {
        let mutual = |m: &&String| reached.get(m).is_some_and(|r| r.contains(*module));
        let circle: BTreeSet<String> = reach.iter().filter(mutual).cloned().collect();
        if circle.len() > 1 && !out.contains(&circle) {
            out.push(circle);
        }
    }
    out
}

#[test]
fn circles_are_found() {
    let of = |edges: &[(&str, &[&str])]| {
        let set = |to: &[&str]| to.iter().map(|t| (*t).to_owned()).collect();
        let leans = edges.iter().map(|(from, to)| ((*from).to_owned(), set(to))).collect();
        circles(&leans).into_iter().map(|c| c.into_iter().collect::<String>()).collect::<Vec<_>>()
    };
    assert!(of(&[("a", &["b"]), ("b", &["c"]), ("c", &[])]).is_empty());
    assert_eq!(of(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])]), ["abc"]);
    assert_eq!(
        of(&[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c", "a"])]),
        ["ab", "cd"]
    );
    assert_eq!(
        expand("crate::{a::{B, C}, d::E as F}"),
        ["crate::a::B", "crate::a::C", "crate::d::E"]
    );
    let is_module = |m: &str| ["", "x", "x::y"].contains(&m);
    let into = |path: &str| resolve("x", path, is_module).next();
    assert_eq!(into("crate::x::y::Z").unwrap(), "x::y");
    assert_eq!(into("super::Q").unwrap(), "");
    assert_eq!(into("self::y::Z").unwrap(), "x::y");
    assert_eq!(into("y::Z").unwrap(), "x::y");
    assert_eq!(into("std::fmt::Debug"), None);
}

/// What is shipped: neither tests nor the proof, which is run and not linked.
fn product() -> Vec<Source> {
    let proof =
        ["bench/", "xtask/", "crates/chaos", "crates/model", "crates/sim", "crates/testkit"];
    let mut all = rust_sources();
    all.retain(|s| !s.is_test && !proof.iter().any(|p| s.path.starts_with(p)));
    all
}

/// What the API's bodies share with the nouns that they show.
const SHOWN: [&str; 6] = ["Campaign", "Drift", "Offer", "Price", "Reconcile", "Report"];

/// One word, one meaning: in the product a type's name is declared once. Entities of tables are
/// called as their library wants it, and a body of the API as what it shows.
#[test]
fn a_types_name_has_one_meaning() {
    let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for s in product().iter().filter(|s| !s.path.contains("store/src/entity/")) {
        for (_, line) in s.code() {
            let bare = ["pub ", "pub(crate) ", "pub(super) "];
            let line = bare.iter().find_map(|p| line.strip_prefix(p)).unwrap_or(line);
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            if let (Some("struct" | "enum" | "trait" | "type"), Some(name)) =
                (words.next(), words.next())
            {
                declared.entry(name.to_owned()).or_default().push(s.path.clone());
            }
        }
    }
    assert!(declared.len() > 300, "{} types", declared.len());
    declared.retain(|name, places| {
        let shown = SHOWN.contains(&name.as_str())
            && places.len() == 2
            && places.iter().any(|p| p.starts_with("crates/contract/"));
        places.len() > 1 && !shown
    });
    assert!(declared.is_empty(), "names with more than one meaning: {declared:#?}");
}

/// A parameter that is a pattern over a tuple hides how many there are: what belongs together is a
/// struct and has a name, what does not is a parameter of its own.
#[test]
fn parameters_are_no_tuples_in_disguise() {
    let mut found = Vec::new();
    for s in product() {
        for (n, line) in s.code() {
            let patterns = line.match_indices("): (").map(|(end, _)| &line[..end]);
            let is_parameter = |before: &str| {
                let Some(at) = before.rfind('(') else { return false };
                let names = before[at + 1..].chars();
                let plain = |c: char| c.is_alphanumeric() || c == '_' || c == ',' || c == ' ';
                names.clone().count() > 0
                    && before[at..].contains(',')
                    && names.clone().all(plain)
                    && !before[..at].trim_end().ends_with(['|', '='])
                    && !before[..at].trim_end().ends_with("let")
            };
            if patterns.into_iter().any(is_parameter) && !line.contains('|') {
                found.push(format!("{}:{n}: {}", s.path, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "tuples as parameters:\n  {}", found.join("\n  "));
}

/// A mutant stands in the first lines of a function that is a rule: the rule has a name, and reads
/// as if there were no mutants.
#[test]
fn mutants_stand_at_the_door_of_a_rule() {
    let (mut found, mut all) = (Vec::new(), 0);
    // Put together, so that this file does not find itself.
    let on = ["mutants::", "on("].concat();
    for s in rust_sources().iter().filter(|s| !s.path.starts_with("crates/mutants/")) {
        let lines: Vec<&str> = s.lines().collect();
        for (n, line) in lines.iter().enumerate().filter(|(_, l)| l.contains(&on)) {
            all += 1;
            if !line.trim_start().starts_with(&format!("if {on}")) || !is_at_the_door(&lines[..n]) {
                found.push(format!("{}:{}: {}", s.path, n + 1, line.trim()));
            }
        }
    }
    assert!(all > 40, "{all} mutants");
    assert!(found.is_empty(), "mutants in the middle:\n  {}", found.join("\n  "));
}

/// True when nothing but other mutants stands between the head of a function and here.
fn is_at_the_door(before: &[&str]) -> bool {
    let mut rest = before;
    // A mutant before this one: three lines that end with a brace.
    while let [.., first, _, "        }" | "    }"] = rest
        && first.contains(&["mutants::", "on("].concat())
    {
        rest = &rest[..rest.len() - 3];
    }
    let head = rest.iter().rposition(|l| l.contains("fn "));
    let opens = rest.last().is_some_and(|l| l.ends_with('{'));
    opens && head.is_some_and(|at| !rest[at..].iter().any(|l| l.ends_with(';')))
}
