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
use crate::ledger::rules::Settlement;
use crate::store::sqlite::rows::all;
use crate::store::sqlite::rows::execute;
use crate::store::sqlite::rows::find;
use crate::store::sqlite::rows::fingerprint;
use crate::store::sqlite::rows::unreadable;
use crate::store::sqlite::rows::usd;
use crate::store::sqlite::rows::word;
use rusqlite::Connection;
use rusqlite::Row;
use std::str::FromStr;

/// Bits of an attempt's id: see the migration. More of anything is refused, never wrapped.
const N_BITS: u32 = 14;
const LEAD_BITS: u32 = 30;
const JOB_BITS: u32 = 19;

/// The first and last id that attempts of a lead can have.
pub(super) fn ids_of_lead(job: JobKey, lead: LeadNo) -> Result<(i64, i64), LedgerError> {
    let lead = i64::from(lead.0);
    if job.0 >= 1 << JOB_BITS || lead >= 1 << LEAD_BITS {
        return Err(LedgerError::Corrupt(format!("job {} or lead {lead} is beyond what an id can hold", job.0)));
    }
    let first = (job.0 << LEAD_BITS | lead) << N_BITS;
    Ok((first, first | ((1 << N_BITS) - 1)))
}

/// The id of an attempt, and so of its hold.
pub(super) fn id_of(lead: LeadKey, n: AttemptNo) -> Result<i64, LedgerError> {
    let (first, last) = ids_of_lead(lead.job, lead.lead)?;
    let id = first | i64::from(n.get());
    if n.get() >= 1 << N_BITS || id > last {
        return Err(LedgerError::Corrupt(format!("lead {} has been tried too often", lead.lead.0)));
    }
    Ok(id)
}

/// An attempt that is in the store already.
pub(super) struct Known {
    pub(super) step: Step,
    pub(super) fingerprint: Fingerprint,
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

/// The attempt of this id, if there is one.
pub(super) fn find_known(connection: &Connection, lead: LeadKey, n: AttemptNo) -> Result<Option<Known>, LedgerError> {
    let sql = "SELECT n, run, step, about, key_source, handle, outcome, detail, found, claim, source, charged, \
               duration_ms, fingerprint, account FROM attempts WHERE id = ?1";
    find(connection, sql, [id_of(lead, n)?], |row| {
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

/// How a hold stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HoldState {
    Open,
    Settled,
    Voided,
    Expired,
}

impl HoldState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Settled => "settled",
            Self::Voided => "voided",
            Self::Expired => "expired",
        }
    }
}

impl FromStr for HoldState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Open, Self::Settled, Self::Voided, Self::Expired]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(())
    }
}

/// The hold of an attempt.
pub(super) struct Hold {
    pub(super) account: AccountId,
    pub(super) amount: Usd,
    pub(super) state: HoldState,
    pub(super) charged: Usd,
}

/// The hold of the attempt of this id: `None` for no such attempt, `Some(None)` for one without.
pub(super) fn find_hold(
    connection: &Connection,
    lead: LeadKey,
    n: AttemptNo,
) -> Result<Option<Option<Hold>>, LedgerError> {
    let sql = "SELECT account, amount, hold, charged FROM attempts WHERE id = ?1";
    find(connection, sql, [id_of(lead, n)?], |row| {
        let Some(account) = row.get::<_, Option<i64>>(0)?.map(AccountId) else { return Ok(None) };
        Ok(Some(Hold { account, amount: usd(row, 1)?, state: word(row, 2)?, charged: usd(row, 3)? }))
    })
}

/// Has any attempt of the lead been charged for this question?
pub(super) fn is_charged(connection: &Connection, lead: LeadKey, asked: Fingerprint) -> Result<bool, LedgerError> {
    let sql = "SELECT 1 FROM attempts WHERE id BETWEEN ?1 AND ?2 AND fingerprint = ?3 AND charged > 0";
    let (first, last) = ids_of_lead(lead.job, lead.lead)?;
    Ok(find(connection, sql, (first, last, asked.as_bytes()), |_| Ok(()))?.is_some())
}

/// Records a begun attempt with its open hold; `false` when the attempt is there already.
pub(super) fn insert_begun(
    connection: &Connection,
    lead: LeadKey,
    account: AccountId,
    begin: &Begin,
    now_ms: i64,
) -> Result<bool, LedgerError> {
    let sql = "INSERT INTO attempts (id, run, step, fingerprint, about, key_source, config, began_at, account, hold, \
               amount, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open', ?10, ?11) \
               ON CONFLICT DO NOTHING";
    let values = (
        id_of(lead, begin.n)?,
        begin.run.get(),
        begin.step.to_string(),
        begin.fingerprint.as_bytes(),
        begin.about.as_ref().map(Address::as_str),
        begin.key_source.as_str(),
        begin.config_version.as_str(),
        now_ms,
        account.0,
        begin.price.nanos(),
        begin.expires_ms,
    );
    Ok(execute(connection, sql, values)? > 0)
}

/// Records an attempt that ended without a hold: nobody was asked, or the answer was known. `false`
/// when the attempt is there already; it stays as it is.
pub(super) fn insert_ended(
    connection: &Connection,
    lead: LeadKey,
    ended: &Ended,
    end: &AttemptEnd,
    now_ms: i64,
) -> Result<bool, LedgerError> {
    let sql = "INSERT INTO attempts (id, run, step, fingerprint, about, key_source, config, began_at, ended_at, outcome, \
               detail, found, claim, source) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11, ?12, ?13) \
               ON CONFLICT DO NOTHING";
    let attempt = &ended.attempt;
    let values = (
        id_of(lead, attempt.n)?,
        attempt.run.get(),
        attempt.step.to_string(),
        ended.fingerprint.as_bytes(),
        attempt.about.as_ref().map(Address::as_str),
        attempt.key_source.as_str(),
        ended.config_version.as_str(),
        now_ms,
        end.outcome.as_str(),
        end.outcome.detail(),
        end.found.as_ref().map(Address::as_str),
        end.claim.map(Verdict::as_str),
        end.source.as_str(),
    );
    Ok(execute(connection, sql, values)? > 0)
}

pub(super) fn set_handle(
    connection: &Connection,
    lead: LeadKey,
    n: AttemptNo,
    handle: &str,
) -> Result<(), LedgerError> {
    let sql = "UPDATE attempts SET handle = ?2 WHERE id = ?1 AND outcome IS NULL";
    execute(connection, sql, (id_of(lead, n)?, handle)).map(drop)
}

/// Ends an attempt and its hold. With `only_open` only if the hold is open on that wallet and for that
/// amount; `false` when it was not.
pub(super) fn end_attempt(
    connection: &Connection,
    id: i64,
    end: &AttemptEnd,
    settlement: &Settlement,
    only_open: Option<(AccountId, Usd)>,
    now_ms: i64,
) -> Result<bool, LedgerError> {
    let sql = "UPDATE attempts SET hold = ?2, charged = ?3, lost = ?4, outcome = ?5, detail = ?6, found = ?7, \
               claim = ?8, source = ?9, duration_ms = ?10, ended_at = ?11, reusable = ?12 \
               WHERE id = ?1 AND (?13 IS NULL OR (hold = 'open' AND account = ?13 AND amount = ?14))";
    let taken = settlement.charged.is_positive() || settlement.lost.is_positive();
    let hold = if taken { HoldState::Settled } else { HoldState::Voided };
    let reusable = end.source == AnswerSource::Called && end.outcome.is_cacheable();
    let (account, amount) = only_open.map(|(account, amount)| (account.0, amount.nanos())).unzip();
    let values = (
        id,
        hold.as_str(),
        settlement.charged.nanos(),
        settlement.lost.nanos(),
        end.outcome.as_str(),
        end.outcome.detail(),
        end.found.as_ref().map(Address::as_str),
        end.claim.map(Verdict::as_str),
        end.source.as_str(),
        end.duration_ms,
        now_ms,
        reusable,
        account,
        amount,
    );
    Ok(execute(connection, sql, values)? > 0)
}

/// The workspace's newest answer to the same question, if it is not too old.
pub(super) fn find_reusable(connection: &Connection, begin: &Begin) -> Result<Option<AttemptEnd>, LedgerError> {
    let Some(since_ms) = begin.cached_since_ms else { return Ok(None) };
    let sql = "SELECT outcome, detail, found, claim FROM attempts \
               WHERE fingerprint = ?1 AND reusable = 1 AND ended_at >= ?2 ORDER BY ended_at DESC LIMIT 1";
    find(connection, sql, (begin.fingerprint.as_bytes(), since_ms), |row| {
        let end = AttemptEnd::not_asked(outcome(row, 0, 1)?.ok_or_else(|| unreadable(0, "NULL"))?);
        Ok(AttemptEnd { found: address(row, 2)?, claim: claim(row, 3)?, source: AnswerSource::Cached, ..end })
    })
}

/// All attempts of a lead, oldest first.
pub(super) fn read_trail(connection: &Connection, job: JobKey, lead: LeadNo) -> Result<Vec<Attempt>, LedgerError> {
    let sql = "SELECT n, run, step, about, key_source, handle, outcome, detail, found, claim, source, charged, \
               duration_ms FROM attempts WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
    all(connection, sql, ids_of_lead(job, lead)?, read_attempt)
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
