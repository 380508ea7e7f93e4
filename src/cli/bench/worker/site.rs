//! Broker and store, as all runs share them.

use crate::cli::BadInput;
use crate::cli::Globals;
use crate::cli::bench::database;
use crate::cli::bench::load::FUNDED;
use crate::cli::bench::scratch::scratch;
use crate::cli::bench::worker::made_up::MadeUpJob;
use crate::cli::bench::worker::processes::ALIVE;
use crate::cli::bench::worker::results::Results;
use crate::domain::Usd;
use crate::jobs::JobState;
use crate::ledger::Booking;
use crate::queue::Outgoing;
use crate::queue::rabbitmq::Broker;
use crate::store::Nature;
use crate::store::PostgresStore;
use crate::store::Store;
use anyhow::Result;
use futures_util::future::try_join_all;
use secrecy::SecretString;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_postgres::Config;
use tokio_util::sync::CancellationToken;

/// Messages that are published together.
const AT_ONCE: usize = 32;

/// A broker and a store that nobody else uses.
pub(super) struct Site {
    pub(super) store: Arc<dyn Store>,
    pub(super) results: Results,
    pub(super) broker_url: SecretString,
    pub(super) store_url: SecretString,
    database: Config,
    broker: Broker,
    drivers: JoinSet<()>,
    globals: Globals,
}

impl Site {
    /// Declares what workers need, and makes sure that nothing is there for them to do.
    pub(super) async fn open(broker_url: &SecretString, store_url: &SecretString, globals: &Globals) -> Result<Self> {
        let database = database::reach(store_url)?;
        let store: Arc<dyn Store> = Arc::new(PostgresStore::open(store_url, Nature::Sandbox).await?);
        require_idle(&*store).await?;
        let name = format!("bench-{}", std::process::id());
        let (broker, driver) = Broker::connect(broker_url, &name, CancellationToken::new()).await?;
        let mut drivers = JoinSet::new();
        drivers.spawn(driver);
        let results = Results::open(broker_url).await?;
        results.require_empty().await?;
        Ok(Self {
            store,
            results,
            broker_url: broker_url.clone(),
            store_url: store_url.clone(),
            database,
            broker,
            drivers,
            globals: globals.clone(),
        })
    }

    /// The same start for every run.
    pub(super) async fn calm(&self) -> Result<()> {
        database::calm(&self.database).await
    }

    /// For configurations and lists.
    pub(super) fn folder(&self) -> Result<TempDir> {
        scratch(&self.globals)
    }

    /// Fills the wallet that pays for the job.
    pub(super) async fn fund(&self, job: &MadeUpJob) -> Result<()> {
        let booking = Booking {
            workspace: job.workspace.clone(),
            amount: Usd::from_nanos(FUNDED),
            reference: "bench".to_owned(),
            note: None,
        };
        self.store.top_up(booking).await?;
        Ok(())
    }

    /// Publishes messages, each confirmed.
    pub(super) async fn publish(&self, messages: Vec<Outgoing>) -> Result<()> {
        let publisher = self.broker.publisher();
        let mut left = messages.into_iter().peekable();
        while left.peek().is_some() {
            try_join_all(left.by_ref().take(AT_ONCE).map(|message| publisher.publish(message))).await?;
        }
        Ok(())
    }

    pub(super) async fn close(mut self) {
        self.results.close().await;
        self.broker.close().await;
        while self.drivers.join_next().await.is_some() {}
    }
}

/// A store with work in it, or with workers at it, is somebody's.
async fn require_idle(store: &dyn Store) -> Result<()> {
    let is_done = store.list_jobs().await?.iter().all(|job| job.state == JobState::Completed);
    if is_done && store.workers(ALIVE).await?.is_empty() {
        return Ok(());
    }
    let why = "the store has workers, or jobs that are not done";
    Err(BadInput(format!("{why}: name a database of the benchmark's own with --store")).into())
}
