//! `weir migrate`: create the store, or bring it up to date.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::output;
use anyhow::Result;
use serde_json::json;

/// What `weir migrate` takes.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Makes or upgrades the store; one that is up to date stays as it is.
///
/// # Errors
/// When the store cannot be made or is newer than this program.
pub fn run(_: &Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    let path = globals.store_path(&config)?;
    let what = if path.exists() { "is up to date" } else { "is created" };
    globals.make_store(&config)?;
    let path = path.display();
    if globals.json {
        output::line(json!({ "ok": true, "store": path.to_string() }))?;
    } else {
        output::line(format!("{path} {what}"))?;
    }
    Ok(Exit::Done)
}
