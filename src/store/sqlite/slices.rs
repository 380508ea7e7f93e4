//! Slices: announced, claimed, leased, given up, closed.

use crate::clock;
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
use crate::jobs::Tenure;
use crate::ledger::Epoch;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::store::sqlite::attempts::read_trail;
use crate::store::sqlite::job_rows::read_stored;
use crate::store::sqlite::job_rows::tell_completed;
use crate::store::sqlite::loads::lead_of;
use crate::store::sqlite::runs::has_open_slice;
use crate::store::sqlite::statements::after_ms;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::before_ms;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::missing;
use crate::store::sqlite::statements::unreadable;
use crate::store::sqlite::statements::word;
use rusqlite::Connection;
use std::time::Duration;

/// The lowest open slices that have not been announced, which they are from now on.
pub(super) fn announce(connection: &Connection, job: JobKey, at_most: u32) -> Result<Vec<SliceNo>, LedgerError> {
    // Without the words the planner walks the closed slices too.
    let sql = "UPDATE slices SET queued_at = ?3 WHERE job = ?1 AND n IN \
                 (SELECT n FROM slices INDEXED BY slices_open WHERE job = ?1 AND open = 1 AND queued_at IS NULL \
                    AND broken IS NULL ORDER BY n LIMIT ?2) \
               RETURNING n";
    let mut slices = all(connection, sql, (job.0, at_most, clock::wall_ms()), |row| Ok(SliceNo(row.get(0)?)))?;
    slices.sort_unstable();
    Ok(slices)
}

/// Open slices that were announced or left `idle` ago and that nobody leases, and the first ones of jobs
/// of which none is announced or leased. They are announced from now on.
pub(super) fn find_stranded(
    connection: &Connection,
    idle: Duration,
    per_job: u32,
) -> Result<Vec<(JobKey, SliceNo)>, LedgerError> {
    let sql = "WITH open AS ( \
                 SELECT s.job, s.n, s.queued_at, s.lease_until, j.updated_at, \
                   sum(s.queued_at IS NOT NULL OR s.lease_until >= ?1) OVER (PARTITION BY s.job) AS in_hand \
                 FROM slices s JOIN jobs j ON j.id = s.job \
                 WHERE s.open = 1 AND s.broken IS NULL \
                   AND (j.state = 'queued' OR j.state = 'running' OR j.state = 'cancelled')), \
               idle AS ( \
                 SELECT job, n, row_number() OVER (PARTITION BY job ORDER BY n) AS place FROM open \
                 WHERE (queued_at IS NOT NULL AND lease_until < ?1 AND max(queued_at, lease_until) < ?2) \
                   OR (in_hand = 0 AND updated_at < ?2)) \
               SELECT job, n FROM idle WHERE place <= ?3 ORDER BY job, n";
    let now_ms = clock::wall_ms();
    let stranded = all(connection, sql, (now_ms, before_ms(now_ms, idle), per_job), |row| {
        Ok((JobKey(row.get(0)?), SliceNo(row.get(1)?)))
    })?;
    for (job, slice) in &stranded {
        let sql = "UPDATE slices SET queued_at = ?3 WHERE job = ?1 AND n = ?2";
        execute(connection, sql, (job.0, slice.0, now_ms))?;
    }
    Ok(stranded)
}

/// An open slice of a job that is loaded, not set aside.
struct OpenSlice {
    run: Run,
    state: JobState,
    slice_size: u32,
    lease_until: i64,
    since_run: u32,
}

/// Takes a slice over, with the leads its run has still to decide and all that happened to them.
pub(super) fn claim(
    connection: &Connection,
    job: JobKey,
    slice: SliceNo,
    claimant: &Claimant,
) -> Result<Claimed, LedgerError> {
    let Some(open) = find_open(connection, job, slice)? else { return Ok(Claimed::Closed) };
    let now_ms = clock::wall_ms();
    // A lease keeps off whoever has the job's lock too: workers do not ask for that.
    if open.lease_until > now_ms {
        return Ok(Claimed::Leased);
    }
    let lease_until = match claimant.tenure {
        Tenure::Lease(lease) => after_ms(now_ms, lease),
        Tenure::Lock => 0,
    };
    let sql = "UPDATE slices SET epoch = epoch + 1, worker = ?3, lease_until = ?4, \
               queued_at = coalesce(queued_at, ?5) WHERE job = ?1 AND n = ?2 RETURNING epoch";
    let values = (job.0, slice.0, claimant.worker.as_str(), lease_until, now_ms);
    let epoch = find(connection, sql, values, |row| Ok(Epoch(row.get(0)?)))?.ok_or_else(|| missing("a slice"))?;
    let mut state = open.state;
    if state == JobState::Queued {
        let sql = "UPDATE jobs SET state = 'running', updated_at = ?2 WHERE id = ?1";
        execute(connection, sql, (job.0, now_ms))?;
        state = JobState::Running;
    }
    let first = slice.0.saturating_mul(open.slice_size).saturating_add(1);
    let last = first.saturating_add(open.slice_size.saturating_sub(1));
    // What is told of them later is told of this run.
    let sql = "UPDATE leads SET run = ?4 WHERE job = ?1 AND n BETWEEN ?2 AND ?3 AND ended = 0 AND copy_of IS NULL \
               AND run <> ?4";
    execute(connection, sql, (job.0, first, last, open.run.get()))?;
    let leads = read_work(connection, job, first, last)?;
    let sql = "SELECT n FROM leads WHERE job = ?1 AND n BETWEEN ?2 AND ?3 AND ended = 1 AND copy_of IS NULL \
               AND run >= ?4 ORDER BY n";
    let unannounced = all(connection, sql, (job.0, first, last, open.since_run), |row| Ok(LeadNo(row.get(0)?)))?;
    Ok(Claimed::Taken(Box::new(Claim { epoch, run: open.run, state, leads, unannounced })))
}

fn find_open(connection: &Connection, job: JobKey, slice: SliceNo) -> Result<Option<OpenSlice>, LedgerError> {
    let sql = "SELECT j.run, j.state, j.slice_size, s.lease_until, s.since_run \
               FROM slices s JOIN jobs j ON j.id = s.job \
               WHERE s.job = ?1 AND s.n = ?2 AND s.open = 1 AND s.broken IS NULL AND j.state <> 'loading'";
    find(connection, sql, (job.0, slice.0), |row| {
        Ok(OpenSlice {
            run: Run::new(row.get(0)?),
            state: word(row, 1)?,
            slice_size: row.get(2)?,
            lease_until: row.get(3)?,
            since_run: row.get(4)?,
        })
    })
}

fn read_work(connection: &Connection, job: JobKey, first: u32, last: u32) -> Result<Vec<LeadWork>, LedgerError> {
    let sql = "SELECT n, lead_id, fields, copies FROM leads \
               WHERE job = ?1 AND n BETWEEN ?2 AND ?3 AND ended = 0 AND copy_of IS NULL ORDER BY n";
    let mut leads = all(connection, sql, (job.0, first, last), |row| {
        let fields: String = row.get(2)?;
        Ok(LeadWork {
            n: LeadNo(row.get(0)?),
            id: LeadId::new(row.get::<_, String>(1)?),
            lead: lead_of(&fields).ok_or_else(|| unreadable(2, "a lead"))?,
            attempts: Vec::new(),
            copies: row.get(3)?,
            learned: Vec::new(),
        })
    })?;
    for lead in &mut leads {
        (lead.attempts, lead.learned) = read_trail(connection, job, lead.n)?;
    }
    Ok(leads)
}

/// Renews leases; says of each what became of it.
pub(super) fn renew(
    connection: &Connection,
    held: Vec<Held>,
    lease: Duration,
) -> Result<Vec<(Held, Renewal)>, LedgerError> {
    let sql = "UPDATE slices SET lease_until = ?4 WHERE job = ?1 AND n = ?2 AND epoch = ?3 AND open = 1";
    let lease_until = after_ms(clock::wall_ms(), lease);
    let mut told = Vec::with_capacity(held.len());
    for held in held {
        let renewed = execute(connection, sql, (held.job.0, held.slice.0, held.epoch.0, lease_until))? > 0;
        told.push((held, if renewed { Renewal::Renewed } else { Renewal::Lost }));
    }
    Ok(told)
}

/// Gives a slice up, if it is still the caller's. Whoever gives it up announces it.
pub(super) fn release(connection: &Connection, held: Held) -> Result<(), LedgerError> {
    let sql = "UPDATE slices SET lease_until = 0, worker = NULL, queued_at = ?4 \
               WHERE job = ?1 AND n = ?2 AND epoch = ?3 AND open = 1";
    execute(connection, sql, (held.job.0, held.slice.0, held.epoch.0, clock::wall_ms())).map(drop)
}

/// Sets a slice aside, if it is still the caller's: it is neither claimed nor announced any more.
pub(super) fn set_aside(connection: &Connection, held: Held, why: &str) -> Result<(), LedgerError> {
    let sql = "UPDATE slices SET broken = ?4, lease_until = 0, worker = NULL, queued_at = NULL \
               WHERE job = ?1 AND n = ?2 AND epoch = ?3 AND open = 1";
    execute(connection, sql, (held.job.0, held.slice.0, held.epoch.0, why)).map(drop)
}

/// Closes a slice; the last one completes its job. Closing again changes nothing.
pub(super) fn close(connection: &Connection, held: Held) -> Result<Closing, LedgerError> {
    let sql = "SELECT pending, open FROM slices WHERE job = ?1 AND n = ?2 AND epoch = ?3";
    let found = find(connection, sql, (held.job.0, held.slice.0, held.epoch.0), |row| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, bool>(1)?))
    })?;
    match found {
        None => return Ok(Closing::Fenced),
        Some((_, false)) => return Ok(Closing::Closed),
        Some((0, true)) => {}
        Some((_, true)) => {
            release(connection, held)?;
            return Ok(Closing::Reopened);
        }
    }
    let sql = "UPDATE slices SET open = 0, lease_until = 0, worker = NULL, broken = NULL WHERE job = ?1 AND n = ?2";
    execute(connection, sql, (held.job.0, held.slice.0))?;
    if !has_open_slice(connection, held.job)? {
        let sql = "UPDATE jobs SET state = 'completed', updated_at = ?2 WHERE id = ?1 AND state <> 'cancelled'";
        execute(connection, sql, (held.job.0, clock::wall_ms()))?;
        tell_completed(connection, &read_stored(connection, held.job)?)?;
    }
    Ok(Closing::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Fingerprint;
    use crate::domain::JobId;
    use crate::domain::Lead;
    use crate::domain::WaterfallName;
    use crate::domain::WorkerId;
    use crate::domain::WorkspaceId;
    use crate::jobs::Jobs;
    use crate::jobs::NewJob;
    use crate::jobs::NewLead;
    use crate::jobs::Work;
    use crate::store::Nature;
    use crate::store::SqliteStore;

    const LEASE: Tenure = Tenure::Lease(Duration::from_secs(3_600));

    /// A job of one slice.
    async fn job(store: &SqliteStore) -> JobKey {
        let new = NewJob {
            id: JobId::new("job_1"),
            workspace: WorkspaceId::new("acme"),
            work: Work::Enrich(WaterfallName::new("work_email")),
            content: Fingerprint::of("job", []),
            slice_size: 1,
            campaign: None,
            max_spend: None,
            auto_resume: false,
            reply: None,
        };
        let job = store.create_job(new).await.unwrap().key;
        let load = store.begin_load(job).await.unwrap().unwrap();
        let lead = NewLead { n: LeadNo(1), id: LeadId::new("1"), lead: Some(Lead::default()) };
        store.load_leads(load, vec![lead]).await.unwrap();
        store.seal_job(load).await.unwrap();
        job
    }

    async fn claimed(store: &SqliteStore, job: JobKey, tenure: Tenure) -> Claimed {
        let claimant = Claimant { worker: WorkerId::new("one"), tenure };
        store.claim_slice(job, SliceNo(0), &claimant).await.unwrap()
    }

    #[tokio::test]
    async fn a_running_lease_keeps_off_whoever_has_the_jobs_lock() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("weir.db"), Nature::Paid).unwrap();
        let job = job(&store).await;
        let Claimed::Taken(leased) = claimed(&store, job, LEASE).await else { panic!("it is nobody's") };
        assert!(matches!(claimed(&store, job, Tenure::Lock).await, Claimed::Leased));

        store.release_slice(Held { job, slice: SliceNo(0), epoch: leased.epoch }).await.unwrap();
        // One lock after the other is one owner after the other.
        for tenure in [Tenure::Lock, Tenure::Lock, LEASE] {
            assert!(matches!(claimed(&store, job, tenure).await, Claimed::Taken(_)), "{tenure:?}");
        }
    }
}
