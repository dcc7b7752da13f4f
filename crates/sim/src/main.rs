//! `sluicegate-sim`: parses, runs, turns the result into an exit code.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that somebody watches")]

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use sluicegate_sim::cli;

/// Half of a schedule's work is small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of a wrong command line.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let args = match cli::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return refuse(&error),
    };
    cli::run(&args).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
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
