//! The ledger's trait over PostgreSQL, and how every transaction beside the group commit is run.

use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Audit;
use crate::ledger::Balance;
use crate::ledger::Booking;
use crate::ledger::Boundary;
use crate::ledger::Burn;
use crate::ledger::Entry;
use crate::ledger::EntryKind;
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::Ledger;
use crate::ledger::LedgerError;
use crate::ledger::Pending;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::usd;
use crate::store::postgres::attempts::word;
use crate::store::postgres::audit;
use crate::store::postgres::burn;
use crate::store::postgres::connect::client_of;
use crate::store::postgres::error::is_conflict;
use crate::store::postgres::error::store_error;
use crate::store::postgres::recharges;
use deadpool_postgres::GenericClient;
use deadpool_postgres::Pool;
use deadpool_postgres::Transaction;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::sleep;
use tokio_postgres::IsolationLevel;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// How often a transaction is run that others stood in the way of.
const MAX_TRIES: u32 = 3;
/// Before a transaction is tried again whose connection was cut.
const PAUSE: Duration = Duration::from_millis(200);

impl Ledger for PostgresStore {
    fn commit(&self, boundary: Boundary) -> Pending {
        self.committer.commit(boundary)
    }

    fn top_up(&self, booking: Booking) -> Later<'_, bool> {
        Box::pin(transact(self, booking, |transaction, booking| Box::pin(book(transaction, EntryKind::TopUp, booking))))
    }

    fn adjust(&self, booking: Booking) -> Later<'_, bool> {
        Box::pin(transact(self, booking, |transaction, booking| {
            Box::pin(book(transaction, EntryKind::Adjust, booking))
        }))
    }

    fn expire(&self, owned: Vec<JobKey>) -> Later<'_, u64> {
        Box::pin(transact(self, owned, |transaction, owned| Box::pin(expire(transaction, owned))))
    }

    fn open_holds(&self) -> Later<'_, u64> {
        Box::pin(async move {
            let client = self.client().await?;
            count_all(&client, "SELECT count(*) FROM open_holds", &[]).await
        })
    }

    fn balance(&self, workspace: &WorkspaceId) -> Later<'_, Option<Balance>> {
        let workspace = workspace.clone();
        Box::pin(async move {
            let client = self.client().await?;
            let sql = "SELECT balance, held FROM accounts WHERE workspace = $1 AND bucket = 'metered'";
            let row = find(&client, sql, &[&workspace.as_str()]).await?;
            row.as_ref().map(read_balance).transpose()
        })
    }

    fn burn(&self, workspace: &WorkspaceId) -> Later<'_, Option<Burn>> {
        let workspace = workspace.clone();
        Box::pin(async move { burn::read_burn(&self.client().await?, &workspace).await })
    }

    fn entries(&self, workspace: &WorkspaceId, after: i64, limit: u32) -> Later<'_, Vec<Entry>> {
        let workspace = workspace.clone();
        Box::pin(async move {
            let client = self.client().await?;
            let Some(account) = find_account(&client, &workspace).await? else { return Ok(Vec::new()) };
            read_entries(&client, account, after, limit).await
        })
    }

    fn audit(&self, workspace: Option<&WorkspaceId>) -> Later<'_, Audit> {
        let workspace = workspace.cloned();
        Box::pin(async move {
            let mut client = self.client().await?;
            audit::audit(&mut client, workspace.as_ref()).await
        })
    }
}

/// What is done within one transaction.
pub(super) type Work<'t, T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 't>>;

/// Runs `work` on what was `asked` in one transaction, and again when others stood in its way.
pub(super) async fn transact<A, T, F>(store: &PostgresStore, asked: A, work: F) -> Result<T, LedgerError>
where
    F: for<'t> Fn(&'t Transaction<'t>, &'t A) -> Work<'t, T>,
{
    transact_on(&store.pool, asked, work).await
}

/// The same on a connection of `pool`.
pub(super) async fn transact_on<A, T, F>(pool: &Pool, asked: A, work: F) -> Result<T, LedgerError>
where
    F: for<'t> Fn(&'t Transaction<'t>, &'t A) -> Work<'t, T>,
{
    let mut tries = 1;
    loop {
        match transact_once(pool, &asked, &work).await {
            Err(Undone::Certainly(error)) if error.is_transient() && tries < MAX_TRIES => {
                // A conflict is over at once; a connection that was cut is not.
                if !is_conflict(&error) {
                    sleep(PAUSE).await;
                }
                tries += 1;
            }
            Err(Undone::Certainly(error) | Undone::Perhaps(error)) => return Err(error),
            Ok(done) => return Ok(done),
        }
    }
}

/// Why a transaction was not done.
enum Undone {
    /// Nothing was written.
    Certainly(LedgerError),
    /// The connection was lost at the commit: nobody knows.
    Perhaps(LedgerError),
}

async fn transact_once<A, T, F>(pool: &Pool, asked: &A, work: &F) -> Result<T, Undone>
where
    F: for<'t> Fn(&'t Transaction<'t>, &'t A) -> Work<'t, T>,
{
    let mut client = client_of(pool).await.map_err(Undone::Certainly)?;
    // Whoever has waited for a lock sees what its holder has committed, whatever the database's own default is.
    let begun = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await;
    let transaction = begun.map_err(|error| Undone::Certainly(store_error(&error)))?;
    let done = work(&transaction, asked).await.map_err(Undone::Certainly)?;
    transaction.commit().await.map_err(|error| {
        let error = store_error(&error);
        if is_conflict(&error) { Undone::Certainly(error) } else { Undone::Perhaps(error) }
    })?;
    Ok(done)
}

/// Runs a prepared statement; says how many rows it concerned.
pub(super) async fn execute(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, LedgerError> {
    let statement = client.prepare_cached(sql).await.map_err(|error| store_error(&error))?;
    client.execute(&statement, params).await.map_err(|error| store_error(&error))
}

/// Reads at most one row by a prepared statement.
pub(super) async fn find(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Option<Row>, LedgerError> {
    let statement = client.prepare_cached(sql).await.map_err(|error| store_error(&error))?;
    client.query_opt(&statement, params).await.map_err(|error| store_error(&error))
}

/// Reads every row by a prepared statement.
pub(super) async fn all(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LedgerError> {
    let statement = client.prepare_cached(sql).await.map_err(|error| store_error(&error))?;
    client.query(&statement, params).await.map_err(|error| store_error(&error))
}

/// Reads the one number that a statement comes to.
pub(super) async fn count_all(
    client: &impl GenericClient,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, LedgerError> {
    find(client, sql, params).await?.map_or(Ok(0), |row| count(&row, 0))
}

/// Reads how many there are of something.
pub(super) fn count(row: &Row, at: usize) -> Result<u64, LedgerError> {
    let n: i64 = column(row, at)?;
    u64::try_from(n).map_err(|_| LedgerError::Corrupt(format!("{n} is no count")))
}

/// Reads a number of 32 bits.
pub(super) fn number(row: &Row, at: usize) -> Result<u32, LedgerError> {
    let n: i32 = column(row, at)?;
    u32::try_from(n).map_err(|_| LedgerError::Corrupt(format!("{n} is below zero")))
}

/// A number as its column takes it: no row has one that does not fit.
pub(super) fn int(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

pub(super) fn missing(what: &str) -> LedgerError {
    LedgerError::Corrupt(format!("{what} is not in the store"))
}

pub(super) async fn find_account(
    client: &impl GenericClient,
    workspace: &WorkspaceId,
) -> Result<Option<AccountId>, LedgerError> {
    let sql = "SELECT id FROM accounts WHERE workspace = $1 AND bucket = 'metered'";
    let Some(row) = find(client, sql, &[&workspace.as_str()]).await? else { return Ok(None) };
    Ok(Some(AccountId(column(&row, 0)?)))
}

/// The workspace's metered wallet, made when it is first mentioned.
pub(super) async fn open_account(
    transaction: &Transaction<'_>,
    workspace: &WorkspaceId,
) -> Result<AccountId, LedgerError> {
    if let Some(account) = find_account(transaction, workspace).await? {
        return Ok(account);
    }
    let sql = "INSERT INTO accounts (workspace, bucket) VALUES ($1, 'metered') ON CONFLICT DO NOTHING";
    execute(transaction, sql, &[&workspace.as_str()]).await?;
    find_account(transaction, workspace).await?.ok_or_else(|| missing("a wallet"))
}

/// Locks a wallet until the transaction ends.
pub(super) async fn lock_account(transaction: &Transaction<'_>, account: AccountId) -> Result<Balance, LedgerError> {
    let sql = "SELECT balance, held FROM accounts WHERE id = $1 FOR NO KEY UPDATE";
    let row = find(transaction, sql, &[&account.0]).await?.ok_or_else(|| missing("a wallet"))?;
    read_balance(&row)
}

fn read_balance(row: &Row) -> Result<Balance, LedgerError> {
    Ok(Balance { balance: usd(row, 0)?, held: usd(row, 1)? })
}

/// Books a change of balance once by its reference. `false`: it was booked before, alike.
pub(super) async fn book(
    transaction: &Transaction<'_>,
    kind: EntryKind,
    booking: &Booking,
) -> Result<bool, LedgerError> {
    let account = open_account(transaction, &booking.workspace).await?;
    // From here on nobody else books the same reference.
    let wallet = lock_account(transaction, account).await?;
    let sql = "SELECT kind, amount FROM entries WHERE account = $1 AND reference = $2";
    if let Some(booked) = find(transaction, sql, &[&account.0, &booking.reference]).await? {
        let same = column::<&str>(&booked, 0)? == kind.as_str() && usd(&booked, 1)? == booking.amount;
        let conflict = || LedgerError::Conflict { what: format!("the reference {}", booking.reference) };
        return if same { Ok(false) } else { Err(conflict()) };
    }
    let too_much = || LedgerError::Insufficient { available: wallet.available() };
    let balance = wallet.balance.checked_add(booking.amount).ok_or_else(too_much)?;
    if balance < wallet.held || balance.is_negative() {
        return Err(too_much());
    }
    let sql = "UPDATE accounts SET balance = $2 WHERE id = $1";
    execute(transaction, sql, &[&account.0, &balance.nanos()]).await?;
    let sql = "INSERT INTO entries (account, at, kind, amount, balance, reference, note) \
               VALUES ($1, now_ms(), $2, $3, $4, $5, $6)";
    let (amount, balance) = (booking.amount.nanos(), balance.nanos());
    let words = (kind.as_str(), &booking.reference, &booking.note);
    execute(transaction, sql, &[&account.0, &words.0, &amount, &balance, words.1, words.2]).await?;
    match kind {
        EntryKind::TopUp => {
            note_money(transaction, account).await?;
            recharges::answer(transaction, account, booking).await?;
        }
        EntryKind::Adjust | EntryKind::Settle => {}
    }
    Ok(true)
}

/// Money came in: an empty wallet is told of again, and jobs that wait for it ask to be resumed.
async fn note_money(transaction: &Transaction<'_>, account: AccountId) -> Result<(), LedgerError> {
    let sql = "UPDATE accounts SET empty_told = false WHERE id = $1 AND empty_told";
    execute(transaction, sql, &[&account.0]).await?;
    let sql = "WITH waiting AS (SELECT id FROM jobs WHERE account = $1 AND auto_resume AND NOT resume_asked \
                 AND state IN ('queued', 'running', 'completed') ORDER BY id FOR NO KEY UPDATE) \
               UPDATE jobs j SET resume_asked = true FROM waiting w WHERE j.id = w.id";
    execute(transaction, sql, &[&account.0]).await?;
    Ok(())
}

/// Holds past their expiry, `t`, whose slice `s` of job `j` nobody leases.
const EXPIRED: &str = "t.hold = 'open' AND t.expires_at <= now_ms() AND j.id = t.id >> 36 AND s.job = j.id \
     AND s.n = (((t.id >> 12) & 16777215) - 1) / j.slice_size AND s.lease_until <= now_ms()";

/// Gives back holds that nobody works on any more. Their attempts end as `unavailable`
/// (`hold_expired`), so that the step is tried again under a new hold. What an overtaken owner has learned of
/// one was paid for, and nobody takes it any more: the house's loss.
async fn expire(transaction: &Transaction<'_>, owned: &[JobKey]) -> Result<u64, LedgerError> {
    let owned: Vec<i64> = owned.iter().map(|job| job.0).collect();
    let sql = "SELECT id, account, job, slice FROM open_holds \
               WHERE expires_at <= now_ms() AND lease_until <= now_ms() AND job <> ALL ($1)";
    let found = all(transaction, sql, &[&owned]).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let mut ids: Vec<i64> = Vec::with_capacity(found.len());
    let mut accounts: Vec<i64> = Vec::with_capacity(found.len());
    let mut slices: Vec<(i64, i32)> = Vec::with_capacity(found.len());
    for row in &found {
        ids.push(column(row, 0)?);
        accounts.push(column(row, 1)?);
        slices.push((column(row, 2)?, column(row, 3)?));
    }
    let (jobs, slices): (Vec<i64>, Vec<i32>) = slices.into_iter().unzip();
    let sql = "SELECT FROM accounts WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE";
    execute(transaction, sql, &[&accounts]).await?;
    let sql = "SELECT FROM jobs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE";
    execute(transaction, sql, &[&jobs]).await?;
    let sql = "SELECT FROM slices s WHERE (s.job, s.n) IN (SELECT * FROM unnest($1::int8[], $2::int4[])) \
               ORDER BY s.job, s.n FOR NO KEY UPDATE";
    execute(transaction, sql, &[&jobs, &slices]).await?;
    // Looked at again under the locks: an answer or a new owner may have come first.
    let sql = format!(
        "WITH ended AS (UPDATE attempts t SET hold = 'expired', outcome = 'unavailable', detail = 'hold_expired', \
             source = 'not_asked', ended_at = now_ms(), learned = NULL, \
             lost = t.lost + coalesce((t.learned::json ->> 'owed')::int8, 0) \
             FROM jobs j, slices s WHERE t.id = ANY ($1) AND {EXPIRED} \
             RETURNING t.id >> 36 AS job, t.account, t.amount), \
           wallets AS (UPDATE accounts a SET held = a.held - e.amount \
             FROM (SELECT account, sum(amount)::int8 AS amount FROM ended GROUP BY account) e WHERE a.id = e.account), \
           works AS (UPDATE jobs j SET held = j.held - e.amount \
             FROM (SELECT job, sum(amount)::int8 AS amount FROM ended GROUP BY job) e WHERE j.id = e.job) \
         SELECT count(*) FROM ended"
    );
    count_all(transaction, &sql, &[&ids]).await
}

async fn read_entries(
    client: &impl GenericClient,
    account: AccountId,
    after: i64,
    limit: u32,
) -> Result<Vec<Entry>, LedgerError> {
    let sql = "SELECT e.seq, e.at, e.kind, e.amount, e.balance, e.reference, e.note, j.job_id, l.lead_id, t.step \
               FROM entries e LEFT JOIN attempts t ON t.id = e.attempt LEFT JOIN jobs j ON j.id = e.attempt >> 36 \
               LEFT JOIN leads l ON l.job = e.attempt >> 36 AND l.n = ((e.attempt >> 12) & 16777215)::int4 \
               WHERE e.account = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3";
    let rows = all(client, sql, &[&account.0, &after, &i64::from(limit)]).await?;
    rows.iter().map(read_entry).collect()
}

fn read_entry(row: &Row) -> Result<Entry, LedgerError> {
    let text = |at| column::<Option<&str>>(row, at);
    let paid = match (text(7)?, text(8)?, text(9)?) {
        (Some(job), Some(lead), Some(step)) => Some((JobId::new(job), LeadId::new(lead), word(step)?)),
        _ => None,
    };
    Ok(Entry {
        seq: column(row, 0)?,
        at_ms: column(row, 1)?,
        kind: column(row, 2)?,
        amount: usd(row, 3)?,
        balance: usd(row, 4)?,
        reference: column(row, 5)?,
        note: column(row, 6)?,
        paid,
    })
}
