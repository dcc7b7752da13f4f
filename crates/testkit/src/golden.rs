//! Goldens: files that are made from the code and read by people, held together by a test.

use std::path::Path;

/// The file holds exactly this; with `BLESS=1` in the environment it is written first. `root` is
/// the crate's `CARGO_MANIFEST_DIR`.
pub fn golden(root: &str, file: &str, want: &str) {
    let path = Path::new(root).join(file);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, want).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let have = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let first = have.lines().zip(want.lines()).position(|(a, b)| a != b);
    let line = first.unwrap_or_else(|| have.lines().count().min(want.lines().count()));
    assert!(
        have == want,
        "{file}, line {}: {:?}, and the code says {:?}; with BLESS=1 the test writes it",
        line + 1,
        have.lines().nth(line),
        want.lines().nth(line)
    );
}
