//! `sluicegate.toml`: the configuration with which the product runs on this stack.
//!
//! The secrets are fixed on purpose: two runs on one stack must agree on ids and tokens. They are
//! worth nothing outside of a development machine.

use std::fs;

use anyhow::{Context, Result};

use super::layout::{Layout, MARIADB_SERVERS, Server};
use super::{mariadb, pulsar};

/// 64 hex characters; the product derives ids from it.
const IDENTITY_SECRET: &str = "5d1f0c7a93e84b26af5012d3c4b7968e1a2b3c4d5e6f708192a3b4c5d6e7f809";

/// At least 32 bytes; signs the buyers' tokens.
const HS256_SECRET: &str = "stack-development-token-secret-of-40-bytes";

/// The operator's token on the admin listener.
const OPERATOR_TOKEN: &str = "stack-operator-token";

/// Partitions of the order topics.
const PARTITIONS: u8 = 4;

/// Writes the file unless it says the same already.
pub fn write(layout: &Layout) -> Result<()> {
    let (path, text) = (layout.config_file(), render(layout));
    if fs::read_to_string(&path).is_ok_and(|current| current == text) {
        return Ok(());
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn render(layout: &Layout) -> String {
    let nodes: Vec<String> =
        Server::redis_nodes().map(|node| format!("127.0.0.1:{}", layout.port(node))).collect();
    let user = mariadb::USER;
    let mut databases = Vec::new();
    for n in 1..=MARIADB_SERVERS {
        let port = layout.port(Server::Mariadb(n));
        for name in layout.databases(n) {
            databases.push(format!("mysql://{user}:{user}@127.0.0.1:{port}/{name}"));
        }
    }
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

[store]
databases = {databases}

[log]
backend = "pulsar"
url = "pulsar://127.0.0.1:{broker}"
admin_url = "http://127.0.0.1:{broker_admin}"
namespace = "{namespace}"
partitions = {PARTITIONS}
# Little enough for the disk of a development machine.
retention_gib = 2
"#,
        gate = layout.gate_port(),
        admin = layout.admin_port(),
        nodes = array(&nodes),
        databases = array(&databases),
        broker = layout.port(Server::Pulsar),
        broker_admin = layout.pulsar_admin_port(),
        namespace = pulsar::NAMESPACE,
    )
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
        let text = render(&Layout::new(17_000));
        for part in ["127.0.0.1:17006", "17022/sluice_3", "pulsar://127.0.0.1:17050", "17080"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert_eq!(IDENTITY_SECRET.len(), 64);
        assert!(HS256_SECRET.len() >= 32);
    }
}
