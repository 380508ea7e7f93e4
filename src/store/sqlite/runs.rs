//! How a job is taken up again, and stopped.

use crate::clock;
use crate::domain::Reason;
use crate::domain::Run;
use crate::jobs::JobState;
use crate::jobs::Resumer;
use crate::jobs::StoredJob;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::store::sqlite::campaigns;
use crate::store::sqlite::job_rows::find_stored;
use crate::store::sqlite::job_rows::read_stored;
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

/// An open slice, `s`, in which leads may have been refused that have not ended yet.
const AT_WORK: &str = "s.open = 1 AND s.pending > 0 AND s.epoch > 0 AND s.broken IS NULL";

/// Begins the next run of every lead whose reason can have changed. What had not ended when the job was
/// cancelled, or is set aside, is opened again with it, in the same run.
pub(super) fn resume(connection: &Connection, key: JobKey, by: Resumer) -> Result<Resumed, LedgerError> {
    let job = read_stored(connection, key)?;
    if job.state == JobState::Loading {
        // It is loaded to its end all the same; then it is not cancelled.
        execute(connection, "UPDATE jobs SET cancel_asked = 0 WHERE id = ?1", [key.0])?;
        return Ok(Resumed { leads: 0, opened: false });
    }
    let at_work = is_at_work(connection, key)?;
    let next = job.run.next();
    let leads = begin_run(connection, key, next)?;
    let was_stopped = job.state == JobState::Cancelled && has_open_slice(connection, key)?;
    let opened = leads > 0 || was_stopped || has_broken_slice(connection, key)?;
    if opened {
        open_slices(connection, &job, next)?;
        let run = if leads > 0 { next } else { job.run };
        let sql = "UPDATE jobs SET run = ?2, state = 'queued', updated_at = ?3, \
                     done = (SELECT coalesce(sum(1 + copies), 0) FROM leads l \
                             WHERE l.job = ?1 AND l.ended = 1 AND l.copy_of IS NULL) \
                   WHERE id = ?1";
        execute(connection, sql, (key.0, run.get(), clock::wall_ms()))?;
    }
    let sql = "UPDATE jobs SET resume_again = (resume_asked OR resume_again) AND ?2, resume_asked = 0 WHERE id = ?1";
    execute(connection, sql, (key.0, at_work))?;
    campaigns::activate_for(connection, &job, by)?;
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

/// Are leads at work, or left by somebody in the middle? What they were refused before a top-up, they may
/// still end for.
fn is_at_work(connection: &Connection, job: JobKey) -> Result<bool, LedgerError> {
    let sql = format!("SELECT 1 FROM slices s INDEXED BY slices_open WHERE s.job = ?1 AND {AT_WORK} LIMIT 1");
    Ok(find(connection, &sql, [job.0], |_| Ok(()))?.is_some())
}

fn has_broken_slice(connection: &Connection, job: JobKey) -> Result<bool, LedgerError> {
    let sql = "SELECT 1 FROM slices INDEXED BY slices_open WHERE job = ?1 AND open = 1 AND broken IS NOT NULL LIMIT 1";
    Ok(find(connection, sql, [job.0], |_| Ok(()))?.is_some())
}

/// What was set aside may be claimed again.
fn mend_slices(connection: &Connection, job: JobKey) -> Result<(), LedgerError> {
    let sql = "UPDATE slices SET broken = NULL, queued_at = NULL WHERE job = ?1 AND open = 1 AND broken IS NOT NULL";
    execute(connection, sql, [job.0]).map(drop)
}

/// Counts anew what each slice has to decide, opens those that were closed, and has all that nobody
/// leases announced. Those of a cancelled job are nobody's any more: whoever ends its leads is refused.
fn open_slices(connection: &Connection, job: &StoredJob, run: Run) -> Result<(), LedgerError> {
    mend_slices(connection, job.key)?;
    if job.state == JobState::Cancelled {
        let fence = "UPDATE slices SET epoch = epoch + 1, lease_until = 0, worker = NULL WHERE job = ?1 AND open = 1";
        execute(connection, fence, [job.key.0])?;
    }
    let count = "UPDATE slices SET pending = (SELECT count(*) FROM leads l WHERE l.job = ?1 AND l.ended = 0 \
                   AND l.n BETWEEN slices.n * ?2 + 1 AND (slices.n + 1) * ?2) \
                 WHERE job = ?1";
    execute(connection, count, (job.key.0, job.slice_size))?;
    let open = "UPDATE slices SET open = 1, since_run = ?2 WHERE job = ?1 AND open = 0 AND pending > 0";
    execute(connection, open, (job.key.0, run.get()))?;
    let announce = "UPDATE slices SET queued_at = NULL WHERE job = ?1 AND open = 1 AND lease_until <= ?2";
    execute(connection, announce, (job.key.0, clock::wall_ms())).map(drop)
}

/// Resumes one job that asks for it, and says whether there is something to do in it; `None`: none asks. One
/// that had leads at work asks again when those have ended, if any of its leads still lacks money.
pub(super) fn resume_one(connection: &Connection) -> Result<Option<(JobKey, bool)>, LedgerError> {
    let sql = format!(
        "SELECT id, resume_asked = 1 OR EXISTS (SELECT 1 FROM leads l WHERE l.job = j.id AND l.ended = 1 \
                                                AND l.copy_of IS NULL AND l.reason = ?1) \
         FROM jobs j WHERE state <> 'loading' AND (resume_asked = 1 OR (resume_again = 1 \
           AND NOT EXISTS (SELECT 1 FROM slices s INDEXED BY slices_open WHERE s.job = j.id AND {AT_WORK}))) \
         ORDER BY id LIMIT 1"
    );
    let asks = find(connection, &sql, [Reason::WalletEmpty.as_str()], |row| {
        Ok((JobKey(row.get(0)?), row.get::<_, bool>(1)?))
    })?;
    match asks {
        None => Ok(None),
        Some((job, true)) => Ok(Some((job, resume(connection, job, Resumer::TopUp)?.opened))),
        Some((job, false)) => {
            execute(connection, "UPDATE jobs SET resume_again = 0 WHERE id = ?1", [job.0])?;
            Ok(Some((job, false)))
        }
    }
}

/// Stops a job that has not come to its end. One that is still loading is cancelled when it is sealed: then
/// it has slices that can end it.
pub(super) fn cancel(connection: &Connection, key: JobKey) -> Result<bool, LedgerError> {
    let Some(job) = find_stored(connection, key)? else { return Ok(false) };
    match job.state {
        JobState::Completed => return Ok(false),
        JobState::Cancelled => return Ok(true),
        JobState::Loading => {
            execute(connection, "UPDATE jobs SET cancel_asked = 1 WHERE id = ?1", [key.0])?;
            return Ok(true);
        }
        JobState::Queued | JobState::Running => {}
    }
    let sql = "UPDATE jobs SET state = 'cancelled', resume_asked = 0, resume_again = 0, updated_at = ?2 WHERE id = ?1";
    execute(connection, sql, (key.0, clock::wall_ms()))?;
    // To end a lead calls nothing: nobody need keep off it.
    mend_slices(connection, key)?;
    Ok(true)
}
