//! Which benchmark.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::bench::enrich;
use crate::cli::bench::ledger;
use crate::cli::bench::worker;
use anyhow::Result;

/// What `weir bench` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(clap::Subcommand, Debug)]
enum Bench {
    /// Hold and settle on hot wallets, beside the least program that does so
    Ledger(ledger::Args),
    /// Enrich a made-up list from end to end, beside what its parts cost
    Enrich(enrich::Args),
    /// Run workers on RabbitMQ and PostgreSQL, from the message of a job to its last result
    Worker(worker::Args),
}

/// Runs a benchmark, and prints its figures.
///
/// # Errors
/// When it cannot be run, or its money does not add up.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    match args.bench {
        Bench::Ledger(args) => ledger::run(&args, globals).await?,
        Bench::Enrich(args) => enrich::run(&args, globals).await?,
        Bench::Worker(args) => worker::run(&args, globals).await?,
    }
    Ok(Exit::Done)
}
