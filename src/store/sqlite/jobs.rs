//! The jobs' trait over SQLite.

use crate::clock;
use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Usd;
use crate::jobs::Claim;
use crate::jobs::JobState;
use crate::jobs::Jobs;
use crate::jobs::LeadResult;
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
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::job_rows;
use crate::store::sqlite::ledger::book;
use crate::store::sqlite::ledger::open_account;
use crate::store::sqlite::ledger::transact;
use crate::store::sqlite::rows::all;
use crate::store::sqlite::rows::execute;
use crate::store::sqlite::rows::find;
use crate::store::sqlite::rows::read_account;
use rusqlite::Connection;

impl Jobs for SqliteStore {
    fn find_job(&self, id: &JobId) -> Later<'_, Option<StoredJob>> {
        let id = id.clone();
        Box::pin(self.read(move |connection| job_rows::find_job(connection, &id)))
    }

    fn list_jobs(&self) -> Later<'_, Vec<StoredJob>> {
        Box::pin(self.read(job_rows::list_jobs))
    }

    fn create_job(&self, job: NewJob) -> Later<'_, StoredJob> {
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| {
                let account = open_account(transaction, &job.workspace)?;
                job_rows::insert_job(transaction, &job, account)?;
                job_rows::find_job(transaction, &job.id)?
                    .ok_or_else(|| LedgerError::Corrupt("a job was not kept".to_owned()))
            })
        }))
    }

    fn load_leads(&self, job: JobKey, leads: Vec<NewLead>) -> LoadLater<'_> {
        Box::pin(async move {
            let loaded = self
                .write(move |connection| {
                    transact(connection, |transaction| job_rows::insert_leads(transaction, job, &leads))
                })
                .await?;
            loaded.map_err(LoadError::RepeatedId)
        })
    }

    fn unload_leads(&self, job: JobKey) -> Later<'_, ()> {
        Box::pin(self.write(move |connection| {
            let sql = "DELETE FROM leads WHERE job = ?1 AND EXISTS \
                       (SELECT 1 FROM jobs WHERE id = ?1 AND state = 'loading')";
            transact(connection, |transaction| execute(transaction, sql, [job.0]).map(drop))
        }))
    }

    fn seal_job(&self, job: JobKey) -> Later<'_, ()> {
        Box::pin(self.write(move |connection| transact(connection, |transaction| job_rows::seal(transaction, job))))
    }

    fn set_budget(&self, job: JobKey, budget: Usd) -> Later<'_, Balance> {
        Box::pin(self.write(move |connection| transact(connection, |transaction| set_budget(transaction, job, budget))))
    }

    fn raise_cap(&self, job: JobKey, cap: Usd) -> Later<'_, bool> {
        Box::pin(self.write(move |connection| {
            let sql = "UPDATE jobs SET max_spend = ?2 WHERE id = ?1 AND max_spend <= ?2";
            transact(connection, |transaction| Ok(execute(transaction, sql, (job.0, cap.nanos()))? > 0))
        }))
    }

    fn open_slices(&self, job: JobKey) -> Later<'_, Vec<SliceNo>> {
        Box::pin(self.read(move |connection| {
            let sql = "SELECT n FROM slices WHERE job = ?1 AND pending > 0 ORDER BY n";
            all(connection, sql, [job.0], |row| Ok(SliceNo(row.get(0)?)))
        }))
    }

    fn claim_slice(&self, job: JobKey, slice: SliceNo) -> Later<'_, Option<Claim>> {
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| job_rows::claim_slice(transaction, job, slice))
        }))
    }

    fn resume_job(&self, job: JobKey) -> Later<'_, u64> {
        Box::pin(self.write(move |connection| transact(connection, |transaction| job_rows::resume(transaction, job))))
    }

    fn cancel_job(&self, job: JobKey) -> Later<'_, ()> {
        self.mark_job(job, JobState::Cancelled)
    }

    fn mark_job(&self, job: JobKey, state: JobState) -> Later<'_, ()> {
        Box::pin(self.write(move |connection| {
            // What is cancelled is opened again by `resume` alone; what has leads to decide is not complete.
            let sql = "UPDATE jobs SET state = ?2, updated_at = ?3 WHERE id = ?1 AND state <> 'cancelled' \
                       AND (?2 <> 'completed' OR NOT EXISTS (SELECT 1 FROM slices WHERE job = ?1 AND pending > 0))";
            transact(connection, |transaction| {
                execute(transaction, sql, (job.0, state.as_str(), clock::wall_ms())).map(drop)
            })
        }))
    }

    fn progress(&self, job: JobKey) -> Later<'_, Progress> {
        Box::pin(self.read(move |connection| job_rows::progress(connection, job)))
    }

    fn results(&self, job: JobKey, after: LeadNo, limit: u32) -> Later<'_, Vec<LeadResult>> {
        Box::pin(self.read(move |connection| job_rows::results(connection, job, after, limit)))
    }

    fn find_lead(&self, job: JobKey, lead: &LeadId) -> Later<'_, Option<LeadNo>> {
        let lead = lead.clone();
        Box::pin(self.read(move |connection| {
            let sql = "SELECT n FROM leads WHERE job = ?1 AND lead_id = ?2";
            find(connection, sql, (job.0, lead.as_str()), |row| Ok(LeadNo(row.get(0)?)))
        }))
    }

    fn trail(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<StoredAttempt>> {
        Box::pin(self.read(move |connection| job_rows::stored_trail(connection, job, lead)))
    }
}

/// The top-up and the cap in one transaction: a crash in between would fund a budget twice.
fn set_budget(connection: &Connection, key: JobKey, budget: Usd) -> Result<Balance, LedgerError> {
    let job = job_rows::read_stored(connection, key)?;
    if budget > job.funded {
        let amount = budget.left_after(job.funded);
        let reference = format!("budget:{}:{budget}", job.id);
        let booking = Booking { workspace: job.workspace, amount, reference, note: None };
        book(connection, EntryKind::TopUp, &booking)?;
        execute(connection, "UPDATE jobs SET funded = ?2 WHERE id = ?1", (key.0, budget.nanos()))?;
    }
    execute(connection, "UPDATE jobs SET max_spend = ?2 WHERE id = ?1", (key.0, budget.nanos()))?;
    read_account(connection, job.account)
}
