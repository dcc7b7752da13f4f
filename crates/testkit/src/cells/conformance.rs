//! Directed cases.
