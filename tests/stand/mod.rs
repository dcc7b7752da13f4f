//! Gate, writer and reconciler as processes on the real servers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test's helper")]
#![allow(dead_code, reason = "each test uses what it needs")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::process::{self, Databases, PATIENCE, Service};
use testkit::stack::{self, Disruption};

const TOKEN: &str = "stack-operator-token";

/// One deployment; its processes end with it, what was done to servers is undone.
pub(crate) struct Stand {
    pub servers: Disruption,
    dir: tempfile::TempDir,
    sets: Vec<String>,
    services: Vec<Service>,
    gate: String,
    admin: String,
    databases: Databases,
}

fn port() -> u16 {
    process::free_port().unwrap()
}

/// The object that `loadtest --json` wrote.
pub(crate) fn last_json(stdout: &str) -> Value {
    let line = stdout.lines().find_map(|l| l.strip_prefix("json: ")).expect("the json line");
    serde_json::from_str(line).unwrap()
}

impl Stand {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, &[])
    }

    /// With some keys of the configuration set.
    pub(crate) fn start_with(name: &str, more: &[&str]) -> Self {
        let servers = stack::disrupt().unwrap();
        let run = format!("test_{name}_{:08x}", std::process::id() ^ u32::from(port()) << 8);
        let databases = process::create_databases(&run).unwrap();
        let by_file = more.iter().any(|m| m.starts_with("store.password_file"));
        let url = |(server, name): &(testkit::mariadb::Server, String)| match by_file {
            true => server.url_without_password(&server.place(), name),
            false => server.url(&server.place(), name),
        };
        let urls: Vec<String> = databases.iter().map(|d| format!("\"{}\"", url(d))).collect();
        let (gate, admin) = (format!("127.0.0.1:{}", port()), format!("127.0.0.1:{}", port()));
        let mut sets = vec![
            format!("gate.listen={gate}"),
            format!("admin.listen={admin}"),
            format!("writer.listen=127.0.0.1:{}", port()),
            format!("reconciler.listen=127.0.0.1:{}", port()),
            format!("store.databases=[{}]", urls.join(",")),
            format!("log.topic_prefix={run}"),
        ];
        if more.iter().any(|m| m.starts_with("log.token_file")) {
            // Whose token that is may not make topics.
            let binary = Path::new(env!("CARGO_BIN_EXE_sluicegate"));
            let by_file = more.iter().filter(|m| m.starts_with("store."));
            let first = sets.iter().cloned().chain(by_file.map(|m| (*m).to_owned()));
            let first: Vec<String> = first.collect();
            let out = process::command(binary, &first, &["admin", "init"]).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        sets.extend(more.iter().map(|s| (*s).to_owned()));
        let dir = tempfile::tempdir().unwrap();
        let log = |name: &str| dir.path().join(format!("{name}.log"));
        let services = ["gate", "writer", "reconciler"].map(|s| Service::new(s, log(s))).into();
        let mut me = Self { servers, dir, sets, services, gate, admin, databases };
        for service in ["gate", "writer", "reconciler"] {
            me.start_service(service);
        }
        me
    }

    fn command(&self, args: &[&str]) -> Command {
        process::command(Path::new(env!("CARGO_BIN_EXE_sluicegate")), &self.sets, args)
    }

    fn service(&mut self, name: &str) -> &mut Service {
        self.services.iter_mut().find(|s| s.name == name).expect("a service")
    }

    /// Starts a service and waits until it says that it works.
    pub(crate) fn start_service(&mut self, name: &'static str) {
        let command = self.command(&[name]);
        self.service(name).start(command).unwrap();
    }

    /// Runs one more service, with these keys set.
    pub(crate) fn add_service(&mut self, name: &'static str, sets: &[&str]) {
        self.sets.push(format!("{name}.listen=127.0.0.1:{}", port()));
        self.sets.extend(sets.iter().map(|s| (*s).to_owned()));
        let log = self.dir.path().join(format!("{name}.log"));
        self.services.push(Service::new(name, log));
        self.start_service(name);
    }

    /// Where the gate listens.
    pub(crate) fn gate(&self) -> std::net::SocketAddr {
        self.gate.parse().unwrap()
    }

    /// A call of the operator.
    pub(crate) fn operate(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("http://{}{path}", self.admin);
        self.curl(TOKEN, &["-X", method, &url, "-d", &body.to_string()])
    }

    /// Everything that a service said.
    pub(crate) fn said(&self, name: &str) -> String {
        self.services.iter().find(|s| s.name == name).expect("a service").said()
    }

    /// Ends the sessions of the product at every database.
    pub(crate) fn cut_databases(&self, user: &str) {
        for (server, _) in &self.databases {
            let list = "SELECT id FROM information_schema.processlist WHERE user =";
            let ids = server.root().sql(&format!("{list} '{user}'")).unwrap();
            for id in ids.lines() {
                // It may have ended by itself.
                let _ = server.root().sql(&format!("KILL {id}"));
            }
        }
    }

    /// kill -9.
    pub(crate) fn stop(&mut self, name: &str) {
        self.service(name).kill().unwrap();
    }

    pub(crate) fn kill_and_restart(&mut self, service: &'static str) {
        self.stop(service);
        self.start_service(service);
    }

    /// Starts a load test; its JSON is appended to its output.
    pub(crate) fn loadtest(&self, args: &[&str]) -> Child {
        let json = self.dir.path().join("summary.json");
        let mut c = self.command(&["loadtest", "--quiet", "--verify", "--settle", "120s"]);
        c.args(args).arg("--json").arg(&json);
        c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn finish(&self, sale: Child) -> Output {
        let mut out = sale.wait_with_output().unwrap();
        let json = std::fs::read_to_string(self.dir.path().join("summary.json"));
        // It is empty when the run came to no verdict.
        if let Some(json) = json.ok().filter(|json| !json.is_empty()) {
            let one: Value = serde_json::from_str(&json).unwrap();
            out.stdout.extend_from_slice(format!("\njson: {one}\n").as_bytes());
        }
        for service in &self.services {
            let text = service.said();
            assert!(!text.contains("panicked"), "{}:\n{text}", service.name);
        }
        out
    }

    /// The name of a server that is a primary now.
    pub(crate) fn a_primary(&self) -> String {
        let nodes = stack::config().unwrap().cells.nodes;
        for (n, node) in nodes.iter().enumerate() {
            let port = node.rsplit_once(':').unwrap().1;
            let role = said(stack::redis_cli(port).unwrap().arg("role"));
            if role.starts_with("master") {
                return format!("redis-{}", n + 1);
            }
        }
        panic!("no primary among {nodes:?}");
    }

    /// The name of the replica of the offer's primary.
    pub(crate) fn replica_of(&self, offer: &str) -> String {
        let slot = self.redis(&["CLUSTER", "KEYSLOT", &format!("{{{offer}.0}}:c")]);
        let slot: u32 = slot.trim().parse().unwrap();
        let owns = |range: &str| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            from.parse::<u32>().is_ok_and(|f| f <= slot)
                && to.parse::<u32>().is_ok_and(|t| slot <= t)
        };
        let text = self.redis(&["CLUSTER", "NODES"]);
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split(' ').collect()).collect();
        let primary = lines.iter().find(|l| l[8..].iter().any(|r| owns(r))).expect("an owner");
        let replica = lines.iter().find(|l| l[3] == primary[0]).expect("a replica");
        let addr = replica[1].split('@').next().unwrap();
        let nodes = stack::config().unwrap().cells.nodes;
        let at = nodes.iter().position(|n| n == addr).expect("a node of the stack");
        format!("redis-{}", at + 1)
    }

    /// One value of the gate's metrics; 0 when it was never counted.
    pub(crate) fn counted(&self, name: &str) -> f64 {
        let text = run("curl", &["-s", "-m", "10", &format!("http://{}/metrics", self.admin)]);
        let of = |l: &str| l.strip_prefix(name)?.trim().parse().ok();
        text.lines().find_map(of).unwrap_or_default()
    }

    pub(crate) fn empty_redis(&self) {
        stack::stack("restart-empty", "redis").unwrap();
    }

    pub(crate) fn redis(&self, args: &[&str]) -> String {
        let nodes = stack::config().unwrap().cells.nodes;
        let port = nodes[0].rsplit_once(':').unwrap().1.to_owned();
        said(stack::redis_cli(&port).unwrap().arg("-c").args(args))
    }

    /// A new offer.
    pub(crate) fn offer(&self, units: i64, limit: Option<u32>) -> String {
        let id = format!("o-{:08x}", std::process::id() ^ u32::from(port()) << 12);
        let mut body = json!({
            "campaign": "evergreen", "sku": "test", "allotment": units,
            "price": {"currency": "EUR", "minor": 100},
        });
        if let Some(limit) = limit {
            body["limit_per_buyer"] = limit.into();
        }
        let url = format!("http://{}/admin/offers/{id}", self.admin);
        let answer = self.curl(TOKEN, &["-X", "PUT", &url, "-d", &body.to_string()]);
        assert_eq!(answer["offer"], id.as_str(), "{answer}");
        id
    }

    fn curl(&self, token: &str, args: &[&str]) -> Value {
        let bearer = format!("Authorization: Bearer {token}");
        let head = ["-s", "-m", "60", "-H", &bearer, "-H", "Content-Type: application/json"];
        let text = run("curl", &[&head, args].concat());
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    fn buyer_token(&self, buyer: &str) -> String {
        let out = self.command(&["admin", "token", "--buyer", buyer]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// Buys until there is a 202; the order's id.
    pub(crate) fn buy(&self, offer: &str, buyer: &str, key: &str) -> String {
        self.taken(offer, buyer, key)["order_id"].as_str().unwrap().to_owned()
    }

    /// Buys until there is a 202; the whole answer.
    pub(crate) fn taken(&self, offer: &str, buyer: &str, key: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.curl_buy(offer, buyer, key);
            if answer["status"] == "accepted" || answer["status"] == "unconfirmed" {
                return answer;
            }
            assert!(Instant::now() < until, "{answer}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// One request to buy, whatever its answer.
    pub(crate) fn curl_buy(&self, offer: &str, buyer: &str, key: &str) -> Value {
        let url = format!("http://{}/v1/offers/{offer}/orders", self.gate);
        let key = format!("Idempotency-Key: {key}");
        self.curl(&self.buyer_token(buyer), &["-X", "POST", "-H", &key, &url])
    }

    pub(crate) fn order(&self, offer: &str, buyer: &str, id: &str) -> Value {
        let url = format!("http://{}/v1/orders/{id}?offer={offer}", self.gate);
        self.curl(&self.buyer_token(buyer), &[&url])
    }

    /// The order once it is decided.
    pub(crate) fn decided(&self, buyer: &str, id: &str) -> Value {
        let url = format!("http://{}/v1/orders/{id}?wait=30s", self.gate);
        self.curl(&self.buyer_token(buyer), &[&url])
    }

    pub(crate) fn admin_offer(&self, offer: &str) -> Value {
        self.curl(TOKEN, &[&format!("http://{}/admin/offers/{offer}", self.admin)])
    }

    /// Waits until nothing is held and the view is at the ledger's end.
    pub(crate) fn settled(&self, offer: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self.admin_offer(offer);
            let cell = &seen["cells"][0];
            if cell["holds"] == 0 && cell["watermark"] == cell["ledger_seq"] && !cell.is_null() {
                return;
            }
            assert!(Instant::now() < until, "{seen}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What waits for a person.
    pub(crate) fn tasks(&self) -> Value {
        self.curl(TOKEN, &[&format!("http://{}/admin/tasks", self.admin)])
    }

    /// The number of the database that has the cells of an offer.
    pub(crate) fn home_of(&self, offer: &str) -> usize {
        let has = |d: &(testkit::mariadb::Server, String)| {
            let count = format!("SELECT COUNT(*) FROM {}.cell WHERE cell_id = '{offer}.0'", d.1);
            d.0.sql(&count).unwrap().trim() == "1"
        };
        self.databases.iter().position(has).expect("a database with the cell")
    }

    /// Copies a database as it is now.
    pub(crate) fn copy(&self, db: usize) {
        let (server, name) = &self.databases[db];
        server.copy(name, &format!("{name}_copy")).unwrap();
    }

    /// The database has what its copy has; entries of the ledger and rows that are gone.
    pub(crate) fn put_back(&self, db: usize) -> (u64, u64) {
        let (server, name) = &self.databases[db];
        let count = |table: &str| -> u64 {
            let sql = format!("SELECT COUNT(*) FROM {name}.{table}");
            server.sql(&sql).unwrap().trim().parse().unwrap()
        };
        let before = (count("ledger"), count("orders"));
        server.put_back(name, &format!("{name}_copy")).unwrap();
        (before.0.saturating_sub(count("ledger")), before.1.saturating_sub(count("orders")))
    }

    /// `reconciler rewind` of a database since so long ago: its exit code and what it said.
    pub(crate) fn rewind(&self, db: usize, ago: Duration) -> (Option<i32>, String) {
        let at = std::time::SystemTime::now() - ago;
        let at = at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let since = run("date", &["-u", "-d", &format!("@{at}"), "+%Y-%m-%dT%H:%M:%SZ"]);
        let db = db.to_string();
        let args = ["reconciler", "rewind", "--database", &db, "--since", since.trim()];
        let out = self.command(&args).output().unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    fn once(&self, args: &[&str]) -> (Option<i32>, Value) {
        let out = self.command(&[&["reconciler", "--once"], args].concat()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        let report = serde_json::from_str(&text).unwrap_or(Value::Null);
        (out.status.code(), report)
    }

    pub(crate) fn no_drift(&self) {
        let (code, report) = self.once(&["--dry-run"]);
        assert_eq!(code, Some(0), "{report}");
        assert_eq!(report["drift"], json!([]), "{report}");
        assert_eq!(report["cells"], report["compared"]);
    }

    /// A dry run shows this kind and exits 1; a real run repairs it; then there is none.
    pub(crate) fn finds_and_repairs(&self, kind: &str) {
        let (code, report) = self.once(&["--dry-run"]);
        assert_eq!(code, Some(1), "{report}");
        let drift = report["drift"].as_array().unwrap();
        assert!(drift.iter().any(|d| d["kind"] == kind && d["applied"] == false), "{report}");
        let explained = |d: &Value| d["ledger"] != "" && d["redis"] != "" && d["repair"] != "";
        assert!(drift.iter().all(explained), "{report}");
        let (code, report) = self.once(&[]);
        assert_eq!(code, Some(0), "{report}");
        let drift = report["drift"].as_array().unwrap();
        assert!(drift.iter().any(|d| d["kind"] == kind && d["applied"] == true), "{report}");
        self.no_drift();
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        for service in &mut self.services {
            let _ = service.kill();
            if std::thread::panicking() {
                let text = service.said();
                let tail: Vec<&str> = text.lines().rev().take(30).collect();
                eprintln!("== {}", service.name);
                tail.iter().rev().for_each(|l| eprintln!("{l}"));
            }
        }
        for name in ["mariadb-1", "mariadb-2"] {
            let _ = self.servers.heal(name);
        }
        let copies = self.databases.iter().map(|(s, name)| (s.clone(), format!("{name}_copy")));
        process::drop_databases(&copies.collect());
        process::drop_databases(&self.databases);
    }
}

fn run(program: &str, args: &[&str]) -> String {
    said(Command::new(program).args(args))
}

fn said(command: &mut Command) -> String {
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}
