//! Debian packages that the stack and the build need: only what is missing, no service started.
//!
//! Looking for programs instead of packages keeps other distributions possible: whoever has the
//! programs needs no apt.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::jars;
use crate::programs::{am_root, program};
use crate::progress::Progress;

const APT_INSTALL: &str = include_str!("../../deploy/native/apt-install.sh");

/// Which package brings which program.
const PACKAGES: [(&str, &str); 9] = [
    ("redis-server", "redis-server"),
    ("mariadbd", "mariadb-server"),
    ("protoc", "protobuf-compiler"),
    // The whole kit, not the runtime alone: a Java source file is run before Pulsar starts.
    ("javac", "default-jdk-headless"),
    ("mvn", "maven"),
    // Its library sets the clocks of chaos; the program makes certificates that are over.
    ("faketime", "faketime"),
    ("openssl", "openssl"),
    // Keeps single processes of chaos from single servers.
    ("nft", "nftables"),
    ("curl", "curl"),
];

/// Installs the packages whose program is missing. Maven only fetches jars, so it is not missed
/// once they are there.
pub(crate) fn packages(progress: &Progress) -> Result<()> {
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(name, _)| *name != "mvn" || !jars::present())
        .filter(|(name, _)| program(name).is_err())
        .map(|(_, package)| *package)
        .collect();
    install(progress, &missing)
}

/// Installs the packages of a command whose program, named first, is missing.
pub(crate) fn tools(progress: &Progress, tools: &[(&str, &str)]) -> Result<()> {
    let missing = tools.iter().filter(|(name, _)| program(name).is_err());
    let missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    install(progress, &missing)
}

fn install(progress: &Progress, missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    ensure!(
        program("apt-get").is_ok(),
        "programs are missing and there is no apt-get: install what the packages {names} bring"
    );
    progress.say("apt", &format!("installing {names}"));
    let mut command = if am_root() {
        Command::new("sh")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    };
    let output = command
        .args(["-c", APT_INSTALL, "apt-install"])
        .args(missing)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run apt-get; install by hand: {names}"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(15).collect();
        let tail: Vec<&str> = lines.into_iter().rev().collect();
        bail!("installing {names} failed (as root? with a network?):\n{}", tail.join("\n"));
    }
    progress.say("apt", "installed");
    Ok(())
}
