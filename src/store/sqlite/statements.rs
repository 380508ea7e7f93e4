//! How statements are run, and how their columns are read.

use crate::domain::Address;
use crate::domain::Fingerprint;
use crate::domain::Usd;
use crate::ledger::LedgerError;
use crate::store::sqlite::store_error;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Params;
use rusqlite::Row;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use std::str::FromStr;
use std::time::Duration;

/// Runs `work` in one immediate transaction; what fails leaves nothing behind.
pub(super) fn transact<T, E: From<LedgerError>>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| store_error(&error))?;
    let result = work(&transaction)?;
    transaction.commit().map_err(|error| store_error(&error))?;
    Ok(result)
}

/// Runs a prepared statement; says how many rows it changed.
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

/// Reads the number that a prepared statement counts.
pub(super) fn count(connection: &Connection, sql: &str, params: impl Params) -> Result<u64, LedgerError> {
    Ok(find(connection, sql, params, |row| row.get(0))?.unwrap_or_default())
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
pub(super) fn word<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| unreadable(column, &text))
}

/// Reads a stored word of a closed set, if there is one.
pub(super) fn optional_word<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| unreadable(column, &text))
}

/// Reads an amount.
pub(super) fn usd(row: &Row<'_>, column: usize) -> rusqlite::Result<Usd> {
    Ok(Usd::from_nanos(row.get(column)?))
}

/// Reads an amount, if there is one.
pub(super) fn optional_usd(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Usd>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Usd::from_nanos))
}

/// Reads a fingerprint.
pub(super) fn fingerprint(row: &Row<'_>, column: usize) -> rusqlite::Result<Fingerprint> {
    Ok(Fingerprint::from_bytes(row.get(column)?))
}

/// Reads an address, if there is one.
pub(super) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Address>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| Address::parse(&text)))
}

/// That long after a wall-clock millisecond.
pub(super) fn after_ms(at_ms: i64, time: Duration) -> i64 {
    at_ms.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// That long before a wall-clock millisecond.
pub(super) fn before_ms(at_ms: i64, time: Duration) -> i64 {
    at_ms.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

/// What must be in the store and is not.
pub(super) fn missing(what: &str) -> LedgerError {
    LedgerError::Corrupt(format!("{what} is not in the store"))
}
