//! `weir config`: check the configuration, or show what is in force.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::output;
use crate::config::Config;
use crate::config::show;
use crate::config::show_json;
use anyhow::Result;
use serde_json::json;

/// What `weir config` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Say whether the configuration is sound; every mistake is named, and the exit code is then 2
    Check,
    /// Show every key in force and the version, secrets as ***
    Show,
}

/// Checks or shows the configuration.
///
/// # Errors
/// Every mistake in it.
pub fn run(args: &Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    match (&args.action, globals.json) {
        (Action::Check, false) => print_check(&config)?,
        (Action::Check, true) => output::line(json!({
            "ok": true,
            "version": config.live.version.as_str(),
            "origin": config.origin.to_string(),
            "warnings": config.warnings,
        }))?,
        (Action::Show, false) => output::line(show(&config).trim_end())?,
        (Action::Show, true) => output::line(show_json(&config))?,
    }
    Ok(Exit::Done)
}

fn print_check(config: &Config) -> Result<()> {
    output::line(format!("ok: version {}, from {}", config.live.version, config.origin))?;
    Ok(output::lines(config.warnings.iter().map(|warning| format!("warning: {warning}")))?)
}
