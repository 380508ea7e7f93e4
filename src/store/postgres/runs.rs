//! How a job is taken up again, and stopped.

use crate::domain::Reason;
use crate::domain::Run;
use crate::jobs::JobState;
use crate::jobs::Resumer;
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::attempts::column;
use crate::store::postgres::campaigns;
use crate::store::postgres::job_rows::lock_job;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::int;
use crate::store::postgres::ledger::transact;
use crate::store::postgres::slices;
use crate::store::postgres::slices::AT_WORK;
use deadpool_postgres::Transaction;

/// What a resumption came to.
struct Resumed {
    /// How many leads were opened again.
    leads: u64,
    /// Is there anything to work on that there was not?
    is_opened: bool,
}

/// What a transaction came to that was to resume a job.
enum Turn<T> {
    /// It did, or there was nothing to do.
    Done(T),
    /// Nothing was written: this job's campaign is to be activated first. Its wallet's lock comes before the
    /// job's, and may not be held for as long as a long list takes.
    CampaignFirst(JobKey, Resumer),
}

/// Resumes a job, and says how many of its leads begin another run; its campaign goes on before, if the wallet
/// can pay.
pub(super) fn resume_job(store: &PostgresStore, job: JobKey) -> Later<'_, u64> {
    Box::pin(async move {
        loop {
            match transact(store, job, |transaction, job| Box::pin(resume(transaction, *job, Resumer::Command))).await?
            {
                Turn::Done(resumed) => return Ok(resumed.leads),
                Turn::CampaignFirst(job, by) => activate_campaign(store, job, by).await?,
            }
        }
    })
}

/// Resumes one job that asks for it and in which there is something to do then; `None`: there is none.
pub(super) fn auto_resume(store: &PostgresStore) -> Later<'_, Option<JobKey>> {
    Box::pin(async move {
        loop {
            // One job a transaction: whoever needs what it locks waits for it.
            match transact(store, (), |transaction, ()| Box::pin(resume_one(transaction))).await? {
                Turn::Done(None) => return Ok(None),
                Turn::Done(Some((job, true))) => return Ok(Some(job)),
                Turn::Done(Some((_, false))) => {}
                Turn::CampaignFirst(job, by) => activate_campaign(store, job, by).await?,
            }
        }
    })
}

fn activate_campaign(store: &PostgresStore, job: JobKey, by: Resumer) -> Later<'_, ()> {
    Box::pin(transact(store, (job, by), |transaction, (job, by)| {
        Box::pin(campaigns::activate_for(transaction, *job, *by))
    }))
}

/// Begins the next run of every lead whose reason can have changed. What had not ended when the job was
/// cancelled, or is set aside, is opened again with it, in the same run.
async fn resume(transaction: &Transaction<'_>, key: JobKey, by: Resumer) -> Result<Turn<Resumed>, LedgerError> {
    let job = lock_job(transaction, key).await?;
    if job.state == JobState::Loading {
        // It is loaded to its end all the same; then it is not cancelled.
        execute(transaction, "UPDATE jobs SET cancel_asked = false WHERE id = $1", &[&key.0]).await?;
        return Ok(Turn::Done(Resumed { leads: 0, is_opened: false }));
    }
    if campaigns::is_to_be_activated(transaction, &job, by).await? {
        return Ok(Turn::CampaignFirst(key, by));
    }
    let sql = "SELECT FROM slices WHERE job = $1 ORDER BY n FOR NO KEY UPDATE";
    execute(transaction, sql, &[&key.0]).await?;
    let is_at_work = slices::is_at_work(transaction, key).await?;
    let next = job.run.next();
    let leads = begin_run(transaction, key, next).await?;
    let is_opened = if leads > 0 || job.state == JobState::Cancelled || slices::has_broken(transaction, key).await? {
        slices::reopen(transaction, &job, next).await?;
        slices::has_open(transaction, key).await?
    } else {
        false
    };
    if is_opened {
        let run = if leads > 0 { next } else { job.run };
        let sql = "UPDATE jobs SET run = $2, state = 'queued', updated_at = now_ms(), \
                     done = (SELECT coalesce(sum(1 + copies), 0) FROM leads \
                             WHERE job = $1 AND ended AND copy_of IS NULL) WHERE id = $1";
        execute(transaction, sql, &[&key.0, &int(run.get())]).await?;
    }
    let sql = "UPDATE jobs SET resume_again = (resume_asked OR resume_again) AND $2, resume_asked = false \
               WHERE id = $1 AND (resume_asked OR resume_again)";
    execute(transaction, sql, &[&key.0, &is_at_work]).await?;
    Ok(Turn::Done(Resumed { leads, is_opened }))
}

async fn begin_run(transaction: &Transaction<'_>, job: JobKey, run: Run) -> Result<u64, LedgerError> {
    let resumable: Vec<&str> =
        Reason::ALL.iter().filter(|reason| reason.is_resumable()).map(|reason| reason.as_str()).collect();
    let sql = "UPDATE leads SET ended = false, run = $2 \
               WHERE job = $1 AND ended AND copy_of IS NULL AND reason = ANY ($3)";
    execute(transaction, sql, &[&job.0, &int(run.get()), &resumable]).await
}

/// Resumes one job that asks for it, and says whether there is something to do in it; `None`: none asks. One
/// that had leads at work asks again when those have ended, if any of its leads still lacks money. One that is
/// being written to has its turn the next time.
async fn resume_one(transaction: &Transaction<'_>) -> Result<Turn<Option<(JobKey, bool)>>, LedgerError> {
    let sql = format!(
        "SELECT id, resume_asked OR EXISTS (SELECT FROM leads l WHERE l.job = j.id AND l.ended AND l.copy_of IS NULL \
                                            AND l.reason = $1) \
         FROM jobs j WHERE state <> 'loading' AND (resume_asked OR resume_again) \
           AND (resume_asked OR NOT EXISTS (SELECT FROM slices s WHERE s.job = j.id AND {AT_WORK})) \
         ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED"
    );
    let Some(row) = find(transaction, &sql, &[&Reason::WalletEmpty.as_str()]).await? else {
        return Ok(Turn::Done(None));
    };
    let (job, may_gain) = (JobKey(column(&row, 0)?), column::<bool>(&row, 1)?);
    if may_gain {
        return Ok(match resume(transaction, job, Resumer::TopUp).await? {
            Turn::Done(resumed) => Turn::Done(Some((job, resumed.is_opened))),
            Turn::CampaignFirst(job, by) => Turn::CampaignFirst(job, by),
        });
    }
    execute(transaction, "UPDATE jobs SET resume_again = false WHERE id = $1", &[&job.0]).await?;
    Ok(Turn::Done(Some((job, false))))
}

/// Stops a job that has not come to its end. One that is still loading is cancelled when it is sealed: then it
/// has slices that can end it.
pub(super) async fn cancel(transaction: &Transaction<'_>, key: JobKey) -> Result<bool, LedgerError> {
    let sql = match lock_job(transaction, key).await?.state {
        JobState::Completed => return Ok(false),
        JobState::Cancelled => return Ok(true),
        JobState::Loading => "UPDATE jobs SET cancel_asked = true WHERE id = $1",
        // What was stopped by command is not resumed by a top-up.
        JobState::Queued | JobState::Running => {
            "UPDATE jobs SET state = 'cancelled', resume_asked = false, resume_again = false, updated_at = now_ms() \
             WHERE id = $1"
        }
    };
    execute(transaction, sql, &[&key.0]).await?;
    // To end a lead calls nothing: nobody need keep off it.
    slices::mend(transaction, key).await?;
    Ok(true)
}
