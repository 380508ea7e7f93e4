//! The embedded store: SQLite in WAL mode, every commit flushed, one writing thread per process.
//!
//! Any number of processes may use one store: every transaction begins `IMMEDIATE`, waits for the
//! others up to [`BUSY`], and reads what it decides on.

mod attempts;
mod audit;
mod burn;
mod campaigns;
mod committer;
mod happenings;
mod job_rows;
mod jobs;
mod ledger;
mod loads;
mod recharges;
mod roster;
mod rows;
mod runs;
mod slices;
mod statements;
mod workspaces;

use crate::ledger::LedgerError;
use crate::store::opening::Nature;
use crate::store::opening::OpenError;
use committer::Committer;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::OptionalExtension;
use rusqlite::TransactionBehavior;
use rusqlite::config::DbConfig;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

/// How long a transaction waits for another process's.
const BUSY: Duration = Duration::from_secs(10);
/// Page cache of the writer and of the reader, in KiB: what does not fit is in the system's own cache, and
/// the program stays as small with a long list as with a short one.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
const READER_CACHE_KIB: i64 = 2 * 1024;
/// Pages the write-ahead log may hold before they are copied into the file (32 MiB): a page that
/// many commits change is then copied once, not once every few commits.
const WAL_PAGES: i64 = 8 * 1024;
const PREPARED: usize = 128;
/// Forward-only; the store's `user_version` counts those applied.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001.sql"),
    include_str!("migrations/002.sql"),
    include_str!("migrations/003.sql"),
    include_str!("migrations/004.sql"),
];

/// The embedded store.
pub struct SqliteStore {
    committer: Committer,
    reader: Arc<Mutex<Connection>>,
}

impl SqliteStore {
    /// Opens the store, making or upgrading it first.
    ///
    /// # Errors
    /// When the file is of the other nature, newer than this program, or cannot be used.
    pub fn open(path: &Path, nature: Nature) -> Result<Self, OpenError> {
        let unusable = |why: String| OpenError::Unusable { store: path.display().to_string(), why };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(|error| unusable(error.to_string()))?;
        }
        let mut writer = connect(path, WRITER_CACHE_KIB).map_err(|error| unusable(error.to_string()))?;
        migrate(&mut writer, path)?;
        claim_nature(&writer, path, nature)?;
        let reader = connect(path, READER_CACHE_KIB).map_err(|error| unusable(error.to_string()))?;
        let committer = Committer::start(writer).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { committer, reader: Arc::new(Mutex::new(reader)) })
    }

    /// Opens a store that must be there already.
    ///
    /// # Errors
    /// `Missing` when it is not; else as [`SqliteStore::open`].
    pub fn open_existing(path: &Path, nature: Nature) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        Self::open(path, nature)
    }

    /// Runs one writing transaction behind whatever the committer is at.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.committer.run(work).await
    }

    /// Reads a snapshot beside the writer.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let reader = Arc::clone(&self.reader);
        let gone = |_| LedgerError::Unavailable("the reading task was stopped".to_owned());
        tokio::task::spawn_blocking(move || {
            let connection = reader.lock().map_err(|_| LedgerError::Unavailable("a reader has failed".to_owned()))?;
            work(&connection)
        })
        .await
        .map_err(gone)?
    }
}

fn connect(path: &Path, cache_kib: i64) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    // Without it every statement on a table with a partial index is planned anew whenever a parameter
    // is bound: half of the ledger's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let unusable =
        |error: rusqlite::Error| OpenError::Unusable { store: path.display().to_string(), why: error.to_string() };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unusable)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unusable)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::Newer { store: path.display().to_string(), found, known });
    }
    for (version, migration) in (1..).zip(MIGRATIONS) {
        if version > found {
            transaction.execute_batch(migration).map_err(unusable)?;
        }
    }
    if found < known {
        transaction.pragma_update(None, "user_version", known).map_err(unusable)?;
    }
    transaction.commit().map_err(unusable)
}

fn claim_nature(connection: &Connection, path: &Path, nature: Nature) -> Result<(), OpenError> {
    let unusable =
        |error: rusqlite::Error| OpenError::Unusable { store: path.display().to_string(), why: error.to_string() };
    connection
        .execute("INSERT OR IGNORE INTO store (key, value) VALUES ('nature', ?1)", [nature.as_str()])
        .map_err(unusable)?;
    let found: Option<String> = connection
        .query_row("SELECT value FROM store WHERE key = 'nature'", [], |row| row.get(0))
        .optional()
        .map_err(unusable)?;
    match found {
        Some(found) if found != nature.as_str() => {
            Err(OpenError::OtherNature { store: path.display().to_string(), found, wanted: nature.as_str() })
        }
        Some(_) | None => Ok(()),
    }
}

/// What an SQLite failure means to the caller: what is wrong with the content stays wrong, what is wrong
/// with the file may pass.
fn store_error(error: &rusqlite::Error) -> LedgerError {
    use rusqlite::ErrorCode::ConstraintViolation;
    use rusqlite::ErrorCode::DatabaseCorrupt;
    use rusqlite::ErrorCode::NotADatabase;
    match error.sqlite_error_code() {
        None | Some(ConstraintViolation | DatabaseCorrupt | NotADatabase) => LedgerError::Corrupt(error.to_string()),
        Some(_) => LedgerError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::About;
    use crate::domain::Address;
    use crate::domain::Outcome;
    use crate::domain::Usd;
    use crate::domain::Verdict;
    use crate::domain::WaterfallName;
    use crate::jobs::Jobs;
    use crate::jobs::Work;
    use crate::ledger::LeadNo;

    /// What version 2 has left: a job of one lead, whose address was verified.
    const VERIFIED: &str = "INSERT INTO accounts (workspace, bucket) VALUES ('acme', 'metered');
         INSERT INTO jobs (job_id, workspace, account, kind, state, waterfall, content, slice_size, leads, done, spent,
           created_at, updated_at)
           VALUES ('list', 'acme', 1, 'enrich', 'completed', 'default', zeroblob(16), 1, 1, 1, 7, 0, 0);
         INSERT INTO attempts (id, run, step, fingerprint, about, key_source, config, began_at, account, hold, amount,
           charged, outcome, source, ended_at)
           VALUES ((1 << 44) | (1 << 14) | 1, 1, 'zerobounce.verify_email', zeroblob(16), 'ada@acme.test', 'house', 'c', 0,
             1, 'settled', 7, 7, 'valid', 'called', 5);
         PRAGMA user_version = 2;";

    #[tokio::test]
    async fn a_store_of_version_2_is_upgraded_and_its_trails_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.db");
        let version_2 = [MIGRATIONS[0], MIGRATIONS[1], VERIFIED].concat();
        Connection::open(&path).unwrap().execute_batch(&version_2).unwrap();

        let store = SqliteStore::open(&path, Nature::Paid).unwrap();
        let jobs = store.list_jobs().await.unwrap();
        assert_eq!(jobs[0].work, Work::Enrich(WaterfallName::new("default")));
        let trail = store.trail(jobs[0].key, LeadNo(1)).await.unwrap();
        assert_eq!(trail[0].attempt.about, Address::parse("ada@acme.test").map(About::Address));
        let end = trail[0].attempt.end().unwrap();
        assert_eq!((end.outcome, end.cost), (Outcome::Judged(Verdict::Valid), Usd::from_nanos(7)));
        assert_eq!(end.product, None);
    }
}
