//! `sluicegate.toml`: the configuration with which the product runs on this stack.
//!
//! The secrets are fixed on purpose: two runs on one stack must agree on ids and tokens. They are
//! worth nothing outside of a development machine.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::layout::{Layout, MARIADB_SERVERS, Server};
use super::secure::{self, Secure};
use super::{mariadb, pulsar};

/// 64 hex characters; the product derives ids from it.
const IDENTITY_SECRET: &str = "5d1f0c7a93e84b26af5012d3c4b7968e1a2b3c4d5e6f708192a3b4c5d6e7f809";

/// At least 32 bytes; signs the buyers' tokens.
const HS256_SECRET: &str = "stack-development-token-secret-of-40-bytes";

/// The operator's token on the admin listener.
const OPERATOR_TOKEN: &str = "stack-operator-token";

/// Partitions of the order topics.
const PARTITIONS: u8 = 4;

/// As whom the servers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Product,
    /// With rights that the product does not have; only where there is access control.
    Operator,
}

/// Writes what there is to write, unless it says the same already.
pub(super) fn write(layout: &Layout) -> Result<()> {
    settle(layout.config_file(), render(layout, Who::Product))?;
    match secure::of(layout) {
        Some(_) => settle(layout.operator_file(), render(layout, Who::Operator)),
        None => Ok(()),
    }
}

fn settle(path: PathBuf, text: String) -> Result<()> {
    if fs::read_to_string(&path).is_ok_and(|current| current == text) {
        return Ok(());
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn render(layout: &Layout, who: Who) -> String {
    let nodes: Vec<String> =
        Server::redis_nodes().map(|node| format!("127.0.0.1:{}", layout.port(node))).collect();
    let secure = secure::of(layout);
    let (tls, s) = (secure.is_some(), if secure.is_some() { "s" } else { "" });
    format!(
        r#"# Written by `cargo xtask stack up`; the secrets are for development only.
[identity]
secret = "{IDENTITY_SECRET}"

[auth]
hs256_secret = "{HS256_SECRET}"

[gate]
listen = "127.0.0.1:{gate}"

[admin]
listen = "127.0.0.1:{admin}"
token = "{OPERATOR_TOKEN}"

[cells]
backend = "redis"
nodes = {nodes}
{cells}
[store]
databases = {databases}

[log]
backend = "pulsar"
url = "pulsar{ssl}://127.0.0.1:{broker}"
admin_url = "http{s}://127.0.0.1:{broker_admin}"
namespace = "{namespace}"
partitions = {PARTITIONS}
# Little enough for the disk of a development machine.
retention_gib = 2
{log}"#,
        gate = layout.gate_port(),
        admin = layout.admin_port(),
        nodes = array(&nodes),
        cells = secure.as_ref().map(|s| cells(s, who)).unwrap_or_default(),
        databases = array(&databases(layout, who)),
        ssl = if tls { "+ssl" } else { "" },
        broker = layout.port(Server::Pulsar),
        broker_admin = layout.pulsar_admin_port(),
        namespace = pulsar::NAMESPACE,
        log = secure.as_ref().map(|s| log(s, who)).unwrap_or_default(),
    )
}

fn databases(layout: &Layout, who: Who) -> Vec<String> {
    let secure = secure::of(layout);
    let user = mariadb::USER;
    let login = match (&secure, who) {
        (_, Who::Operator) => "root:".to_owned(),
        (Some(_), Who::Product) => format!("{user}:{}", secure::MARIADB_PASSWORD),
        (None, Who::Product) => format!("{user}:{user}"),
    };
    let tls = |s: &Secure| format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={}", s.path("ca.pem"));
    let tls = secure.as_ref().map(tls).unwrap_or_default();
    let mut databases = Vec::new();
    for n in 1..=MARIADB_SERVERS {
        let port = layout.port(Server::Mariadb(n));
        for name in layout.databases(n) {
            databases.push(format!("mysql://{login}@127.0.0.1:{port}/{name}{tls}"));
        }
    }
    databases
}

fn cells(secure: &Secure, who: Who) -> String {
    let login = match who {
        Who::Product => format!(
            "user = \"{}\"\npassword_file = \"{}\"",
            secure::REDIS_USER,
            secure.path("redis.password")
        ),
        Who::Operator => {
            format!("user = \"operator\"\npassword = \"{}\"", secure::OPERATOR_PASSWORD)
        }
    };
    format!("{login}\ntls = true\nca_file = \"{}\"\n", secure.path("ca.pem"))
}

fn log(secure: &Secure, who: Who) -> String {
    let [operator, deployer, _] = secure::ROLES;
    let role = if who == Who::Operator { operator } else { deployer };
    let token = secure.path(&format!("{role}.token"));
    format!("token_file = \"{token}\"\nca_file = \"{}\"\n", secure.path("ca.pem"))
}

/// A TOML array with one string a line. The strings hold nothing that needs escaping.
fn array(items: &[String]) -> String {
    let lines: Vec<String> = items.iter().map(|item| format!("    \"{item}\",\n")).collect();
    format!("[\n{}]", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_every_server() {
        let text = render(&Layout::new(17_000), Who::Product);
        for part in ["127.0.0.1:17006", "17022/sluice_3", "pulsar://127.0.0.1:17050", "17080"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(IDENTITY_SECRET.len(), 64);
        assert!(HS256_SECRET.len() >= 32);
    }
}
