//! The rows the group commit reads and writes: wallets, jobs, slices, entries, endings.

use crate::domain::Address;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::Usd;
use crate::jobs::JobState;
use crate::ledger::AccountId;
use crate::ledger::Balance;
use crate::ledger::Epoch;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::ledger::rules::JobMoney;
use crate::store::sqlite::attempts::ids_of_lead;
use crate::store::sqlite::store_error;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Params;
use rusqlite::Row;

/// What the group commit changes of a job.
pub(super) struct JobRow {
    pub(super) state: JobState,
    pub(super) money: JobMoney,
    pub(super) done: u64,
}

/// What the group commit changes of a slice.
pub(super) struct SliceRow {
    pub(super) epoch: Epoch,
    pub(super) pending: u32,
}

/// Runs a prepared statement.
pub(super) fn execute(connection: &Connection, sql: &str, params: impl Params) -> Result<usize, LedgerError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params))
        .map_err(|error| store_error(&error))
}

/// Reads at most one row by a prepared statement.
pub(super) fn find<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, LedgerError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(params, read).optional())
        .map_err(|error| store_error(&error))
}

/// Reads every row by a prepared statement.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, LedgerError> {
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_map(params, read)?.collect())
        .map_err(|error| store_error(&error))
}

/// A stored word that this program does not know.
pub(super) fn unreadable(column: usize, word: &str) -> rusqlite::Error {
    let why = format!("{word:?} is no word of this column");
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into())
}

/// Reads a stored word of a closed set.
pub(super) fn word<T: std::str::FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| unreadable(column, &text))
}

/// Reads an amount.
pub(super) fn usd(row: &Row<'_>, column: usize) -> rusqlite::Result<Usd> {
    Ok(Usd::from_nanos(row.get(column)?))
}

/// Reads a fingerprint.
pub(super) fn fingerprint(row: &Row<'_>, column: usize) -> rusqlite::Result<Fingerprint> {
    Ok(Fingerprint::from_bytes(row.get(column)?))
}

fn missing(what: &str) -> LedgerError {
    LedgerError::Corrupt(format!("{what} is not in the store"))
}

pub(super) fn read_account(connection: &Connection, id: AccountId) -> Result<Balance, LedgerError> {
    let read = |row: &Row<'_>| Ok(Balance { balance: usd(row, 0)?, held: usd(row, 1)? });
    find(connection, "SELECT balance, held FROM accounts WHERE id = ?1", [id.0], read)?
        .ok_or_else(|| missing("a wallet"))
}

pub(super) fn write_account(connection: &Connection, id: AccountId, row: Balance) -> Result<(), LedgerError> {
    let sql = "UPDATE accounts SET balance = ?2, held = ?3 WHERE id = ?1";
    execute(connection, sql, (id.0, row.balance.nanos(), row.held.nanos())).map(drop)
}

pub(super) fn read_job(connection: &Connection, key: JobKey) -> Result<JobRow, LedgerError> {
    let sql = "SELECT state, max_spend, spent, held, done FROM jobs WHERE id = ?1";
    let read = |row: &Row<'_>| {
        let cap: Option<i64> = row.get(1)?;
        Ok(JobRow {
            state: word(row, 0)?,
            money: JobMoney { cap: cap.map(Usd::from_nanos), spent: usd(row, 2)?, held: usd(row, 3)? },
            done: row.get(4)?,
        })
    };
    find(connection, sql, [key.0], read)?.ok_or_else(|| missing("a job"))
}

pub(super) fn write_job(connection: &Connection, key: JobKey, row: &JobRow, now_ms: i64) -> Result<(), LedgerError> {
    let sql = "UPDATE jobs SET spent = ?2, held = ?3, done = ?4, updated_at = ?5 WHERE id = ?1";
    execute(connection, sql, (key.0, row.money.spent.nanos(), row.money.held.nanos(), row.done, now_ms)).map(drop)
}

pub(super) fn read_slice(connection: &Connection, job: JobKey, slice: SliceNo) -> Result<SliceRow, LedgerError> {
    let sql = "SELECT epoch, pending FROM slices WHERE job = ?1 AND n = ?2";
    let read = |row: &Row<'_>| Ok(SliceRow { epoch: Epoch(row.get(0)?), pending: row.get(1)? });
    find(connection, sql, (job.0, slice.0), read)?.ok_or_else(|| missing("a slice"))
}

pub(super) fn write_slice(
    connection: &Connection,
    job: JobKey,
    slice: SliceNo,
    row: &SliceRow,
) -> Result<(), LedgerError> {
    let sql = "UPDATE slices SET pending = ?3 WHERE job = ?1 AND n = ?2";
    execute(connection, sql, (job.0, slice.0, row.pending)).map(drop)
}

/// What the lead has been charged in this job, and what its open holds bind.
pub(super) fn lead_spent_and_held(connection: &Connection, lead: LeadKey) -> Result<(Usd, Usd), LedgerError> {
    let sql = "SELECT coalesce(sum(charged), 0), coalesce(sum(amount) FILTER (WHERE hold = 'open'), 0) FROM attempts \
               WHERE id BETWEEN ?1 AND ?2";
    let sums = find(connection, sql, ids_of_lead(lead.job, lead.lead)?, |row| Ok((usd(row, 0)?, usd(row, 1)?)))?;
    sums.ok_or_else(|| missing("a sum"))
}

pub(super) fn insert_settle(
    connection: &Connection,
    account: AccountId,
    attempt: i64,
    charged: Usd,
    balance: Usd,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO entries (account, at, kind, amount, balance, attempt) VALUES (?1, ?2, 'settle', ?3, ?4, ?5)";
    execute(connection, sql, (account.0, now_ms, charged.negated().nanos(), balance.nanos(), attempt)).map(drop)
}

/// Writes the lead's ending, once per run; says how many copies ended with it, or `None` when this
/// run had decided it before.
pub(super) fn finish_lead(connection: &Connection, lead: LeadKey, ending: &Ending) -> Result<Option<u64>, LedgerError> {
    let sql = "UPDATE leads SET ended = 1, status = ?3, reason = ?4, address = ?5, verdict = ?6, found_by = ?7, \
               verified_by = ?8 WHERE job = ?1 AND n = ?2 AND ended = 0 RETURNING copies";
    let (status, reason) = (ending.status.as_str(), ending.reason.as_str());
    let address = ending.address.as_ref().map(Address::as_str);
    let verdict = ending.verdict.map(crate::domain::Verdict::as_str);
    let found_by = ending.found_by.as_ref().map(crate::domain::ProviderName::as_str);
    let verified_by = ending.verified_by.as_ref().map(crate::domain::ProviderName::as_str);
    let values = (lead.job.0, lead.lead.0, status, reason, address, verdict, found_by, verified_by);
    find(connection, sql, values, |row| row.get(0))
}
