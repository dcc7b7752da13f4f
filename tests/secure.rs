//! The product on servers that demand credentials and TLS, with the rights that
//! docs/operations.md names: a sale, credentials that change meanwhile, and everything that an
//! operator may get wrong. Needs `cargo xtask stack up --secure --port-base 17100`.
#![cfg(feature = "pulsar")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod secure_wrong;
mod stand;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use stand::Stand;
use testkit::stack;

/// How long a credential that was put right may take to be used.
const SOON: Duration = Duration::from_secs(40);

#[test]
fn a_sale_with_the_least_rights() {
    let folder = stack::secure().unwrap();
    let token = format!("log.token_file={}", folder.join("sluicegate.token").display());
    let stand = Stand::start_with("least", &[&token, "reserve.wait_replicas=1"]);
    let sale = stand.loadtest(&["--requests", "3000", "--rate", "300", "--units", "1500"]);
    let out = stand.finish(sale);
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}\n{}", String::from_utf8_lossy(&out.stderr));
    let summary = stand::last_json(&text);
    assert_eq!(summary["table"]["rows_live"].as_i64(), Some(1500), "{summary}");
    stand.no_drift();
    for service in ["gate", "writer", "reconciler"] {
        let said = stand.said(service);
        assert!(!said.contains("NOPERM") && !said.contains("denied"), "{said}");
    }
}

/// A server that knows another credential, then the file that says the same.
struct Rotation<'a> {
    stand: &'a Stand,
    offer: String,
    n: u32,
}

impl Rotation<'_> {
    fn key(&mut self) -> (String, String) {
        self.n += 1;
        (format!("buyer{}", self.n), format!("key{}", self.n))
    }

    /// Waits until a service says this since `from`.
    fn says(&self, service: &str, from: usize, what: &str) {
        let until = Instant::now() + SOON;
        while !self.stand.said(service)[from..].contains(what) {
            let said = self.stand.said(service);
            assert!(Instant::now() < until, "{service} does not say {what}: {}", &said[from..]);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// An order from its request to its row.
    fn sells(&mut self) {
        let (buyer, key) = self.key();
        let id = self.stand.buy(&self.offer, &buyer, &key);
        let until = Instant::now() + SOON;
        loop {
            let order = self.stand.decided(&buyer, &id);
            match order["status"].as_str() {
                Some("pending") => return,
                Some("accepted" | "unconfirmed") | None => {}
                Some(other) => panic!("{other}: {order}"),
            }
            assert!(Instant::now() < until, "{order}");
        }
    }
}

#[test]
fn credentials_change_while_it_sells() {
    let folder = stack::secure().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, from: &str| {
        let to = dir.path().join(name);
        std::fs::write(&to, from).unwrap();
        to
    };
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (redis, token) = (text("redis.password"), text("sluicegate.token"));
    let (redis_file, token_file) = (file("redis", &redis), file("token", &token));
    let mariadb = "stack-mariadb-password";
    let mariadb_file = file("mariadb", &format!("{mariadb}\n"));
    let key = |key: &str, file: &Path| format!("{key}={}", file.display());
    let sets = [
        key("cells.password_file", &redis_file),
        key("log.token_file", &token_file),
        key("store.password_file", &mariadb_file),
    ];
    let mut stand = Stand::start_with("rotate", &sets.each_ref().map(String::as_str));
    let offer = stand.offer(100, None);
    let mut it = Rotation { stand: &stand, offer: offer.clone(), n: 0 };
    it.sells();

    // Redis: another password, all connections cut; gate and writer say why nothing goes.
    let (gate, tools) = (stand.said("gate").len(), stand.said("reconciler").len());
    let undo = Undo(|| at_every_node(&["ACL", "SETUSER", "sluicegate", &format!(">{redis}")]));
    at_every_node(&["ACL", "SETUSER", "sluicegate", "resetpass", ">another-password"]);
    at_every_node(&["CLIENT", "KILL", "USER", "sluicegate"]);
    it.says("reconciler", tools, "authentication failed");
    let (buyer, k) = it.key();
    let refused = stand.curl_buy(&offer, &buyer, &k);
    assert_eq!(refused["reason"], "dependency_down", "{refused}");
    it.says("gate", gate, "WRONGPASS");
    std::fs::write(&redis_file, "another-password\n").unwrap();
    it.sells();
    drop(undo);

    // MariaDB: the order waits for the database and is not put aside.
    let from = stand.said("writer").len();
    let undo = Undo(|| at_databases(mariadb));
    at_databases("another");
    stand.cut_databases("sluice");
    let (buyer, k) = it.key();
    let id = stand.buy(&offer, &buyer, &k);
    it.says("writer", from, "Access denied");
    std::fs::write(&mariadb_file, "another").unwrap();
    it.sells();
    assert!(stand.decided(&buyer, &id)["status"] != "rejected");
    drop(undo);
    std::fs::write(&mariadb_file, mariadb).unwrap();

    // Pulsar: a token that nobody signed, and a broker that is new.
    std::fs::write(&token_file, "not.a.token").unwrap();
    let from = stand.said("writer").len();
    stand.servers.kill("pulsar").unwrap();
    stand.servers.heal("pulsar").unwrap();
    let it = Rotation { stand: &stand, offer: offer.clone(), n: 100 };
    it.says("writer", from, "the broker refuses");
    std::fs::write(&token_file, &token).unwrap();
    let mut it = it;
    it.sells();
    stand.settled(&offer);
    stand.no_drift();
    let tasks: Value = stand.tasks();
    assert_eq!(tasks["tasks"].as_array().map(Vec::len), Some(0), "{tasks}");
}

fn at_every_node(command: &[&str]) {
    for node in stack::config().unwrap().cells.nodes {
        let port = node.rsplit_once(':').unwrap().1.to_owned();
        let out = stack::redis_cli(&port).unwrap().arg("-e").args(command).output().unwrap();
        assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stdout));
    }
}

/// Runs when it goes, also after a failure: others need the servers as they were.
struct Undo<F: Fn()>(F);

impl<F: Fn()> Drop for Undo<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Gives the product's user another password at every database server.
fn at_databases(password: &str) {
    for url in stack::config().unwrap().store.databases {
        let (server, _) = testkit::mariadb::Server::of(&url).unwrap();
        let change = format!("ALTER USER 'sluice'@'127.0.0.1' IDENTIFIED BY '{password}'");
        server.root().sql(&change).unwrap();
    }
}
