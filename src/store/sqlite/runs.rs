//! How a job is taken up again, and stopped.

use crate::clock;
use crate::domain::Reason;
use crate::domain::Run;
use crate::jobs::JobState;
use crate::jobs::StoredJob;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::store::sqlite::job_rows::find_stored;
use crate::store::sqlite::job_rows::read_stored;
use crate::store::sqlite::job_rows::tell_completed;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use rusqlite::Connection;

/// What a resume came to.
pub(super) struct Resumed {
    /// Leads that begin another run.
    pub(super) leads: u64,
    /// Is there anything to do that there was not before?
    pub(super) opened: bool,
}

/// Begins the next run of every lead whose reason can have changed. What had not ended when the job was
/// cancelled is opened again with it, in the same run.
pub(super) fn resume(connection: &Connection, key: JobKey) -> Result<Resumed, LedgerError> {
    let job = read_stored(connection, key)?;
    if job.state == JobState::Loading {
        return Ok(Resumed { leads: 0, opened: false });
    }
    let next = job.run.next();
    let leads = begin_run(connection, key, next)?;
    let opened = leads > 0 || (job.state == JobState::Cancelled && has_open_slice(connection, key)?);
    if opened {
        open_slices(connection, &job, next)?;
        let run = if leads > 0 { next } else { job.run };
        let sql = "UPDATE jobs SET run = ?2, state = 'queued', updated_at = ?3, \
                     done = (SELECT coalesce(sum(1 + copies), 0) FROM leads l \
                             WHERE l.job = ?1 AND l.ended = 1 AND l.copy_of IS NULL) \
                   WHERE id = ?1";
        execute(connection, sql, (key.0, run.get(), clock::wall_ms()))?;
    }
    execute(connection, "UPDATE jobs SET resume_asked = 0 WHERE id = ?1", [key.0])?;
    activate_campaign(connection, &job)?;
    Ok(Resumed { leads, opened })
}

fn begin_run(connection: &Connection, job: JobKey, run: Run) -> Result<u64, LedgerError> {
    let resumable: Vec<String> =
        Reason::ALL.iter().filter(|reason| reason.is_resumable()).map(|reason| format!("'{reason}'")).collect();
    let sql = format!(
        "UPDATE leads SET ended = 0, run = ?2 \
         WHERE job = ?1 AND ended = 1 AND copy_of IS NULL AND reason IN ({})",
        resumable.join(", ")
    );
    let resumed = execute(connection, &sql, (job.0, run.get()))?;
    Ok(u64::try_from(resumed).unwrap_or(u64::MAX))
}

pub(super) fn has_open_slice(connection: &Connection, job: JobKey) -> Result<bool, LedgerError> {
    let sql = "SELECT 1 FROM slices INDEXED BY slices_open WHERE job = ?1 AND open = 1 LIMIT 1";
    Ok(find(connection, sql, [job.0], |_| Ok(()))?.is_some())
}

/// Counts anew what each slice has to decide, opens those that were closed, and has all that nobody
/// leases announced.
fn open_slices(connection: &Connection, job: &StoredJob, run: Run) -> Result<(), LedgerError> {
    let count = "UPDATE slices SET pending = (SELECT count(*) FROM leads l WHERE l.job = ?1 AND l.ended = 0 \
                   AND l.n BETWEEN slices.n * ?2 + 1 AND (slices.n + 1) * ?2) \
                 WHERE job = ?1";
    execute(connection, count, (job.key.0, job.slice_size))?;
    let open = "UPDATE slices SET open = 1, since_run = ?2 WHERE job = ?1 AND open = 0 AND pending > 0";
    execute(connection, open, (job.key.0, run.get()))?;
    let announce = "UPDATE slices SET queued_at = NULL WHERE job = ?1 AND open = 1 AND lease_until <= ?2";
    execute(connection, announce, (job.key.0, clock::wall_ms())).map(drop)
}

fn activate_campaign(connection: &Connection, job: &StoredJob) -> Result<(), LedgerError> {
    let Some(campaign) = &job.campaign else { return Ok(()) };
    let sql = "UPDATE campaigns SET active = 1 WHERE workspace = ?1 AND campaign = ?2 \
               AND EXISTS (SELECT 1 FROM accounts WHERE id = ?3 AND balance > 0)";
    execute(connection, sql, (job.workspace.as_str(), campaign.as_str(), job.account.0)).map(drop)
}

/// Resumes the jobs that asked for it; names those in which there is something to do.
pub(super) fn auto_resume(connection: &Connection) -> Result<Vec<JobKey>, LedgerError> {
    let sql = "SELECT id FROM jobs WHERE resume_asked = 1 AND state <> 'loading' ORDER BY id";
    let mut opened = Vec::new();
    for job in all(connection, sql, [], |row| Ok(JobKey(row.get(0)?)))? {
        if resume(connection, job)?.opened {
            opened.push(job);
        }
    }
    Ok(opened)
}

/// Stops a job that has not come to its end. One that was still loading ends here: it has no slice that
/// could end it.
pub(super) fn cancel(connection: &Connection, key: JobKey) -> Result<bool, LedgerError> {
    let Some(job) = find_stored(connection, key)? else { return Ok(false) };
    match job.state {
        JobState::Completed => return Ok(false),
        JobState::Cancelled => return Ok(true),
        JobState::Loading | JobState::Queued | JobState::Running => {}
    }
    let sql = "UPDATE jobs SET state = 'cancelled', resume_asked = 0, updated_at = ?2 WHERE id = ?1";
    execute(connection, sql, (key.0, clock::wall_ms()))?;
    if job.state == JobState::Loading {
        tell_completed(connection, &job)?;
    }
    Ok(true)
}
