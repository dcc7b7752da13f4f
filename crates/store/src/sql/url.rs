//! A database's URL: which driver, whether statements go through TLS, and what is wrong with it.
//!
//! Without `ssl-mode` there is no TLS: a server must not decide that. Texts for people never have
//! the password.

use std::path::PathBuf;

use runtime::config::without_password;
use runtime::tls::Files;
use sea_orm::DbBackend;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

/// What a URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabasePlace {
    pub backend: DbBackend,
    /// True when statements go through TLS.
    pub tls: bool,
    /// `host:port`, or nothing for a file.
    pub name: String,
}

impl DatabasePlace {
    /// The error is one line without the password.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        if url.starts_with("sqlite:") {
            let (tls, name) = (false, String::new());
            return Ok(Self { backend: DbBackend::Sqlite, tls, name });
        }
        if !url.starts_with("mysql:") {
            return Err("a database URL starts with mysql:// or sqlite://".to_owned());
        }
        let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", without_password(url));
        let options = url.parse::<MySqlConnectOptions>().map_err(|e| wrong(&e))?;
        files(url).client().map_err(|e| wrong(&e))?;
        let name = format!("{}:{}", options.get_host(), options.get_port());
        Ok(Self { backend: DbBackend::MySql, tls: has_tls(url, &options), name })
    }
}

/// The driver's own default is to let the server decide.
pub(super) fn settled(url: &str, options: MySqlConnectOptions) -> MySqlConnectOptions {
    match has_tls(url, &options) {
        true => options,
        false => options.ssl_mode(MySqlSslMode::Disabled),
    }
}

fn has_tls(url: &str, options: &MySqlConnectOptions) -> bool {
    let said = parameter(url, ["ssl-mode", "sslmode"]).is_some();
    said && !matches!(options.get_ssl_mode(), MySqlSslMode::Disabled | MySqlSslMode::Preferred)
}

/// The certificates that the URL names; the driver reads them at every connect.
fn files(url: &str) -> Files {
    let path = |names| parameter(url, names).map(PathBuf::from).unwrap_or_default();
    Files {
        ca: path(["ssl-ca", "sslca"]),
        cert: path(["ssl-cert", "sslcert"]),
        key: path(["ssl-key", "sslkey"]),
    }
}

fn parameter(url: &str, names: [&str; 2]) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    // Of several the driver takes the last.
    let mut pairs = query.rsplit('&').filter_map(|p| p.split_once('='));
    let value = pairs.find(|(key, _)| names.contains(key))?.1;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_what_the_url_says_and_nothing_else() {
        for (query, tls) in [
            ("", false),
            ("?charset=utf8mb4", false),
            ("?ssl-mode=DISABLED", false),
            ("?ssl-mode=REQUIRED", true),
            ("?sslmode=verify_identity", true),
            ("?charset=utf8mb4&ssl-mode=VERIFY_CA", true),
        ] {
            let url = format!("mysql://me:hunter2@h:3307/d{query}");
            let place = DatabasePlace::of(&url).unwrap();
            assert_eq!((place.tls, place.name.as_str()), (tls, "h:3307"), "{query}");
            let options = settled(&url, url.parse().unwrap());
            assert_eq!(matches!(options.get_ssl_mode(), MySqlSslMode::Disabled), !tls, "{query}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for (url, why) in [
            ("postgres://me:hunter2@h/d", "starts with mysql://"),
            ("mysql://me:hunter2@h:port/d", "port"),
            ("mysql://me:hunter2@h/d?ssl-mode=SOMETIMES", "SOMETIMES"),
            ("mysql://me:hunter2@h/d?ssl-mode=VERIFY_CA&ssl-ca=/is/not%20there", "/is/not there"),
        ] {
            let e = DatabasePlace::of(url).unwrap_err();
            assert!(e.contains(why) && !e.contains("hunter2") && e.lines().count() == 1, "{e}");
        }
    }
}
