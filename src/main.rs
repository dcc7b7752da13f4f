//! `sluicegate`: parse, wire, run. Everything else is in the libraries.

mod admin_cli;
mod cli;
mod config;
mod demo;
mod dev;
mod exit;
mod money;
mod once;
mod rewind;
mod secrets;
mod services;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use config::Config;
use exit::{Exit, told};

/// Buffers are made on one thread and freed on another all the time, which the system's allocator
/// pays with consolidation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
            Command::Clerk => services::clerk(config).await,
            Command::Reconciler(args) => services::reconciler(config, &args).await,
            Command::Loadtest(args) => services::loadtest(config, args).await,
            Command::Admin(what) => admin_cli::run(config, what).await,
        }
    });
    // Tasks that hang (a blocked resolver) must not keep a finished process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}
