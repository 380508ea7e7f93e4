//! The rows of jobs, leads and slices beyond the group commit: intake, claims, runs, results.

use crate::clock;
use crate::domain::Address;
use crate::domain::ConfigVersion;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Status;
use crate::domain::Usd;
use crate::domain::WaterfallName;
use crate::domain::WorkspaceId;
use crate::jobs::Claim;
use crate::jobs::JobState;
use crate::jobs::LeadResult;
use crate::jobs::LeadWork;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::jobs::Progress;
use crate::jobs::StoredAttempt;
use crate::jobs::StoredJob;
use crate::ledger::AccountId;
use crate::ledger::Epoch;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::store::sqlite::attempts;
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

const JOB: &str = "SELECT id, job_id, workspace, account, waterfall, content, state, run, max_spend, funded, leads, \
     slice_size, held FROM jobs";

fn read_job(row: &Row<'_>) -> rusqlite::Result<StoredJob> {
    let max_spend: Option<i64> = row.get(8)?;
    Ok(StoredJob {
        key: JobKey(row.get(0)?),
        id: JobId::new(row.get::<_, String>(1)?),
        workspace: WorkspaceId::new(row.get::<_, String>(2)?),
        account: AccountId(row.get(3)?),
        waterfall: WaterfallName::new(row.get::<_, String>(4)?),
        content: fingerprint(row, 5)?,
        state: word(row, 6)?,
        run: Run::new(row.get(7)?),
        max_spend: max_spend.map(Usd::from_nanos),
        funded: usd(row, 9)?,
        leads: row.get(10)?,
        slice_size: row.get(11)?,
        held: usd(row, 12)?,
    })
}

pub(super) fn find_job(connection: &Connection, id: &JobId) -> Result<Option<StoredJob>, LedgerError> {
    find(connection, &format!("{JOB} WHERE job_id = ?1"), [id.as_str()], read_job)
}

pub(super) fn read_stored(connection: &Connection, key: JobKey) -> Result<StoredJob, LedgerError> {
    find(connection, &format!("{JOB} WHERE id = ?1"), [key.0], read_job)?
        .ok_or_else(|| LedgerError::Corrupt("a job is not in the store".to_owned()))
}

pub(super) fn list_jobs(connection: &Connection) -> Result<Vec<StoredJob>, LedgerError> {
    all(connection, &format!("{JOB} ORDER BY id"), [], read_job)
}

pub(super) fn insert_job(connection: &Connection, job: &NewJob, account: AccountId) -> Result<(), LedgerError> {
    let sql = "INSERT INTO jobs (job_id, workspace, account, kind, state, waterfall, content, slice_size, created_at, \
               updated_at) VALUES (?1, ?2, ?3, 'enrich', 'loading', ?4, ?5, ?6, ?7, ?7)";
    let names = (job.id.as_str(), job.workspace.as_str(), job.waterfall.as_str());
    let values = (names.0, names.1, account.0, names.2, job.content.as_bytes(), job.slice_size, clock::wall_ms());
    execute(connection, sql, values).map(drop)
}

/// Stores leads; `Err` inside names an id that stands in the list twice. A lead like an earlier one
/// becomes its copy; one that cannot be used has ended before it began.
pub(super) fn insert_leads(
    connection: &Connection,
    job: JobKey,
    leads: &[NewLead],
) -> Result<Result<(), LeadId>, LedgerError> {
    let insert = "INSERT INTO leads (job, n, lead_id, fields, fingerprint, copy_of, ended, status, reason) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (job, lead_id) DO NOTHING";
    for new in leads {
        if find(connection, "SELECT 1 FROM leads WHERE job = ?1 AND n = ?2", (job.0, new.n.0), |_| Ok(()))?.is_some() {
            continue;
        }
        let unusable = new.lead.is_none();
        let lead = new.lead.clone().unwrap_or_default();
        let alike = lead.fingerprint();
        let original = if unusable { None } else { find_original(connection, job, alike)? };
        if let Some(original) = original {
            let sql = "UPDATE leads SET copies = copies + 1 WHERE job = ?1 AND n = ?2";
            execute(connection, sql, (job.0, original))?;
        }
        let status = unusable.then_some(Status::Skipped.as_str());
        let reason = unusable.then_some(Reason::InvalidInput.as_str());
        let ended = unusable || original.is_some();
        let values =
            (job.0, new.n.0, new.id.as_str(), fields_of(&lead), alike.as_bytes(), original, ended, status, reason);
        if execute(connection, insert, values)? == 0 {
            return Ok(Err(new.id.clone()));
        }
    }
    Ok(Ok(()))
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

fn lead_of(fields: &str) -> Option<Lead> {
    let [first_name, last_name, full_name, company, domain, linkedin_url, email] =
        serde_json::from_str::<[Option<String>; 7]>(fields).ok()?;
    let email = email.and_then(|text| Address::parse(&text));
    Some(Lead { first_name, last_name, full_name, company, domain, linkedin_url, email })
}

/// Cuts a loaded job into slices of its `slice_size`, each counting the leads it has to decide.
pub(super) fn seal(connection: &Connection, job: JobKey) -> Result<(), LedgerError> {
    execute(
        connection,
        "INSERT INTO slices (job, n, pending) \
         SELECT l.job, (l.n - 1) / j.slice_size, sum(l.ended = 0) FROM leads l JOIN jobs j ON j.id = l.job \
         WHERE l.job = ?1 GROUP BY 2",
        [job.0],
    )?;
    execute(
        connection,
        "UPDATE jobs SET state = 'queued', updated_at = ?2, \
           leads = (SELECT count(*) FROM leads l WHERE l.job = ?1), \
           done = (SELECT count(*) FROM leads l WHERE l.job = ?1 AND l.status IS NOT NULL) \
         WHERE id = ?1 AND state = 'loading'",
        (job.0, clock::wall_ms()),
    )
    .map(drop)
}

/// Takes a slice over, with the leads its run has still to decide and all that happened to them.
pub(super) fn claim_slice(connection: &Connection, job: JobKey, slice: SliceNo) -> Result<Option<Claim>, LedgerError> {
    let sql = "UPDATE slices SET epoch = epoch + 1 WHERE job = ?1 AND n = ?2 AND pending > 0 RETURNING epoch";
    let Some(epoch) = find(connection, sql, (job.0, slice.0), |row| Ok(Epoch(row.get(0)?)))? else { return Ok(None) };
    let sql = "SELECT run, state, slice_size FROM jobs WHERE id = ?1";
    let job_row = find(connection, sql, [job.0], |row| {
        Ok((Run::new(row.get(0)?), word::<JobState>(row, 1)?, row.get::<_, u32>(2)?))
    })?;
    let Some((run, state, slice_size)) = job_row else { return Ok(None) };
    let first = slice.0.saturating_mul(slice_size).saturating_add(1);
    let last = first.saturating_add(slice_size.saturating_sub(1));
    let sql =
        "SELECT n, lead_id, fields, copies FROM leads WHERE job = ?1 AND n BETWEEN ?2 AND ?3 AND ended = 0 ORDER BY n";
    let mut leads = all(connection, sql, (job.0, first, last), |row| {
        let fields: String = row.get(2)?;
        Ok(LeadWork {
            n: LeadNo(row.get(0)?),
            id: LeadId::new(row.get::<_, String>(1)?),
            lead: lead_of(&fields).ok_or_else(|| unreadable(2, "a lead"))?,
            attempts: Vec::new(),
            copies: row.get(3)?,
        })
    })?;
    for lead in &mut leads {
        lead.attempts = attempts::read_trail(connection, job, lead.n)?;
    }
    Ok(Some(Claim { epoch, run, state, leads }))
}

/// Begins the next run of every lead whose reason can have changed.
pub(super) fn resume(connection: &Connection, job: JobKey) -> Result<u64, LedgerError> {
    let resumable: Vec<String> =
        Reason::ALL.iter().filter(|reason| reason.is_resumable()).map(|reason| format!("'{reason}'")).collect();
    let sql = format!(
        "UPDATE leads SET ended = 0, run = (SELECT run + 1 FROM jobs WHERE id = ?1) \
         WHERE job = ?1 AND ended = 1 AND copy_of IS NULL AND reason IN ({})",
        resumable.join(", ")
    );
    let resumed = execute(connection, &sql, [job.0])?;
    // A cancelled job may have leads that never ended: they are opened again with it.
    let sql = "UPDATE slices SET pending = (SELECT count(*) FROM leads l, jobs j \
                 WHERE j.id = ?1 AND l.job = ?1 AND l.ended = 0 \
                   AND l.n BETWEEN slices.n * j.slice_size + 1 AND (slices.n + 1) * j.slice_size) \
               WHERE job = ?1";
    execute(connection, sql, [job.0])?;
    let sql = "UPDATE jobs SET run = run + (?2 > 0), state = 'queued', updated_at = ?3, \
                 done = (SELECT coalesce(sum(1 + copies), 0) FROM leads l \
                         WHERE l.job = ?1 AND l.ended = 1 AND l.copy_of IS NULL) \
               WHERE id = ?1 AND (?2 > 0 OR state = 'cancelled')";
    execute(connection, sql, (job.0, resumed, clock::wall_ms()))?;
    Ok(u64::try_from(resumed).unwrap_or(u64::MAX))
}

pub(super) fn progress(connection: &Connection, job: JobKey) -> Result<Progress, LedgerError> {
    let sql = "SELECT status, reason, sum(1 + copies) FROM leads \
               WHERE job = ?1 AND copy_of IS NULL AND status IS NOT NULL GROUP BY status, reason";
    let groups = all(connection, sql, [job.0], |row| {
        Ok((word::<Status>(row, 0)?, word::<Reason>(row, 1)?, row.get::<_, u64>(2)?))
    })?;
    let sql = "SELECT leads, done, spent FROM jobs WHERE id = ?1";
    let totals = find(connection, sql, [job.0], |row| Ok((row.get(0)?, row.get(1)?, usd(row, 2)?)))?;
    let Some((leads, done, spent)) = totals else { return Ok(Progress::default()) };
    let sum = |matches: &dyn Fn(Status, Reason) -> bool| {
        groups.iter().filter(|(status, reason, _)| matches(*status, *reason)).map(|(_, _, count)| count).sum::<u64>()
    };
    let by_status = Status::ALL.iter().map(|status| (*status, sum(&|s, _| s == *status)));
    let by_reason = Reason::ALL.iter().map(|reason| (*reason, sum(&|_, r| r == *reason)));
    Ok(Progress {
        leads,
        done,
        by_status: by_status.filter(|(_, count)| *count > 0).collect(),
        by_reason: by_reason.filter(|(_, count)| *count > 0).collect(),
        cost: Some(spent),
    })
}

/// Results in order of rows; a copy shows its original's ending, at no cost.
pub(super) fn results(
    connection: &Connection,
    job: JobKey,
    after: LeadNo,
    limit: u32,
) -> Result<Vec<LeadResult>, LedgerError> {
    let sql = "SELECT l.n, l.lead_id, o.status, o.reason, o.address, o.verdict, o.found_by, o.verified_by, \
                 coalesce(t.cost, 0), coalesce(t.called, 0), o.run, l.copy_of \
               FROM leads l JOIN leads o ON o.job = l.job AND o.n = coalesce(l.copy_of, l.n) \
               LEFT JOIN (SELECT lead, sum(charged) AS cost, sum(source = 'called') AS called FROM attempts \
                          WHERE id BETWEEN ?4 AND ?5 GROUP BY lead) t ON t.lead = l.n \
               WHERE l.job = ?1 AND l.n > ?2 AND l.n <= ?2 + ?3 ORDER BY l.n";
    let (first, _) = attempts::ids_of_lead(job, LeadNo(after.0.saturating_add(1)))?;
    let (_, last) = attempts::ids_of_lead(job, LeadNo(after.0.saturating_add(limit)))?;
    all(connection, sql, (job.0, after.0, limit, first, last), |row| {
        Ok(LeadResult {
            n: LeadNo(row.get(0)?),
            id: LeadId::new(row.get::<_, String>(1)?),
            ending: ending(row)?,
            cost: usd(row, 8)?,
            called: row.get(9)?,
            run: Run::new(row.get(10)?),
            copy_of: row.get::<_, Option<u32>>(11)?.map(LeadNo),
        })
    })
}

fn ending(row: &Row<'_>) -> rusqlite::Result<Option<Ending>> {
    let Some(status) = optional_word::<Status>(row, 2)? else { return Ok(None) };
    let provider = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(column)?.map(ProviderName::new));
    Ok(Some(Ending {
        status,
        reason: word(row, 3)?,
        address: attempts::address(row, 4)?,
        verdict: optional_word(row, 5)?,
        found_by: provider(6)?,
        verified_by: provider(7)?,
    }))
}

fn optional_word<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| unreadable(column, &text))
}

pub(super) fn stored_trail(
    connection: &Connection,
    job: JobKey,
    lead: LeadNo,
) -> Result<Vec<StoredAttempt>, LedgerError> {
    let sql = "SELECT t.n, t.run, t.step, t.about, t.key_source, t.handle, t.outcome, t.detail, t.found, t.claim, \
               t.source, t.charged, t.duration_ms, t.began_at, t.config, \
               CASE WHEN t.hold IS NULL THEN NULL ELSE t.amount END FROM attempts t \
               WHERE t.id BETWEEN ?1 AND ?2 ORDER BY t.id";
    all(connection, sql, attempts::ids_of_lead(job, lead)?, |row| {
        Ok(StoredAttempt {
            attempt: attempts::read_attempt(row)?,
            began_ms: row.get(13)?,
            config_version: ConfigVersion::new(row.get::<_, String>(14)?),
            held: row.get::<_, Option<i64>>(15)?.map(Usd::from_nanos),
        })
    })
}
