//! The schema of the shared store: made when the database is empty, upgraded by command.

use crate::store::opening::Nature;
use crate::store::opening::OpenError;
use crate::store::postgres::error::explain;
use tokio_postgres::Client;
use tokio_postgres::Error;
use tokio_postgres::IsolationLevel;
use tokio_postgres::Transaction;

/// Forward-only; the row `schema` of the table `store` counts those applied.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001.sql"),
    include_str!("migrations/002.sql"),
    include_str!("migrations/003.sql"),
    include_str!("migrations/004.sql"),
];
/// The advisory lock under which programs that come at the same time migrate one after the other: "weir".
const LOCK: i64 = 0x7765_6972;
/// Without statistics some plans of the ledger are 20 to 50 times slower.
const ANALYZE: &str = "ANALYZE accounts, jobs, leads, slices, attempts, askings, entries, happenings, failing_keys, \
     campaigns, recharges, counters, store";

/// Which stores are changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Upgrade {
    /// An empty database becomes a store; an older store must be upgraded by command, when nobody works on it.
    EmptyOnly,
    /// Older ones too.
    Always,
}

/// Makes or upgrades the store, and makes sure of its nature. `true` when its schema was changed.
pub(super) async fn migrate(
    client: &mut Client,
    store: &str,
    nature: Nature,
    upgrade: Upgrade,
) -> Result<bool, OpenError> {
    let unusable = |error: Error| OpenError::Unusable { store: store.to_owned(), why: explain(&error) };
    let mut is_changed = false;
    while apply_next(client, store, nature, upgrade).await? {
        is_changed = true;
    }
    if is_changed {
        client.batch_execute(ANALYZE).await.map_err(unusable)?;
    }
    Ok(is_changed)
}

/// Applies all migrations to an empty database, and to an older store the next one: what it locks and rewrites is given
/// back, and kept, before the one after it. `false`: there was none to apply.
async fn apply_next(client: &mut Client, store: &str, nature: Nature, upgrade: Upgrade) -> Result<bool, OpenError> {
    let unusable = |error: Error| OpenError::Unusable { store: store.to_owned(), why: explain(&error) };
    // Each statement must see what others have committed before it got the lock.
    let isolation = IsolationLevel::ReadCommitted;
    let transaction = client.build_transaction().isolation_level(isolation).start().await.map_err(unusable)?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(unusable)?;
    let found = read_version(&transaction, store).await?;
    let known = MIGRATIONS.len();
    let next = match MIGRATIONS.get(found..) {
        None => {
            let (found, known) = (i64::try_from(found).unwrap_or(i64::MAX), i64::try_from(known).unwrap_or(i64::MAX));
            return Err(OpenError::Newer { store: store.to_owned(), found, known });
        }
        Some(all) if found == 0 => all,
        Some(missing) => missing.get(..1).unwrap_or_default(),
    };
    if found > 0 && !next.is_empty() && upgrade == Upgrade::EmptyOnly {
        let why = format!("its schema is {found} and this weir needs {known}: run `weir migrate`");
        return Err(OpenError::Unusable { store: store.to_owned(), why });
    }
    for migration in next {
        transaction.batch_execute(migration).await.map_err(unusable)?;
    }
    if !next.is_empty() {
        let sql = "INSERT INTO store (key, value) VALUES ('schema', $1) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let version = found.saturating_add(next.len()).to_string();
        transaction.execute(sql, &[&version]).await.map_err(unusable)?;
    }
    claim_nature(&transaction, store, nature).await?;
    transaction.commit().await.map_err(unusable)?;
    Ok(!next.is_empty())
}

/// How many migrations were applied; 0 in an empty database.
async fn read_version(transaction: &Transaction<'_>, store: &str) -> Result<usize, OpenError> {
    let unusable = |error: Error| OpenError::Unusable { store: store.to_owned(), why: explain(&error) };
    let foreign = || OpenError::Unusable {
        store: store.to_owned(),
        why: "it has a table `store` that is not weir's; choose another database".to_owned(),
    };
    let sql = "SELECT to_regclass('store') IS NULL";
    let row = transaction.query_one(sql, &[]).await.map_err(unusable)?;
    if row.try_get(0).map_err(unusable)? {
        return Ok(0);
    }
    let sql = "SELECT value FROM store WHERE key = 'schema'";
    let row = transaction.query_opt(sql, &[]).await.map_err(unusable)?.ok_or_else(foreign)?;
    row.try_get::<_, &str>(0).map_err(unusable)?.parse().map_err(|_| foreign())
}

/// The first one to open the store says what it is.
async fn claim_nature(transaction: &Transaction<'_>, store: &str, nature: Nature) -> Result<(), OpenError> {
    let unusable = |error: Error| OpenError::Unusable { store: store.to_owned(), why: explain(&error) };
    let sql = "INSERT INTO store (key, value) VALUES ('nature', $1) ON CONFLICT DO NOTHING";
    transaction.execute(sql, &[&nature.as_str()]).await.map_err(unusable)?;
    let sql = "SELECT value FROM store WHERE key = 'nature'";
    let row = transaction.query_one(sql, &[]).await.map_err(unusable)?;
    let found: String = row.try_get(0).map_err(unusable)?;
    if found == nature.as_str() {
        return Ok(());
    }
    Err(OpenError::OtherNature { store: store.to_owned(), found, wanted: nature.as_str() })
}
