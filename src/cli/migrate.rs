//! `weir migrate`: create the store, or bring it up to date.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::globals::Place;
use crate::cli::output;
use crate::store::PostgresStore;
use anyhow::Result;
use serde_json::json;

/// What `weir migrate` takes.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Makes or upgrades the store; one that is up to date stays as it is.
///
/// # Errors
/// When the store cannot be made or is newer than this program.
pub async fn run(_: &Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    let (store, what) = match globals.place(&config)? {
        Place::File(path) => {
            let what = if path.exists() { "is up to date" } else { "is created" };
            globals.make_store(&config).await?;
            (path.display().to_string(), what)
        }
        // The address may hold a password.
        Place::Database(url) => {
            let upgraded = PostgresStore::migrate(&url, globals.nature()).await?;
            ("the PostgreSQL store".to_owned(), if upgraded { "is created or upgraded" } else { "is up to date" })
        }
    };
    if globals.json {
        output::line(json!({ "ok": true, "store": store }))?;
    } else {
        output::line(format!("{store} {what}"))?;
    }
    Ok(Exit::Done)
}
