//! The jobs' trait over PostgreSQL.

use crate::domain::CampaignId;
use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Reason;
use crate::domain::Usd;
use crate::jobs::Claimant;
use crate::jobs::Claimed;
use crate::jobs::Closing;
use crate::jobs::Held;
use crate::jobs::JobState;
use crate::jobs::Jobs;
use crate::jobs::LeadResult;
use crate::jobs::Load;
use crate::jobs::LoadError;
use crate::jobs::LoadLater;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::jobs::Progress;
use crate::jobs::StoredAttempt;
use crate::jobs::StoredJob;
use crate::ledger::Balance;
use crate::ledger::Booking;
use crate::ledger::EntryKind;
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::attempts::column;
use crate::store::postgres::job_rows;
use crate::store::postgres::job_rows::lock_job;
use crate::store::postgres::job_rows::set_state;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::book;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::int;
use crate::store::postgres::ledger::lock_account;
use crate::store::postgres::ledger::missing;
use crate::store::postgres::ledger::number;
use crate::store::postgres::ledger::open_account;
use crate::store::postgres::ledger::transact;
use crate::store::postgres::slices;
use crate::store::postgres::trails;
use deadpool_postgres::GenericClient;
use deadpool_postgres::Transaction;
use std::time::Duration;

impl Jobs for PostgresStore {
    fn find_job(&self, id: &JobId) -> Later<'_, Option<StoredJob>> {
        let id = id.clone();
        Box::pin(async move { job_rows::find_job(&self.client().await?, &id).await })
    }

    fn list_jobs(&self) -> Later<'_, Vec<StoredJob>> {
        Box::pin(async move { job_rows::list_jobs(&self.client().await?).await })
    }

    fn read_job(&self, job: JobKey) -> Later<'_, Option<StoredJob>> {
        Box::pin(async move { job_rows::find_row(&self.client().await?, job).await })
    }

    fn create_job(&self, job: NewJob) -> Later<'_, StoredJob> {
        Box::pin(transact(self, job, |transaction, job| Box::pin(create(transaction, job))))
    }

    fn begin_load(&self, job: JobKey) -> Later<'_, Option<Load>> {
        Box::pin(transact(self, job, |transaction, job| Box::pin(begin_load(transaction, *job))))
    }

    fn load_leads(&self, load: Load, leads: Vec<NewLead>) -> LoadLater<'_> {
        Box::pin(async move {
            transact(self, (load, leads), |transaction, (load, leads)| {
                Box::pin(job_rows::insert_leads(transaction, *load, leads))
            })
            .await?
        })
    }

    fn seal_job(&self, load: Load) -> LoadLater<'_> {
        Box::pin(async move { transact(self, load, |transaction, load| Box::pin(seal(transaction, *load))).await? })
    }

    fn set_budget(&self, job: JobKey, budget: Usd) -> Later<'_, Balance> {
        Box::pin(transact(self, (job, budget), |transaction, (job, budget)| {
            Box::pin(set_budget(transaction, *job, *budget))
        }))
    }

    fn raise_cap(&self, job: JobKey, cap: Usd) -> Later<'_, bool> {
        Box::pin(transact(self, (job, cap), |transaction, (job, cap)| {
            Box::pin(async move {
                let sql = "UPDATE jobs SET max_spend = $2 WHERE id = $1 AND max_spend <= $2";
                execute(transaction, sql, &[&job.0, &cap.nanos()]).await.map(|raised| raised > 0)
            })
        }))
    }

    fn open_slices(&self, job: JobKey) -> Later<'_, Vec<SliceNo>> {
        Box::pin(async move { slices::read_open(&self.client().await?, job).await })
    }

    fn announce_slices(&self, job: JobKey, at_most: u32) -> Later<'_, Vec<SliceNo>> {
        Box::pin(transact(self, (job, at_most), |transaction, (job, at_most)| {
            Box::pin(slices::announce(transaction, *job, *at_most))
        }))
    }

    fn stranded_slices(&self, idle: Duration, per_job: u32) -> Later<'_, Vec<(JobKey, SliceNo)>> {
        Box::pin(transact(self, (idle, per_job), |transaction, (idle, per_job)| {
            Box::pin(slices::announce_stranded(transaction, *idle, *per_job))
        }))
    }

    fn claim_slice(&self, job: JobKey, slice: SliceNo, claimant: &Claimant) -> Later<'_, Claimed> {
        let asked = (job, slice, claimant.clone());
        Box::pin(transact(self, asked, |transaction, (job, slice, claimant)| {
            Box::pin(slices::claim(transaction, *job, *slice, claimant))
        }))
    }

    fn renew_slices(&self, held: Vec<Held>, lease: Duration) -> Later<'_, Vec<Held>> {
        Box::pin(transact(self, (held, lease), |transaction, (held, lease)| {
            Box::pin(slices::renew(transaction, held, *lease))
        }))
    }

    fn release_slice(&self, held: Held) -> Later<'_, ()> {
        Box::pin(transact(self, held, |transaction, held| Box::pin(slices::release(transaction, *held))))
    }

    fn close_slice(&self, held: Held) -> Later<'_, Closing> {
        Box::pin(transact(self, held, |transaction, held| Box::pin(slices::close(transaction, *held))))
    }

    fn resume_job(&self, job: JobKey) -> Later<'_, u64> {
        Box::pin(transact(self, job, |transaction, job| {
            Box::pin(async move { resume(transaction, *job).await.map(|resumed| resumed.leads) })
        }))
    }

    fn auto_resume(&self) -> Later<'_, Vec<JobKey>> {
        Box::pin(transact(self, (), |transaction, ()| Box::pin(resume_asked(transaction))))
    }

    fn cancel_job(&self, job: JobKey) -> Later<'_, bool> {
        Box::pin(transact(self, job, |transaction, job| Box::pin(cancel(transaction, *job))))
    }

    fn progress(&self, job: JobKey) -> Later<'_, Progress> {
        Box::pin(async move { job_rows::read_progress(&self.client().await?, job).await })
    }

    fn results(&self, job: JobKey, after: LeadNo, limit: u32) -> Later<'_, Vec<LeadResult>> {
        Box::pin(async move { job_rows::read_results(&self.client().await?, job, after, limit).await })
    }

    fn copies(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<(LeadNo, LeadId)>> {
        Box::pin(async move { read_copies(&self.client().await?, job, lead).await })
    }

    fn find_lead(&self, job: JobKey, lead: &LeadId) -> Later<'_, Option<LeadNo>> {
        let lead = lead.clone();
        Box::pin(async move {
            let sql = "SELECT n FROM leads WHERE job = $1 AND lead_id = $2";
            let row = find(&self.client().await?, sql, &[&job.0, &lead.as_str()]).await?;
            row.map(|row| number(&row, 0).map(LeadNo)).transpose()
        })
    }

    fn trail(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<StoredAttempt>> {
        Box::pin(async move { trails::stored_trail(&self.client().await?, job, lead).await })
    }
}

async fn create(transaction: &Transaction<'_>, job: &NewJob) -> Result<StoredJob, LedgerError> {
    let account = open_account(transaction, &job.workspace).await?;
    if !job_rows::insert_job(transaction, job, account).await? {
        return Err(LedgerError::Conflict { what: format!("the job id {}", job.id) });
    }
    if let Some(campaign) = &job.campaign {
        let sql = "INSERT INTO campaigns (workspace, campaign) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        execute(transaction, sql, &[&job.workspace.as_str(), &campaign.as_str()]).await?;
    }
    job_rows::find_job(transaction, &job.id).await?.ok_or_else(|| missing("a job"))
}

async fn begin_load(transaction: &Transaction<'_>, job: JobKey) -> Result<Option<Load>, LedgerError> {
    let sql = "UPDATE jobs SET load_number = load_number + 1, updated_at = now_ms() \
               WHERE id = $1 AND state = 'loading' RETURNING load_number";
    let Some(row) = find(transaction, sql, &[&job.0]).await? else { return Ok(None) };
    execute(transaction, "DELETE FROM leads WHERE job = $1", &[&job.0]).await?;
    Ok(Some(Load { job, number: number(&row, 0)? }))
}

async fn seal(transaction: &Transaction<'_>, load: Load) -> Result<Result<(), LoadError>, LedgerError> {
    if !job_rows::may_load(transaction, load).await? {
        return Ok(Err(LoadError::Superseded));
    }
    let job = lock_job(transaction, load.job).await?;
    if job_rows::cut(transaction, &job).await? > 0 {
        set_state(transaction, job.key, JobState::Queued).await?;
    } else {
        slices::complete(transaction, &job).await?;
    }
    Ok(Ok(()))
}

/// The top-up and the cap in one transaction: a crash in between would fund a budget twice.
async fn set_budget(transaction: &Transaction<'_>, key: JobKey, budget: Usd) -> Result<Balance, LedgerError> {
    let account = job_rows::find_row(transaction, key).await?.ok_or_else(|| missing("a job"))?.account;
    lock_account(transaction, account).await?;
    // A top-up touches other jobs too: all of them are locked in order.
    let sql = "SELECT FROM jobs WHERE id = $1 OR (account = $2 AND auto_resume) ORDER BY id FOR NO KEY UPDATE";
    execute(transaction, sql, &[&key.0, &account.0]).await?;
    let job = lock_job(transaction, key).await?;
    if budget > job.funded {
        let amount = budget.left_after(job.funded);
        let reference = format!("budget:{}:{budget}", job.id);
        let booking = Booking { workspace: job.workspace, amount, reference, note: None };
        book(transaction, EntryKind::TopUp, &booking).await?;
    }
    let sql = "UPDATE jobs SET max_spend = $2, funded = greatest(funded, $2) WHERE id = $1";
    execute(transaction, sql, &[&key.0, &budget.nanos()]).await?;
    lock_account(transaction, account).await
}

/// What a resumption came to.
struct Resumed {
    /// How many leads were opened again.
    leads: u64,
    /// Is there anything to work on that there was not?
    is_opened: bool,
}

/// Begins the next run of every lead whose reason can have changed.
async fn resume(transaction: &Transaction<'_>, key: JobKey) -> Result<Resumed, LedgerError> {
    let job = lock_job(transaction, key).await?;
    if job.state == JobState::Loading {
        return Ok(Resumed { leads: 0, is_opened: false });
    }
    let sql = "SELECT FROM slices WHERE job = $1 ORDER BY n FOR NO KEY UPDATE";
    execute(transaction, sql, &[&key.0]).await?;
    let sql = "UPDATE leads SET ended = false, run = $2 \
               WHERE job = $1 AND ended AND copy_of IS NULL AND reason = ANY ($3)";
    let resumable = Reason::ALL.iter().filter(|reason| reason.is_resumable());
    let resumable: Vec<&str> = resumable.map(|reason| reason.as_str()).collect();
    let next = job.run.next();
    let leads = execute(transaction, sql, &[&key.0, &int(next.get()), &resumable]).await?;
    // A cancelled job may have leads that never ended: they are opened again with it.
    let is_opened = if leads > 0 || job.state == JobState::Cancelled {
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
    execute(transaction, "UPDATE jobs SET resume_asked = false WHERE id = $1 AND resume_asked", &[&key.0]).await?;
    if let Some(campaign) = &job.campaign {
        activate(transaction, &job, campaign).await?;
    }
    Ok(Resumed { leads, is_opened })
}

/// A resumed job's campaign goes on, if there is money.
async fn activate(transaction: &Transaction<'_>, job: &StoredJob, campaign: &CampaignId) -> Result<(), LedgerError> {
    let sql = "UPDATE campaigns c SET active = true FROM accounts a \
               WHERE c.workspace = $1 AND c.campaign = $2 AND NOT c.active AND a.id = $3 AND a.balance > 0";
    let names = (job.workspace.as_str(), campaign.as_str());
    execute(transaction, sql, &[&names.0, &names.1, &job.account.0]).await.map(drop)
}

/// Resumes what asked to be. A job that is being written to has its turn the next time.
async fn resume_asked(transaction: &Transaction<'_>) -> Result<Vec<JobKey>, LedgerError> {
    let sql = "SELECT id FROM jobs WHERE resume_asked AND state <> 'loading' ORDER BY id \
               FOR NO KEY UPDATE SKIP LOCKED";
    let mut opened = Vec::new();
    for row in all(transaction, sql, &[]).await? {
        let job = JobKey(column(&row, 0)?);
        if resume(transaction, job).await?.is_opened {
            opened.push(job);
        }
    }
    Ok(opened)
}

async fn cancel(transaction: &Transaction<'_>, key: JobKey) -> Result<bool, LedgerError> {
    let job = lock_job(transaction, key).await?;
    match job.state {
        JobState::Completed => return Ok(false),
        JobState::Cancelled => return Ok(true),
        JobState::Loading | JobState::Queued | JobState::Running => {}
    }
    // What was stopped by command is not resumed by a top-up.
    let sql = "UPDATE jobs SET state = 'cancelled', resume_asked = false, updated_at = now_ms() WHERE id = $1";
    execute(transaction, sql, &[&key.0]).await?;
    if job.state == JobState::Loading {
        slices::complete(transaction, &StoredJob { state: JobState::Cancelled, ..job }).await?;
    }
    Ok(true)
}

async fn read_copies(
    client: &impl GenericClient,
    job: JobKey,
    lead: LeadNo,
) -> Result<Vec<(LeadNo, LeadId)>, LedgerError> {
    let sql = "SELECT n, lead_id FROM leads WHERE job = $1 AND copy_of = $2 ORDER BY n";
    let mut copies = Vec::new();
    for row in all(client, sql, &[&job.0, &int(lead.0)]).await? {
        copies.push((LeadNo(number(&row, 0)?), LeadId::new(column::<&str>(&row, 1)?)));
    }
    Ok(copies)
}
