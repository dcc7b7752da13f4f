//! What runs cargo: `test`, `ci` and `bench` on a stack that is up, `sim` without any.
//!
//! Exit codes are cargo's own. `ci` goes on after a failed step, so that one run tells everything
//! there is to repair.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cli::StackCommand;
use crate::install;
use crate::progress::Progress;
use crate::stack::{self, layout};

/// Everything is checked with the Pulsar backend compiled in.
const ALL: [&str; 3] = ["--workspace", "--features", "sluicegate/pulsar,sluicegate-chaos/pulsar"];

/// The secure stack of a stack stands right beside it.
const SECURE: u16 = 100;

/// What runs once more on the secure stack: every client, redirections and failovers over TLS.
const ON_SECURE: [&str; 18] = [
    "--test",
    "cluster",
    "--test",
    "disrupt",
    "--test",
    "pulsar",
    "--test",
    "mysql",
    "--",
    "passes_the_suite",
    "pass_the_suite",
    "nodes_that_forgot",
    "a_slot_moves",
    "a_failover",
    "conforms",
    "is_not_ready_before_init",
    "two_databases_conform",
    "a_killed_server",
];

/// `cargo xtask test`.
pub(crate) fn test(base: u16, args: &[String]) -> Result<u8> {
    let config = stack::up(base, &Progress::begin())?;
    // Arguments choose some of the tests; those of the secure stack are one target.
    if args.is_empty() || args.iter().any(|a| a == "secure") {
        stack::up_secure(base + SECURE, &Progress::begin())?;
    }
    run_tests(&config, args)
}

/// Everything, or what the arguments choose.
fn run_tests(config: &Path, args: &[String]) -> Result<u8> {
    let mut words = vec!["test"];
    words.extend(ALL);
    words.push("--no-fail-fast");
    words.extend(args.iter().map(String::as_str));
    cargo(&words, Some(config))
}

/// The chaos of `ci`: a silent payment provider, a failover, a black hole, cut networks, broken
/// frames, Redis coming back empty. `docs/faults.md` has the long runs.
const SMOKE: [&str; 4] = ["--schedules", "6", "--first-seed", "9"];

/// Each planted fault at its recorded seed. The whole workspace is named, so that what it stands on
/// is compiled as for the tests, once.
const MUTANTS: [&str; 7] = [
    "test",
    "--quiet",
    "--workspace",
    "--features",
    "sluicegate/pulsar,sluicegate-chaos/pulsar,sluicegate-sim/mutants",
    "--test",
    "mutants",
];

/// The simulator of `ci`, from the build of the tests: with its checks of overflows, and without
/// compiling everything once more. `cargo xtask sim` has the long runs.
const SIMULATED: [&str; 2] = ["--schedules", "7000"];

/// `cargo xtask soak`: the same program, for long.
pub(crate) fn soak(base: u16, minutes: u64) -> Result<u8> {
    chaos(base, &["--soak".to_owned(), minutes.to_string()])
}

/// `cargo xtask ci`.
pub(crate) fn ci(base: u16) -> Result<u8> {
    let progress = Progress::begin();
    // protoc has to be there before anything with the Pulsar backend compiles.
    install::packages(&progress)?;
    let mut clippy = vec!["clippy", "--all-targets"];
    clippy.extend(ALL);
    clippy.extend(["--", "-D", "warnings"]);
    let secure = layout::Layout::new(base + SECURE).config_file();
    let on_secure = ON_SECURE.map(str::to_owned);
    let deny = has_deny();
    let steps: [Step<'_>; 11] = [
        ("deny", Box::new(move || if deny { cargo(&DENY, None) } else { Ok(0) })),
        ("fmt", Box::new(|| cargo(&["fmt", "--all", "--check"], None))),
        ("clippy", Box::new(move || cargo(&clippy, None))),
        ("default", Box::new(|| cargo(&DEFAULT, None))),
        ("simulator", Box::new(simulator)),
        ("mutants", Box::new(|| cargo(&MUTANTS, None))),
        ("stack up", Box::new(move || stack::up(base, &progress).map(|_| 0))),
        ("secure up", Box::new(move || stack::up_secure(base + SECURE, &progress).map(|_| 0))),
        ("test", Box::new(move || run_tests(&layout::Layout::new(base).config_file(), &[]))),
        ("secure", Box::new(move || run_tests(&secure, &on_secure))),
        ("chaos", Box::new(move || chaos(base, &SMOKE.map(str::to_owned)))),
    ];
    let mut table = String::new();
    let mut first_failure = 0;
    for (name, step) in steps {
        progress.say("ci", name);
        let began = Instant::now();
        let code = step().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            1
        });
        let word = match code {
            0 if name == "deny" && !deny => "not here: `cargo install cargo-deny`",
            0 => "ok",
            _ => "FAILED",
        };
        table.push_str(&format!("{name:<10} {:>7.1} s  {word}\n", began.elapsed().as_secs_f64()));
        if first_failure == 0 {
            first_failure = code;
        }
    }
    println!("{table}{:<10} {:>7.1} s", "total", progress.seconds());
    Ok(first_failure)
}

/// The build of the embedded default, with neither Redis nor Pulsar compiled in, refuses both.
const DEFAULT: [&str; 5] = ["test", "--quiet", "--test", "e2e_life", "without_the_feature"];

/// Licences, sources and doubled crates; the list of advisories is not on every machine.
const DENY: [&str; 5] = ["deny", "check", "bans", "licenses", "sources"];

/// Whether cargo-deny is installed: nothing else needs it, and it takes minutes to compile.
fn has_deny() -> bool {
    let asked = Command::new("cargo").args(["deny", "--version"]).output();
    asked.is_ok_and(|out| out.status.success())
}

/// A step of `ci`: its name and what returns its exit code.
type Step<'a> = (&'a str, Box<dyn Fn() -> Result<u8> + 'a>);

/// The simulator's step of `ci`.
fn simulator() -> Result<u8> {
    let built = match build()? {
        Ok(built) => built,
        Err(code) => return Ok(code),
    };
    let mut sim = Command::new(built.join("sluicegate-sim"));
    sim.args(SIMULATED);
    run(sim, None, "sluicegate-sim")
}

/// `cargo xtask sim`: 20,000 schedules unless told otherwise.
pub(crate) fn sim(args: &[String]) -> Result<u8> {
    let mut words = vec!["run", "--release", "--quiet", "-p", "sluicegate-sim"];
    // Planted faults are compiled in only where they are asked for.
    if args.iter().any(|a| a == "--mutants" || a == "--mutant") {
        words.extend(["--features", "mutants"]);
    }
    words.push("--");
    words.extend(args.iter().map(String::as_str));
    cargo(&words, None)
}

/// `cargo xtask bench`: on servers that have never seen anything, which end with it.
pub(crate) fn bench(base: u16, args: &[String]) -> Result<u8> {
    let (fresh, small_disks, secure) = (true, false, false);
    stack::run(StackCommand::Up { fresh, small_disks, secure }, base)?;
    let config = layout::Layout::new(base).config_file();
    let report = layout::workspace_root().join("target/bench/report.json");
    let (stack, out) = (config.display().to_string(), report.display().to_string());
    if let Some(folder) = report.parent() {
        std::fs::create_dir_all(folder).context("cannot create target/bench")?;
    }
    let mut words =
        vec!["run", "--release", "-p", "sluicegate-bench", "--features", "pulsar", "--"];
    words.extend(["--stack", &stack, "--out", &out]);
    words.extend(args.iter().map(String::as_str));
    let code = cargo(&words, Some(&config));
    stack::run(StackCommand::Down { wipe: true }, base)?;
    code
}

/// `cargo xtask chaos`: the product with Pulsar, then the run.
pub(crate) fn chaos(base: u16, args: &[String]) -> Result<u8> {
    let config = stack::up(base, &Progress::begin())?;
    let built = match build()? {
        Ok(built) => built,
        Err(code) => return Ok(code),
    };
    let mut chaos = Command::new(built.join("sluicegate-chaos"));
    chaos.arg("--binary").arg(built.join("sluicegate")).args(args);
    chaos.current_dir(layout::workspace_root());
    run(chaos, Some(&config), "sluicegate-chaos")
}

/// Builds everything as the tests are built, so that nothing compiles twice: the folder of the
/// programs, or cargo's exit code.
pub(crate) fn build() -> Result<Result<PathBuf, u8>> {
    let mut build = vec!["build", "--quiet"];
    build.extend(ALL);
    let code = cargo(&build, None)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let built = target.unwrap_or_else(|| layout::workspace_root().join("target")).join("debug");
    Ok(if code == 0 { Ok(built) } else { Err(code) })
}

/// Runs cargo in the workspace's root; the result is its exit code.
fn cargo(args: &[&str], config: Option<&Path>) -> Result<u8> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(layout::workspace_root());
    run(command, config, "cargo")
}

/// The configuration of the secure stack beside the one with this configuration, or itself.
fn secure_beside(config: &Path) -> PathBuf {
    let base = |folder: &str| match folder.strip_prefix("stack-") {
        Some(base) => base.parse().ok(),
        None => Some(layout::DEFAULT_BASE),
    };
    let folder = config.parent().and_then(Path::file_name).and_then(|f| base(&f.to_string_lossy()));
    let itself = config.with_file_name("secure").is_dir();
    match folder {
        Some(base) if !itself => layout::Layout::new(base + SECURE).config_file(),
        _ => config.to_owned(),
    }
}

/// Runs a program on the stack of `config`; the result is its exit code.
fn run(mut command: Command, config: Option<&Path>, name: &str) -> Result<u8> {
    if let Some(config) = config {
        command.env("SLUICEGATE_STACK", config);
        command.env("SLUICEGATE_SECURE_STACK", secure_beside(config));
        if let Ok(me) = std::env::current_exe() {
            // A build may have put a new one in this one's place; that one will do.
            let me = me.display().to_string();
            command.env("SLUICEGATE_XTASK", me.trim_end_matches(" (deleted)"));
        }
    }
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    // A program that a signal ended has no code of its own.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
