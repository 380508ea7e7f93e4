//! A test's own way into its database: it counts rows there, changes them, and keeps workers from them.

use crate::services::Postgres;
use crate::services::eventually;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_postgres::NoTls;

/// For workers that come to a row, and for connections that end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everybody else who is connected to this database.
const OTHERS: &str = "pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' \
     AND pid <> pg_backend_pid()";
/// Everybody who waits for what this session has locked. Unlike the list of connections it is made anew within a
/// transaction.
const WAITERS: &str = "pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";

/// A connection of the test's own.
pub(crate) struct Session {
    client: Client,
    _driver: JoinSet<()>,
}

/// A row that nobody else may change, nor lock for a change, until this is released. Others may be added that refer
/// to it.
pub(crate) struct RowLock(Session);

impl Session {
    pub(crate) async fn with(database: &Postgres) -> Self {
        let (client, connection) = Box::pin(tokio_postgres::connect(database.url(), NoTls)).await.unwrap();
        let mut driver = JoinSet::new();
        // It ends with its client, or with the database.
        driver.spawn(async move { drop(connection.await) });
        Self { client, _driver: driver }
    }

    /// How many rows there are of what follows a `FROM`.
    pub(crate) async fn rows(&self, from: &str) -> usize {
        let row = self.client.query_one(&format!("SELECT count(*) FROM {from}"), &[]).await.unwrap();
        usize::try_from(row.get::<_, i64>(0)).unwrap()
    }

    /// Runs a statement; how many rows it met.
    pub(crate) async fn run(&self, sql: &str) -> u64 {
        self.client.execute(sql, &[]).await.unwrap()
    }

    /// Waits until nobody else is connected: whatever a killed worker had under way is done or undone then.
    pub(crate) async fn until_alone(&self) {
        let alone = async || (self.rows(OTHERS).await == 0).then_some(());
        eventually("the end of all other connections", PATIENCE, alone).await;
    }
}

impl RowLock {
    /// Locks the one row that follows a `FROM`, as whoever writes it does.
    pub(crate) async fn on(database: &Postgres, row: &str) -> Self {
        let session = Session::with(database).await;
        session.run("BEGIN").await;
        let locked = session.run(&format!("SELECT FROM {row} FOR NO KEY UPDATE")).await;
        assert_eq!(locked, 1, "{row}");
        Self(session)
    }

    /// Waits until somebody stands before the row.
    pub(crate) async fn until_waited_for(&self) {
        let waited_for = async || (self.0.rows(WAITERS).await > 0).then_some(());
        eventually("somebody who needs a locked row", PATIENCE, waited_for).await;
    }

    pub(crate) async fn release(self) {
        self.0.run("ROLLBACK").await;
    }
}
