//! A part behind the gate that failed: logged once with its number, counted by part, and told to
//! nobody outside. What a client hears is that a part is down; which and why is for operators.

use cells::port::CellError;
use store::StoreError;
use view::OperateError;

use crate::metrics;

/// A dependency failed, and it was logged and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Down;

/// A database call failed.
pub(crate) fn database(e: StoreError) -> Down {
    tracing::warn!(database = e.db(), error = %e, "a database call failed");
    metrics::dependency_failed("database");
    Down
}

/// A call of a cell failed.
pub(crate) fn redis(e: CellError) -> Down {
    tracing::warn!(error = %e, "a call of Redis failed");
    metrics::dependency_failed("redis");
    Down
}

/// Bytes that were read are no payload of ours.
pub(crate) fn payload(e: domain::order::PayloadError) -> Down {
    tracing::error!(error = %e, "a kept payload cannot be read");
    metrics::dependency_failed("database");
    Down
}

/// The reconciler of this process could not do what it was asked.
pub(crate) fn reconciler(e: OperateError) -> Down {
    tracing::warn!(error = %e, "a call of the reconciler failed");
    metrics::dependency_failed("reconciler");
    Down
}

/// The log gave no receipt or no answer.
pub(crate) fn log(e: orderlog::port::LogError) -> Down {
    tracing::warn!(error = %e, "a call of the log failed");
    metrics::dependency_failed("log");
    Down
}
