//! Who may come in: limits, and what a request has once it was let in.

pub(crate) mod admission;
pub(crate) mod admitted;
pub(crate) mod keys;
