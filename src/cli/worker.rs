//! `weir worker`: the main job at scale.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::globals::Place;
use crate::config::Config;
use crate::config::Environment;
use crate::crew;
use crate::crew::Crew;
use crate::crew::CrewError;
use crate::store::PostgresStore;
use crate::store::Store;
use anyhow::Result;
use std::sync::Arc;

/// What `weir worker` takes: everything else is configuration.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// Opens the store; a shared one tells how its group commits go.
async fn open(globals: &Globals, config: &Config) -> Result<Arc<dyn Store>> {
    match globals.place(config)? {
        Place::File(_) => globals.make_store(config).await,
        Place::Database(url) => {
            let store = PostgresStore::open(&url, globals.nature()).await?;
            store.observe(Arc::new(crew::Gauges));
            Ok(Arc::new(store))
        }
    }
}

/// Takes jobs from RabbitMQ and works them until it is told to stop; then drains.
///
/// # Errors
/// A configuration, store or broker that cannot be used.
pub async fn run(_: &Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    let keyring = globals.keyring(&config)?;
    let store = open(globals, &config).await?;
    let crew = Crew { config, folder: globals.config.clone(), environment: Environment::of_process(), store, keyring };
    match crew::run(crew).await {
        Ok(()) => Ok(Exit::Done),
        Err(error @ (CrewError::Broker(_) | CrewError::Listen { .. })) if !error.is_transient() => {
            Err(BadInput(error.to_string()).into())
        }
        Err(error) => Err(error.into()),
    }
}
