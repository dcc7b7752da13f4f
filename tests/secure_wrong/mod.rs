//! What an operator may get wrong about credentials and TLS: each is one line that names the
//! server and the cause, an exit code, and no secret.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{process, stack};

/// A configuration that is wrong, and what has to be said about it.
struct Wrong {
    sets: Vec<String>,
    /// Words of the line on standard error.
    says: &'static [&'static str],
    exit: i32,
}

fn wrong(sets: &[String], says: &'static [&'static str], exit: i32) -> Wrong {
    Wrong { sets: sets.to_vec(), says, exit }
}

fn text(key: &str, value: impl std::fmt::Display) -> String {
    format!("{key}=\"{value}\"")
}

/// Runs a service until it gives up; every secret that a case uses has `hunter2` in it.
fn ends(service: &[&str], case: &Wrong) {
    let mut sets = case.sets.clone();
    for key in ["gate.listen", "admin.listen", "writer.listen"] {
        sets.push(format!("{key}=127.0.0.1:{}", process::free_port().unwrap()));
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_sluicegate"));
    let mut child = process::command(binary, &sets, service);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    let about = format!("{service:?} {:?}: {said}", case.sets);
    assert_eq!(out.status.code(), Some(case.exit), "{about}");
    assert!(!said.contains("panicked") && !said.contains("hunter2"), "{about}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("sluicegate: ") && last.len() < 500, "{about}");
    for word in case.says {
        assert!(last.to_lowercase().contains(&word.to_lowercase()), "no {word}: {about}");
    }
}

/// A server that shows a certificate and says nothing.
struct Acceptor(Child, u16);

impl Acceptor {
    fn showing(folder: &Path, name: &str) -> Self {
        let port = process::free_port().unwrap();
        let file = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", &file("pem"), "-key", &file("key")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "openssl s_server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child, port)
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port where somebody answers everything in clear words and knows no TLS.
fn plain_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.set_read_timeout(Some(Duration::from_secs(1)));
            let mut some = [0; 64];
            let _ = client.read(&mut some);
            let _ = client.write_all(b"-ERR what do you want?\r\n\r\n");
        }
    });
    port
}

struct Known {
    folder: PathBuf,
    expired: Acceptor,
    other: Acceptor,
    plain: u16,
}

impl Known {
    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

fn known() -> Known {
    let folder = stack::secure().unwrap();
    let expired = Acceptor::showing(&folder, "expired");
    let other = Acceptor::showing(&folder, "other");
    Known { folder, expired, other, plain: plain_port() }
}

fn redis(k: &Known) -> Vec<Wrong> {
    let config = stack::config().unwrap().cells;
    let port = config.nodes[0].rsplit_once(':').unwrap().1;
    let nodes = |node: String| format!("cells.nodes=[\"{node}\"]");
    let none = text("cells.password_file", "");
    vec![
        wrong(&[none.clone(), text("cells.password", "hunter2")], &["redis", "pass"], 69),
        wrong(&[none.clone(), text("cells.user", "")], &["redis", "auth"], 69),
        wrong(&[text("cells.ca_file", k.file("other-ca.pem"))], &["redis", "UnknownIssuer"], 69),
        wrong(&[text("cells.ca_file", "")], &["redis", "UnknownIssuer"], 69),
        wrong(&[nodes(format!("localhost:{port}"))], &["redis", "valid", "localhost"], 69),
        wrong(&[text("cells.ca_file", "/no/ca.pem")], &["cells.ca_file", "/no/ca.pem"], 69),
        wrong(&[text("cells.password_file", "/no/pw")], &["cells.password_file", "/no/pw"], 69),
        wrong(&["cells.tls=false".to_owned(), text("cells.ca_file", "")], &["redis"], 69),
        wrong(&[nodes(format!("127.0.0.1:{}", k.plain))], &["redis"], 69),
        wrong(&[nodes(format!("127.0.0.1:{}", k.expired.1))], &["redis", "expired"], 69),
    ]
}

fn pulsar(k: &Known) -> Vec<Wrong> {
    let config = stack::config().unwrap().log;
    let port = |url: &str| url.rsplit_once(':').unwrap().1.to_owned();
    let (broker, admin) = (port(&config.url), port(&config.admin_url));
    let url = |url: String| text("log.url", url);
    let none = text("log.token_file", "");
    let token = text("log.token_file", k.file("sluicegate.token"));
    vec![
        wrong(&[none.clone(), text("log.token", "hunter2.a.b")], &["log", "refuses"], 69),
        wrong(std::slice::from_ref(&none), &["log", "refuses"], 69),
        wrong(&[text("log.ca_file", k.file("other-ca.pem"))], &["log", "UnknownIssuer"], 69),
        wrong(&[text("log.ca_file", "")], &["log", "UnknownIssuer"], 69),
        wrong(&[text("log.ca_file", "/no/ca.pem")], &["log.ca_file", "/no/ca.pem"], 69),
        wrong(&[text("log.token_file", "/no/token")], &["log.token_file", "/no/token"], 69),
        wrong(
            &[url(format!("pulsar+ssl://localhost:{broker}"))],
            &["log", "not valid for name"],
            69,
        ),
        wrong(&[url(format!("pulsar://127.0.0.1:{broker}"))], &["log.admin_url", "TLS"], 64),
        wrong(
            &[
                url(format!("pulsar://127.0.0.1:{broker}")),
                text("log.admin_url", format!("http://127.0.0.1:{admin}")),
                text("log.ca_file", ""),
            ],
            &["log"],
            69,
        ),
        wrong(&[url(format!("pulsar+ssl://127.0.0.1:{}", k.plain))], &["log", "TLS"], 69),
        wrong(&[url(format!("pulsar+ssl://127.0.0.1:{}", k.expired.1))], &["log", "expired"], 69),
        wrong(&[url(format!("pulsar+ssl://127.0.0.1:{}", k.other.1))], &["UnknownIssuer"], 69),
        wrong(
            &[text("log.admin_url", format!("https://localhost:{admin}"))],
            &["log", "not valid for name"],
            69,
        ),
        wrong(
            &[text("log.admin_url", format!("http://127.0.0.1:{admin}"))],
            &["log.url", "TLS"],
            64,
        ),
        wrong(
            &[text("log.admin_url", format!("https://127.0.0.1:{}", k.expired.1))],
            &["log", "expired"],
            69,
        ),
        wrong(&[token, text("log.topic_prefix", "nobodys")], &["log", "no right"], 69),
    ]
}

fn mariadb(k: &Known) -> Vec<Wrong> {
    let urls = stack::config().unwrap().store.databases;
    let of = |change: &dyn Fn(&str) -> String| {
        let urls: Vec<String> = urls.iter().map(|u| format!("\"{}\"", change(u))).collect();
        format!("store.databases=[{}]", urls.join(","))
    };
    let without = |u: &str| u.split('?').next().unwrap_or_default().to_owned();
    let no_password = |u: &str| u.replace(":stack-mariadb-password@", "@");
    let ca = k.file("ca.pem");
    let other = k.file("other-ca.pem");
    vec![
        wrong(
            &[of(&|u| u.replace("stack-mariadb-password", "hunter2"))],
            &["database 0", "127.0.0.1", "Access denied"],
            69,
        ),
        wrong(&[of(&no_password)], &["database 0", "Access denied"], 69),
        wrong(&[of(&|u| u.replace(&ca, &other))], &["database 0", "UnknownIssuer"], 69),
        wrong(&[of(&|u| u.replace(&ca, "/no/ca.pem"))], &["store.databases", "/no/ca.pem"], 64),
        wrong(
            &[of(&|u| u.replace("127.0.0.1", "localhost"))],
            &["database 0", "not valid for name"],
            69,
        ),
        wrong(&[of(&without)], &["database 0", "127.0.0.1", "without TLS"], 69),
        wrong(
            &[of(&|u| format!("{}?ssl_mode=VERIFY_CA", without(u)))],
            &["store.databases", "no parameter"],
            64,
        ),
        wrong(&[of(&no_password), text("store.password_file", "/no/pw")], &["store", "/no/pw"], 64),
    ]
}

/// The gate has another client than the rest.
#[test]
fn wrong_about_redis() {
    let known = known();
    let _calm = stack::calm().unwrap();
    for case in redis(&known) {
        ends(&["gate"], &case);
        ends(&["admin", "init"], &case);
    }
}

#[test]
fn wrong_about_pulsar() {
    let known = known();
    let _calm = stack::calm().unwrap();
    for case in pulsar(&known) {
        ends(&["admin", "init"], &case);
    }
}

#[test]
fn wrong_about_mariadb() {
    let known = known();
    let _calm = stack::calm().unwrap();
    for case in mariadb(&known) {
        ends(&["admin", "init"], &case);
    }
}

/// The server's own certificate is over; it reads its files again when it is told to.
#[test]
fn a_database_with_an_expired_certificate() {
    let known = known();
    let _alone = stack::disrupt().unwrap();
    let url = stack::config().unwrap().store.databases[0].clone();
    let (server, _) = testkit::mariadb::Server::of(&url).unwrap();
    let show = |name: &str| {
        for (end, to) in [("pem", "shown.pem"), ("key", "shown.key")] {
            std::fs::copy(known.file(&format!("{name}.{end}")), known.file(to)).unwrap();
        }
    };
    let root = server.by_socket(&known.folder.join("../mariadb-1/data/mysql.sock"));
    show("expired");
    root.sql("FLUSH SSL").unwrap();
    let case = wrong(&[], &["database 0", "expired"], 69);
    let done = std::panic::catch_unwind(|| ends(&["admin", "init"], &case));
    show("server");
    root.sql("FLUSH SSL").unwrap();
    done.unwrap();
}
