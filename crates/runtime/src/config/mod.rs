//! The configuration: one section per concern, declared by whom it is for; file, environment,
//! flags, in that order.
//!
//! Unknown keys are refused with their path. Secrets are redacted when printed. What a key means,
//! its default and its range are said once, in [`crate::section!`].

mod key;
mod load;
mod redact;
mod telemetry;
mod walk;

pub use key::{Composed, ConfigKey, ConfigPart, KeyKind, Section, told};
pub use load::{ConfigError, Sources, check, load, read};
pub use redact::without_password;
pub use telemetry::{LogFormat, TelemetryConfig};
pub use walk::{print_redacted, reference};
