//! Which databases there are, and how they are reached.
//!
//! What contradicts itself is refused, and so is what the driver would silently ignore: a misspelt
//! parameter would mean no TLS.

use std::path::PathBuf;

use runtime::secret::Secret;

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

runtime::section! {
    /// Databases.
    pub struct StoreSection, checked by wrong {
        /// `mysql://user:password@host:port/database`, one per database; empty = SQLite in the data
        /// folder. The order and number never change without moving shards. TLS where the URL says
        /// so: `?ssl-mode=VERIFY_IDENTITY&ssl-ca=FILE`; without `ssl-mode` there is none.
        databases: Vec<String> = Vec::new(), url;
        /// A file with the password of all databases, read at every new pool; their URLs have none
        /// then.
        password_file: PathBuf = PathBuf::new();
        /// Connections per database.
        connections: u32 = 8, range(2..=64);
        /// The most time a transaction may take; for a connection it waits half of that, when all
        /// are in use.
        timeout_ms: u64 = 2000, range(100..=60_000);
    }
}

impl StoreSection {
    /// The password of URLs that have none.
    pub fn secret(&self) -> Secret {
        Secret::of("", &self.password_file)
    }
}

/// One line for each thing that cannot be meant so. Never a credential.
fn wrong(c: &StoreSection) -> Vec<String> {
    let mut bad = Vec::new();
    for (n, url) in c.databases.iter().enumerate().filter(|(_, u)| u.starts_with("mysql:")) {
        bad.extend(parameters(url).err().map(|e| format!("databases[{n}]: {e}")));
        if !c.password_file.as_os_str().is_empty() && has_password(url) {
            let what = "has a password, and store.password_file is set";
            bad.push(format!("databases[{n}]: {what}"));
        }
    }
    bad
}

fn has_password(url: &str) -> bool {
    let login = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    login.is_some_and(|(login, _)| login.contains(':'))
}

/// The parameters of a database's URL.
fn parameters(url: &str) -> Result<(), String> {
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
