//! Why a process ends, and what its caller is told.

/// An exit code and one line on standard error.
pub(crate) struct Exit {
    /// 64 usage, 69 dependency, 70 bug, 1 a check said no.
    pub code: u8,
    /// What to tell; empty for nothing.
    pub line: String,
}

impl Exit {
    /// What was asked for makes no sense.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { code: 64, line: line.into() }
    }

    /// Something that is needed is not there.
    pub(crate) fn unavailable(line: impl Into<String>) -> Self {
        Self { code: 69, line: line.into() }
    }

    /// This cannot happen.
    pub(crate) fn bug(line: impl Into<String>) -> Self {
        Self { code: 70, line: line.into() }
    }

    /// A check said no.
    pub(crate) fn no(line: impl Into<String>) -> Self {
        Self { code: 1, line: line.into() }
    }
}

/// Tells what the command is for; a caller that does not get it must not go on with nothing.
pub(crate) fn told(text: std::fmt::Arguments<'_>) -> Result<(), Exit> {
    let done = runtime::tell::result(text);
    done.map_err(|e| Exit::unavailable(format!("standard output: {e}")))
}
