//! `weir`: parse the command line, set up the log, run the command, end with its exit code.

use anyhow::Context;
use clap::Parser;
use mimalloc::MiMalloc;
use std::process::ExitCode;
use tokio::runtime::Runtime;
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
    let runtime = Runtime::new().context("the runtime cannot start")?;
    runtime.block_on(cli.run())
}
