//! Who is alive, and the inline configuration in force.

use crate::domain::ConfigVersion;
use crate::domain::WorkerId;
use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::roster::Pulse;
use crate::roster::Roster;
use crate::roster::StoredConfig;
use crate::roster::WorkerRow;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::attempts::column;
use crate::store::postgres::happenings::millis;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::count;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::missing;
use crate::store::postgres::ledger::transact;
use crate::store::postgres::ledger::transact_on;
use deadpool_postgres::GenericClient;
use deadpool_postgres::Transaction;
use std::time::Duration;

/// After so long a silence, a day, a worker's row is deleted.
const FORGOTTEN_MS: i64 = 24 * 60 * 60 * 1000;

impl Roster for PostgresStore {
    fn heartbeat(&self, worker: &WorkerId, version: &ConfigVersion) -> Later<'_, Pulse> {
        let asked = (worker.clone(), version.clone());
        Box::pin(transact_on(&self.lifeline, asked, |transaction, (worker, version)| {
            Box::pin(beat(transaction, worker, version))
        }))
    }

    fn farewell(&self, worker: &WorkerId) -> Later<'_, ()> {
        Box::pin(transact_on(&self.lifeline, worker.clone(), |transaction, worker| {
            Box::pin(async move {
                let sql = "DELETE FROM workers WHERE worker = $1";
                execute(transaction, sql, &[&worker.as_str()]).await.map(drop)
            })
        }))
    }

    fn workers(&self, alive: Duration) -> Later<'_, Vec<WorkerRow>> {
        Box::pin(async move {
            let client = self.client().await?;
            read_workers(&client, alive).await
        })
    }

    fn store_config(&self, request: &str, text: Option<String>) -> Later<'_, u64> {
        let asked = (request.to_owned(), text);
        Box::pin(transact(self, asked, |transaction, (request, text)| {
            Box::pin(store_config(transaction, request, text.as_deref()))
        }))
    }

    fn stored_config(&self) -> Later<'_, StoredConfig> {
        Box::pin(async move {
            let client = self.client().await?;
            read_config(&client).await
        })
    }
}

async fn beat(transaction: &Transaction<'_>, worker: &WorkerId, version: &ConfigVersion) -> Result<Pulse, LedgerError> {
    let sql = "INSERT INTO workers (worker, config_version, seen_at) VALUES ($1, $2, now_ms()) \
               ON CONFLICT (worker) DO UPDATE SET config_version = excluded.config_version, seen_at = excluded.seen_at";
    execute(transaction, sql, &[&worker.as_str(), &version.as_str()]).await?;
    let sql = "DELETE FROM workers WHERE seen_at < now_ms() - $1";
    execute(transaction, sql, &[&FORGOTTEN_MS]).await?;
    let sql = "SELECT c.value, coalesce((SELECT max(seq) FROM configs), 0) FROM counters c WHERE c.name = 'keys'";
    let row = find(transaction, sql, &[]).await?.ok_or_else(|| missing("a counter"))?;
    Ok(Pulse { keys_version: count(&row, 0)?, config_seq: count(&row, 1)? })
}

async fn read_workers(client: &impl GenericClient, alive: Duration) -> Result<Vec<WorkerRow>, LedgerError> {
    let sql = "SELECT worker, config_version, seen_at FROM workers WHERE seen_at > now_ms() - $1 ORDER BY worker";
    let mut workers = Vec::new();
    for row in all(client, sql, &[&millis(alive)]).await? {
        workers.push(WorkerRow {
            worker: WorkerId::new(column::<&str>(&row, 0)?),
            config_version: ConfigVersion::new(column::<&str>(&row, 1)?),
            seen_ms: column(&row, 2)?,
        });
    }
    Ok(workers)
}

async fn store_config(transaction: &Transaction<'_>, request: &str, text: Option<&str>) -> Result<u64, LedgerError> {
    let sql = "INSERT INTO configs (request, text, at) VALUES ($1, $2, now_ms()) ON CONFLICT (request) DO NOTHING";
    execute(transaction, sql, &[&request, &text]).await?;
    let sql = "SELECT seq FROM configs WHERE request = $1";
    let row = find(transaction, sql, &[&request]).await?.ok_or_else(|| missing("a configuration"))?;
    count(&row, 0)
}

async fn read_config(client: &impl GenericClient) -> Result<StoredConfig, LedgerError> {
    let sql = "SELECT seq, text FROM configs ORDER BY seq DESC LIMIT 1";
    match find(client, sql, &[]).await? {
        Some(row) => Ok(StoredConfig { seq: count(&row, 0)?, text: column(&row, 1)? }),
        None => Ok(StoredConfig { seq: 0, text: None }),
    }
}
