//! A part behind the gate that failed: counted by part, logged with its number and its cause at
//! most once a second, and told to nobody outside. What a client hears is that a part is down;
//! which and why is for operators.

use cells::port::CellError;
use runtime::seldom::{Seldom, Subject};
use store::StoreError;

use crate::metrics::METRICS;
use crate::operate::OperateError;

/// A dependency failed, and it was logged and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Down;

static SAID: Seldom = Seldom::new();

fn count(part: &'static str) {
    METRICS.dependency_errors.of(part).increment(1);
}

/// Counts a failure and, when it is due, says what it means and why.
pub(crate) fn note(said: &Seldom, subject: Subject, what: &str, error: &dyn std::fmt::Display) {
    count(subject.0);
    if let Some(left_out) = said.due(subject) {
        let (part, number) = subject;
        tracing::warn!(part, number, %error, left_out, "{what}");
    }
}

fn failed(subject: Subject, error: &dyn std::fmt::Display) -> Down {
    note(&SAID, subject, "a call failed", error);
    Down
}

/// A database call failed.
pub fn database(e: StoreError) -> Down {
    failed(("database", e.db()), &e)
}

/// A call of a cell failed.
pub fn redis(e: CellError) -> Down {
    failed(("redis", 0), &e)
}

/// Bytes that were read are no payload of ours.
pub fn payload(e: domain::order::PayloadError) -> Down {
    tracing::error!(error = %e, "a kept payload cannot be read");
    count("database");
    Down
}

/// The reconciler of this process could not do what it was asked.
pub fn reconciler(e: OperateError) -> Down {
    failed(("reconciler", 0), &e)
}

/// The log gave no receipt or no answer.
pub fn log(e: orderlog::port::LogError) -> Down {
    failed(("log", 0), &e)
}
