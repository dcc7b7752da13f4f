//! Reads the repository's own sources for the tidy tests.

use std::path::{Path, PathBuf};

/// One text file; `path` is relative to the root.
pub(crate) struct Source {
    /// With `/`.
    pub path: String,
    /// Everything.
    pub text: String,
    /// Tests and what only tests use.
    pub is_test: bool,
}

impl Source {
    /// The lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// (number, line) without comments and without the tests at the end of the file.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take_while(|l| *l != "#[cfg(test)]");
        lines
            .enumerate()
            .map(|(n, l)| (n + 1, l))
            .filter(|(_, l)| !l.trim_start().starts_with("//"))
    }

    /// (name, first line, length) of every function outside the tests.
    pub(crate) fn functions(&self) -> Vec<(String, usize, usize)> {
        let lines: Vec<&str> = self.text.lines().take_while(|l| *l != "#[cfg(test)]").collect();
        let mut found = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else {
                continue;
            };
            let Some(opens) = (at..lines.len()).find(|i| lines[*i].ends_with(['{', ';', '}']))
            else {
                continue;
            };
            if !lines[opens].ends_with('{') {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            let close = format!("{}}}", " ".repeat(indent));
            let end = (opens..lines.len()).find(|i| lines[*i] == close);
            found.push((name, at + 1, end.map_or(1, |e| e - at + 1)));
        }
        found
    }
}

fn function_name(line: &str) -> Option<String> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    Some(rest.split(['(', '<']).next().unwrap_or("").to_owned())
}

/// A line without what stands between quotes.
pub(crate) fn without_strings(line: &str) -> String {
    let mut out = String::new();
    let (mut inside, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            '"' if !escaped => inside = !inside,
            _ if !inside => out.push(c),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    match out.find("//") {
        Some(comment) => out[..comment].to_owned(),
        None => out,
    }
}

fn walk(dir: &Path, ends: &[&str], out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            let skipped = name.starts_with("target") || name == ".git" || name == "data";
            if !skipped {
                walk(&path, ends, out);
            }
        } else if ends.iter().any(|e| name.ends_with(e)) {
            out.push(path);
        }
    }
}

fn read(ends: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(root, ends, &mut paths);
    paths.sort();
    let sources = paths.into_iter().filter_map(|p| {
        let path = p.strip_prefix(root).ok()?.to_string_lossy().replace('\\', "/");
        let is_test = path.starts_with("tests/")
            || path.contains("/tests/")
            || path.ends_with("_tests.rs")
            || path.ends_with("/tests.rs")
            || path.contains("/benches/")
            || path.starts_with("crates/testkit/");
        Some(Source { text: std::fs::read_to_string(&p).ok()?, path, is_test })
    });
    sources.collect()
}

/// Every Rust file.
pub(crate) fn rust_sources() -> Vec<Source> {
    read(&[".rs"])
}

/// Every script.
pub(crate) fn lua_sources() -> Vec<Source> {
    read(&[".lua"])
}

/// Everything that people read or write.
pub(crate) fn all_texts() -> Vec<Source> {
    read(&[".rs", ".lua", ".toml", ".md", ".sh", ".yml", ".yaml", ".json", ".xml", ".conf", "/run"])
}
