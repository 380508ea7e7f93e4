//! The command line: what can be asked of the program, one file per command.
//!
//! Knows arguments, exit codes and what is printed (CONTRACTS §1). Each command's module offers its
//! `Args` and a `run`; whatever it decides, it decides by the rooms below.
//! Invariant: knows no SQL, no provider's wire format and no rule of money. Only [`output`] writes to
//! standard output; errors travel up to [`Exit::of`], which says them once.

mod arguments;
mod attempts;
pub mod bench;
pub mod campaign;
pub mod config;
pub mod copy;
pub mod dead;
pub mod enrich;
mod exit;
pub mod explain;
mod globals;
pub mod jobs;
pub mod key;
mod list_run;
pub mod logging;
pub mod migrate;
pub mod output;
mod recharge;
mod results;
pub mod sandbox;
pub mod schema;
pub mod submit;
mod unattended;
mod wake;
pub mod wallet;
pub mod worker;
pub mod workspace;

pub use exit::BadInput;
pub use exit::Exit;
pub use globals::Globals;

use clap::Parser;
use clap::Subcommand;

const EXAMPLE: &str = "\
Try it without keys and without money:
  weir enrich leads.csv --sandbox

With your own keys in the environment, spending at most five dollars:
  weir enrich leads.csv --budget 5.00

Copy for each lead, written from its company's site, without keys and without money:
  weir copy leads.csv --model gpt-5.4-mini --instructions brief.txt --scrape 'https://{domain}' --sandbox

Exit codes: 0 done, 1 failed, 2 bad usage, configuration or input, 130 interrupted.";

/// Enriches lists of sales leads over paid providers, and counts every cent.
#[derive(Parser, Debug)]
#[command(name = "weir", version, after_help = EXAMPLE)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    globals: Globals,
}

/// The command table.
#[derive(Subcommand, Debug)]
enum Command {
    /// Find and verify the addresses of a list: the main job, on this machine
    Enrich(enrich::Args),
    /// Have copy written for the leads of a list by an AI model, on this machine
    Copy(copy::Args),
    /// Take jobs from RabbitMQ and work them on a shared store, until told to stop: the main job at scale
    Worker(worker::Args),
    /// Serve simulated providers, free of charge
    Sandbox(sandbox::Args),
    /// Send a job, or a configuration, to the workers
    Submit(submit::Args),
    /// Look at jobs, resume them, stop them
    Jobs(jobs::Args),
    /// Look at messages that could not be handled, send them again, drop them
    Dead(dead::Args),
    /// Show every step of one lead, tried or not, and why
    Explain(explain::Args),
    /// Settle a customer's plan, thresholds, recharges and whose keys may be used
    Workspace(workspace::Args),
    /// Keep customers' own provider keys, sealed
    Key(key::Args),
    /// Put money in, correct it, and see where it went
    Wallet(wallet::Args),
    /// Look at campaigns, activate them, deactivate them
    Campaign(campaign::Args),
    /// Check the configuration, or show what is in force
    Config(config::Args),
    /// Create the store, or bring it up to date
    Migrate(migrate::Args),
    /// Print the JSON Schema of every message
    Schema(schema::Args),
    /// Run the project's benchmarks
    Bench(bench::Args),
}

impl Cli {
    /// Runs the command that was asked for.
    ///
    /// # Errors
    /// Whatever stopped it; [`Exit::of`] knows the exit code.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let globals = &self.globals;
        match self.command {
            Command::Enrich(args) => enrich::run(args, globals).await,
            Command::Copy(args) => copy::run(args, globals).await,
            Command::Worker(args) => worker::run(&args, globals).await,
            Command::Sandbox(args) => sandbox::run(args, globals).await,
            Command::Submit(args) => submit::run(args, globals).await,
            Command::Jobs(args) => jobs::run(args, globals).await,
            Command::Dead(args) => dead::run(args, globals).await,
            Command::Explain(args) => explain::run(args, globals).await,
            Command::Workspace(args) => workspace::run(args, globals).await,
            Command::Key(args) => key::run(args, globals).await,
            Command::Wallet(args) => wallet::run(args, globals).await,
            Command::Campaign(args) => campaign::run(args, globals).await,
            Command::Config(args) => config::run(&args, globals).await,
            Command::Migrate(args) => migrate::run(&args, globals).await,
            Command::Schema(args) => schema::run(&args),
            Command::Bench(args) => bench::run(args, globals).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_table_is_sound_and_every_command_says_what_it_does() {
        let mut table = Cli::command();
        table.build();
        let mut commands = vec![&table];
        while let Some(command) = commands.pop() {
            assert!(command.get_about().is_some(), "{} has no sentence", command.get_name());
            let arguments = command.get_arguments().filter(|argument| argument.get_help().is_none());
            assert_eq!(arguments.map(clap::Arg::get_id).collect::<Vec<_>>(), Vec::<&clap::Id>::new());
            commands.extend(command.get_subcommands().filter(|command| command.get_name() != "help"));
        }
        table.debug_assert();
    }

    #[test]
    fn the_commands_come_in_the_contracts_order() {
        let table = Cli::command();
        let names: Vec<&str> = table.get_subcommands().map(clap::Command::get_name).collect();
        let order = "enrich copy worker sandbox submit jobs dead explain workspace key wallet campaign config migrate \
                     schema bench";
        assert_eq!(names.join(" "), order);
    }
}
