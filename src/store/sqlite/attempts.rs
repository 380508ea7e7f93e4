//! The journal's rows as they are read: attempts, trails, and what overtaken owners had learned.

use crate::domain::About;
use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::ConfigVersion;
use crate::domain::Fingerprint;
use crate::domain::Outcome;
use crate::domain::Product;
use crate::domain::Run;
use crate::domain::Step;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::jobs::Learned;
use crate::jobs::StoredAttempt;
use crate::ledger::AccountId;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::store::batch::is_page_failure;
use crate::store::product::read_product;
use crate::store::product::write_product;
use crate::store::rows::Hold;
use crate::store::rows::Known;
use crate::store::rows::ids_of_lead;
use crate::store::sqlite::statements::address;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::fingerprint;
use crate::store::sqlite::statements::optional_usd;
use crate::store::sqlite::statements::optional_word;
use crate::store::sqlite::statements::unreadable;
use crate::store::sqlite::statements::usd;
use crate::store::sqlite::statements::word;
use rusqlite::Connection;
use rusqlite::Row;
use serde::Deserialize;
use serde::Serialize;

/// The columns that [`read_attempt`] reads. The text of a page that was taken from an earlier attempt is the newest
/// that answers the question. Without the words the planner may walk the journal for it.
const ATTEMPT: &str = "n, run, step, about, key_source, handle, outcome, detail, found, claim, source, charged, \
     duration_ms, unsaid, CASE WHEN source = 'cached' AND outcome = 'scraped' THEN \
       (SELECT o.product FROM attempts AS o INDEXED BY attempts_reusable \
        WHERE o.fingerprint = attempts.fingerprint AND o.reusable = 1 ORDER BY o.ended_at DESC LIMIT 1) \
     ELSE product END";

/// The attempt of this id, if there is one.
pub(super) fn find_known(connection: &Connection, id: i64) -> Result<Option<Known>, LedgerError> {
    let sql = format!(
        "SELECT {ATTEMPT}, fingerprint, account, amount, hold, learned, handle IS NOT NULL, heard FROM attempts \
         WHERE id = ?1"
    );
    find(connection, &sql, [id], |row| {
        let attempt = read_attempt(row)?;
        let hold = match row.get::<_, Option<i64>>(16)?.map(AccountId) {
            None => None,
            Some(account) => {
                Some(Hold { account, amount: usd(row, 17)?, state: word(row, 18)?, charged: usd(row, 11)? })
            }
        };
        let (fingerprint, learned) = (fingerprint(row, 15)?, read_learned(row, 19)?);
        let (is_deferred, heard) = (row.get(20)?, row.get(21)?);
        Ok(Known { end: attempt.end().cloned(), step: attempt.step, fingerprint, hold, learned, is_deferred, heard })
    })
}

/// The workspace's newest answer to the same question, from that millisecond on.
pub(super) fn find_reusable(
    connection: &Connection,
    asked: Fingerprint,
    since_ms: i64,
) -> Result<Option<AttemptEnd>, LedgerError> {
    let sql = "SELECT outcome, detail, found, claim, product FROM attempts \
               WHERE fingerprint = ?1 AND reusable = 1 AND ended_at >= ?2 ORDER BY ended_at DESC LIMIT 1";
    find(connection, sql, (asked.as_bytes(), since_ms), read_taken)
}

/// How the last asking for a page has failed, from that millisecond on.
pub(super) fn find_failure(
    connection: &Connection,
    asked: Fingerprint,
    since_ms: i64,
) -> Result<Option<AttemptEnd>, LedgerError> {
    let sql = "SELECT t.outcome, t.detail, t.found, t.claim, t.product FROM askings k \
               JOIN attempts t ON t.id = k.attempt WHERE k.fingerprint = ?1 AND t.ended_at >= ?2";
    let end = find(connection, sql, (asked.as_bytes(), since_ms), read_taken)?;
    Ok(end.filter(|end| is_page_failure(end.outcome)))
}

/// Reads an answer as another lead takes it: nobody is called, nothing is paid.
fn read_taken(row: &Row<'_>) -> rusqlite::Result<AttemptEnd> {
    let end = AttemptEnd::not_asked(outcome(row, 0, 1)?.ok_or_else(|| unreadable(0, "NULL"))?);
    Ok(AttemptEnd {
        found: address(row, 2)?,
        claim: optional_word(row, 3)?,
        product: product(row, 4)?,
        source: AnswerSource::Cached,
        ..end
    })
}

/// All attempts of a lead, oldest first, and what overtaken owners had learned of those begun.
pub(super) fn read_trail(
    connection: &Connection,
    job: JobKey,
    lead: LeadNo,
) -> Result<(Vec<Attempt>, Vec<Learned>), LedgerError> {
    let sql = format!(
        "SELECT {ATTEMPT}, CASE WHEN outcome IS NULL THEN learned END FROM attempts \
         WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
    );
    let mut learned = Vec::new();
    let attempts = all(connection, &sql, ids_of_lead(job, lead)?, |row| {
        let attempt = read_attempt(row)?;
        learned.extend(read_learned(row, 15)?.map(|(end, owed)| Learned { n: attempt.n, end, owed }));
        Ok(attempt)
    })?;
    Ok((attempts, learned))
}

/// All attempts of a lead with what only the store knows of them, oldest first.
pub(super) fn stored_trail(
    connection: &Connection,
    job: JobKey,
    lead: LeadNo,
) -> Result<Vec<StoredAttempt>, LedgerError> {
    let sql = format!(
        "SELECT {ATTEMPT}, began_at, config, CASE WHEN hold IS NULL THEN NULL ELSE amount END FROM attempts \
         WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
    );
    all(connection, &sql, ids_of_lead(job, lead)?, |row| {
        Ok(StoredAttempt {
            attempt: read_attempt(row)?,
            began_ms: row.get(15)?,
            config_version: ConfigVersion::new(row.get::<_, String>(16)?),
            held: optional_usd(row, 17)?,
        })
    })
}

/// Reads an attempt from the columns of [`ATTEMPT`], the first of their row.
fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let handle: Option<String> = row.get(5)?;
    let state = match (outcome(row, 6, 7)?, handle) {
        (None, None) => AttemptState::Begun,
        (None, Some(handle)) => AttemptState::Submitted(handle),
        (Some(outcome), handle) => AttemptState::Ended(AttemptEnd {
            outcome,
            handle,
            found: address(row, 8)?,
            claim: optional_word(row, 9)?,
            source: word(row, 10)?,
            cost: usd(row, 11)?,
            duration_ms: row.get(12)?,
            unsaid: row.get(13)?,
            product: product(row, 14)?,
        }),
    };
    let step: Step = word(row, 2)?;
    let about: Option<String> = row.get(3)?;
    Ok(Attempt {
        n: AttemptNo::new(row.get(0)?),
        run: Run::new(row.get(1)?),
        about: about.and_then(|text| About::parse(step.operation, &text)),
        step,
        key_source: word(row, 4)?,
        state,
    })
}

fn product(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Product>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    read_product(&text).map(Some).map_err(|_| unreadable(column, "what an attempt brought"))
}

fn outcome(row: &Row<'_>, word: usize, detail: usize) -> rusqlite::Result<Option<Outcome>> {
    let Some(text) = row.get::<_, Option<String>>(word)? else { return Ok(None) };
    let detail: Option<String> = row.get(detail)?;
    Outcome::parse(&text, detail.as_deref()).map(Some).ok_or_else(|| unreadable(word, &text))
}

/// What an overtaken owner had learned by its call, as it is kept: the words of the columns, and what
/// is owed in nano-dollars.
#[derive(Serialize, Deserialize)]
struct Kept {
    outcome: String,
    detail: Option<String>,
    found: Option<String>,
    claim: Option<String>,
    handle: Option<String>,
    duration_ms: u64,
    owed: i64,
    /// As the columns of these names; a version before them wrote none.
    #[serde(default)]
    unsaid: bool,
    product: Option<String>,
}

/// The text that keeps what an overtaken owner had learned.
pub(super) fn write_learned(end: &AttemptEnd, owed: Usd) -> Result<String, LedgerError> {
    let kept = Kept {
        outcome: end.outcome.as_str().to_owned(),
        detail: end.outcome.detail().map(str::to_owned),
        found: end.found.as_ref().map(|found| found.as_str().to_owned()),
        claim: end.claim.map(|claim| claim.as_str().to_owned()),
        handle: end.handle.clone(),
        duration_ms: end.duration_ms,
        owed: owed.nanos(),
        unsaid: end.unsaid,
        product: write_product(end)?,
    };
    serde_json::to_string(&kept).map_err(|error| LedgerError::Corrupt(error.to_string()))
}

fn read_learned(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<(AttemptEnd, Usd)>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    parse_learned(&text).map(Some).ok_or_else(|| unreadable(column, "what was learned"))
}

fn parse_learned(text: &str) -> Option<(AttemptEnd, Usd)> {
    let kept: Kept = serde_json::from_str(text).ok()?;
    let claim: Option<Verdict> = match kept.claim {
        None => None,
        Some(claim) => Some(claim.parse().ok()?),
    };
    let product = match kept.product {
        None => None,
        Some(product) => Some(read_product(&product).ok()?),
    };
    let end = AttemptEnd {
        outcome: Outcome::parse(&kept.outcome, kept.detail.as_deref())?,
        found: kept.found.and_then(|found| Address::parse(&found)),
        claim,
        product,
        handle: kept.handle,
        source: AnswerSource::Called,
        cost: Usd::ZERO,
        duration_ms: kept.duration_ms,
        unsaid: kept.unsaid,
    };
    Some((end, Usd::from_nanos(kept.owed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_read_as_it_was_kept() {
        let found = AttemptEnd {
            found: Address::parse("ada@acme.test"),
            claim: Some(Verdict::CatchAll),
            handle: Some("h-1".to_owned()),
            source: AnswerSource::Called,
            duration_ms: 412,
            ..AttemptEnd::not_asked(Outcome::Found)
        };
        let scraped = AttemptEnd {
            product: Some(Product::Text("# Acme \"{}\"".into())),
            source: AnswerSource::Called,
            ..AttemptEnd::not_asked(Outcome::Scraped)
        };
        let unsaid =
            AttemptEnd { source: AnswerSource::Called, unsaid: true, ..AttemptEnd::not_asked(Outcome::Written) };
        let owed = Usd::from_nanos(12_500_000);
        for end in [found, scraped, unsaid] {
            assert_eq!(parse_learned(&write_learned(&end, owed).unwrap()), Some((end, owed)));
        }
        assert_eq!(parse_learned("{}"), None);
    }

    #[test]
    fn what_an_earlier_version_kept_is_read() {
        let text = "{\"outcome\":\"found\",\"detail\":null,\"found\":\"ada@acme.test\",\"claim\":null,\
                    \"handle\":null,\"duration_ms\":4,\"owed\":7}";
        let (end, owed) = parse_learned(text).unwrap();
        assert_eq!((end.outcome, end.product, end.duration_ms, owed), (Outcome::Found, None, 4, Usd::from_nanos(7)));
        assert!(!end.unsaid);
    }
}
