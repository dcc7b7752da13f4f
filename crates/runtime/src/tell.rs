//! Standard output and standard error, which may be a full disk or a pipe that nobody reads any
//! more. What is told for people is lost then, and nothing else: no task ends for it, no exit code
//! changes. `println!` and its kind panic instead, and the lints refuse them.

use std::fmt::Arguments;
use std::io::{self, Write};

use crate::counted::METRICS;

/// A line for people on standard output.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::tell::out(format_args!($($text)*)) };
}

/// A line for people on standard error.
#[macro_export]
macro_rules! note {
    ($($text:tt)*) => { $crate::tell::err(format_args!("{}\n", format_args!($($text)*))) };
}

/// See [`say!`].
pub fn out(line: Arguments<'_>) {
    // Nobody is left to be told that nobody can be told.
    let _ = result(line);
}

/// Text on standard error, as it is.
pub fn err(text: Arguments<'_>) {
    let mut err = io::stderr().lock();
    let _ = err.write_fmt(text).and_then(|()| err.flush());
}

/// A line on standard output that is what the command is for: its caller hears when it was lost.
pub fn result(line: Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_fmt(line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush())
}

/// Where the log goes: standard error, and what cannot be written is counted. The library would
/// say so on standard error, in the very same way, and panic.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if io::stderr().write_all(line).is_err() {
            METRICS.log_lines_lost.increment(1);
        }
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
