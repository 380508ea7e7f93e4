//! Slices: announced, claimed, leased, and closed once their results are out.

use crate::domain::LeadId;
use crate::domain::Run;
use crate::jobs::Claim;
use crate::jobs::Claimant;
use crate::jobs::Claimed;
use crate::jobs::Closing;
use crate::jobs::Held;
use crate::jobs::JobState;
use crate::jobs::LeadWork;
use crate::jobs::Renewal;
use crate::jobs::StoredJob;
use crate::jobs::Tenure;
use crate::ledger::Epoch;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::store::postgres::attempts::column;
use crate::store::postgres::error::is_locked;
use crate::store::postgres::error::store_error;
use crate::store::postgres::happenings::insert_happening;
use crate::store::postgres::happenings::millis;
use crate::store::postgres::job_rows::find_locked;
use crate::store::postgres::job_rows::find_row;
use crate::store::postgres::job_rows::lead_of;
use crate::store::postgres::job_rows::set_state;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::int;
use crate::store::postgres::ledger::number;
use crate::store::postgres::trails::read_trails;
use deadpool_postgres::GenericClient;
use deadpool_postgres::Transaction;
use std::collections::HashMap;
use std::time::Duration;
use tokio_postgres::Row;

pub(super) async fn read_open(client: &impl GenericClient, job: JobKey) -> Result<Vec<SliceNo>, LedgerError> {
    let rows = all(client, "SELECT n FROM slices WHERE job = $1 AND open ORDER BY n", &[&job.0]).await?;
    rows.iter().map(|row| number(row, 0).map(SliceNo)).collect()
}

/// Announces the first open slices that have not been. One that somebody else is at stays his.
pub(super) async fn announce(
    transaction: &Transaction<'_>,
    job: JobKey,
    at_most: u32,
) -> Result<Vec<SliceNo>, LedgerError> {
    let sql = "WITH next AS (SELECT n FROM slices WHERE job = $1 AND open AND queued_at IS NULL AND broken IS NULL \
                 ORDER BY n LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED) \
               UPDATE slices s SET queued_at = now_ms() FROM next WHERE s.job = $1 AND s.n = next.n RETURNING s.n";
    let rows = all(transaction, sql, &[&job.0, &i64::from(at_most)]).await?;
    let mut announced = rows.iter().map(|row| number(row, 0).map(SliceNo)).collect::<Result<Vec<_>, _>>()?;
    announced.sort();
    Ok(announced)
}

/// Announces again what was announced, or left, `idle` ago and lies there; and the first slices of jobs
/// of which none is announced. The index of open slices leads from one job to the next, so that jobs that have come
/// to their end cost nothing, however many they are.
pub(super) async fn announce_stranded(
    transaction: &Transaction<'_>,
    idle: Duration,
    per_job: u32,
) -> Result<Vec<(JobKey, SliceNo)>, LedgerError> {
    let sql = "WITH RECURSIVE late AS MATERIALIZED (SELECT now_ms() AS now, now_ms() - $1 AS since), \
               busy AS ((SELECT job FROM slices WHERE open ORDER BY job LIMIT 1) UNION ALL \
                 SELECT (SELECT s.job FROM slices s WHERE s.open AND s.job > busy.job ORDER BY s.job LIMIT 1) \
                 FROM busy WHERE busy.job IS NOT NULL), \
               next AS (SELECT i.job, i.n FROM late CROSS JOIN busy JOIN jobs j ON j.id = busy.job \
                 CROSS JOIN LATERAL ( \
                   SELECT s.job, s.n FROM slices s \
                   WHERE s.job = j.id AND s.open AND s.broken IS NULL AND s.lease_until < late.now \
                     AND CASE WHEN s.queued_at IS NOT NULL THEN greatest(s.queued_at, s.lease_until) < late.since \
                       ELSE j.updated_at < late.since AND NOT EXISTS (SELECT FROM slices q \
                         WHERE q.job = j.id AND q.open AND q.broken IS NULL AND q.queued_at IS NOT NULL) END \
                   ORDER BY s.n LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED) i \
                 WHERE j.state IN ('queued', 'running', 'cancelled')) \
               UPDATE slices s SET queued_at = late.now FROM next, late WHERE s.job = next.job AND s.n = next.n \
               RETURNING s.job, s.n";
    let rows = all(transaction, sql, &[&millis(idle), &i64::from(per_job)]).await?;
    let mut announced = Vec::with_capacity(rows.len());
    for row in &rows {
        announced.push((JobKey(column(row, 0)?), SliceNo(number(row, 1)?)));
    }
    announced.sort();
    Ok(announced)
}

/// Takes a slice over, with the leads its run has still to decide and all that happened to them.
///
/// The ledger has the rows of jobs at work locked much of the time, so the job's is not: behind the slice's own lock it
/// is read as the last resumption left it, because that locks every slice of its job.
pub(super) async fn claim(
    transaction: &Transaction<'_>,
    job: JobKey,
    slice: SliceNo,
    claimant: &Claimant,
) -> Result<Claimed, LedgerError> {
    // Jobs are locked before slices.
    execute(transaction, "UPDATE jobs SET state = 'running' WHERE id = $1 AND state = 'queued'", &[&job.0]).await?;
    let sql = "UPDATE slices SET epoch = epoch + 1, worker = $3, queued_at = coalesce(queued_at, now_ms()), \
                 lease_until = CASE WHEN $4::bool THEN 0 ELSE now_ms() + $5 END \
               WHERE job = $1 AND n = $2 AND open AND broken IS NULL AND lease_until <= now_ms() \
               RETURNING epoch, since_run";
    let (is_locked, lease_ms) = match claimant.tenure {
        Tenure::Lease(lease) => (false, millis(lease)),
        Tenure::Lock => (true, 0),
    };
    let place = (job.0, int(slice.0));
    let worker = claimant.worker.as_str();
    let Some(taken) = find(transaction, sql, &[&place.0, &place.1, &worker, &is_locked, &lease_ms]).await? else {
        let sql = "SELECT FROM slices WHERE job = $1 AND n = $2 AND open AND broken IS NULL";
        let is_open = find(transaction, sql, &[&place.0, &place.1]).await?.is_some();
        return Ok(if is_open { Claimed::Leased } else { Claimed::Closed });
    };
    let Some(job) = find_row(transaction, job).await? else { return Ok(Claimed::Closed) };
    let (leads, unannounced) = read_leads(transaction, &job, slice, number(&taken, 1)?).await?;
    let epoch = Epoch(number(&taken, 0)?);
    Ok(Claimed::Taken(Box::new(Claim { epoch, run: job.run, state: job.state, leads, unannounced })))
}

/// The leads of a slice that are not decided, which are this run's from now on, and those that have been since
/// `since_run`.
async fn read_leads(
    transaction: &Transaction<'_>,
    job: &StoredJob,
    slice: SliceNo,
    since_run: u32,
) -> Result<(Vec<LeadWork>, Vec<LeadNo>), LedgerError> {
    let first = slice.0.saturating_mul(job.slice_size).saturating_add(1);
    let last = first.saturating_add(job.slice_size.saturating_sub(1));
    let sql = "SELECT n, ended, lead_id, fields, copies, run FROM leads WHERE job = $1 AND n BETWEEN $2 AND $3 \
               AND copy_of IS NULL AND (NOT ended OR run >= $4) ORDER BY n";
    let (mut leads, mut unannounced, mut earlier) = (Vec::new(), Vec::new(), Vec::new());
    for row in all(transaction, sql, &[&job.key.0, &int(first), &int(last), &int(since_run)]).await? {
        if column(&row, 1)? {
            unannounced.push(LeadNo(number(&row, 0)?));
        } else {
            let lead = read_lead(&row)?;
            if number(&row, 5)? != job.run.get() {
                earlier.push(int(lead.n.0));
            }
            leads.push(lead);
        }
    }
    if !earlier.is_empty() {
        // What is told of them later is told of this run.
        let sql = "UPDATE leads SET run = $3 WHERE job = $1 AND n = ANY ($2)";
        execute(transaction, sql, &[&job.key.0, &earlier, &int(job.run.get())]).await?;
    }
    if !leads.is_empty() {
        let mut trails = read_trails(transaction, job.key, LeadNo(first), LeadNo(last)).await?;
        for lead in &mut leads {
            let trail = trails.remove(&lead.n).unwrap_or_default();
            lead.attempts = trail.attempts;
            lead.learned = trail.learned;
        }
    }
    Ok((leads, unannounced))
}

fn read_lead(row: &Row) -> Result<LeadWork, LedgerError> {
    Ok(LeadWork {
        n: LeadNo(number(row, 0)?),
        id: LeadId::new(column::<&str>(row, 2)?),
        lead: lead_of(column(row, 3)?)?,
        attempts: Vec::new(),
        copies: number(row, 4)?,
        learned: Vec::new(),
    })
}

/// Those of `$1`, `$2`, `$3` that cannot be renewed for `$4` ms at once, and whether they are lost: another's by
/// now, or closed. All others are renewed.
const RENEW: &str = "WITH asked AS (SELECT * FROM unnest($1::int8[], $2::int4[], $3::int4[]) AS t (job, n, epoch)), \
     mine AS (SELECT s.job, s.n FROM asked a JOIN slices s ON s.job = a.job AND s.n = a.n \
       WHERE s.epoch = a.epoch AND s.open ORDER BY s.job, s.n FOR NO KEY UPDATE OF s SKIP LOCKED), \
     renewed AS (UPDATE slices s SET lease_until = now_ms() + $4 FROM mine WHERE s.job = mine.job AND s.n = mine.n \
       RETURNING s.job, s.n, s.epoch) \
   SELECT a.job, a.n, a.epoch, NOT EXISTS (SELECT FROM slices s \
       WHERE s.job = a.job AND s.n = a.n AND s.epoch = a.epoch AND s.open) \
   FROM asked a WHERE NOT EXISTS (SELECT FROM renewed r WHERE r.job = a.job AND r.n = a.n AND r.epoch = a.epoch)";

/// Renews leases; says of each what became of it. The ledger has the rows of slices at work locked much of the time,
/// for some milliseconds: those come last, each waited for by itself, as long as a connection of the lifeline
/// waits for a lock. One whose turn does not come is left as it is.
pub(super) async fn renew(
    client: &impl GenericClient,
    held: &[Held],
    lease: Duration,
) -> Result<Vec<(Held, Renewal)>, LedgerError> {
    let jobs: Vec<i64> = held.iter().map(|held| held.job.0).collect();
    let slices: Vec<i32> = held.iter().map(|held| int(held.slice.0)).collect();
    let epochs: Vec<i32> = held.iter().map(|held| int(held.epoch.0)).collect();
    let mut not_yet: HashMap<Held, bool> = HashMap::new();
    for row in all(client, RENEW, &[&jobs, &slices, &epochs, &millis(lease)]).await? {
        let (job, slice) = (JobKey(column(&row, 0)?), SliceNo(number(&row, 1)?));
        not_yet.insert(Held { job, slice, epoch: Epoch(number(&row, 2)?) }, column(&row, 3)?);
    }
    let mut told = Vec::with_capacity(held.len());
    for held in held {
        let renewal = match not_yet.get(held) {
            None => Renewal::Renewed,
            Some(true) => Renewal::Lost,
            Some(false) => renew_locked(client, *held, lease).await?,
        };
        told.push((*held, renewal));
    }
    Ok(told)
}

/// Renews the lease of a slice that somebody has locked, if its turn comes.
async fn renew_locked(client: &impl GenericClient, held: Held, lease: Duration) -> Result<Renewal, LedgerError> {
    let sql = "UPDATE slices SET lease_until = now_ms() + $4 WHERE job = $1 AND n = $2 AND epoch = $3 AND open";
    let place = (held.job.0, int(held.slice.0), int(held.epoch.0));
    match execute(client, sql, &[&place.0, &place.1, &place.2, &millis(lease)]).await {
        Ok(0) => Ok(Renewal::Lost),
        Ok(_) => Ok(Renewal::Renewed),
        Err(error) if is_locked(&error) => Ok(Renewal::Left),
        Err(error) => Err(error),
    }
}

/// Gives a slice back: anybody may claim it at once.
pub(super) async fn release(transaction: &Transaction<'_>, held: Held) -> Result<(), LedgerError> {
    let sql = "UPDATE slices SET lease_until = 0, worker = NULL, queued_at = now_ms() \
               WHERE job = $1 AND n = $2 AND epoch = $3 AND open";
    let params = (held.job.0, int(held.slice.0), int(held.epoch.0));
    execute(transaction, sql, &[&params.0, &params.1, &params.2]).await.map(drop)
}

/// Sets a slice aside, if it is still the caller's: it is neither claimed nor announced any more.
pub(super) async fn set_aside(transaction: &Transaction<'_>, held: Held, why: &str) -> Result<(), LedgerError> {
    let sql = "UPDATE slices SET broken = $4, lease_until = 0, worker = NULL, queued_at = NULL \
               WHERE job = $1 AND n = $2 AND epoch = $3 AND open";
    let place = (held.job.0, int(held.slice.0), int(held.epoch.0));
    execute(transaction, sql, &[&place.0, &place.1, &place.2, &why]).await.map(drop)
}

/// Closes a slice that has nothing pending; the last one completes its job.
///
/// While leads of another slice are pending this one is not the last, and the job's row, which the ledger has locked
/// much of the time, is left alone: that close is light. Any other locks the job first, and then looks for slices that
/// are still open; one that a light close has locked is waited for.
///
/// However many close at once, the job is completed. A light close sees another slice pending while it has its own
/// locked, so whoever closes that one locks it later. If that close is light too it sees yet another pending, and so
/// on: the row ends with a close that has the job. Hence, after any light close has locked its slice, one that has the
/// job looks for open slices, and finds that slice closed, or locked and waits. Those that have the job follow one
/// another, and the last of them finds none open. A resumption locks the job and every slice: it comes before or after
/// each of these steps.
/// What is seen pending before the own slice is locked proves nothing: the other may end and be closed by one that has
/// the job, which would find this slice open and not locked, and leave the job to a close that never looks.
///
/// Nobody waits for ever: a light close waits for its own slice alone, and gives that up before it waits for the job.
pub(super) async fn close(transaction: &Transaction<'_>, held: Held) -> Result<Closing, LedgerError> {
    if is_another_pending(transaction, held).await? {
        run(transaction, "SAVEPOINT light").await?;
        let (closing, is_news) = close_row(transaction, held).await?;
        // A new statement sees what was committed until it begins.
        if !is_news || is_another_pending(transaction, held).await? {
            return Ok(closing);
        }
        // That undoes the lock too: jobs are locked before slices.
        run(transaction, "ROLLBACK TO SAVEPOINT light").await?;
    }
    close_with_job(transaction, held).await
}

/// Is there anything to decide yet in another slice of the job?
async fn is_another_pending(transaction: &Transaction<'_>, held: Held) -> Result<bool, LedgerError> {
    let sql = "SELECT FROM slices WHERE job = $1 AND open AND pending > 0 AND n <> $2 LIMIT 1";
    Ok(find(transaction, sql, &[&held.job.0, &int(held.slice.0)]).await?.is_some())
}

/// Closes a slice that may be the last one, and completes its job if it is.
async fn close_with_job(transaction: &Transaction<'_>, held: Held) -> Result<Closing, LedgerError> {
    let Some(job) = find_locked(transaction, held.job).await? else { return Ok(Closing::Fenced) };
    let (closing, is_news) = close_row(transaction, held).await?;
    if is_news && !has_open_behind_locks(transaction, job.key).await? {
        // What is cancelled stays so.
        if job.state != JobState::Cancelled {
            set_state(transaction, job.key, JobState::Completed).await?;
        }
        if job.held.is_positive() {
            // From now on no open slice leads to its holds.
            execute(transaction, "UPDATE jobs SET ended_holding = true WHERE id = $1", &[&job.key.0]).await?;
        }
        tell_completed(transaction, &job).await?;
    }
    Ok(closing)
}

async fn run(transaction: &Transaction<'_>, command: &str) -> Result<(), LedgerError> {
    transaction.batch_execute(command).await.map_err(|error| store_error(&error))
}

/// Closes the slice alone, if it is still the caller's and nothing is pending in it. Was it open until now?
async fn close_row(transaction: &Transaction<'_>, held: Held) -> Result<(Closing, bool), LedgerError> {
    let sql = "SELECT open, pending FROM slices WHERE job = $1 AND n = $2 AND epoch = $3 FOR NO KEY UPDATE";
    let params = (held.job.0, int(held.slice.0), int(held.epoch.0));
    let Some(row) = find(transaction, sql, &[&params.0, &params.1, &params.2]).await? else {
        return Ok((Closing::Fenced, false));
    };
    let (is_open, pending): (bool, i32) = (column(&row, 0)?, column(&row, 1)?);
    if !is_open {
        return Ok((Closing::Closed, false));
    }
    if pending > 0 {
        release(transaction, held).await?;
        return Ok((Closing::Reopened, false));
    }
    let sql = "UPDATE slices SET open = false, lease_until = 0, worker = NULL, broken = NULL WHERE job = $1 AND n = $2";
    execute(transaction, sql, &[&params.0, &params.1]).await?;
    Ok((Closing::Closed, true))
}

/// Has a locked job an open slice? One that is about to be closed by somebody who has not locked the job is waited
/// for.
async fn has_open_behind_locks(transaction: &Transaction<'_>, job: JobKey) -> Result<bool, LedgerError> {
    let sql = "SELECT FROM slices WHERE job = $1 AND open ORDER BY n LIMIT 1 FOR NO KEY UPDATE";
    Ok(find(transaction, sql, &[&job.0]).await?.is_some())
}

pub(super) async fn has_open(transaction: &Transaction<'_>, job: JobKey) -> Result<bool, LedgerError> {
    let sql = "SELECT FROM slices WHERE job = $1 AND open LIMIT 1";
    Ok(find(transaction, sql, &[&job.0]).await?.is_some())
}

/// An open slice, `s`, in which leads may have been refused that have not ended yet.
pub(super) const AT_WORK: &str = "s.open AND s.pending > 0 AND s.epoch > 0 AND s.broken IS NULL";

/// Are leads of a locked job at work, or left by somebody in the middle? What they were refused before a top-up,
/// they may still end for.
pub(super) async fn is_at_work(transaction: &Transaction<'_>, job: JobKey) -> Result<bool, LedgerError> {
    let sql = format!("SELECT FROM slices s WHERE s.job = $1 AND {AT_WORK} LIMIT 1");
    Ok(find(transaction, &sql, &[&job.0]).await?.is_some())
}

pub(super) async fn has_broken(transaction: &Transaction<'_>, job: JobKey) -> Result<bool, LedgerError> {
    let sql = "SELECT FROM slices WHERE job = $1 AND open AND broken IS NOT NULL LIMIT 1";
    Ok(find(transaction, sql, &[&job.0]).await?.is_some())
}

/// What was set aside of a locked job may be claimed again.
pub(super) async fn mend(transaction: &Transaction<'_>, job: JobKey) -> Result<(), LedgerError> {
    let sql = "UPDATE slices SET broken = NULL, queued_at = NULL WHERE job = $1 AND open AND broken IS NOT NULL";
    execute(transaction, sql, &[&job.0]).await.map(drop)
}

/// Tells that every lead of a locked job has ended and its result is out.
pub(super) async fn tell_completed(transaction: &Transaction<'_>, job: &StoredJob) -> Result<(), LedgerError> {
    let what = Happening::JobCompleted { workspace: job.workspace.clone(), job: job.key, run: job.run };
    insert_happening(transaction, &format!("{}/{}", job.id, job.run), &what).await
}

/// Opens the slices of a locked job in which leads are to be decided again, and has every one that nobody leases
/// announced anew. Those of a cancelled job are nobody's any more: whoever ends its leads is refused.
pub(super) async fn reopen(transaction: &Transaction<'_>, job: &StoredJob, run: Run) -> Result<(), LedgerError> {
    mend(transaction, job.key).await?;
    if job.state == JobState::Cancelled {
        let sql = "UPDATE slices SET epoch = epoch + 1, lease_until = 0, worker = NULL WHERE job = $1 AND open";
        execute(transaction, sql, &[&job.key.0]).await?;
    }
    let sql = "UPDATE slices s SET pending = c.pending, open = s.open OR c.pending > 0, \
                 since_run = CASE WHEN s.open OR c.pending = 0 THEN s.since_run ELSE $3 END, \
                 queued_at = CASE WHEN s.lease_until <= now_ms() THEN NULL ELSE s.queued_at END \
               FROM (SELECT (n - 1) / $2::int4 AS n, (count(*) FILTER (WHERE NOT ended))::int4 AS pending \
                 FROM leads WHERE job = $1 GROUP BY 1) c WHERE s.job = $1 AND s.n = c.n AND (s.open OR c.pending > 0)";
    execute(transaction, sql, &[&job.key.0, &int(job.slice_size), &int(run.get())]).await.map(drop)
}
