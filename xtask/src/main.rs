//! The project's only task runner: `cargo xtask <command>`.
//!
//! It starts the real servers natively (`stack`), runs the tests against them (`test`), everything
//! a change must pass (`ci`), the simulator (`sim`), and the benchmark (`bench`). Parsing lives in
//! `cli`, the work in one module per concern; this file only dispatches and turns a failure into an
//! exit code.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that somebody watches")]
#![allow(
    clippy::disallowed_methods,
    reason = "a developer's tool: real clocks, threads and environment are its job"
)]

mod cargo;
mod cli;
mod install;
mod jars;
mod outside;
mod programs;
mod progress;
mod stack;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command};

/// Exit code of a wrong command line, as in sysexits.h and as the product itself uses it.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let result = match cli.command {
        Command::Stack { command, port } => stack::run(command, port.port_base),
        Command::Test { port, args } => cargo::test(port.port_base, &args),
        Command::Ci { port } => cargo::ci(port.port_base),
        Command::Chaos { port, args } => cargo::chaos(port.port_base, &args),
        Command::Soak { port, minutes } => cargo::soak(port.port_base, minutes),
        Command::Sim { args } => cargo::sim(&args),
        Command::Outside { port } => outside::run(port.port_base),
        Command::Bench { port_base, args } => cargo::bench(port_base, &args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what clap has to say; help and version are no failure.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
fn refuse(error: &clap::Error) -> ExitCode {
    let shown = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion if shown.is_ok() => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE),
    }
}
