//! Reads the configuration from its sources and checks what types cannot.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};

use super::{CellsBackend, Config, LogBackend, access, ranges, redact};

/// Why a configuration was refused; one line per problem.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Where the configuration comes from; later ones win.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config FILE`; must exist when given.
    pub file: Option<PathBuf>,
    /// `--set key.path=value`.
    pub sets: Vec<String>,
    /// `--data-dir DIR`.
    pub data_dir: Option<PathBuf>,
}

/// Reads defaults, file, `SLUICEGATE__...` environment and flags.
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = &sources.file {
        if !file.is_file() {
            let what = if file.exists() { "is no file" } else { "no such file" };
            return Err(ConfigError(format!("--config {}: {what}", file.display())));
        }
        is_toml(file)?;
        figment = figment.merge(Toml::file_exact(file));
    }
    figment = figment.merge(Env::prefixed("SLUICEGATE__").split("__"));
    for set in &sources.sets {
        figment = figment.merge(one_set(set)?);
    }
    let mut config: Config = figment.extract().map_err(explain)?;
    if let Some(dir) = &sources.data_dir {
        config.data_dir.0.clone_from(dir);
    }
    check(&config)?;
    Ok(config)
}

/// Says where a file stops being TOML. The library would show the line, and a secret that lacks its
/// quotes is on it.
fn is_toml(file: &Path) -> Result<(), ConfigError> {
    let fail = |what: String| Err(ConfigError(format!("--config {}: {what}", file.display())));
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) => return fail(e.to_string()),
    };
    let Err(e) = text.parse::<toml::Table>() else { return Ok(()) };
    let before = text.get(..e.span().map_or(0, |s| s.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    fail(format!("line {line}, column {column}: this is no TOML; a text is in quotes"))
}

/// `a.b=1` becomes the TOML `a.b = 1`; what is no TOML value is taken as text.
fn one_set(set: &str) -> Result<figment::providers::Data<Toml>, ConfigError> {
    // Not what was set: it may be a secret.
    let fail = || ConfigError("--set: expected key.path=value".to_owned());
    let (key, value) = set.split_once('=').ok_or_else(fail)?;
    if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(fail());
    }
    let literal = format!("{key} = {value}");
    if literal.parse::<toml::Table>().is_ok() {
        return Ok(Toml::string(&literal));
    }
    let text = toml::Value::String(value.to_owned());
    Ok(Toml::string(&format!("{key} = {text}")))
}

fn explain(e: figment::Error) -> ConfigError {
    let lines: Vec<String> = e
        .into_iter()
        .map(|one| {
            let source = one.metadata.as_ref().map(|m| m.name.to_string()).unwrap_or_default();
            let place = if one.path.is_empty() { String::new() } else { one.path.join(".") + ": " };
            let what = match redact::is_secret(&one.path) {
                true => "a text in quotes is expected".to_owned(),
                false => one.kind.to_string(),
            };
            format!("{place}{what} ({source})")
        })
        .collect();
    ConfigError(lines.join("; "))
}

/// Checks what types cannot: ranges, secrets that are too short, what goes together. Whoever fills
/// in secrets from elsewhere calls it again.
pub fn check(c: &Config) -> Result<(), ConfigError> {
    let mut bad = ranges::broken(c);
    bad.extend(access::broken(c));
    let mut need = |wrong: bool, text: &str| {
        if wrong {
            bad.push(text.to_owned());
        }
    };
    let short = |s: &str, n: usize| !s.is_empty() && s.len() < n;
    need(short(&c.identity.secret, 16), "identity.secret: at least 16 characters");
    need(short(&c.auth.hs256_secret, 32), "auth.hs256_secret: at least 32 characters");
    let old = c.auth.hs256_old.iter().any(|s| s.len() < 32);
    need(old, "auth.hs256_old: at least 32 characters each, they open as much as the present one");
    need(short(&c.admin.token, 16), "admin.token: at least 16 characters");
    let nobody = c.gate.proxy_protocol && c.gate.trusted_proxies.is_empty();
    need(nobody, "gate.proxy_protocol: needs gate.trusted_proxies, nobody else is believed");
    let redis = c.cells.backend == CellsBackend::Redis;
    need(redis && c.cells.nodes.is_empty(), "cells.nodes: needed with cells.backend = \"redis\"");
    need(redis && c.store.databases.is_empty(), "store.databases: needed with Redis");
    need(redis && c.identity.secret.is_empty(), "identity.secret: needed with Redis");
    need(redis && c.auth.hs256_secret.is_empty(), "auth.hs256_secret: needed with Redis");
    let waits = c.reserve.wait_replicas > 0;
    let text = "reserve.wait_replicas: embedded cells have no replicas to wait for; leave it 0";
    need(waits && !redis, text);
    let late = waits && c.reserve.wait_timeout_ms >= c.publish.max_age_ms;
    need(late, "reserve.wait_timeout_ms: must be less than publish.max_age_ms");
    let pulsar = c.log.backend == LogBackend::Pulsar;
    need(redis && !pulsar, "log.backend: \"pulsar\" goes with cells.backend = \"redis\"");
    for (service, listen) in [
        ("gate", &c.gate.listen),
        ("admin", &c.admin.listen),
        ("writer", &c.writer.listen),
        ("reconciler", &c.reconciler.listen),
    ] {
        let wrong = listen.parse::<std::net::SocketAddr>().is_err();
        need(wrong, &format!("{service}.listen: {listen:?}: a listen address is ip:port"));
    }
    if bad.is_empty() { Ok(()) } else { Err(ConfigError(bad.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(sets: &[&str]) -> Result<Config, ConfigError> {
        let sets = sets.iter().map(|s| (*s).to_owned()).collect();
        load(&Sources { sets, ..Sources::default() })
    }

    #[test]
    fn a_file_that_is_no_toml_shows_none_of_its_text() {
        for (text, at) in [
            ("[cells]\npassword = \"hunter2\n", "line 2"),
            ("[cells]\npassword = hunter2\n", "line 2"),
            ("[log]\n\ntoken = \"a\" hunter2", "line 3"),
            ("hunter2", "line 1"),
            ("[store]\ndatabases = [\"mysql://me:hunter2@h/d\", \\hunter2]", "line 2"),
            ("[cells]\npassword = \"\\hunter2\"", "line 2"),
        ] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
            let e = load(&sources).unwrap_err().0;
            assert!(e.contains(at) && !e.contains("hunter2") && e.lines().count() == 1, "{e}");
        }
        for set in ["cells.pass word=hunter2", "=hunter2", "hunter2"] {
            let e = with(&[set]).unwrap_err().0;
            assert!(!e.contains("hunter2"), "{e}");
        }
    }

    #[test]
    fn flags_set_values_of_every_type() {
        let c = with(&["gate.listen=127.0.0.1:1", "reserve.batch=7", "limits.ip.per_second=9"]);
        let c = c.unwrap();
        assert_eq!((c.gate.listen.as_str(), c.reserve.batch), ("127.0.0.1:1", 7));
        assert_eq!(c.limits.ip.per_second, 9);
    }

    #[test]
    fn unknown_keys_and_bad_values_name_their_place() {
        let e = with(&["gate.listne=127.0.0.1:1"]).unwrap_err().0;
        assert!(e.contains("gate") && e.contains("listne"), "{e}");
        let e = with(&["reserve.batch=0"]).unwrap_err().0;
        assert!(e.contains("reserve.batch"), "{e}");
        let e = with(&["cells.backend=redis"]).unwrap_err().0;
        assert!(e.contains("cells.nodes") && e.contains("identity.secret"), "{e}");
        assert!(with(&["nonsense"]).is_err());
        let e = with(&["reserve.wait_replicas=6"]).unwrap_err().0;
        assert!(e.contains("reserve.wait_replicas = 6: must be 0 to 5"), "{e}");
        let e = with(&["reserve.wait_replicas=1"]).unwrap_err().0;
        assert_eq!(e.lines().count(), 1);
        assert!(e.contains("embedded cells have no replicas"), "{e}");
    }

    /// Paths of all whole numbers.
    fn numbers(at: &str, value: &toml::Value, into: &mut Vec<String>) {
        match value {
            toml::Value::Table(t) => {
                let dot = if at.is_empty() { "" } else { "." };
                t.iter().for_each(|(k, v)| numbers(&format!("{at}{dot}{k}"), v, into));
            }
            toml::Value::Integer(_) => into.push(at.to_owned()),
            _ => {}
        }
    }

    #[test]
    fn every_number_has_a_range() {
        let mut all = Vec::new();
        numbers("", &toml::Value::try_from(Config::default()).unwrap(), &mut all);
        assert!(all.len() > 40, "{all:?}");
        for key in all {
            for wrong in ["-1", "4294967295", "9007199254740993", "1e30", "1.5", "x"] {
                let e = with(&[&format!("{key}={wrong}")]).expect_err(&format!("{key}={wrong}")).0;
                let last = key.rsplit('.').next().unwrap();
                assert!(e.contains(last) && e.lines().count() == 1, "{key}={wrong}: {e}");
            }
        }
        let e = with(&["gate.threads=100000"]).unwrap_err().0;
        assert_eq!(e, "gate.threads = 100000: must be 0 to 1024");
    }

    #[test]
    fn proxies() {
        let net = |text: &str| format!("gate.trusted_proxies={text}");
        let nets = net("[\"10.0.0.0/8\", \"::1\"]");
        assert_eq!(with(&[&nets]).unwrap().gate.trusted_proxies.len(), 2);
        assert!(with(&[&nets, "gate.proxy_protocol=true"]).is_ok());
        let e = with(&["gate.proxy_protocol=true"]).unwrap_err().0;
        assert!(e.contains("gate.trusted_proxies"), "{e}");
        for wrong in ["[\"10.0.0.0/99\"]", "[\"proxy\"]", "[7]", "true"] {
            let e = with(&[&net(wrong)]).unwrap_err().0;
            assert!(e.contains("trusted_proxies"), "{wrong}: {e}");
        }
    }
}
