//! Where the real cluster is, and how tests share it.
//!
//! Which stack it is says [`crate::stack`]. A missing stack fails a test, it never skips one. Tests
//! that break the cluster take the file lock alone, the others share it. Nobody flushes anything.

use std::fs::File;
use std::time::{SystemTime, UNIX_EPOCH};

use cells::CellsConfig;

use crate::stack;

fn known(config: anyhow::Result<stack::Servers>) -> CellsConfig {
    config.unwrap_or_else(|e| panic!("{e:#}")).cells
}

/// The cluster as the product reaches it.
pub fn cells() -> CellsConfig {
    known(stack::config())
}

/// The cluster as its operator reaches it.
pub fn operator() -> CellsConfig {
    known(stack::operator())
}

/// `host:port` of the cluster's nodes.
pub fn nodes() -> Vec<String> {
    cells().nodes
}

/// A name that no other run has.
#[expect(clippy::disallowed_methods, reason = "uniqueness across runs, not time")]
pub fn fresh_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    format!("t{:x}-{now:x}", std::process::id())
}

fn lock_file() -> File {
    let path = stack::file().with_file_name(".disrupt");
    File::create(&path).unwrap_or_else(|e| {
        panic!("{}: {e}: run `cargo xtask stack up`", path.display());
    })
}

/// Held while a test needs the cluster whole.
pub fn share() -> File {
    let file = lock_file();
    file.lock_shared().expect("the stack's directory takes locks");
    file
}

/// Held while a test breaks the cluster.
pub fn alone() -> File {
    let file = lock_file();
    file.lock().expect("the stack's directory takes locks");
    file
}
