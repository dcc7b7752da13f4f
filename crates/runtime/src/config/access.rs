//! What the configuration may say about credentials and TLS. What contradicts itself is refused,
//! and so is what a library would silently ignore: a misspelt parameter would mean no TLS.

use std::path::Path;

use super::{Config, LogBackend};

/// The parameters that the database driver knows.
const PARAMETERS: [&str; 12] = [
    "ssl-mode",
    "sslmode",
    "ssl-ca",
    "sslca",
    "ssl-cert",
    "sslcert",
    "ssl-key",
    "sslkey",
    "charset",
    "collation",
    "statement-cache-capacity",
    "socket",
];

/// How a connection is secured. `PREFERRED` is none of them: it means that a server decides.
const MODES: [&str; 4] = ["DISABLED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"];

/// One line for each thing that cannot be meant so. Never a credential.
pub(super) fn broken(c: &Config) -> Vec<String> {
    let mut bad = cells(c);
    bad.extend(log(c));
    for (n, url) in c.store.databases.iter().enumerate().filter(|(_, u)| u.starts_with("mysql:")) {
        bad.extend(database(url).err().map(|e| format!("store.databases[{n}]: {e}")));
        if set(&c.store.password_file) && has_password(url) {
            let what = "has a password, and store.password_file is set";
            bad.push(format!("store.databases[{n}]: {what}"));
        }
    }
    bad
}

fn set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

fn cells(c: &Config) -> Vec<String> {
    let c = &c.cells;
    let files = set(&c.ca_file) || set(&c.cert_file) || set(&c.key_file);
    told(&[
        (!c.password.is_empty() && set(&c.password_file), "cells.password: or its file, not both"),
        (
            !c.user.is_empty() && c.password.is_empty() && !set(&c.password_file),
            "cells.user: needs cells.password or cells.password_file",
        ),
        (files && !c.tls, "cells.ca_file, cert_file, key_file: need cells.tls = true"),
        (set(&c.cert_file) != set(&c.key_file), "cells.cert_file and cells.key_file: both or none"),
    ])
}

fn log(c: &Config) -> Vec<String> {
    let pulsar = c.log.backend == LogBackend::Pulsar;
    let c = &c.log;
    let starts = |url: &str, with: [&str; 2]| with.iter().any(|w| url.starts_with(w));
    let both = [c.url.starts_with("pulsar+ssl://"), c.admin_url.starts_with("https://")];
    let (tls, half) = (both[0] || both[1], both[0] != both[1]);
    let secret = !c.token.is_empty() || set(&c.token_file);
    told(&[
        (
            pulsar && !starts(&c.url, ["pulsar://", "pulsar+ssl://"]),
            "log.url: pulsar://host:port or pulsar+ssl://host:port",
        ),
        (
            pulsar && (!starts(&c.admin_url, ["http://", "https://"]) || !is_bare(&c.admin_url)),
            "log.admin_url: http://host:port or https://host:port, and nothing else",
        ),
        (!c.token.is_empty() && set(&c.token_file), "log.token: or its file, not both"),
        (pulsar && secret && half, "log.token: log.url and log.admin_url with TLS, or neither"),
        (set(&c.ca_file) && !tls, "log.ca_file: neither log.url nor log.admin_url asks for TLS"),
    ])
}

fn told(all: &[(bool, &str)]) -> Vec<String> {
    all.iter().filter(|(wrong, _)| *wrong).map(|(_, text)| (*text).to_owned()).collect()
}

/// True for a URL that is a host, with or without a port: nothing else of it would be used.
fn is_bare(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest.trim_end_matches('/'));
    !rest.is_empty() && !rest.contains(['@', '/', '?', '#'])
}

fn has_password(url: &str) -> bool {
    let login = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    login.is_some_and(|(login, _)| login.contains(':'))
}

/// The parameters of a database's URL.
fn database(url: &str) -> Result<(), String> {
    // What is behind it the driver does not read as parameters.
    if url.contains('#') {
        return Err("has a '#'; in a password it is %23".to_owned());
    }
    let Some((_, query)) = url.split_once('?') else { return Ok(()) };
    let mut mode = "DISABLED".to_owned();
    let mut needs_tls = None;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !PARAMETERS.contains(&key) {
            let key: String = key.chars().take(40).collect();
            return Err(format!(
                "no parameter {key:?}; of TLS there are ssl-mode, ssl-ca, ssl-cert, ssl-key"
            ));
        }
        match key.replace('-', "").as_str() {
            "sslmode" => mode = value.to_ascii_uppercase(),
            "sslca" => needs_tls = Some("ssl-ca needs ssl-mode=VERIFY_IDENTITY or VERIFY_CA"),
            "sslcert" | "sslkey" if needs_tls.is_none() => {
                needs_tls = Some("ssl-cert and ssl-key need an ssl-mode with TLS");
            }
            _ => {}
        }
    }
    if !MODES.contains(&mode.as_str()) {
        return Err(format!("ssl-mode is one of {}", MODES.join(", ")));
    }
    let ca = needs_tls.is_some_and(|n| n.starts_with("ssl-ca"));
    match needs_tls {
        Some(needs) if mode == "DISABLED" || (ca && !mode.starts_with("VERIFY")) => {
            Err(needs.to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, load};

    fn told(sets: &[&str]) -> String {
        let sets = sets.iter().map(|s| (*s).to_owned()).collect();
        load(&Sources { sets, ..Sources::default() }).err().map(|e| e.0).unwrap_or_default()
    }

    #[test]
    fn contradictions_are_refused_in_one_line() {
        for (sets, why) in [
            (&["cells.password=hunter2", "cells.password_file=/p"][..], "not both"),
            (&["cells.user=me"], "cells.user: needs"),
            (&["cells.ca_file=/ca"], "cells.tls = true"),
            (&["cells.tls=true", "cells.cert_file=/c"], "both or none"),
            (&["log.token=hunter2", "log.token_file=/t"], "not both"),
            (&["log.ca_file=/ca", "log.url=pulsar://h:1"], "asks for TLS"),
            (&["log.backend=pulsar", "log.url=pulsarx://h"], "pulsar+ssl://"),
            (
                &[
                    "log.backend=pulsar",
                    "log.url=pulsar+ssl://h:1",
                    "log.admin_url=http://h",
                    "log.token=hunter2",
                ],
                "with TLS, or neither",
            ),
            (&["log.backend=pulsar", "log.admin_url=httpx://h"], "https://"),
            (&["log.backend=pulsar", "log.admin_url=http://me:hunter2@h:1"], "nothing else"),
            (&["log.backend=pulsar", "log.admin_url=https://h/admin"], "nothing else"),
            (&["log.backend=pulsar", "log.admin_url=https://"], "nothing else"),
            (
                &["store.databases=[\"mysql://me:hunter2@h/d\"]", "store.password_file=/p"],
                "store.databases[0]: has a password",
            ),
        ] {
            let e = told(sets);
            assert!(e.contains(why) && e.lines().count() == 1, "{sets:?}: {e}");
            assert!(!e.contains("hunter2"), "{e}");
        }
        let fine = ["cells.tls=true", "cells.ca_file=/ca", "cells.user=me", "cells.password=x"];
        assert_eq!(told(&fine), "");
        assert_eq!(told(&["log.url=pulsar+ssl://h:1", "log.ca_file=/ca", "log.token=x"]), "");
    }

    #[test]
    fn parameters_of_a_database() {
        let of = |query: &str| told(&[&format!("store.databases=[\"mysql://me@h/d{query}\"]")]);
        for fine in [
            "",
            "?ssl-mode=DISABLED",
            "?ssl-mode=verify_identity&ssl-ca=/ca",
            "?sslmode=VERIFY_CA&sslca=/ca",
            "?ssl-mode=REQUIRED&ssl-cert=/c&ssl-key=/k",
            "?charset=utf8mb4",
        ] {
            assert_eq!(of(fine), "", "{fine}");
        }
        for (wrong, why) in [
            ("?ssl_mode=VERIFY_IDENTITY", "no parameter"),
            ("?sslMode=REQUIRED", "no parameter"),
            ("?tls=true", "no parameter"),
            ("?ssl-mode=PREFERRED", "is one of"),
            ("#x?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca", "has a '#'"),
            ("?ssl-mode=", "is one of"),
            ("?ssl-mode", "is one of"),
            ("?ssl-ca=/ca", "ssl-ca needs"),
            ("?ssl-ca=/ca&ssl-mode=REQUIRED", "ssl-ca needs"),
            ("?ssl-mode=DISABLED&ssl-cert=/c", "need an ssl-mode"),
            ("?ssl-mode=VERIFY_IDENTITY&ssl-mode=DISABLED&ssl-ca=/ca", "ssl-ca needs"),
        ] {
            let e = of(wrong);
            assert!(e.contains(why) && e.contains("store.databases[0]"), "{wrong}: {e}");
        }
    }
}
