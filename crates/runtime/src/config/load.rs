//! Reads the configuration from its sources and checks what types cannot.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};

use serde::de::DeserializeOwned;

use super::key::Composed;
use super::walk;

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

/// Reads defaults, file, `SLUICEGATE__...` environment and flags, and checks what they say.
pub fn load<C: Composed>(sources: &Sources) -> Result<C, ConfigError> {
    let figment = Figment::from(Serialized::defaults(C::default()));
    let config = over(figment, sources)?.extract().map_err(explain::<C>)?;
    check(&config)?;
    Ok(config)
}

/// One part of a configuration, such as `cells` or `admin.token`, for a tool that needs no more of
/// it; the default where nothing is said. What goes together is not looked at. An error names the
/// key and never its value.
pub fn read<T: DeserializeOwned + Default>(
    sources: &Sources,
    path: &str,
) -> Result<T, ConfigError> {
    match over(Figment::new(), sources)?.extract_inner::<T>(path) {
        Ok(part) => Ok(part),
        Err(e) if e.missing() => Ok(T::default()),
        Err(e) => {
            let key = if e.path.is_empty() { path.to_owned() } else { e.path.join(".") };
            Err(ConfigError(format!("{key}: it is unknown here, or its value is of another type")))
        }
    }
}

fn over(mut figment: Figment, sources: &Sources) -> Result<Figment, ConfigError> {
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
    if let Some(dir) = &sources.data_dir {
        figment = figment.merge(Serialized::default("data_dir", dir));
    }
    Ok(figment)
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

fn explain<C: Composed>(e: figment::Error) -> ConfigError {
    let lines: Vec<String> = e
        .into_iter()
        .map(|one| {
            let source = one.metadata.as_ref().map(|m| m.name.to_string()).unwrap_or_default();
            let place = if one.path.is_empty() { String::new() } else { one.path.join(".") + ": " };
            let what = match walk::is_hidden::<C>(&one.path) {
                true => "a text in quotes is expected".to_owned(),
                false => one.kind.to_string(),
            };
            format!("{place}{what} ({source})")
        })
        .collect();
    ConfigError(lines.join("; "))
}

/// Checks what types cannot: ranges, addresses, secrets that are too short, what goes together.
/// Whoever fills in secrets from elsewhere calls it again.
pub fn check<C: Composed>(c: &C) -> Result<(), ConfigError> {
    let mut bad = walk::broken(c);
    bad.extend(c.wrong());
    if bad.is_empty() { Ok(()) } else { Err(ConfigError(bad.join("; "))) }
}

#[cfg(test)]
mod tests;
