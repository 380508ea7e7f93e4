//! What every command takes: which configuration, which store, which form of output.

use crate::cli::BadInput;
use crate::config::Config;
use crate::config::Origin;
use crate::config::load;
use crate::keys::MasterKey;
use crate::store::Nature;
use crate::store::PostgresStore;
use crate::store::SqliteStore;
use crate::store::Store;
use crate::worker::Keyring;
use anyhow::Result;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::env;
use std::path::PathBuf;
use std::sync::Arc;

/// The store's file in a `--data` directory.
const STORE: &str = "weir.db";
/// Its neighbour for simulated providers.
const SANDBOX_STORE: &str = "sandbox.db";

/// Options that every command takes.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Globals {
    /// Read weir.toml in this directory; by default config/, and where that has none, the one shipped
    #[arg(long, global = true, value_name = "DIR")]
    pub config: Option<PathBuf>,
    /// Keep the store in this directory; by default where store.url says, which is .weir/
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Use simulated providers and their own store; real money is never touched
    #[arg(long, global = true)]
    pub sandbox: bool,
    /// Print JSON: one object, or one per line for a list
    #[arg(long, global = true)]
    pub json: bool,
}

impl Globals {
    /// Paid providers or simulated ones?
    pub const fn nature(&self) -> Nature {
        if self.sandbox { Nature::Sandbox } else { Nature::Paid }
    }

    /// The configuration in force; one line of the log says so when it is the shipped one.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn load_config(&self) -> Result<Config> {
        let lookup = |name: &str| env::var(name).ok();
        let all =
            env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let config = load(self.config.as_deref(), &lookup, &all.collect::<Vec<_>>())?;
        match config.origin {
            Origin::Shipped => tracing::info!("there is no config/weir.toml: the shipped configuration is in force"),
            Origin::File(_) | Origin::Stored => {}
        }
        Ok(config)
    }

    /// Where the embedded store is.
    ///
    /// # Errors
    /// When `store.url` names a shared store: what runs on one machine keeps its own.
    pub fn store_path(&self, config: &Config) -> Result<PathBuf> {
        match self.place(config)? {
            Place::File(path) => Ok(path),
            Place::Database(_) => {
                let why = "store.url names a PostgreSQL store, which is for workers";
                Err(BadInput(format!("{why}; name a directory for this machine's own store with --data")).into())
            }
        }
    }

    /// Is the store one that workers share?
    ///
    /// # Errors
    /// When `store.url` names no kind of store.
    pub fn is_shared(&self, config: &Config) -> Result<bool> {
        Ok(matches!(self.place(config)?, Place::Database(_)))
    }

    /// Where the store is.
    pub(super) fn place(&self, config: &Config) -> Result<Place> {
        let path = match &self.data {
            Some(dir) => dir.join(STORE),
            None => match embedded_path(config.boot.store_url.expose_secret()) {
                Some(path) => path,
                None => return Ok(Place::Database(config.boot.store_url.clone())),
            },
        };
        Ok(Place::File(match self.nature() {
            Nature::Paid => path,
            Nature::Sandbox => path.with_file_name(SANDBOX_STORE),
        }))
    }

    /// Opens the store, which must be there.
    ///
    /// # Errors
    /// When it is not, or cannot be used.
    pub async fn open_store(&self, config: &Config) -> Result<Arc<dyn Store>> {
        Ok(match self.place(config)? {
            Place::File(path) => Arc::new(SqliteStore::open_existing(&path, self.nature())?),
            Place::Database(url) => Arc::new(PostgresStore::open(&url, self.nature()).await?),
        })
    }

    /// Opens the store, making it first where there is none.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn make_store(&self, config: &Config) -> Result<Arc<dyn Store>> {
        Ok(match self.place(config)? {
            Place::File(path) => Arc::new(SqliteStore::open(&path, self.nature())?),
            Place::Database(url) => Arc::new(PostgresStore::open(&url, self.nature()).await?),
        })
    }

    /// The ring of own keys, which opens them with the master key where there is one.
    ///
    /// # Errors
    /// When the master key is none.
    pub fn keyring(&self, config: &Config) -> Result<Keyring> {
        let master = config.boot.master_key.as_ref().map(MasterKey::parse).transpose();
        Ok(Keyring::new(master.map_err(|error| BadInput(error.to_string()))?))
    }
}

/// Where a store is.
pub(super) enum Place {
    /// In this file.
    File(PathBuf),
    /// At this address, which may hold a password.
    Database(SecretString),
}

/// The file that an `sqlite://PATH` names.
fn embedded_path(url: &str) -> Option<PathBuf> {
    url.strip_prefix("sqlite://").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn path(data: Option<&str>, sandbox: bool, url: &str) -> Result<PathBuf> {
        let variable = ("WEIR__STORE__URL".to_owned(), url.to_owned());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let config = load(Some(&folder), &|_| None, &[variable])?;
        Globals { data: data.map(PathBuf::from), sandbox, ..Globals::default() }.store_path(&config)
    }

    #[test]
    fn sandbox_and_paid_stores_lie_side_by_side() {
        let url = "sqlite:///var/lib/weir/weir.db";
        for (data, sandbox, expected) in [
            (None, false, "/var/lib/weir/weir.db"),
            (None, true, "/var/lib/weir/sandbox.db"),
            (Some("here"), false, "here/weir.db"),
            (Some("here"), true, "here/sandbox.db"),
        ] {
            assert_eq!(path(data, sandbox, url).unwrap(), Path::new(expected));
        }
    }

    #[test]
    fn a_run_on_one_machine_refuses_a_shared_store_and_does_not_show_its_password() {
        let refused = path(None, false, "postgres://user:hunter2@host/db").unwrap_err();
        assert!(refused.is::<BadInput>());
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
        assert!(path(Some("here"), false, "postgres://user@host/db").is_ok());
    }
}
