//! `weir`: parse the command line, set up the log, run the command, end with its exit code.

use anyhow::Context;
use clap::Parser;
use mimalloc::MiMalloc;
use std::process::ExitCode;
use std::thread::available_parallelism;
use tokio::runtime::Builder;
use weir::cli::Cli;
use weir::cli::Exit;
use weir::cli::logging;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    Exit::of(run(cli)).into()
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    logging::start()?;
    let runtime = Builder::new_multi_thread().worker_threads(threads()).enable_all().build();
    runtime.context("the runtime cannot start")?.block_on(cli.run())
}

/// The ledger has a thread of its own: one core is left to it.
fn threads() -> usize {
    available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}
