//! Pulsar's jars, fetched once per machine through Maven into `~/.cache/sluicegate/`.
//!
//! They land in a folder of another name and get their own only when Maven has succeeded, so the
//! folder is complete or not there at all. Clean clones find it and need no network.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::programs::program;
use crate::progress::Progress;

/// The version in deploy/native/pulsar/pom.xml.
const VERSION: &str = "4.0.7";

const POM: &str = include_str!("../../deploy/native/pulsar/pom.xml");

/// Pinned, so that two machines get the same folder.
const GOAL: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// A broken connection is the usual failure, and Maven goes on where it was.
const ATTEMPTS: u32 = 3;

/// The folder of this version; `lib` in it holds the jars.
pub(crate) fn folder() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(PathBuf::from(home).join(".cache"))
    });
    let cache = cache.context("neither XDG_CACHE_HOME nor HOME says where to keep Pulsar")?;
    Ok(cache.join("sluicegate").join(format!("pulsar-{VERSION}")))
}

/// Whether all jars are there.
pub(crate) fn present() -> bool {
    folder().is_ok_and(|folder| folder.join("complete").exists())
}

/// Fetches the jars unless they are there.
pub(crate) fn ensure(progress: &Progress) -> Result<()> {
    if present() {
        return Ok(());
    }
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Two stacks may be started at the same time; the second waits and finds the jars.
    let lock = File::create(folder.join("lock")).context("cannot open the lock of the jars")?;
    lock.lock().context("cannot lock the jars")?;
    if present() {
        return Ok(());
    }
    progress.say("pulsar", &format!("fetching the jars of Pulsar {VERSION} (235 MB) with Maven"));
    fs::write(folder.join("pom.xml"), POM).context("cannot write pom.xml")?;
    let (partial, lib) = (folder.join("lib.partial"), folder.join("lib"));
    for old in [&partial, &lib] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot delete {}", old.display()))?;
        }
    }
    fetch(&folder, progress)?;
    fs::rename(&partial, &lib).context("cannot put the jars in their place")?;
    fs::write(folder.join("complete"), "").context("cannot mark the jars as complete")?;
    progress.say("pulsar", "jars are there");
    Ok(())
}

/// Runs Maven until it succeeds; its words go to `maven.log` beside the jars.
fn fetch(folder: &PathBuf, progress: &Progress) -> Result<()> {
    let maven = program("mvn")?;
    let log_path = folder.join("maven.log");
    for attempt in 1..=ATTEMPTS {
        let log = File::create(&log_path).context("cannot open maven.log")?;
        let status = Command::new(&maven)
            .args(["-B", "-ntp", "-f", "pom.xml", GOAL, "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", folder.join("lib.partial").display()))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share maven.log")?)
            .stderr(log)
            .status()
            .context("cannot run Maven")?;
        if status.success() {
            return Ok(());
        }
        progress.say("pulsar", &format!("Maven failed, attempt {attempt} of {ATTEMPTS}"));
    }
    let log = fs::read_to_string(&log_path).unwrap_or_default();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).take(8).collect();
    bail!("Pulsar's jars cannot be fetched ({}):\n{}", log_path.display(), errors.join("\n"))
}
