//! How a job's leads come in: loaded by one at a time, cut into slices at the end.

use crate::clock;
use crate::domain::Address;
use crate::domain::Fingerprint;
use crate::domain::Lead;
use crate::domain::Reason;
use crate::domain::Status;
use crate::jobs::JobState;
use crate::jobs::Load;
use crate::jobs::LoadError;
use crate::jobs::NewLead;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::store::rows::IdForm;
use crate::store::sqlite::job_rows::read_stored;
use crate::store::sqlite::job_rows::tell_completed;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use rusqlite::Connection;

/// Drops what an earlier load has stored, and ends its right to go on.
pub(super) fn begin_load(connection: &Connection, job: JobKey) -> Result<Option<Load>, LedgerError> {
    let sql = "UPDATE jobs SET load_number = load_number + 1, updated_at = ?2 \
               WHERE id = ?1 AND state = 'loading' RETURNING load_number";
    let Some(number) = find(connection, sql, (job.0, clock::wall_ms()), |row| row.get(0))? else { return Ok(None) };
    execute(connection, "DELETE FROM leads WHERE job = ?1", [job.0])?;
    Ok(Some(Load { job, number }))
}

/// Is this load still the job's?
fn require_current(connection: &Connection, load: Load) -> Result<(), LoadError> {
    let sql = "SELECT 1 FROM jobs WHERE id = ?1 AND state = 'loading' AND load_number = ?2";
    find(connection, sql, (load.job.0, load.number), |_| Ok(()))?.ok_or(LoadError::Superseded)
}

/// Stores leads. One like an earlier one becomes its copy, unless each is to be written for; one that cannot be
/// used has ended before it began.
pub(super) fn insert_leads(connection: &Connection, load: Load, leads: &[NewLead]) -> Result<(), LoadError> {
    let insert = "INSERT INTO leads (job, n, lead_id, fields, fingerprint, copy_of, ended, status, reason, ended_at) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (job, lead_id) DO NOTHING";
    require_current(connection, load)?;
    let most = IdForm::EMBEDDED.most_leads();
    if leads.iter().any(|new| new.n.0 > most) {
        return Err(LoadError::TooMany { most });
    }
    let (job, now_ms) = (load.job, clock::wall_ms());
    let has_copies = has_copies(connection, job)?;
    for new in leads {
        let unusable = new.lead.is_none();
        let lead = new.lead.clone().unwrap_or_default();
        let alike = lead.fingerprint();
        let original = if unusable || !has_copies { None } else { find_original(connection, job, alike)? };
        let status = unusable.then_some(Status::Skipped.as_str());
        let reason = unusable.then_some(Reason::InvalidInput.as_str());
        let ended = unusable || original.is_some();
        let ended_at = unusable.then_some(now_ms);
        let (id, fields, alike) = (new.id.as_str(), fields_of(&lead), alike.as_bytes());
        let values = (job.0, new.n.0, id, fields, alike, original, ended, status, reason, ended_at);
        if execute(connection, insert, values)? == 0 {
            return Err(LoadError::RepeatedId(new.id.clone()));
        }
        if let Some(original) = original {
            let sql = "UPDATE leads SET copies = copies + 1 WHERE job = ?1 AND n = ?2";
            execute(connection, sql, (job.0, original))?;
        }
    }
    Ok(())
}

/// Do identical leads of the job share one result?
fn has_copies(connection: &Connection, job: JobKey) -> Result<bool, LedgerError> {
    let sql = "SELECT kind = 'enrich' FROM jobs WHERE id = ?1";
    Ok(find(connection, sql, [job.0], |row| row.get(0))?.unwrap_or_default())
}

fn find_original(connection: &Connection, job: JobKey, alike: Fingerprint) -> Result<Option<u32>, LedgerError> {
    // Without the word the planner walks the whole job.
    let sql = "SELECT n FROM leads INDEXED BY leads_alike WHERE job = ?1 AND fingerprint = ?2 AND copy_of IS NULL";
    find(connection, sql, (job.0, alike.as_bytes()), |row| row.get(0))
}

/// The lead's fields as a JSON array, in the order of its type.
fn fields_of(lead: &Lead) -> String {
    let email = lead.email.as_ref().map(Address::as_str);
    let texts = [
        lead.first_name.as_deref(),
        lead.last_name.as_deref(),
        lead.full_name.as_deref(),
        lead.company.as_deref(),
        lead.domain.as_deref(),
        lead.linkedin_url.as_deref(),
        email,
    ];
    serde_json::Value::from_iter(texts).to_string()
}

/// Reads what [`fields_of`] wrote.
pub(super) fn lead_of(fields: &str) -> Option<Lead> {
    let [first_name, last_name, full_name, company, domain, linkedin_url, email] =
        serde_json::from_str::<[Option<String>; 7]>(fields).ok()?;
    let email = email.and_then(|text| Address::parse(&text));
    Some(Lead { first_name, last_name, full_name, company, domain, linkedin_url, email })
}

/// Cuts a loaded job into slices of its `slice_size`, each counting the leads it has to decide. A job
/// without leads has come to its end; one that was cancelled meanwhile is from now on.
pub(super) fn seal(connection: &Connection, load: Load) -> Result<(), LoadError> {
    require_current(connection, load)?;
    let job = load.job.0;
    let cut = "INSERT INTO slices (job, n, pending) \
               SELECT l.job, (l.n - 1) / j.slice_size, sum(l.ended = 0) FROM leads l JOIN jobs j ON j.id = l.job \
               WHERE l.job = ?1 GROUP BY 2";
    let state = if execute(connection, cut, [job])? > 0 { JobState::Queued } else { JobState::Completed };
    let sql = "UPDATE jobs SET state = CASE WHEN cancel_asked THEN 'cancelled' ELSE ?2 END, cancel_asked = 0, \
                 updated_at = ?3, \
                 leads = (SELECT count(*) FROM leads l WHERE l.job = ?1), \
                 done = (SELECT count(*) FROM leads l WHERE l.job = ?1 AND l.status IS NOT NULL) \
               WHERE id = ?1";
    execute(connection, sql, (job, state.as_str(), clock::wall_ms()))?;
    if state == JobState::Completed {
        tell_completed(connection, &read_stored(connection, load.job)?)?;
    }
    Ok(())
}
