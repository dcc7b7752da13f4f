//! `sluicegate`: parse, wire, run. Everything else is in the libraries.

mod admin_cli;
mod cli;
mod config;
mod dev;
mod once;
mod rewind;
mod services;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use config::Config;

/// Buffers are made on one thread and freed on another all the time, which the system's allocator
/// pays with consolidation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why a process ends, as its exit code and one line on standard error.
pub(crate) struct Exit {
    /// 64 usage, 69 dependency, 70 bug, 1 a check said no.
    pub code: u8,
    /// What to tell; empty for nothing.
    pub line: String,
}

impl Exit {
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { code: 64, line: line.into() }
    }
    pub(crate) fn unavailable(line: impl Into<String>) -> Self {
        Self { code: 69, line: line.into() }
    }
    pub(crate) fn bug(line: impl Into<String>) -> Self {
        Self { code: 70, line: line.into() }
    }
    pub(crate) fn no(line: impl Into<String>) -> Self {
        Self { code: 1, line: line.into() }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 64 } else { 0 });
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if !e.line.is_empty() {
                runtime::note!("sluicegate: {}", e.line);
            }
            ExitCode::from(e.code)
        }
    }
}

/// Tells what the command is for; a caller that does not get it must not go on with nothing.
pub(crate) fn told(text: std::fmt::Arguments<'_>) -> Result<(), Exit> {
    let done = runtime::tell::result(text);
    done.map_err(|e| Exit::unavailable(format!("standard output: {e}")))
}

fn run(cli: Cli) -> Result<(), Exit> {
    runtime::tls::provide();
    let config: Config = runtime::config::load(&cli.sources()).map_err(|e| Exit::usage(e.0))?;
    wire::built(&config)?;
    if cli.check_config {
        wire::check(&config)?;
        return told(format_args!("configuration is fine"));
    }
    if cli.print_config {
        let text = runtime::config::print_redacted(&config);
        return told(format_args!("{}", text.trim_end()));
    }
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    if config.gate.threads > 0 {
        threads.worker_threads(config.gate.threads);
    }
    let runtime = threads.enable_all().build().map_err(|e| Exit::unavailable(e.to_string()))?;
    let done = runtime.block_on(async {
        match cli.command.unwrap_or(Command::Dev) {
            Command::Dev => dev::run(config).await,
            Command::Gate => services::gate(config).await,
            Command::Writer => services::writer(config).await,
            Command::Reconciler(args) => services::reconciler(config, &args).await,
            Command::Loadtest(args) => services::loadtest(config, args).await,
            Command::Admin(what) => admin_cli::run(config, what).await,
        }
    });
    // Tasks that hang (a blocked resolver) must not keep a finished process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}
