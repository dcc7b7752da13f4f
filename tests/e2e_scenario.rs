//! `loadtest --scenario life` beside the embedded default: what it proves when everything is
//! killed, and that it finds what was tampered with.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Dev, Setup, collect, sluicegate, until};
use serde_json::Value;

/// A run of the scenario.
struct Run {
    child: Child,
    said: Arc<Mutex<String>>,
    noted: Arc<Mutex<String>>,
}

impl Run {
    /// On a data folder, with more flags.
    fn start(dev: &Dev, at: &Path, more: &[&str]) -> Self {
        let at = at.display().to_string();
        let (gate, admin) = (format!("http://{}", dev.gate), format!("http://{}", dev.admin));
        let args = ["loadtest", "--scenario", "life", "--data-dir", &at, "--gate", &gate];
        let args = [&args[..], &["--admin", &admin, "--connections", "16"], more].concat();
        let mut command = sluicegate(&args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (said, noted) = (Arc::default(), Arc::default());
        collect(child.stdout.take().unwrap(), &said);
        collect(child.stderr.take().unwrap(), &noted);
        Self { child, said, noted }
    }

    /// Waits until it buys.
    fn buys(&self) {
        until("it to buy", || self.noted.lock().unwrap().contains("orders over").then_some(()));
    }

    /// What it said and noted.
    fn ends(mut self, code: i32) -> (String, String) {
        let status = self.child.wait().unwrap();
        // The pipes' last pieces.
        std::thread::sleep(Duration::from_millis(200));
        let text = |of: &Mutex<String>| of.lock().unwrap().clone();
        let (said, noted) = (text(&self.said), text(&self.noted));
        assert_eq!(status.code(), Some(code), "{said}\n{noted}");
        (said, noted)
    }
}

#[test]
fn units_and_money_add_up_through_kills() {
    let mut dev = Setup::quick().start();
    let json = dev.path().join("life.json");
    let json_flag = json.display().to_string();
    let sale = Run::start(
        &dev,
        dev.path(),
        &["--requests", "400", "--json", &json_flag, "--settle", "3m"],
    );
    sale.buys();
    for ms in [1500, 2500, 9000, 20_000] {
        std::thread::sleep(Duration::from_millis(ms));
        dev.kill();
        dev = Setup::quick().instead_of(&dev).start();
    }
    let (said, _) = sale.ends(0);
    assert!(said.contains("verdict: conserved"), "{said}");
    let told: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let money = |name: &str| told["money"][name].as_i64().unwrap();
    assert_eq!(money("in"), money("kept") + money("back"), "{told}");
    assert!(money("back") > 0 && told["bought_again"].as_i64().unwrap() > 0, "{told}");
    let orders = told["orders"].as_object().unwrap();
    let all = orders.values().flat_map(|by| by.as_object().unwrap().values());
    assert_eq!(all.map(|n| n.as_i64().unwrap()).sum::<i64>(), 400, "{told}");
    assert_eq!(orders["whole"].as_object().unwrap().keys().collect::<Vec<_>>(), ["refunded"]);
}

#[test]
fn an_interrupted_run_has_its_verdict_too() {
    let dev = Setup::quick().start();
    let sale =
        Run::start(&dev, dev.path(), &["--requests", "100000", "--seed", "5", "--settle", "3m"]);
    sale.buys();
    std::thread::sleep(Duration::from_secs(2));
    let pid = sale.child.id().to_string();
    let sent = std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap();
    assert!(sent.success());
    let (said, noted) = sale.ends(0);
    assert!(said.contains("verdict: conserved"), "{said}");
    assert!(noted.contains("no more requests"), "{noted}");
}

#[test]
fn what_it_cannot_do_is_said_at_once() {
    let dev = Dev::start();
    let cases: [(&[&str], &str); 4] = [
        (&["--offer", "demo"], "--offer does not go with --scenario life"),
        (&["--report", "r.html"], "--report does not go"),
        (&["--quantity", "2"], "--quantity does not go"),
        (&["--verify=api"], "--verify=api does not go"),
    ];
    for (flags, says) in cases {
        let (_, noted) = Run::start(&dev, dev.path(), flags).ends(64);
        assert!(noted.contains(says), "{flags:?}: {noted}");
    }
    let (_, noted) = Run::start(&dev, Path::new("/nowhere"), &[]).ends(64);
    assert!(noted.contains("--scenario: "), "{noted}");
}
