//! The load test (interface; its parts follow).

/// Arguments of `sluicegate loadtest`.
#[derive(Debug, clap::Args)]
pub struct LoadtestArgs {}

/// Runs the crowd; true when the verdict is "conserved".
pub async fn run(_config: &runtime::Config, _args: LoadtestArgs) -> anyhow::Result<bool> {
    anyhow::bail!("not there yet")
}
