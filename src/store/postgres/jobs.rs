//! The jobs' trait over PostgreSQL.

use crate::domain::JobId;
use crate::domain::LeadId;
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
use crate::jobs::Renewal;
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
use crate::store::postgres::connect::client_of;
use crate::store::postgres::job_rows;
use crate::store::postgres::job_rows::lock_job;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::book;
use crate::store::postgres::ledger::count_all;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::int;
use crate::store::postgres::ledger::lock_account;
use crate::store::postgres::ledger::missing;
use crate::store::postgres::ledger::number;
use crate::store::postgres::ledger::open_account;
use crate::store::postgres::ledger::transact;
use crate::store::postgres::runs;
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

    fn renew_slices(&self, held: Vec<Held>, lease: Duration) -> Later<'_, Vec<(Held, Renewal)>> {
        Box::pin(async move { slices::renew(&client_of(&self.lifeline).await?, &held, lease).await })
    }

    fn release_slice(&self, held: Held) -> Later<'_, ()> {
        Box::pin(transact(self, held, |transaction, held| Box::pin(slices::release(transaction, *held))))
    }

    fn close_slice(&self, held: Held) -> Later<'_, Closing> {
        Box::pin(transact(self, held, |transaction, held| Box::pin(slices::close(transaction, *held))))
    }

    fn set_aside_slice(&self, held: Held, why: &str) -> Later<'_, ()> {
        Box::pin(transact(self, (held, why.to_owned()), |transaction, (held, why)| {
            Box::pin(slices::set_aside(transaction, *held, why))
        }))
    }

    fn set_aside(&self) -> Later<'_, u64> {
        Box::pin(async move {
            let sql = "SELECT count(*) FROM slices WHERE open AND broken IS NOT NULL";
            count_all(&self.client().await?, sql, &[]).await
        })
    }

    fn telling(&self, held: Held, lead: LeadNo) -> Later<'_, Option<LeadResult>> {
        Box::pin(async move { job_rows::read_telling(&self.client().await?, held, lead).await })
    }

    fn resume_job(&self, job: JobKey) -> Later<'_, u64> {
        Box::pin(runs::resume_job(self, job))
    }

    fn auto_resume(&self) -> Later<'_, Option<JobKey>> {
        Box::pin(runs::auto_resume(self))
    }

    fn cancel_job(&self, job: JobKey) -> Later<'_, bool> {
        Box::pin(transact(self, job, |transaction, job| Box::pin(runs::cancel(transaction, *job))))
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
        // One that is first named while the wallet is dry would never be told of: it begins when somebody activates it.
        // Behind the wallet's lock nobody runs it dry meanwhile.
        let sql = "INSERT INTO campaigns (workspace, campaign, active) \
                   SELECT $1, $2, NOT empty_told FROM accounts WHERE id = $3 FOR NO KEY UPDATE ON CONFLICT DO NOTHING";
        execute(transaction, sql, &[&job.workspace.as_str(), &campaign.as_str(), &account.0]).await?;
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

/// Cuts a loaded job into slices. One without leads has come to its end; one that was cancelled meanwhile is
/// from now on.
async fn seal(transaction: &Transaction<'_>, load: Load) -> Result<Result<(), LoadError>, LedgerError> {
    if !job_rows::may_load(transaction, load).await? {
        return Ok(Err(LoadError::Superseded));
    }
    let job = lock_job(transaction, load.job).await?;
    let state = if job_rows::cut(transaction, &job).await? > 0 { JobState::Queued } else { JobState::Completed };
    let sql = "UPDATE jobs SET state = CASE WHEN cancel_asked THEN 'cancelled' ELSE $2 END, cancel_asked = false, \
                 updated_at = now_ms() WHERE id = $1";
    execute(transaction, sql, &[&load.job.0, &state.as_str()]).await?;
    if state == JobState::Completed {
        slices::tell_completed(transaction, &job).await?;
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
