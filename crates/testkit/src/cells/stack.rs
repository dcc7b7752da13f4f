//! Where the real cluster is, and how tests share it.
//!
//! `SLUICEGATE_STACK` names the stack's configuration; without it, it is the one that
//! `cargo xtask stack up` writes. A missing stack fails a test, it never skips one. Tests that
//! break the cluster take the file lock alone, the others share it. Nobody flushes anything.

use std::fs::File;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "tests have no configuration of their own")]
fn config() -> PathBuf {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/stack/sluicegate.toml");
    std::env::var("SLUICEGATE_STACK").map_or_else(|_| fallback.into(), PathBuf::from)
}

/// `host:port` of the cluster's nodes.
pub fn nodes() -> Vec<String> {
    let path = config();
    let Ok(text) = std::fs::read_to_string(&path) else {
        panic!("{} is missing: run `cargo xtask stack up`", path.display());
    };
    let after = text.split("[cells]").nth(1).and_then(|t| t.split("nodes").nth(1));
    let list = after.and_then(|t| t.split(']').next()).unwrap_or_default();
    let nodes: Vec<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!nodes.is_empty(), "no cells.nodes in {}: `cargo xtask stack up`", path.display());
    nodes
}

/// A name that no other run has.
#[expect(clippy::disallowed_methods, reason = "uniqueness across runs, not time")]
pub fn fresh_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    format!("t{:x}-{now:x}", std::process::id())
}

fn lock_file() -> File {
    let path = config().with_file_name(".disrupt");
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
