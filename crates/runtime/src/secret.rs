//! A credential: written down in the configuration, or in a file of its own.
//!
//! A file is read each time somebody logs in, so that a credential that was changed at the server
//! counts from the next connection on. Neither form is ever shown.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes of a credential's file.
const LARGEST: u64 = 64 * 1024;

/// See the module.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Secret {
    /// There is none.
    #[default]
    None,
    /// As the configuration has it.
    Given(String),
    /// The content of a file, without the line's end.
    File(PathBuf),
}

impl Secret {
    /// Of a key and its `_file` twin; both empty is none.
    pub fn of(given: &str, file: &Path) -> Self {
        if !given.is_empty() {
            Self::Given(given.to_owned())
        } else if !file.as_os_str().is_empty() {
            Self::File(file.to_owned())
        } else {
            Self::None
        }
    }

    /// The credential as it is now. The error names the file and says nothing of its content.
    pub fn read(&self) -> Result<Option<String>, String> {
        match self {
            Self::None => Ok(None),
            Self::Given(value) => Ok(Some(value.clone())),
            Self::File(path) => {
                let text = text_of(path).map_err(|e| format!("{}: {e}", path.display()))?;
                Ok(Some(text))
            }
        }
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    let read = read.map_err(|e| e.to_string())?;
    let text = text.trim_end_matches(['\r', '\n']);
    match (text, read as u64) {
        (_, n) if n > LARGEST => Err(format!("more than {LARGEST} bytes")),
        ("", _) => Err("empty".to_owned()),
        (text, _) if text.contains(char::is_control) => Err("more than one line".to_owned()),
        (text, _) => Ok(text.to_owned()),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Given(_) => f.write_str("Given(<redacted>)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_each_time_without_its_lines_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        let secret = Secret::of("", &file);
        let e = secret.read().unwrap_err();
        assert!(e.contains("password") && e.contains("No such file"), "{e}");
        for (text, want) in
            [("a", Some("a")), ("b\n", Some("b")), (" c \r\n", Some(" c ")), ("", None)]
        {
            std::fs::write(&file, text).unwrap();
            assert_eq!(secret.read().ok().flatten().as_deref(), want, "{text:?}");
        }
        for wrong in ["one\ntwo", "\n", "nul\0", &"x".repeat(LARGEST as usize + 1)] {
            std::fs::write(&file, wrong).unwrap();
            let e = secret.read().unwrap_err();
            assert!(e.lines().count() == 1 && e.len() < 200 && !e.contains("alpha"), "{e}");
        }
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(secret.read().is_err());
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let secret = Secret::of("hunter2", Path::new("/x"));
        assert_eq!(secret.read().unwrap().as_deref(), Some("hunter2"));
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(Secret::of("", Path::new("")).read(), Ok(None));
    }
}
