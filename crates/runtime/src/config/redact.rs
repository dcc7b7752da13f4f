//! The configuration without its secrets.

use super::Config;

/// The last part of the keys whose values are never shown, not even where they are wrong.
const SECRET: [&str; 6] = ["secret", "hs256_secret", "hs256_old", "password", "token", "databases"];

/// True for a path of keys whose value is not to be shown.
pub(super) fn is_secret(path: &[String]) -> bool {
    path.iter().any(|key| SECRET.contains(&key.as_str()))
}

/// The configuration in force as TOML, secrets and passwords replaced.
pub fn print_redacted(config: &Config) -> String {
    let mut c = config.clone();
    let hide = |s: &mut String| {
        if !s.is_empty() {
            *s = "<redacted>".into();
        }
    };
    hide(&mut c.identity.secret);
    hide(&mut c.auth.hs256_secret);
    c.auth.hs256_old.iter_mut().for_each(hide);
    hide(&mut c.admin.token);
    hide(&mut c.cells.password);
    hide(&mut c.log.token);
    for url in c.store.databases.iter_mut().chain([&mut c.log.url, &mut c.log.admin_url]) {
        *url = without_password(url);
    }
    toml::to_string(&c).unwrap_or_else(|e| format!("# cannot be printed: {e}\n"))
}

/// A URL for people: what stands for a password is replaced.
pub fn without_password(url: &str) -> String {
    let Some((head, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((login, host)) => match login.split_once(':') {
            Some((name, _)) => format!("{head}://{name}:<redacted>@{host}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load};
    use super::*;

    fn with(sets: &[&str]) -> Result<Config, String> {
        let sets = sets.iter().map(|s| (*s).to_owned()).collect();
        load(&Sources { sets, ..Sources::default() }).map_err(|e| e.0)
    }

    #[test]
    fn printing_hides_secrets() {
        let c = with(&[
            "identity.secret=0123456789abcdef",
            "admin.token=0123456789abcdef",
            "cells.password=0123456789abcdef",
            "log.token=0123456789abcdef",
            "log.url=pulsar://me:hunter2@h:1",
            "log.admin_url=http://me:hunter2@h:1",
            "store.databases=[\"mysql://me:hunter2@h/db\", \"mysql://me:hunter2/@:x@h/db\"]",
        ]);
        let text = print_redacted(&c.unwrap());
        assert!(!text.contains("0123456789abcdef") && !text.contains("hunter2"), "{text}");
        assert!(text.contains("me:<redacted>@h/db"));
    }

    /// A password of digits is no text; the error must not be the place where it is read.
    #[test]
    fn a_secret_of_the_wrong_type_is_not_shown() {
        for wrong in [
            "cells.password=987654321987",
            "log.token=987654321987",
            "identity.secret=987654321987",
            "admin.token=987654321987",
            "store.databases=987654321987",
            "store.databases=[987654321987]",
            "auth.hs256_old=[987654321987]",
        ] {
            let e = with(&[wrong]).unwrap_err();
            let key = wrong.split('=').next().unwrap();
            assert!(!e.contains("987654321987") && e.contains(key), "{e}");
            assert!(e.contains("quotes"), "{e}");
        }
    }

    #[test]
    fn urls_without_a_password_stay() {
        for url in ["mysql://me@h/d", "mysql://h/d", "sqlite:x", "pulsar+ssl://h:1"] {
            assert_eq!(without_password(url), url);
        }
    }
}
