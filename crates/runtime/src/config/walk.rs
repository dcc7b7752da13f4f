//! What is done with every key there is: ranges are checked, secrets redacted, the reference is
//! written. All of it follows the declarations; nothing is listed a second time.

use toml::{Table, Value};

use super::key::{Composed, ConfigKey, KeyKind};
use super::redact::without_password;

/// Every key of a configuration with its path.
fn keys<C: Composed>() -> Vec<(Vec<&'static str>, &'static ConfigKey)> {
    fn add(
        at: &[&'static str],
        keys: &'static [ConfigKey],
        out: &mut Vec<(Vec<&'static str>, &'static ConfigKey)>,
    ) {
        for key in keys {
            let path = [at, &[key.name]].concat();
            match key.kind {
                KeyKind::Inner(inner) => add(&path, inner, out),
                KeyKind::Plain
                | KeyKind::Range(..)
                | KeyKind::Secret
                | KeyKind::Url
                | KeyKind::Listen
                | KeyKind::Unset(_) => out.push((path, key)),
            }
        }
    }
    let mut out = Vec::new();
    add(&[], C::TOP, &mut out);
    C::PARTS.iter().for_each(|part| add(&[part.name], part.keys, &mut out));
    out
}

/// True for a path of keys whose value is not to be shown, not even in an error.
pub(super) fn is_hidden<C: Composed>(path: &[String]) -> bool {
    let hidden = |key: &ConfigKey| match key.kind {
        KeyKind::Secret | KeyKind::Url => true,
        KeyKind::Plain
        | KeyKind::Range(..)
        | KeyKind::Listen
        | KeyKind::Unset(_)
        | KeyKind::Inner(_) => false,
    };
    // An element of a list has a path of its own, below its key's.
    let begins = |at: &[&str]| path.len() >= at.len() && path.iter().zip(at).all(|(a, b)| a == b);
    keys::<C>().iter().any(|(at, key)| hidden(key) && begins(at))
}

fn table<C: Composed>(c: &C) -> Result<Table, toml::ser::Error> {
    Table::try_from(c)
}

fn at<'a>(table: &'a mut Table, path: &[&str]) -> Option<&'a mut Value> {
    let (last, above) = path.split_last()?;
    let mut inner = table;
    for name in above {
        inner = inner.get_mut(*name)?.as_table_mut()?;
    }
    inner.get_mut(*last)
}

/// One line for each value that its key does not take. Not over TOML, whose numbers end where those
/// of the environment go on.
pub(super) fn broken<C: Composed>(c: &C) -> Vec<String> {
    let all = match figment::value::Value::serialize(c) {
        Ok(all) => all,
        Err(e) => return vec![format!("the configuration cannot be checked: {}", e.kind)],
    };
    let wrong = |(path, key): (Vec<&str>, &ConfigKey)| {
        let name = path.join(".");
        let value = all.find_ref(&name);
        match key.kind {
            KeyKind::Range(least, most) => {
                let number = value.and_then(figment::value::Value::to_u128);
                let fits = |n: u128| (u128::from(least)..=u128::from(most)).contains(&n);
                let shown = number.map_or("no whole number".to_owned(), |n| n.to_string());
                (!number.is_some_and(fits))
                    .then(|| format!("{name} = {shown}: must be {least} to {most}"))
            }
            KeyKind::Listen => {
                let text = value.and_then(figment::value::Value::as_str).unwrap_or_default();
                text.parse::<std::net::SocketAddr>()
                    .is_err()
                    .then(|| format!("{name}: {text:?}: a listen address is ip:port"))
            }
            KeyKind::Plain
            | KeyKind::Secret
            | KeyKind::Url
            | KeyKind::Unset(_)
            | KeyKind::Inner(_) => None,
        }
    };
    keys::<C>().into_iter().filter_map(wrong).collect()
}

/// The configuration in force as TOML in the order of the reference, secrets and passwords
/// replaced.
pub fn print_redacted<C: Composed>(c: &C) -> String {
    shown(c).unwrap_or_else(|e| format!("# cannot be printed: {e}\n"))
}

fn shown<C: Composed>(c: &C) -> Result<String, toml::ser::Error> {
    let mut all = table(c)?;
    for (path, key) in keys::<C>() {
        let Some(value) = at(&mut all, &path) else { continue };
        match key.kind {
            KeyKind::Secret => {
                texts(value, |s| if s.is_empty() { String::new() } else { "<redacted>".to_owned() })
            }
            KeyKind::Url => texts(value, without_password),
            KeyKind::Plain
            | KeyKind::Range(..)
            | KeyKind::Listen
            | KeyKind::Unset(_)
            | KeyKind::Inner(_) => {}
        }
    }
    let names = C::TOP.iter().map(|key| key.name).chain(C::PARTS.iter().map(|part| part.name));
    let mut out = String::new();
    for (name, value) in names.filter_map(|name| all.remove_entry(name)) {
        let space = if value.is_table() && !out.is_empty() { "\n" } else { "" };
        let one = Table::from_iter([(name, value)]);
        out.push_str(&format!("{space}{}", toml::to_string(&one)?));
    }
    Ok(out)
}

fn texts(value: &mut Value, show: impl Fn(&str) -> String + Copy) {
    match value {
        Value::String(s) => *s = show(s),
        Value::Array(all) => all.iter_mut().for_each(|v| texts(v, show)),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Table(_) => {}
    }
}

/// Every key with its meaning, its range and its default, commented out, as TOML.
pub fn reference<C: Composed>() -> String {
    let mut defaults = table(&C::default()).unwrap_or_default();
    let mut out = String::new();
    for key in C::TOP {
        one(&mut out, key, &[key.name], &mut defaults);
    }
    for part in C::PARTS {
        section(&mut out, &[part.name], part.about, part.keys, &mut defaults);
    }
    out
}

fn section(
    out: &mut String,
    path: &[&'static str],
    about: &str,
    keys: &'static [ConfigKey],
    defaults: &mut Table,
) {
    out.push('\n');
    wrapped(out, about);
    out.push_str(&format!("[{}]\n", path.join(".")));
    for key in keys {
        let path = [path, &[key.name]].concat();
        match key.kind {
            KeyKind::Inner(inner) => section(out, &path, key.doc, inner, defaults),
            KeyKind::Plain
            | KeyKind::Range(..)
            | KeyKind::Secret
            | KeyKind::Url
            | KeyKind::Listen
            | KeyKind::Unset(_) => one(out, key, &path, defaults),
        }
    }
}

fn one(out: &mut String, key: &ConfigKey, path: &[&str], defaults: &mut Table) {
    let range = match key.kind {
        KeyKind::Range(least, most) => format!(" From {} to {}.", grouped(least), grouped(most)),
        KeyKind::Plain
        | KeyKind::Secret
        | KeyKind::Url
        | KeyKind::Listen
        | KeyKind::Unset(_)
        | KeyKind::Inner(_) => String::new(),
    };
    wrapped(out, &format!("{}{range}", key.doc));
    match (key.kind, at(defaults, path)) {
        (KeyKind::Unset(example), _) => out.push_str(&format!("#? {} = {example:?}\n", key.name)),
        (_, Some(value)) => out.push_str(&format!("# {} = {value}\n", key.name)),
        (_, None) => {}
    }
}

/// 1,048,576.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A comment of lines within 100 columns.
fn wrapped(out: &mut String, text: &str) {
    let mut line = "##".to_owned();
    for word in text.replace('`', "").split_whitespace() {
        if line.len() + 1 + word.len() > 100 {
            out.push_str(&line);
            out.push('\n');
            line = "##".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}
