//! The journal's rows: attempts as they begin, are submitted, and end.

use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::Fingerprint;
use crate::domain::Outcome;
use crate::domain::Run;
use crate::domain::Step;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::ledger::AccountId;
use crate::ledger::Begin;
use crate::ledger::Ended;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::store::sqlite::rows::all;
use crate::store::sqlite::rows::execute;
use crate::store::sqlite::rows::find;
use crate::store::sqlite::rows::fingerprint;
use crate::store::sqlite::rows::unreadable;
use crate::store::sqlite::rows::usd;
use crate::store::sqlite::rows::word;
use rusqlite::Connection;
use rusqlite::Row;

/// An attempt that is in the store already.
pub(super) struct Known {
    pub(super) step: Step,
    pub(super) fingerprint: Fingerprint,
    /// The wallet of its hold, if it has one.
    pub(super) account: Option<AccountId>,
    pub(super) state: KnownState,
}

/// How far a known attempt has come.
pub(super) enum KnownState {
    /// Its hold is open, its answer awaited.
    Open,
    /// It ended without a hold: refused, or its answer was known.
    Unmade(AttemptEnd),
    /// Its hold has ended.
    Made,
}

/// The attempt of this id with its hold, if there is one.
pub(super) fn find_known(connection: &Connection, lead: LeadKey, n: AttemptNo) -> Result<Option<Known>, LedgerError> {
    let sql = "SELECT t.n, t.run, t.step, t.about, t.key_source, t.handle, t.outcome, t.detail, t.found, t.claim, \
               t.source, t.cost, t.duration_ms, t.fingerprint, h.account FROM attempts t \
               LEFT JOIN holds h ON h.job = t.job AND h.lead = t.lead AND h.n = t.n \
               WHERE t.job = ?1 AND t.lead = ?2 AND t.n = ?3";
    find(connection, sql, (lead.job.0, lead.lead.0, n.get()), |row| {
        let Attempt { step, state, .. } = read_attempt(row)?;
        let account = row.get::<_, Option<i64>>(14)?.map(AccountId);
        let state = match (state, account) {
            (AttemptState::Begun | AttemptState::Submitted(_), _) => KnownState::Open,
            (AttemptState::Ended(end), None) => KnownState::Unmade(end),
            (AttemptState::Ended(_), Some(_)) => KnownState::Made,
        };
        Ok(Known { step, fingerprint: fingerprint(row, 13)?, account, state })
    })
}

pub(super) fn insert_begun(
    connection: &Connection,
    lead: LeadKey,
    begin: &Begin,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO attempts (job, lead, n, run, step, fingerprint, about, key_source, began_at, config) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let values = (
        lead.job.0,
        lead.lead.0,
        begin.n.get(),
        begin.run.get(),
        begin.step.to_string(),
        begin.fingerprint.as_bytes(),
        begin.about.as_ref().map(Address::as_str),
        begin.key_source.as_str(),
        now_ms,
        begin.config_version.as_str(),
    );
    execute(connection, sql, values).map(drop)
}

/// Records an attempt that ended without a hold: nobody was asked, or the answer was known. Recorded
/// before, it stays as it is.
pub(super) fn insert_ended(
    connection: &Connection,
    lead: LeadKey,
    ended: &Ended,
    end: &AttemptEnd,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let sql = "INSERT OR IGNORE INTO attempts (job, lead, n, run, step, fingerprint, about, key_source, began_at, \
               config, outcome, detail, found, claim, source, ended_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?9)";
    let attempt = &ended.attempt;
    let step = attempt.step.to_string();
    let about = attempt.about.as_ref().map(Address::as_str);
    let found = end.found.as_ref().map(Address::as_str);
    let values: [&dyn rusqlite::ToSql; 15] = [
        &lead.job.0,
        &lead.lead.0,
        &attempt.n.get(),
        &attempt.run.get(),
        &step,
        ended.fingerprint.as_bytes(),
        &about,
        &attempt.key_source.as_str(),
        &now_ms,
        &ended.config_version.as_str(),
        &end.outcome.as_str(),
        &end.outcome.detail(),
        &found,
        &end.claim.map(Verdict::as_str),
        &end.source.as_str(),
    ];
    execute(connection, sql, values).map(drop)
}

pub(super) fn set_handle(
    connection: &Connection,
    lead: LeadKey,
    n: AttemptNo,
    handle: &str,
) -> Result<(), LedgerError> {
    let sql = "UPDATE attempts SET handle = ?4 WHERE job = ?1 AND lead = ?2 AND n = ?3 AND outcome IS NULL";
    execute(connection, sql, (lead.job.0, lead.lead.0, n.get(), handle)).map(drop)
}

pub(super) fn end_attempt(
    connection: &Connection,
    lead: LeadKey,
    ended: &Ended,
    end: &AttemptEnd,
    charged: Usd,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let sql = "UPDATE attempts SET outcome = ?4, detail = ?5, found = ?6, claim = ?7, source = ?8, cost = ?9, \
               duration_ms = ?10, ended_at = ?11, reusable = ?12 WHERE job = ?1 AND lead = ?2 AND n = ?3";
    let reusable = end.source == AnswerSource::Called && end.outcome.is_cacheable();
    let values = (
        lead.job.0,
        lead.lead.0,
        ended.attempt.n.get(),
        end.outcome.as_str(),
        end.outcome.detail(),
        end.found.as_ref().map(Address::as_str),
        end.claim.map(Verdict::as_str),
        end.source.as_str(),
        charged.nanos(),
        end.duration_ms,
        now_ms,
        reusable,
    );
    execute(connection, sql, values).map(drop)
}

/// The workspace's newest answer to the same question, if it is not too old.
pub(super) fn find_reusable(connection: &Connection, begin: &Begin) -> Result<Option<AttemptEnd>, LedgerError> {
    let sql = "SELECT outcome, detail, found, claim FROM attempts \
               WHERE fingerprint = ?1 AND reusable = 1 AND ended_at >= ?2 ORDER BY ended_at DESC LIMIT 1";
    find(connection, sql, (begin.fingerprint.as_bytes(), begin.cached_since_ms), |row| {
        let end = AttemptEnd::not_asked(outcome(row, 0, 1)?.ok_or_else(|| unreadable(0, "NULL"))?);
        Ok(AttemptEnd { found: address(row, 2)?, claim: claim(row, 3)?, source: AnswerSource::Cached, ..end })
    })
}

/// All attempts of a lead, oldest first.
pub(super) fn read_trail(connection: &Connection, job: JobKey, lead: LeadNo) -> Result<Vec<Attempt>, LedgerError> {
    let sql = "SELECT n, run, step, about, key_source, handle, outcome, detail, found, claim, source, cost, \
               duration_ms FROM attempts WHERE job = ?1 AND lead = ?2 ORDER BY n";
    all(connection, sql, (job.0, lead.0), read_attempt)
}

/// Reads an attempt from the thirteen columns of [`read_trail`].
pub(super) fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let handle: Option<String> = row.get(5)?;
    let state = match (outcome(row, 6, 7)?, handle) {
        (None, None) => AttemptState::Begun,
        (None, Some(handle)) => AttemptState::Submitted(handle),
        (Some(outcome), handle) => AttemptState::Ended(AttemptEnd {
            outcome,
            handle,
            found: address(row, 8)?,
            claim: claim(row, 9)?,
            source: word(row, 10)?,
            cost: usd(row, 11)?,
            duration_ms: row.get(12)?,
        }),
    };
    Ok(Attempt {
        n: AttemptNo::new(row.get(0)?),
        run: Run::new(row.get(1)?),
        step: word(row, 2)?,
        about: address(row, 3)?,
        key_source: word(row, 4)?,
        state,
    })
}

fn outcome(row: &Row<'_>, word: usize, detail: usize) -> rusqlite::Result<Option<Outcome>> {
    let Some(text) = row.get::<_, Option<String>>(word)? else { return Ok(None) };
    let detail: Option<String> = row.get(detail)?;
    Outcome::parse(&text, detail.as_deref()).map(Some).ok_or_else(|| unreadable(word, &text))
}

pub(super) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Address>> {
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| Address::parse(&text)))
}

fn claim(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Verdict>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    text.parse().map(Some).map_err(|()| unreadable(column, &text))
}
