//! What a failure of PostgreSQL means to the caller.

use crate::ledger::LedgerError;
use deadpool_postgres::PoolError;
use std::error::Error as _;
use tokio_postgres::Error;

/// How the message of a transaction begins that another one stood in the way of.
const CONFLICT: &str = "another transaction stood in the way";
/// How it begins when a row was locked for longer than may be waited for.
const LOCKED: &str = "a row is locked by somebody else";
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Serialization failure and deadlock: the same transaction can succeed at once.
const CONFLICTS: &[&str] = &["40001", "40P01"];
/// Classes of SQLSTATE that say nothing against the content: connection, stale plan, read-only standby,
/// credentials, missing database, conflict, resources, lock timeout, operator, system. They may pass.
const PASSING: &[&str] = &["08", "0A", "25", "26", "28", "3D", "40", "53", "55", "57", "58"];
/// Data exceptions: their messages quote the value.
const VALUE_CLASS: &str = "22";
/// How the group commit's own checks fail: see [`crate::store::postgres::writes`].
const DIVISION_BY_ZERO: &str = "22012";

/// What a failure means: what is wrong with the content stays wrong; anything else may pass.
pub(super) fn store_error(error: &Error) -> LedgerError {
    judge(error.code().map(|state| state.code()), explain(error))
}

/// The same of a failure to get a connection.
pub(super) fn pool_error(error: &PoolError) -> LedgerError {
    if let PoolError::Backend(error) = error {
        return LedgerError::Unavailable(explain(error));
    }
    LedgerError::Unavailable(format!("no connection to the database: {error}"))
}

/// Did only another transaction stand in the way? Then the same one can run again at once.
pub(super) fn is_conflict(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Unavailable(why) if why.starts_with(CONFLICT))
}

/// Did only the wait for a lock take too long?
pub(super) fn is_locked(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Unavailable(why) if why.starts_with(LOCKED))
}

/// What happened, in words. PostgreSQL's DETAIL, HINT and CONTEXT are left out: they quote rows.
pub(super) fn explain(error: &Error) -> String {
    if let Some(refused) = error.as_db_error() {
        return describe(refused.code().code(), refused.message());
    }
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

fn describe(code: &str, message: &str) -> String {
    if code == DIVISION_BY_ZERO {
        return "a write did not meet every row it was meant for".to_owned();
    }
    if code.starts_with(VALUE_CLASS) {
        return format!("a value was not taken (SQLSTATE {code})");
    }
    format!("{message} (SQLSTATE {code})")
}

fn judge(code: Option<&str>, why: String) -> LedgerError {
    match code {
        Some(code) if CONFLICTS.contains(&code) => LedgerError::Unavailable(format!("{CONFLICT}: {why}")),
        Some(LOCK_NOT_AVAILABLE) => LedgerError::Unavailable(format!("{LOCKED}: {why}")),
        Some(code) if !PASSING.iter().any(|class| code.starts_with(class)) => LedgerError::Corrupt(why),
        Some(_) | None => LedgerError::Unavailable(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_stays_wrong() {
        for (code, transient, conflict) in [
            (None, true, false),
            (Some("08006"), true, false),
            (Some("40001"), true, true),
            (Some("40P01"), true, true),
            (Some("40003"), true, false),
            (Some("53100"), true, false),
            (Some("57P01"), true, false),
            (Some("58030"), true, false),
            (Some("23505"), false, false),
            (Some("22012"), false, false),
            (Some("42601"), false, false),
            (Some("XX001"), false, false),
        ] {
            let error = judge(code, "why".to_owned());
            assert_eq!((error.is_transient(), is_conflict(&error)), (transient, conflict), "{code:?}");
            assert!(!is_locked(&error), "{code:?}");
        }
        let locked = judge(Some("55P03"), "why".to_owned());
        assert!(locked.is_transient() && is_locked(&locked) && !is_conflict(&locked));
    }

    #[test]
    fn no_value_of_a_row_is_told() {
        assert!(!describe("22P02", "invalid input syntax: \"ada@acme.test\"").contains("ada"));
        assert!(describe("23514", "violates check constraint \"x\"").contains("constraint \"x\""));
    }
}
