//! What every run shares with the terminal that it was started in: Ctrl-C, and files.

use std::path::Path;

use anyhow::Context;
use runtime::Tasks;
use tokio_util::sync::CancellationToken;

/// Writes a summary.
pub(crate) fn write_json(path: &Path, what: &serde_json::Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(what)?;
    std::fs::write(path, text + "\n").with_context(|| format!("--json {}", path.display()))
}

/// Fails before the run rather than after it.
pub(crate) fn writable(path: &Path) -> anyhow::Result<()> {
    let file = std::fs::File::options().create(true).append(true).open(path);
    file.map(|_| ()).with_context(|| format!("cannot write {}", path.display()))
}

/// Ctrl-C ends the sending, a second one the process.
pub(crate) fn interrupts(tasks: &Tasks, stop: CancellationToken) {
    tasks.spawn_replaceable("loadtest", async move {
        let _ = tokio::signal::ctrl_c().await;
        runtime::note!(
            "\nno more requests; settling, then the verdict (Ctrl-C again: exit at once)"
        );
        stop.cancel();
        let _ = tokio::signal::ctrl_c().await;
        std::process::exit(130);
    });
}
