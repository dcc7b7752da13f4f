//! The harness: the real binary in `dev` mode on a folder and ports of its own.
//!
//! Dropping it is the audit: no panic on standard error, every offer that the test made conserves
//! its units, nothing is held and every view is at its ledger's end. A failing test skips the
//! audit and shows the log instead. Everything has a deadline; nothing touches a shared server.
#![allow(dead_code, clippy::print_stderr, reason = "each test binary uses its part")]

pub(crate) mod bank;
mod contract_check;
pub(crate) mod h2;
pub(crate) mod http;

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use http::{Conn, Reply};

/// The longest that anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a process.
pub(crate) struct Setup {
    dir: Option<Arc<tempfile::TempDir>>,
    sets: Vec<String>,
    handles: Option<u32>,
    at: Option<[SocketAddr; 2]>,
}

/// A running `sluicegate dev`.
pub(crate) struct Dev {
    child: Child,
    /// The buyers' listener.
    pub gate: SocketAddr,
    /// The operators' listener.
    pub admin: SocketAddr,
    /// The data folder.
    pub dir: Arc<tempfile::TempDir>,
    /// What `secrets.toml` says.
    pub secrets: toml::Table,
    output: Arc<Mutex<String>>,
    offers: Mutex<Vec<String>>,
    audited: bool,
}

/// A free port; another process may take it before it is used, so the start is repeated then.
pub(crate) fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// A new folder.
pub(crate) fn folder() -> Arc<tempfile::TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// The binary under test, with a clean environment.
pub(crate) fn sluicegate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("SLUICEGATE__")) {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end, at most [`PATIENCE`].
pub(crate) fn run(args: &[&str]) -> Output {
    let mut child = sluicegate(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{args:?} did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// Repeats until `f` gives something; the text says what was waited for.
pub(crate) fn until<T>(what: &str, mut f: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = f() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The clock of the tests, UTC seconds.
pub(crate) fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Signs any claims with any secret.
pub(crate) fn sign(secret: &str, algorithm: jsonwebtoken::Algorithm, claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm), claims, &key).unwrap()
}

impl Setup {
    /// On a new folder.
    pub(crate) fn new() -> Self {
        Self { dir: None, sets: Vec::new(), handles: None, at: None }
    }

    /// On a new folder, with a clerk that loses no time.
    pub(crate) fn quick() -> Self {
        let clerk = ["expire_grace_ms=0", "pass_ms=20", "refund_pauses_ms=[50,50,50]"];
        clerk.iter().fold(Self::new(), |setup, set| setup.set(&format!("clerk.{set}")))
    }

    /// `--set key=value`.
    pub(crate) fn set(mut self, set: &str) -> Self {
        self.sets.push(set.to_owned());
        self
    }

    /// On a folder that is there.
    pub(crate) fn dir(mut self, dir: &Arc<tempfile::TempDir>) -> Self {
        self.dir = Some(dir.clone());
        self
    }

    /// Where one that ended was: its folder and its ports.
    pub(crate) fn instead_of(mut self, dev: &Dev) -> Self {
        self.at = Some([dev.gate, dev.admin]);
        self.dir(&dev.dir)
    }

    /// With at least this many file handles, when the system allows it.
    pub(crate) fn handles(mut self, n: u32) -> Self {
        self.handles = Some(n);
        self
    }

    /// Starts and waits until it is ready.
    pub(crate) fn start(self) -> Dev {
        let dir = self.dir.clone().unwrap_or_else(folder);
        for _ in 0..5 {
            if let Some(dev) = self.try_start(&dir) {
                return dev;
            }
        }
        panic!("no free ports in five attempts");
    }

    fn try_start(&self, dir: &Arc<tempfile::TempDir>) -> Option<Dev> {
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let [gate, admin] = self.at.unwrap_or_else(|| [address(), address()]);
        let mut args: Vec<String> = vec!["dev".into(), "--data-dir".into()];
        args.push(dir.path().display().to_string());
        let ports = [format!("gate.listen={gate}"), format!("admin.listen={admin}")];
        for set in ports.iter().chain(&self.sets) {
            args.extend(["--set".to_owned(), set.clone()]);
        }
        let words: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = sluicegate(&words);
        if let Some(n) = self.handles {
            let script =
                format!("ulimit -n {n} 2>/dev/null || ulimit -n $(ulimit -Hn); exec \"$0\" \"$@\"");
            command = Command::new("sh");
            command.args(["-c", &script, env!("CARGO_BIN_EXE_sluicegate")]).args(&words);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), &output);
        collect(child.stderr.take().unwrap(), &output);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                let text = output.lock().unwrap().clone();
                assert!(text.contains("in use"), "dev ended with {status}: {text}");
                return None;
            }
            if Conn::get(admin, "/readyz").is_ok_and(|r| r.status == 200) {
                break;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("dev is not ready: {}", output.lock().unwrap());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let text = std::fs::read_to_string(dir.path().join("secrets.toml")).unwrap();
        let secrets = text.parse().unwrap();
        let (dir, offers) = (dir.clone(), Mutex::new(vec!["demo".to_owned()]));
        Some(Dev { child, gate, admin, dir, secrets, output, offers, audited: true })
    }
}

/// Gathers a stream, so that the child never blocks on it.
pub(crate) fn collect(mut from: impl Read + Send + 'static, to: &Arc<Mutex<String>>) {
    let to = to.clone();
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut piece) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    });
}

impl Dev {
    /// With the defaults.
    pub(crate) fn start() -> Dev {
        Setup::new().start()
    }

    /// One of `identity_secret`, `hs256_secret`, `admin_token`.
    pub(crate) fn secret(&self, name: &str) -> &str {
        self.secrets[name].as_str().unwrap()
    }

    /// The data folder.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Everything printed so far.
    pub(crate) fn log(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A buyer's token, signed here.
    pub(crate) fn token(&self, buyer: &str) -> String {
        let claims = json!({ "sub": buyer, "exp": now_s() + 3600 });
        sign(self.secret("hs256_secret"), jsonwebtoken::Algorithm::HS256, &claims)
    }

    /// A token that the program minted: `["--buyer", "x"]`, `["--role", "viewer"]`.
    pub(crate) fn minted(&self, args: &[&str]) -> String {
        let dir = self.path().display().to_string();
        let mut all = vec!["admin", "token", "--data-dir", &dir];
        all.extend(args);
        let out = run(&all);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    /// A call of the operator.
    pub(crate) fn operate(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let token = self.secret("admin_token");
        let body = body.map(Value::to_string);
        http::call(self.admin, (method, path), Some(token), &[], body.as_deref().map(str::as_bytes))
    }

    /// A call of the operator that must succeed.
    pub(crate) fn operate_ok(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let reply = self.operate(method, path, body);
        assert!(reply.status < 300, "{method} {path}: {reply:?}");
        reply.json()
    }

    /// Creates an offer in the evergreen campaign and remembers it for the audit.
    pub(crate) fn offer(&self, id: &str, allotment: i64) {
        self.offer_with(id, json!({ "allotment": allotment }));
    }

    /// Creates an offer with more fields.
    pub(crate) fn offer_with(&self, id: &str, fields: Value) {
        let mut body = json!({
            "campaign": "evergreen", "sku": "SKU-1", "allotment": 10,
            "price": { "currency": "EUR", "minor": 1999 },
        });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        let reply = self.operate("PUT", &format!("/admin/offers/{id}"), Some(&body));
        assert_eq!(reply.status, 201, "{reply:?}");
        self.offers.lock().unwrap().push(id.to_owned());
    }

    /// Creates or changes a campaign; times are seconds from now.
    pub(crate) fn campaign(&self, id: &str, opens: Option<i64>, closes: Option<i64>) {
        let mut body = json!({});
        let time = |s: i64| rfc3339((now_s() as i64 + s) as u64);
        for (name, at) in [("opens_at", opens), ("closes_at", closes)] {
            if let Some(s) = at {
                body[name] = time(s).into();
            }
        }
        self.operate_ok("PUT", &format!("/admin/campaigns/{id}"), Some(&body));
    }

    /// A GET of a buyer.
    pub(crate) fn get(&self, path: &str, token: &str) -> Reply {
        http::call(self.gate, ("GET", path), Some(token), &[], None)
    }

    /// Buys one unit without a body.
    pub(crate) fn buy(&self, offer: &str, token: &str, key: &str) -> Reply {
        self.buy_body(offer, token, key, None)
    }

    /// Buys with a body.
    pub(crate) fn buy_body(
        &self,
        offer: &str,
        token: &str,
        key: &str,
        body: Option<&str>,
    ) -> Reply {
        let path = format!("/v1/offers/{offer}/orders");
        let headers = [("idempotency-key", key)];
        http::call(self.gate, ("POST", &path), Some(token), &headers, body.map(str::as_bytes))
    }

    /// Follows `links.self` of a 202 until the order is decided and its hold is gone: its row is
    /// there first, and while it is held a repeat is published again and told 202.
    #[track_caller]
    pub(crate) fn decided(&self, taken: &Reply, token: &str) -> Value {
        assert_eq!(taken.status, 202, "{taken:?}");
        let link = taken.json()["links"]["self"].as_str().unwrap().to_owned();
        let glue = if link.contains('?') { '&' } else { '?' };
        let reply = self.get(&format!("{link}{glue}wait=20s"), token);
        assert_eq!(reply.status, 200, "{reply:?}");
        self.settled(taken.json()["offer"].as_str().unwrap());
        reply.json()
    }

    /// The admin view of an offer.
    pub(crate) fn stock(&self, offer: &str) -> Value {
        self.operate_ok("GET", &format!("/admin/offers/{offer}"), None)
    }

    /// Waits until nothing is held and the views are at the end of their ledgers.
    pub(crate) fn settled(&self, offer: &str) -> Value {
        until(&format!("{offer} to settle: {}", self.stock(offer)), || {
            let stock = self.stock(offer);
            let quiet = stock["cells"]
                .as_array()?
                .iter()
                .all(|c| c["holds"] == 0 && c["held"] == 0 && c["watermark"] == c["ledger_seq"]);
            quiet.then_some(stock)
        })
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end of the process.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.audited = false;
        let child = &mut self.child;
        until("the process to end", || child.try_wait().unwrap())
    }

    /// kill -9; no audit of this process.
    pub(crate) fn kill(&mut self) {
        self.audited = false;
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.no_panic();
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let path: PathBuf = format!("/proc/{}/status", self.pid()).into();
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    /// One value of `/metrics`, summed over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = Conn::get(self.admin, "/metrics").unwrap().text();
        let of_name = |l: &&str| l.strip_prefix(name).is_some_and(|r| r.starts_with(['{', ' ']));
        text.lines().filter(of_name).map(|l| l.rsplit(' ').next().unwrap()).map(number).sum()
    }

    fn no_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "a panic in the child:\n{log}");
    }

    /// Conservation of every offer, and no drift.
    pub(crate) fn audit(&self) {
        self.no_panic();
        let offers = self.offers.lock().unwrap().clone();
        for offer in &offers {
            let stock = self.settled(offer);
            let n = |name: &str| stock[name].as_i64().unwrap();
            assert_eq!(n("supply") - n("net") - n("held"), n("available"), "{stock}");
            assert!(n("net") >= 0 && n("available") >= 0, "{stock}");
            for cell in stock["cells"].as_array().unwrap() {
                assert_eq!(cell["supply"], cell["ledger_supply"], "{cell}");
                assert_eq!(cell["net"], cell["ledger_net"], "{cell}");
                assert!(cell.get("missing").is_none(), "{cell}");
            }
        }
        let report = self.operate_ok("POST", "/admin/reconcile", Some(&json!({"dry_run": true})));
        assert_eq!(report["drift"], json!([]), "{report}");
        assert_eq!(report["cells"], report["compared"], "{report}");
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or(0.0)
}

impl Drop for Dev {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the child's log ---");
            tail.iter().rev().for_each(|l| eprintln!("{l}"));
            let _ = self.child.kill();
            let _ = self.child.wait();
            return;
        }
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if self.audited { self.audit() } else { self.no_panic() }
        }));
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Err(failure) = checked {
            std::panic::resume_unwind(failure);
        }
    }
}

/// UTC seconds as RFC 3339.
pub(crate) fn rfc3339(s: u64) -> String {
    let (days, rest) = ((s / 86_400) as i64, s % 86_400);
    // Days since 1970 as a civil date (Hinnant).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, sec) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{sec:02}Z")
}
