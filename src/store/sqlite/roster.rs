//! The roster's trait over SQLite.

use crate::clock;
use crate::domain::ConfigVersion;
use crate::domain::WorkerId;
use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::roster::Pulse;
use crate::roster::Roster;
use crate::roster::StoredConfig;
use crate::roster::WorkerRow;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::before_ms;
use crate::store::sqlite::statements::count;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::transact;
use crate::store::sqlite::workspaces::keys_version;
use rusqlite::Connection;
use std::time::Duration;

impl Roster for SqliteStore {
    fn heartbeat(&self, worker: &WorkerId, version: &ConfigVersion) -> Later<'_, Pulse> {
        let (worker, version) = (worker.clone(), version.clone());
        Box::pin(self.write(move |connection| {
            let sql = "INSERT OR REPLACE INTO workers (worker, config_version, seen_at) VALUES (?1, ?2, ?3)";
            transact(connection, |transaction| {
                execute(transaction, sql, (worker.as_str(), version.as_str(), clock::wall_ms()))?;
                let config_seq = count(transaction, "SELECT coalesce(max(seq), 0) FROM configs", [])?;
                Ok(Pulse { keys_version: keys_version(transaction)?, config_seq })
            })
        }))
    }

    fn farewell(&self, worker: &WorkerId) -> Later<'_, ()> {
        let worker = worker.clone();
        Box::pin(self.write(move |connection| {
            let sql = "DELETE FROM workers WHERE worker = ?1";
            transact(connection, |transaction| execute(transaction, sql, [worker.as_str()]).map(drop))
        }))
    }

    fn workers(&self, alive: Duration) -> Later<'_, Vec<WorkerRow>> {
        Box::pin(self.read(move |connection| {
            let sql = "SELECT worker, config_version, seen_at FROM workers WHERE seen_at >= ?1 ORDER BY worker";
            all(connection, sql, [before_ms(clock::wall_ms(), alive)], |row| {
                Ok(WorkerRow {
                    worker: WorkerId::new(row.get::<_, String>(0)?),
                    config_version: ConfigVersion::new(row.get::<_, String>(1)?),
                    seen_ms: row.get(2)?,
                })
            })
        }))
    }

    fn store_config(&self, request: &str, text: Option<String>) -> Later<'_, u64> {
        let request = request.to_owned();
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| store_config(transaction, &request, text.as_deref()))
        }))
    }

    fn stored_config(&self) -> Later<'_, StoredConfig> {
        Box::pin(self.read(|connection| {
            let sql = "SELECT seq, text FROM configs ORDER BY seq DESC LIMIT 1";
            let last = find(connection, sql, [], |row| Ok(StoredConfig { seq: row.get(0)?, text: row.get(1)? }))?;
            Ok(last.unwrap_or(StoredConfig { seq: 0, text: None }))
        }))
    }
}

/// The number under which the request is stored, now or before.
fn store_config(connection: &Connection, request: &str, text: Option<&str>) -> Result<u64, LedgerError> {
    let sql = "INSERT INTO configs (request, text, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    execute(connection, sql, (request, text, clock::wall_ms()))?;
    count(connection, "SELECT seq FROM configs WHERE request = ?1", [request])
}
