//! `cargo xtask outside`: suites that others wrote, against the product on its embedded default.
//!
//! h2spec comes from the Go module proxy, h2load and slowhttptest are packages, schemathesis and
//! spectral come from the registries of their languages. What is known to fail stands in a list
//! with its reason; anything else that fails, and anything of the list that does not fail any more,
//! is a failure.

mod api;
mod product;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use product::{Product, get, output};

use crate::programs::program;
use crate::progress::Progress;
use crate::stack::layout;
use crate::{cargo, install};

/// Which package brings which program.
const TOOLS: [(&str, &str); 5] = [
    ("h2load", "nghttp2-client"),
    ("slowhttptest", "slowhttptest"),
    ("go", "golang-go"),
    ("python3", "python3-venv"),
    ("npm", "npm"),
];

const H2SPEC: &str = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible";

/// What all suites ask for: an answer without a token.
const PATH: &str = "/v1/offers/demo";

/// Cases of h2spec that fail: section, number, why that is right.
const KNOWN: [(&str, &str, &str); 1] = [(
    "3.5",
    "2",
    "the listener speaks HTTP/1.1 too: what is no preface is answered 400 in HTTP/1.1 and closed, \
     which the case cannot read as a frame",
)];

/// h2load: name, arguments.
const LOADS: [(&str, &[&str]); 4] = [
    ("h2load, 100 streams", &["-n", "5000", "-c", "8", "-m", "100"]),
    ("h2load, 250 streams", &["-n", "5000", "-c", "8", "-m", "250"]),
    ("h2load, small windows", &["-n", "2000", "-c", "8", "-m", "32", "-w", "1", "-W", "1"]),
    ("h2load, HTTP/1.1", &["--h1", "-n", "5000", "-c", "64"]),
];

/// slowhttptest: name, arguments.
const SLOW: [(&str, &[&str]); 4] = [
    ("slow heads", &["-H", "-i", "10"]),
    ("slow bodies", &["-B", "-i", "10"]),
    ("slow reading", &["-X", "-w", "1", "-y", "2", "-n", "5", "-z", "1", "-k", "10"]),
    ("slow reading, nothing", &["-X", "-w", "1", "-y", "1", "-n", "60", "-z", "1", "-k", "10"]),
];

/// Runs all of it; 1 when something failed.
pub(crate) fn run(base: u16) -> Result<u8> {
    let progress = Progress::begin();
    install::tools(&progress, &TOOLS)?;
    let folder = layout::workspace_root().join("target/outside");
    fs::create_dir_all(&folder).context("cannot create target/outside")?;
    let h2spec = h2spec(&folder, &progress)?;
    let api = api::Tools::install(&folder, &progress)?;
    progress.say("cargo", "building the product");
    let built = match cargo::build()? {
        Ok(built) => built,
        Err(code) => return Ok(code),
    };
    let product = Product::start(&built, &folder, base)?;
    let mut failed = 0;
    let mut table = String::new();
    let mut note = |name: &str, said: Result<String>| {
        let (word, said) = match said {
            Ok(said) => ("ok", said),
            Err(e) => ("FAILED", format!("{e:#}")),
        };
        failed += u8::from(word != "ok");
        progress.say("outside", &format!("{name}: {word}"));
        table.push_str(&format!("{name:<26} {word:<7} {said}\n"));
    };
    note("spectral", api.lint());
    note("h2spec", conformance(&h2spec, product.gate));
    for (name, args) in LOADS {
        note(name, load(args, product.gate));
    }
    for (name, args) in SLOW {
        note(name, slow(args, &product));
    }
    api.fuzz(&product, |name, said| note(name, said));
    note("the product after it", product.ready().map(|()| "serves".to_owned()));
    drop(product);
    for (section, number, why) in KNOWN {
        table.push_str(&format!("known: h2spec {section}/{number}: {why}\n"));
    }
    print!("{table}");
    Ok(failed.min(1))
}

/// Builds h2spec where it is missing.
fn h2spec(folder: &Path, progress: &Progress) -> Result<PathBuf> {
    let built = folder.join("h2spec");
    if !built.is_file() {
        progress.say("go", &format!("installing {H2SPEC}"));
        let mut go = Command::new(program("go")?);
        let (text, fine) = output(go.args(["install", H2SPEC]).env("GOBIN", folder))?;
        ensure!(fine, "go install {H2SPEC} failed (a network? Go 1.21 or later?):\n{text}");
    }
    Ok(built)
}

/// The product, for as long as this lives.
fn conformance(h2spec: &Path, gate: SocketAddr) -> Result<String> {
    let port = gate.port().to_string();
    let mut command = Command::new(h2spec);
    command.args(["--host", "127.0.0.1", "--port", &port, "--path", PATH, "--timeout", "3"]);
    let (text, _) = output(&mut command)?;
    let summary = text.lines().rfind(|l| l.contains(" tests, "));
    let summary = summary.with_context(|| format!("h2spec said nothing:\n{text}"))?.to_owned();
    let failed = failures(&text);
    let is = |known: &(&str, &str, &str), (s, n): &(String, String)| known.0 == s && known.1 == n;
    let new: Vec<_> = failed.iter().filter(|f| !KNOWN.iter().any(|k| is(k, f))).collect();
    let gone: Vec<_> = KNOWN.iter().filter(|k| !failed.iter().any(|f| is(k, f))).collect();
    ensure!(new.is_empty(), "new failures {new:?}\n{text}");
    ensure!(gone.is_empty(), "passes now, take it off the list: {gone:?}");
    Ok(summary)
}

/// Section and number of the cases in the last part of what h2spec says.
fn failures(text: &str) -> Vec<(String, String)> {
    let Some((_, part)) = text.split_once("Failures:") else { return Vec::new() };
    let mut section = "";
    let mut found = Vec::new();
    for line in part.lines().map(str::trim) {
        let first = line.split(' ').next().unwrap_or("");
        if let Some(case) = line.strip_prefix("× ") {
            let number = case.split(':').next().unwrap_or("");
            found.push((section.to_owned(), number.to_owned()));
        } else if first.ends_with('.') && first.starts_with(|c: char| c.is_ascii_digit()) {
            section = first.trim_end_matches('.');
        }
    }
    found
}

fn load(args: &[&str], gate: SocketAddr) -> Result<String> {
    let mut command = Command::new(program("h2load")?);
    let (text, _) = output(command.args(args).arg(format!("http://{gate}{PATH}")))?;
    let line = |start: &str| text.lines().find(|l| l.starts_with(start)).map(str::to_owned);
    let (Some(requests), Some(codes)) = (line("requests:"), line("status codes:")) else {
        bail!("h2load said nothing:\n{text}");
    };
    let number = |text: &str, before: &str| {
        let head = text.split(before).next()?;
        head.trim_end().rsplit([' ', ':']).next()?.parse::<u64>().ok()
    };
    let total = number(&requests, " total");
    let fine = total.is_some()
        && total == number(&requests, " succeeded")
        && total == number(&codes, " 2xx");
    ensure!(fine, "{requests}; {codes}");
    Ok(requests)
}

/// The connections of a slow client come, and are all closed by the product, while others are
/// served. The client's own count says nothing: it reads so slowly that it hears of it late.
fn slow(args: &[&str], product: &Product) -> Result<String> {
    let mut command = Command::new(program("slowhttptest")?);
    let bodies = args[0] == "-B";
    let path = if bodies { format!("{PATH}/orders") } else { PATH.to_owned() };
    command.args(["-c", "200", "-r", "200", "-l", "60", "-p", "5", "-u"]);
    command.arg(format!("http://{}{path}", product.gate)).args(args);
    if bodies {
        // Without a token nobody would wait for the body; the program has no flag for more headers.
        let token = product.token("token of buyer")?;
        let more = format!("authorization: Bearer {token}\r\nidempotency-key: slow");
        command.arg("-f").arg(format!("application/json\r\n{more}"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().context("cannot run slowhttptest")?;
    let closed = all_closed(product);
    let _ = child.kill();
    let _ = child.wait();
    let (most, took) = closed?;
    let took = took.as_secs_f64();
    Ok(format!("{most} connections, all closed within {took:.0} s, others served"))
}

fn all_closed(product: &Product) -> Result<(u32, Duration)> {
    let began = Instant::now();
    let mut most = 0;
    loop {
        // A connection of its own, which counts too while it is there.
        get(product.gate, PATH)?;
        let open = product.connections()?;
        most = open.max(most);
        if most > 50 && open <= 2 {
            return Ok((most, began.elapsed()));
        }
        let waits = began.elapsed() < Duration::from_secs(30);
        ensure!(waits, "{open} of {most} are open after 30 s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read_with_their_section() {
        let text = [
            "1: fine",
            "Failures: ",
            "",
            "Hypertext",
            "  3. Starting HTTP/2",
            "    3.5. Preface",
            "      × 2: Sends invalid connection preface",
            "        -> The endpoint",
            "  8. HTTP",
            "    8.1.2.1. Pseudo",
            "      × 3: trailers",
            "",
            "Finished in 1 s",
        ];
        let text = text.join("\n");
        let want = [("3.5", "2"), ("8.1.2.1", "3")].map(|(s, n)| (s.to_owned(), n.to_owned()));
        assert_eq!(failures(&text), want);
        assert!(failures("Finished\n145 tests, 145 passed").is_empty());
    }
}
