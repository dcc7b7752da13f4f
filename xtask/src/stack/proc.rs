//! Server processes: starting them detached, finding them again, signalling them.
//!
//! A pid file alone proves nothing, since pids are reused. A process counts as ours only when its
//! command line names the server's program and the server's own folder; nothing else is ever
//! signalled. Signals go through the shell's `kill`, because `unsafe` is forbidden here.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::layout::{Layout, Server};

/// How long the ports of a process that ended may stay taken.
const PORTS_LIMIT: Duration = Duration::from_secs(3);

/// What the system says about a server's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It runs, with this pid.
    Up(u32),
    /// It is stopped by a signal, with this pid.
    Paused(u32),
    /// There is no such process.
    Down,
}

/// The signals that the stack sends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    /// Ends it in good order.
    Term,
    /// Ends it as a crash would.
    Kill,
    /// Freezes it.
    Stop,
    /// Lets it go on.
    Cont,
}

/// A server's program with its arguments.
#[derive(Debug)]
pub(super) struct Launch {
    /// Full path of the executable.
    pub program: PathBuf,
    /// Its arguments; one of them must name the server's home.
    pub args: Vec<String>,
}

/// The state of a server's process.
pub(super) fn state(layout: &Layout, server: Server) -> State {
    let Some(pid) = recorded_pid(layout, server) else {
        return State::Down;
    };
    let Some((cmdline, letter)) = look_at(pid) else {
        return State::Down;
    };
    if !is_server(&cmdline, server.program(), &layout.home(server)) {
        return State::Down;
    }
    match letter {
        'T' | 't' => State::Paused(pid),
        _ => State::Up(pid),
    }
}

/// Command line and status letter of a living process. Until the middle of `exec` a new process
/// has the command line of this one, whose memory it shares, and then for a moment an empty one:
/// neither must pass for an end. Look again until its own is there, for as long as a cold disk and
/// busy cores may need.
fn look_at(pid: u32) -> Option<(Vec<u8>, char)> {
    let mine = fs::read("/proc/self/cmdline").ok()?;
    for _ in 0..1500 {
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let letter = status_letter(&stat).filter(|letter| !matches!(letter, 'Z' | 'X'))?;
        if !cmdline.is_empty() && cmdline != mine {
            return Some((cmdline, letter));
        }
        sleep(Duration::from_millis(2));
    }
    None
}

fn recorded_pid(layout: &Layout, server: Server) -> Option<u32> {
    fs::read_to_string(layout.pid_file(server)).ok()?.trim().parse().ok()
}

/// Whether a raw command line (arguments separated by NUL) is that of the server with this home.
fn is_server(cmdline: &[u8], program: &str, home: &Path) -> bool {
    let home = home.to_string_lossy();
    let line = String::from_utf8_lossy(cmdline);
    let mut words = line.split('\0');
    let runs_program = words.clone().take(2).any(|word| word.rsplit('/').next() == Some(program));
    runs_program
        && words.any(|word| {
            word.split_once(&*home)
                .is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('/'))
        })
}

/// The status letter of `/proc/PID/stat`; the name before it may hold spaces and parentheses.
fn status_letter(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Starts a server in a process group of its own, so that it outlives this command, the terminal
/// and Ctrl-C. `setsid` becomes the server, so its pid is the server's.
pub(super) fn spawn(layout: &Layout, server: Server, launch: &Launch) -> Result<u32> {
    if let Some(port) = wait_ports_free(layout, server) {
        bail!("{server}: port {port} is taken by a process that this stack did not start");
    }
    let home = layout.home(server);
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let path = layout.log_file(server);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let child = Command::new("setsid")
        .arg(&launch.program)
        .args(&launch.args)
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the log file")?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {server}"))?;
    fs::write(layout.pid_file(server), format!("{}\n", child.id()))
        .with_context(|| format!("cannot write the pid of {server}"))?;
    Ok(child.id())
}

/// Waits until the server's ports can be bound; the one that stays taken otherwise. The threads of
/// a killed process hold its sockets for a moment after the process itself has vanished.
fn wait_ports_free(layout: &Layout, server: Server) -> Option<u16> {
    let began = Instant::now();
    loop {
        let taken = layout
            .bound_ports(server)
            .into_iter()
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_err());
        if taken.is_none() || began.elapsed() > PORTS_LIMIT {
            return taken;
        }
        sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process that `state` has just named.
pub(super) fn signal(pid: u32, signal: Signal) -> Result<()> {
    let name = match signal {
        Signal::Term => "TERM",
        Signal::Kill => "KILL",
        Signal::Stop => "STOP",
        Signal::Cont => "CONT",
    };
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()])
        .status()
        .context("cannot run sh")?;
    if !status.success() {
        bail!("cannot send SIG{name} to process {pid}");
    }
    Ok(())
}

/// Waits until the process and its listeners are gone; false when it still runs after `limit`.
pub(super) fn wait_gone(layout: &Layout, server: Server, limit: Duration) -> bool {
    let began = Instant::now();
    while state(layout, server) != State::Down {
        if began.elapsed() > limit {
            return false;
        }
        sleep(Duration::from_millis(20));
    }
    // Whoever bound a port in between is the next start's problem, not a reason to fail here.
    let _ = wait_ports_free(layout, server);
    true
}

/// Kills a server and waits until it is gone. Fine with one that is down.
pub(super) fn kill(layout: &Layout, server: Server) -> Result<()> {
    if let State::Up(pid) | State::Paused(pid) = state(layout, server) {
        // The process may end between the look and the signal; what counts is that it is gone.
        let sent = signal(pid, Signal::Kill);
        if !wait_gone(layout, server, Duration::from_secs(10)) {
            sent?;
            bail!("{server}: process {pid} is still there 10 s after SIGKILL");
        }
    }
    Ok(())
}

/// Repeats `probe` until it succeeds, the process ends, or `limit` is over; a failure carries the
/// last answer and the end of the server's log.
pub(super) fn wait_until(
    layout: &Layout,
    server: Server,
    limit: Duration,
    mut probe: impl FnMut() -> Result<()>,
) -> Result<()> {
    let began = Instant::now();
    loop {
        let Err(last) = probe() else { return Ok(()) };
        let ended = state(layout, server) == State::Down;
        if ended || began.elapsed() > limit {
            let why = if ended { "its process ended" } else { "it does not answer" };
            bail!(
                "{server}: {why} after {:.1} s ({last:#})\n{}",
                began.elapsed().as_secs_f64(),
                log_tail(layout, server, 25)
            );
        }
        sleep(Duration::from_millis(100));
    }
}

/// The last lines of a server's log, indented, under a line that names the file.
fn log_tail(layout: &Layout, server: Server, lines: usize) -> String {
    let path = layout.log_file(server);
    let text = fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let tail = last_lines(&text, lines).replace('\n', "\n    ");
    format!("  the end of {}:\n    {tail}", path.display())
}

/// The last `count` lines of a text.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_command_line_with_program_and_home_is_ours() {
        let home = Path::new("/w/target/stack/redis-1");
        let ours = b"/usr/bin/redis-server\0--dir\0/w/target/stack/redis-1\0";
        let being_started = b"setsid\0/usr/bin/redis-server\0--dir\0/w/target/stack/redis-1/x\0";
        let neighbour = b"/usr/bin/redis-server\0--dir\0/w/target/stack/redis-10\0";
        let editor = b"vi\0-R\0/w/target/stack/redis-1/redis-server\0";
        assert!(is_server(ours, "redis-server", home));
        assert!(is_server(being_started, "redis-server", home));
        assert!(!is_server(neighbour, "redis-server", home));
        assert!(!is_server(editor, "redis-server", home));
        assert!(!is_server(b"", "redis-server", home));
    }

    #[test]
    fn the_status_letter_is_found_behind_any_name() {
        assert_eq!(status_letter("12 (a) b) T 1 12"), Some('T'));
        assert_eq!(status_letter("12 (java) S 1 12"), Some('S'));
        assert_eq!(status_letter(""), None);
    }

    #[test]
    fn last_lines_takes_what_there_is() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 5), "a");
    }
}
