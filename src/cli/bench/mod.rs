//! `weir bench`: the project's benchmarks, each beside its floor.

use crate::cli::Exit;
use crate::cli::Globals;

/// What `weir bench` takes.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Runs a benchmark.
///
/// # Errors
/// When it cannot be run.
#[expect(clippy::unused_async, reason = "every command is run alike")]
pub async fn run(_args: Args, _globals: &Globals) -> anyhow::Result<Exit> {
    Ok(Exit::Done)
}
