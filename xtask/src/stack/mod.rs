//! `cargo xtask stack`: the real servers, natively, under `target/stack/`.
//!
//! Commands that change which servers run hold a lock, so two of them at once do not start
//! anything twice. `kill`, `pause`, `resume`, `fill` and `empty` do not: a fault must strike at
//! once, also while another command waits for a server.

mod config;
mod disks;
pub(crate) mod layout;
mod lifecycle;
mod mariadb;
mod net;
mod proc;
mod pulsar;
mod redis;
mod secure;
mod tools;
mod up;

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use tools::Tools;

use crate::cli::{Kind, StackCommand};
use crate::progress::Progress;
use crate::{install, jars};
use layout::{Layout, MARIADB_SERVERS, Server};
use proc::{Signal, State};

/// How long a server may take to end in good order before it is killed.
const GRACE: Duration = Duration::from_secs(20);

/// Runs one `stack` command; the result is the exit code.
pub(crate) fn run(command: StackCommand, base: u16) -> Result<u8> {
    let layout = Layout::new(base);
    let progress = Progress::begin();
    match command {
        StackCommand::Up { fresh, small_disks, secure } => {
            let _lock = lock(&layout)?;
            if fresh {
                down(&layout, true, &progress)?;
            }
            if small_disks {
                disks::make(&layout, &progress)?;
            }
            if secure {
                secure::make(&layout, &progress)?;
            }
            bring_up(&layout, &progress)?;
        }
        StackCommand::Down { wipe } => {
            let _lock = lock(&layout)?;
            down(&layout, wipe, &progress)?;
        }
        StackCommand::Status => return status(&layout),
        StackCommand::Logs { name, lines } => logs(&layout, name, lines)?,
        StackCommand::Kill { name } => {
            running(&layout, name)?;
            proc::kill(&layout, name)?;
            progress.say(&name.to_string(), "killed");
        }
        StackCommand::Start { name } => {
            let _lock = lock(&layout)?;
            lifecycle::start_one(&layout, &Tools::find()?, name, &progress)?;
        }
        StackCommand::Pause { name } => {
            proc::signal(running(&layout, name)?, Signal::Stop)?;
            progress.say(&name.to_string(), "paused");
        }
        StackCommand::Resume { name } => {
            proc::signal(running(&layout, name)?, Signal::Cont)?;
            progress.say(&name.to_string(), "resumed");
        }
        StackCommand::Fill { name } => {
            disks::fill(&layout, name)?;
            progress.say(&name.to_string(), "its disk is full");
        }
        StackCommand::Empty { name } => {
            disks::empty(&layout, name)?;
            progress.say(&name.to_string(), "its disk has room");
        }
        StackCommand::Keep { kind: Kind::Redis } => redis::keep(&layout, &progress)?,
        StackCommand::RestartKept { kind: Kind::Redis } => {
            let _lock = lock(&layout)?;
            redis::put_back(&layout, &progress)?;
            up::redis(&layout, &Tools::find()?, &progress)?;
        }
        StackCommand::RestartEmpty { kind: Kind::Redis } => {
            let _lock = lock(&layout)?;
            redis::forget_all(&layout, &progress)?;
            up::redis(&layout, &Tools::find()?, &progress)?;
        }
    }
    Ok(0)
}

/// `stack up` for other commands; returns the path of the product's configuration.
pub(crate) fn up(base: u16, progress: &Progress) -> Result<PathBuf> {
    let layout = Layout::new(base);
    let _lock = lock(&layout)?;
    bring_up(&layout, progress)?;
    Ok(layout.config_file())
}

/// `stack up --secure` for other commands; returns the path of the product's configuration.
pub(crate) fn up_secure(base: u16, progress: &Progress) -> Result<PathBuf> {
    let layout = Layout::new(base);
    let _lock = lock(&layout)?;
    secure::make(&layout, progress)?;
    bring_up(&layout, progress)?;
    Ok(layout.config_file())
}

/// Waits for its turn; the lock ends with the file, however the command ends.
fn lock(layout: &Layout) -> Result<File> {
    let path = layout.lock_file();
    if let Some(target) = path.parent() {
        fs::create_dir_all(target).context("cannot create the target folder")?;
    }
    let file = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
    file.lock().context("cannot lock the stack")?;
    Ok(file)
}

/// Everything that `stack up` promises. The kinds of server come up side by side; all of them
/// are tried even if one fails, and every failure is told.
fn bring_up(layout: &Layout, progress: &Progress) -> Result<()> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    if let Some((from, to)) = layout.among_outgoing(&range) {
        // A killed server could find its port taken by any connection when it comes back.
        bail!("this machine takes outgoing ports from {from} to {to}: choose another --port-base");
    }
    install::packages(progress)?;
    jars::ensure(progress)?;
    let tools = Tools::find()?;
    fs::create_dir_all(layout.folder()).context("cannot create the stack's folder")?;
    disks::ensure_room(layout)?;
    config::write(layout)?;
    let results = thread::scope(|scope| {
        let tools = &tools;
        let mut kinds = vec![
            scope.spawn(|| up::redis(layout, tools, progress)),
            scope.spawn(|| up::pulsar(layout, tools, progress)),
        ];
        kinds.extend(
            (1..=MARIADB_SERVERS)
                .map(|n| scope.spawn(move || up::mariadb(layout, tools, n, progress))),
        );
        let joined = kinds.into_iter().map(thread::ScopedJoinHandle::join);
        joined
            .map(|result| result.unwrap_or_else(|_| Err(anyhow!("a thread panicked"))))
            .collect::<Vec<Result<()>>>()
    });
    let failures: Vec<String> =
        results.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    if !failures.is_empty() {
        bail!("the stack is not up\n{}", failures.join("\n"));
    }
    progress.say("stack", &format!("up; configuration: {}", layout.config_file().display()));
    Ok(())
}

/// Ends every server of this stack. With `wipe` nothing is worth an orderly end.
fn down(layout: &Layout, wipe: bool, progress: &Progress) -> Result<()> {
    let mut ending = Vec::new();
    for server in Server::all() {
        let state = proc::state(layout, server);
        if let State::Paused(pid) = state {
            proc::signal(pid, Signal::Cont)?;
        }
        if let State::Up(pid) | State::Paused(pid) = state {
            proc::signal(pid, if wipe { Signal::Kill } else { Signal::Term })?;
            ending.push(server);
        }
    }
    for server in ending {
        if proc::wait_gone(layout, server, GRACE) {
            progress.say(&server.to_string(), "ended");
        } else {
            proc::kill(layout, server)?;
            progress.say(&server.to_string(), "killed, it did not end by itself");
        }
    }
    for server in Server::all() {
        // A stale pid file is harmless, and so is a missing one.
        let _ = fs::remove_file(layout.pid_file(server));
    }
    disks::unmount(layout)?;
    if wipe && layout.folder().exists() {
        fs::remove_dir_all(layout.folder()).context("cannot delete the stack's folder")?;
        progress.say("stack", &format!("{} deleted", layout.folder().display()));
    }
    Ok(())
}

/// Prints one line a server; 1 when one is down or not yet listening.
fn status(layout: &Layout) -> Result<u8> {
    let mut code = 0;
    for server in Server::all() {
        let port = layout.port(server);
        let (pid, word) = match proc::state(layout, server) {
            State::Up(pid) if net::listens(port) => (pid.to_string(), "up"),
            State::Up(pid) => (pid.to_string(), "starting"),
            State::Paused(pid) => (pid.to_string(), "paused"),
            State::Down => ("-".to_owned(), "down"),
        };
        if matches!(word, "down" | "starting") {
            code = 1;
        }
        println!("{server:<10} {pid:>8} {port:>6} {word}");
    }
    Ok(code)
}

fn logs(layout: &Layout, server: Server, lines: Option<usize>) -> Result<()> {
    let path = layout.log_file(server);
    let text = fs::read(&path).with_context(|| format!("{server} has no log yet"))?;
    let text = match lines {
        Some(count) => proc::last_lines(&String::from_utf8_lossy(&text), count) + "\n",
        None => String::from_utf8_lossy(&text).into_owned(),
    };
    // A reader that has seen enough (`| head`) closes the pipe; that is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// The pid of a server that runs or is paused.
fn running(layout: &Layout, server: Server) -> Result<u32> {
    match proc::state(layout, server) {
        State::Up(pid) | State::Paused(pid) => Ok(pid),
        State::Down => bail!("{server} is down"),
    }
}
