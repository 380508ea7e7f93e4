//! The jobs' trait over SQLite.

use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Usd;
use crate::jobs::Claimant;
use crate::jobs::Claimed;
use crate::jobs::Closing;
use crate::jobs::Held;
use crate::jobs::Jobs;
use crate::jobs::LeadResult;
use crate::jobs::Load;
use crate::jobs::LoadLater;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::jobs::Progress;
use crate::jobs::Renewal;
use crate::jobs::Resumer;
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
use crate::store::sqlite::attempts;
use crate::store::sqlite::job_rows;
use crate::store::sqlite::ledger::book;
use crate::store::sqlite::ledger::read_balance;
use crate::store::sqlite::loads;
use crate::store::sqlite::runs;
use crate::store::sqlite::slices;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::count;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::transact;
use rusqlite::Connection;
use std::time::Duration;

impl Jobs for SqliteStore {
    fn find_job(&self, id: &JobId) -> Later<'_, Option<StoredJob>> {
        let id = id.clone();
        Box::pin(self.read(move |connection| job_rows::find_job(connection, &id)))
    }

    fn list_jobs(&self) -> Later<'_, Vec<StoredJob>> {
        Box::pin(self.read(job_rows::list_jobs))
    }

    fn read_job(&self, job: JobKey) -> Later<'_, Option<StoredJob>> {
        Box::pin(self.read(move |connection| job_rows::find_stored(connection, job)))
    }

    fn create_job(&self, job: NewJob) -> Later<'_, StoredJob> {
        Box::pin(
            self.write(move |connection| transact(connection, |transaction| job_rows::create_job(transaction, &job))),
        )
    }

    fn begin_load(&self, job: JobKey) -> Later<'_, Option<Load>> {
        Box::pin(self.write(move |connection| transact(connection, |transaction| loads::begin_load(transaction, job))))
    }

    fn load_leads(&self, load: Load, leads: Vec<NewLead>) -> LoadLater<'_> {
        Box::pin(async move {
            self.write(move |connection| {
                Ok(transact(connection, |transaction| loads::insert_leads(transaction, load, &leads)))
            })
            .await?
        })
    }

    fn seal_job(&self, load: Load) -> LoadLater<'_> {
        Box::pin(async move {
            self.write(move |connection| Ok(transact(connection, |transaction| loads::seal(transaction, load)))).await?
        })
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
            let sql = "SELECT n FROM slices INDEXED BY slices_open WHERE job = ?1 AND open = 1 ORDER BY n";
            all(connection, sql, [job.0], |row| Ok(SliceNo(row.get(0)?)))
        }))
    }

    fn announce_slices(&self, job: JobKey, at_most: u32) -> Later<'_, Vec<SliceNo>> {
        Box::pin(
            self.write(move |connection| {
                transact(connection, |transaction| slices::announce(transaction, job, at_most))
            }),
        )
    }

    fn stranded_slices(&self, idle: Duration, per_job: u32) -> Later<'_, Vec<(JobKey, SliceNo)>> {
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| slices::find_stranded(transaction, idle, per_job))
        }))
    }

    fn claim_slice(&self, job: JobKey, slice: SliceNo, claimant: &Claimant) -> Later<'_, Claimed> {
        let claimant = claimant.clone();
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| slices::claim(transaction, job, slice, &claimant))
        }))
    }

    fn renew_slices(&self, held: Vec<Held>, lease: Duration) -> Later<'_, Vec<(Held, Renewal)>> {
        Box::pin(
            self.write(move |connection| transact(connection, |transaction| slices::renew(transaction, held, lease))),
        )
    }

    fn release_slice(&self, held: Held) -> Later<'_, ()> {
        Box::pin(self.write(move |connection| transact(connection, |transaction| slices::release(transaction, held))))
    }

    fn close_slice(&self, held: Held) -> Later<'_, Closing> {
        Box::pin(self.write(move |connection| transact(connection, |transaction| slices::close(transaction, held))))
    }

    fn set_aside_slice(&self, held: Held, why: &str) -> Later<'_, ()> {
        let why = why.to_owned();
        Box::pin(
            self.write(move |connection| {
                transact(connection, |transaction| slices::set_aside(transaction, held, &why))
            }),
        )
    }

    fn set_aside(&self) -> Later<'_, u64> {
        Box::pin(self.read(|connection| {
            let sql = "SELECT count(*) FROM slices INDEXED BY slices_open WHERE open = 1 AND broken IS NOT NULL";
            count(connection, sql, [])
        }))
    }

    fn telling(&self, held: Held, lead: LeadNo) -> Later<'_, Option<LeadResult>> {
        Box::pin(self.read(move |connection| job_rows::telling(connection, held, lead)))
    }

    fn resume_job(&self, job: JobKey) -> Later<'_, u64> {
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| Ok(runs::resume(transaction, job, Resumer::Command)?.leads))
        }))
    }

    fn auto_resume(&self) -> Later<'_, Option<JobKey>> {
        Box::pin(async move {
            // One job a transaction: a long list is long at work.
            while let Some((job, opened)) =
                self.write(|connection| transact(connection, |transaction| runs::resume_one(transaction))).await?
            {
                if opened {
                    return Ok(Some(job));
                }
            }
            Ok(None)
        })
    }

    fn cancel_job(&self, job: JobKey) -> Later<'_, bool> {
        Box::pin(self.write(move |connection| transact(connection, |transaction| runs::cancel(transaction, job))))
    }

    fn progress(&self, job: JobKey) -> Later<'_, Progress> {
        Box::pin(self.read(move |connection| job_rows::progress(connection, job)))
    }

    fn results(&self, job: JobKey, after: LeadNo, limit: u32) -> Later<'_, Vec<LeadResult>> {
        Box::pin(self.read(move |connection| job_rows::results(connection, job, after, limit)))
    }

    fn copies(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<(LeadNo, LeadId)>> {
        Box::pin(self.read(move |connection| job_rows::copies(connection, job, lead)))
    }

    fn find_lead(&self, job: JobKey, lead: &LeadId) -> Later<'_, Option<LeadNo>> {
        let lead = lead.clone();
        Box::pin(self.read(move |connection| {
            let sql = "SELECT n FROM leads WHERE job = ?1 AND lead_id = ?2";
            find(connection, sql, (job.0, lead.as_str()), |row| Ok(LeadNo(row.get(0)?)))
        }))
    }

    fn trail(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<StoredAttempt>> {
        Box::pin(self.read(move |connection| attempts::stored_trail(connection, job, lead)))
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
    read_balance(connection, job.account)
}
