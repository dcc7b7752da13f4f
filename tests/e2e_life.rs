//! The life of the process: kill -9 and restart, draining, and every way not to start.
//!
//! What was answered 202 before a kill is a row after it, once; nothing drifts; it sells on.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::http::{self, Conn};
use common::{Dev, Setup, folder, run, sluicegate, until};
use contract::Reason;
use serde_json::json;

/// (buyer, key) -> order id of everything that was answered 202 or 200.
type Accepted = BTreeMap<(String, String), String>;

#[test]
fn a_kill_loses_and_doubles_nothing() {
    let dir = folder();
    let mut all = Accepted::new();
    let mut dev = Setup::new().dir(&dir).start();
    dev.offer("shoe", 100_000);
    for round in 0..3 {
        let (fresh, keys) = buy_until_killed(&mut dev, round);
        assert!(!fresh.is_empty(), "nothing was bought before the kill");
        all.extend(fresh);
        drop(dev);
        dev = Setup::new().dir(&dir).start();
        check_orders(&dev, &all);
        // What had no answer: the same key again is safe and becomes one order.
        for (buyer, key) in keys {
            let reply = dev.buy("shoe", &dev.token(&buyer), &key);
            assert!(reply.status == 202 || reply.status == 200, "{reply:?}");
            let id = reply.order_id();
            let before = all.insert((buyer, key), id.clone());
            assert!(before.is_none_or(|b| b == id));
        }
    }
    let stock = dev.settled("shoe");
    // The last round's repeats are rows by now: every unit that is net belongs to a known order.
    assert_eq!(stock["net"], all.len(), "{stock}");
    check_orders(&dev, &all);
    let report = dev.operate_ok("POST", "/admin/reconcile", Some(&json!({"dry_run": true})));
    assert_eq!(report["drift"], json!([]));
}

/// Several buyers' threads, then kill -9: what was accepted, and what was asked without an answer.
fn buy_until_killed(dev: &mut Dev, round: usize) -> (Accepted, Vec<(String, String)>) {
    let (gate, stop) = (dev.gate, AtomicBool::new(false));
    let tokens: Vec<String> = (0..4).map(|t| dev.token(&format!("buyer-{t}"))).collect();
    let mut accepted = Accepted::new();
    let mut unanswered = Vec::new();
    std::thread::scope(|s| {
        let buyers: Vec<_> = tokens
            .iter()
            .enumerate()
            .map(|(t, token)| {
                let stop = &stop;
                s.spawn(move || {
                    let mut mine = (Accepted::new(), Vec::new());
                    for i in 0.. {
                        let (buyer, key) = (format!("buyer-{t}"), format!("{round}-{i}"));
                        let headers = [("idempotency-key", key.as_str())];
                        let call = ("POST", "/v1/offers/shoe/orders");
                        match http::try_call(gate, call, Some(token), &headers, None) {
                            Ok(r) if r.status == 202 && r.json()["status"] == "accepted" => {
                                mine.0.insert((buyer, key), r.order_id());
                            }
                            Ok(r) if r.status == 202 => mine.1.push((buyer, key)),
                            Ok(r) => panic!("{r:?}"),
                            Err(_) => {
                                mine.1.push((buyer, key));
                                if stop.load(Ordering::Relaxed) {
                                    return mine;
                                }
                            }
                        }
                    }
                    mine
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(400));
        stop.store(true, Ordering::Relaxed);
        dev.kill();
        for one in buyers {
            let (a, u) = one.join().unwrap();
            accepted.extend(a);
            unanswered.extend(u);
        }
    });
    (accepted, unanswered)
}

/// Every accepted order is a pending row, and is what its key finds.
fn check_orders(dev: &Dev, all: &Accepted) {
    for ((buyer, key), id) in all {
        let token = dev.token(buyer);
        let by_id = dev.get(&format!("/v1/orders/{id}?wait=10s"), &token);
        assert_eq!((by_id.status, &by_id.json()["status"]), (200, &json!("pending")), "{id}");
        let by_key = dev.get(&format!("/v1/orders?idempotency_key={key}"), &token);
        assert_eq!(&by_key.order_id(), id);
    }
}

#[test]
fn a_signal_drains_and_a_second_one_ends() {
    for signal in ["TERM", "INT"] {
        let mut dev = Dev::start();
        let token = dev.token("ann");
        // A request under way: its body is still missing when the signal comes.
        let headers = [("idempotency-key", "k"), ("content-type", "application/json")];
        let head = http::head("POST", "/v1/offers/demo/orders", Some(&token), &headers);
        let mut conn = Conn::open(dev.gate).unwrap();
        conn.send(head + "content-length: 14\r\n\r\n{\"quan").unwrap();
        // Answered on another connection, so the first is read by now too.
        assert_eq!(dev.buy("demo", &token, "other").status, 202);
        let mut idle = Conn::open(dev.gate).unwrap();
        idle.send("GET /livez HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        assert_eq!(idle.reply().unwrap().status, 200);
        let (gate, admin) = (dev.gate, dev.admin);
        dev.signal(signal);
        until("readiness to end", || {
            Conn::get(admin, "/readyz").map_or(Some(()), |r| (r.status == 503).then_some(()))
        });
        conn.send("tity\":1}").unwrap();
        let reply = conn.reply().unwrap();
        assert_eq!(reply.status, 202, "{reply:?}");
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(dev.ended().success(), "{}", dev.log());
        assert!(idle.is_closed() && Conn::open(gate).is_err());
        assert!(!dev.log().contains("did not end in time"), "{}", dev.log());
        let again = Setup::new().dir(&dev.dir).start();
        let token = again.token("ann");
        let order = again.get(&format!("/v1/orders/{}?wait=10s", reply.order_id()), &token);
        assert_eq!(order.json()["status"], "pending");
        assert_eq!(again.buy("demo", &token, "third").status, 202);
    }
    let mut dev = Setup::new().set("gate.not_ready_ms=20000").start();
    dev.signal("TERM");
    until("readiness to end", || {
        Conn::get(dev.admin, "/readyz").map_or(Some(()), |r| (r.status == 503).then_some(()))
    });
    let still = dev.buy("demo", &dev.token("ann"), "k");
    assert_eq!((still.status, still.header("connection")), (202, Some("close")));
    dev.signal("INT");
    assert_eq!(dev.ended().code(), Some(130));
}

/// The exit code and exactly one line on standard error that contains every word.
#[track_caller]
fn one_line(out: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} in: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn what_keeps_it_from_starting_is_one_line() {
    let dir = folder();
    let at = dir.path().display().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    for key in ["gate.listen", "admin.listen"] {
        let other = if key == "gate.listen" { "admin.listen" } else { "gate.listen" };
        let sets = [format!("{key}={port}"), format!("{other}=127.0.0.1:{}", common::free_port())];
        let out = run(&["--data-dir", &at, "--set", &sets[0], "--set", &sets[1]]);
        one_line(&out, 69, &[key, &port]);
    }
    let dev = Setup::new().dir(&dir).start();
    let any = ["--set", "gate.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"];
    let second = |dir: &str| run(&[&["dev", "--data-dir", dir], &any[..]].concat());
    one_line(&second(&at), 69, &[&at, "another sluicegate"]);
    drop(dev);

    let file = dir.path().join("plain-file");
    std::fs::write(&file, "x").unwrap();
    one_line(&second(&file.display().to_string()), 69, &["plain-file"]);
    one_line(&second("/proc/nothing-can-be-made-here"), 69, &["/proc/nothing"]);
    for broken in ["identity_secret = 5", "nonsense", "", "identity_secret = \"x\""] {
        let dir = folder();
        std::fs::write(dir.path().join("secrets.toml"), broken).unwrap();
        one_line(&second(&dir.path().display().to_string()), 69, &["secrets.toml"]);
    }
    // Secrets of which one can be guessed, wherever they are written down.
    let (long, longer) = ("x".repeat(16), "x".repeat(32));
    for (identity, hs256, admin, word) in [
        ("short", &longer[..], &long[..], "identity.secret"),
        (&long, &long, &long, "auth.hs256_secret"),
        (&long, &longer, "short", "admin.token"),
    ] {
        let dir = folder();
        let text = format!(
            "identity_secret = {identity:?}\nhs256_secret = {hs256:?}\nadmin_token = {admin:?}"
        );
        std::fs::write(dir.path().join("secrets.toml"), text).unwrap();
        let words = ["secrets.toml", word, "at least"];
        one_line(&second(&dir.path().display().to_string()), 64, &words);
    }
    // Another identity than the one the databases were made with.
    let out =
        run(&[&["--data-dir", &at, "--set", "identity.secret=another-secret-of-mine"], &any[..]]
            .concat());
    one_line(&out, 64, &["identity.secret"]);
}

#[test]
fn bad_usage_is_one_line_and_64() {
    let dir = folder();
    let at = dir.path().display().to_string();
    for (args, words) in [
        (&["--set", "gate.listne=127.0.0.1:1"][..], &["gate", "listne"][..]),
        (&["--set", "nothing=1"], &["nothing"]),
        (&["--set", "reserve.batch=0"], &["reserve.batch"]),
        (&["--set", "reserve.batch=many"], &["reserve.batch"]),
        (&["--set", "writer.listen=nowhere"], &["writer.listen", "nowhere"]),
        (&["--config", "/tmp"], &["/tmp", "is no file"]),
        (&["--set", "no-equals-sign"], &["--set", "key.path=value"]),
        (&["--set", "admin.token=short"], &["admin.token"]),
        (&["--set", "auth.hs256_old=[\"a\"]"], &["auth.hs256_old"]),
        (&["--set", "auth.hs256_old=[\"0123456789abcdef0123456789abcdef\", \"\"]"], &["hs256_old"]),
        (&["loadtest", "--quantity", "1000"], &["--quantity", "gate.max_quantity"]),
        (&["loadtest", "--gate", "nowhere"], &["--gate"]),
        (&["--config", "/nowhere/x.toml"], &["/nowhere/x.toml"]),
        (&["gate"], &["cells.backend"]),
        (&["writer"], &["cells.backend"]),
        (&["reconciler"], &["cells.backend"]),
        (&["--set", "cells.backend=redis"], &["cells.nodes"]),
        (&["admin", "token", "--buyer", ""], &["--buyer"]),
        (&["admin", "token", "--buyer", "x", "--ttl", "1w"], &["--ttl"]),
        (&["admin", "token", "--buyer", "x", "--ttl", "0s"], &["--ttl"]),
        (&["admin", "token", "--role", "king"], &["--role"]),
        // A folder without secrets: nothing to sign with.
        (&["admin", "token", "--buyer", "x"], &["auth.hs256_secret"]),
    ] {
        one_line(&run(&[args, &["--data-dir", &at]].concat()), 64, words);
    }
    for args in [
        &["nonsense"][..],
        &["--nonsense"],
        &["admin"],
        &["admin", "token"],
        &["reconciler", "--dry-run"],
        &["admin", "token", "--buyer", "x", "--role", "viewer"],
    ] {
        assert_eq!(run(args).status.code(), Some(64), "{args:?}");
    }
    let config = dir.path().join("c.toml");
    std::fs::write(&config, "[gate]\nlisten = 5\n[nothing]\n").unwrap();
    let out = run(&["--config", &config.display().to_string()]);
    assert_eq!(out.status.code(), Some(64));
    std::fs::write(&config, "this is = = no toml").unwrap();
    assert_eq!(run(&["--config", &config.display().to_string()]).status.code(), Some(64));
    assert!(run(&["--help"]).status.success() && run(&["--version"]).status.success());
    let out =
        sluicegate(&["--check-config"]).env("SLUICEGATE__GATE__LISTEN", "x").output().unwrap();
    one_line(&out, 64, &["listen address"]);
    assert!(!dir.path().join("lock").exists(), "nothing was started");
}

#[cfg(not(feature = "pulsar"))]
#[test]
fn without_the_feature_a_server_is_refused_clearly() {
    let log = ["log.backend=pulsar", "log.url=pulsar://127.0.0.1:1", "log.admin_url=http://h:1"];
    let cells = ["cells.backend=redis", "cells.nodes=[\"127.0.0.1:1\"]"];
    let databases = ["store.databases=[\"mysql://root@127.0.0.1:1/d\"]"];
    let identity = ["identity.secret=0123456789abcdef0123456789abcdef"];
    let auth = ["auth.hs256_secret=0123456789abcdef0123456789abcdef"];
    let redis = [&cells[..], &log, &databases, &identity, &auth].concat();
    for (command, settings) in [("dev", &log[..]), ("gate", &redis), ("loadtest", &redis)] {
        let dir = folder();
        let at = dir.path().display().to_string();
        let mut words = vec![command, "--data-dir", &at];
        let anywhere = ["gate.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"];
        for setting in settings.iter().chain(&anywhere) {
            words.extend(["--set", setting]);
        }
        one_line(&run(&words), 64, &["backend", "--features pulsar"]);
    }
}

#[test]
fn configuration_is_checked_and_printed() {
    let secrets = [
        "identity.secret=very-secret-identity",
        "admin.token=very-secret-operator",
        "auth.hs256_secret=very-secret-very-secret-very-secret",
        "auth.hs256_old=[\"very-secret-old-very-secret-old-very\"]",
        "store.databases=[\"mysql://me:very-secret@h/db\"]",
    ];
    let mut args = vec!["--print-config"];
    secrets.iter().for_each(|s| args.extend(["--set", s]));
    let out = run(&args);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success() && !text.contains("very-secret"), "{text}");
    assert!(text.contains("<redacted>") && text.contains("mysql://me:"), "{text}");
    text.parse::<toml::Table>().unwrap();
    let out = run(&["--check-config"]);
    assert!(out.status.success() && !out.stdout.is_empty());
    // What a start refuses before it asks a server is refused here as well.
    for (set, word) in [
        ("auth.eddsa_public_keys=[\"x\"]", "auth.eddsa_public_keys"),
        ("telemetry.log=nonsense===", "telemetry.log"),
        ("store.databases=[\"postgres://x\"]", "store.databases"),
        ("store.password_file=/nope", "store.password_file: /nope"),
        ("log.token_file=/nope", "log.token_file: /nope"),
        ("cells.password_file=/nope", "cells.password_file: /nope"),
        ("auth.hs256_old=[\"a\"]", "auth.hs256_old"),
    ] {
        one_line(&run(&["--check-config", "--set", set]), 64, &[word]);
    }
    let root = env!("CARGO_MANIFEST_DIR");
    let file = format!("{root}/sluicegate.toml");
    assert!(run(&["--check-config", "--config", &file]).status.success());
    let out = run(&["--print-config", "--config", &file]);
    let plain = run(&["--print-config"]);
    assert_eq!(out.stdout, plain.stdout, "sluicegate.toml changes nothing");
}

/// What takes every byte with an error: a full disk, and a reader that is gone.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A log and a terminal that take nothing end no task, no sale and no drain; what a command says
/// with its exit code it says all the same.
#[test]
fn output_that_nobody_takes_ends_nothing() {
    for (out, err) in [(full().into(), full().into()), (gone(), gone())] {
        let dir = folder();
        let (gate, admin) = (common::free_port(), common::free_port());
        let at = dir.path().display().to_string();
        let sets =
            [format!("gate.listen=127.0.0.1:{gate}"), format!("admin.listen=127.0.0.1:{admin}")];
        let args = ["dev", "--data-dir", &at, "--set", &sets[0], "--set", &sets[1]];
        let loud = ["--set", "telemetry.log=debug"];
        let mut command = sluicegate(&[&args[..], &loud].concat());
        let mut child = command.stdout::<Stdio>(out).stderr::<Stdio>(err).spawn().unwrap();
        let admin: std::net::SocketAddr = ([127, 0, 0, 1], admin).into();
        until("it to be ready", || Conn::get(admin, "/readyz").ok().filter(|r| r.status == 200));
        let load = ["loadtest", "--data-dir", &at, "--requests", "200", "--rate", "500"];
        let mut load = sluicegate(&[&load[..], &["--set", &sets[0], "--set", &sets[1]]].concat());
        let done = load.stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(done.code(), Some(0), "conserved");
        let once = ["reconciler", "--once", "--data-dir", &at, "--set", &sets[1]];
        let done = sluicegate(&once).stdout(gone()).stderr(gone()).status().unwrap();
        assert_eq!(done.code(), Some(0), "no drift");
        let metrics = Conn::get(admin, "/metrics").unwrap().text();
        let value = |name: &str| {
            let of_name = metrics.lines().find(|l| l.starts_with(name));
            of_name.and_then(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
        };
        assert!(value("sluicegate_log_lines_lost_total") > 0.0, "{metrics}");
        assert_eq!(value("sluicegate_task_panics_total"), 0.0, "{metrics}");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
        assert_eq!(until("it to end", || child.try_wait().unwrap()).code(), Some(0));
    }
    // Here the text is what the command is for.
    let secret = ["--set", "auth.hs256_secret=0123456789abcdef0123456789abcdef"];
    for args in
        [&["--print-config"][..], &["--check-config"], &["admin", "token", "--buyer", "ann"]]
    {
        let out = sluicegate(&[args, &secret].concat()).stdout(full()).output().unwrap();
        one_line(&out, 69, &["standard output"]);
    }
}

#[test]
fn the_reconciler_asks_the_running_process() {
    // A rebuild waits for the slowest gate, twice: let that be short.
    let short = Setup::new().set("publish.max_age_ms=1000").set("publish.timeout_ms=1000");
    let dev = short.start();
    let token = dev.token("ann");
    let taken = dev.buy("demo", &token, "k");
    dev.decided(&taken, &token);
    dev.settled("demo");
    let at = dev.path().display().to_string();
    let admin = format!("admin.listen={}", dev.admin);
    let once = |more: &[&str]| {
        let args = ["reconciler", "--once", "--data-dir", &at, "--set", &admin];
        run(&[&args, more].concat())
    };
    for more in [&["--dry-run"][..], &[], &["--dry-run", "--offer", "demo"]] {
        let out = once(more);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{text} {}", String::from_utf8_lossy(&out.stderr));
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&report["cells"], &report["drift"]), (&json!(1), &json!([])));
    }
    for (offer, word) in [("none", "404"), ("NO", "400"), ("a.0", "400")] {
        one_line(&once(&["--offer", offer]), 64, &[word]);
    }
    let nowhere = format!("admin.listen=127.0.0.1:{}", common::free_port());
    let out = run(&["reconciler", "--once", "--data-dir", &at, "--set", &nowhere]);
    one_line(&out, 69, &["sluicegate dev"]);
    let rebuilt = dev.operate("POST", "/admin/cells/demo.0/rebuild", None);
    assert_eq!(rebuilt.status, 200, "{rebuilt:?}");
    let replay = dev.buy("demo", &token, "k");
    assert_eq!((replay.status, replay.order_id()), (200, taken.order_id()));
    assert_eq!(dev.buy("demo", &token, "after").status, 202);
    // The schedule may have seen the cell missing; its next pass sees it whole.
    let status = until("nothing to be wrong", || {
        let status = dev.operate_ok("GET", "/admin/status", None);
        let fields = ["parked_frames", "apply_without_hold", "cells_diverged", "holds_overdue"];
        fields.iter().all(|f| status[f] == 0).then_some(status)
    });
    assert_eq!(status["shards"], json!([{"shard": 0, "healthy": true}]));
    Conn::get(dev.gate, "/v1/orders/x").unwrap().problem(Reason::Unauthenticated);
}
