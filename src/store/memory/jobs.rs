//! The jobs' trait in memory.

use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Reason;
use crate::domain::Status;
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
use crate::store::memory::MemoryStore;
use crate::store::memory::claims;
use crate::store::memory::ledger::book;
use crate::store::memory::runs;
use crate::store::memory::tables::LeadRow;
use crate::store::memory::tables::Tables;
use crate::store::memory::tables::missing;
use crate::store::memory::view::sum;
use std::time::Duration;

impl Jobs for MemoryStore {
    fn find_job(&self, id: &JobId) -> Later<'_, Option<StoredJob>> {
        let id = id.clone();
        self.run(move |tables| Ok(tables.jobs.values().map(|job| &job.stored).find(|job| job.id == id).cloned()))
    }

    fn list_jobs(&self) -> Later<'_, Vec<StoredJob>> {
        self.run(|tables| Ok(tables.jobs.values().map(|job| job.stored.clone()).collect()))
    }

    fn read_job(&self, job: JobKey) -> Later<'_, Option<StoredJob>> {
        self.run(move |tables| Ok(tables.jobs.get(&job).map(|job| job.stored.clone())))
    }

    fn create_job(&self, job: NewJob) -> Later<'_, StoredJob> {
        self.run(move |tables| runs::create_job(tables, job))
    }

    fn begin_load(&self, job: JobKey) -> Later<'_, Option<Load>> {
        self.run(move |tables| Ok(runs::begin_load(tables, job)))
    }

    fn load_leads(&self, load: Load, leads: Vec<NewLead>) -> LoadLater<'_> {
        Box::pin(async move { self.run(move |tables| Ok(runs::load_leads(tables, load, leads))).await? })
    }

    fn seal_job(&self, load: Load) -> LoadLater<'_> {
        Box::pin(async move { self.run(move |tables| Ok(runs::seal(tables, load))).await? })
    }

    fn set_budget(&self, job: JobKey, budget: Usd) -> Later<'_, Balance> {
        self.run(move |tables| set_budget(tables, job, budget))
    }

    fn raise_cap(&self, job: JobKey, cap: Usd) -> Later<'_, bool> {
        self.run(move |tables| {
            let Some(job) = tables.jobs.get_mut(&job) else { return Ok(false) };
            let may_rise = job.stored.max_spend.is_some_and(|in_force| in_force <= cap);
            if may_rise {
                job.stored.max_spend = Some(cap);
            }
            Ok(may_rise)
        })
    }

    fn open_slices(&self, job: JobKey) -> Later<'_, Vec<SliceNo>> {
        self.run(move |tables| {
            let open = tables.slices.iter().filter(|((of, _), slice)| *of == job && slice.open);
            Ok(open.map(|((_, n), _)| *n).collect())
        })
    }

    fn announce_slices(&self, job: JobKey, at_most: u32) -> Later<'_, Vec<SliceNo>> {
        self.run(move |tables| Ok(claims::announce(tables, job, at_most)))
    }

    fn stranded_slices(&self, idle: Duration, per_job: u32) -> Later<'_, Vec<(JobKey, SliceNo)>> {
        self.run(move |tables| Ok(claims::find_stranded(tables, idle, per_job)))
    }

    fn claim_slice(&self, job: JobKey, slice: SliceNo, claimant: &Claimant) -> Later<'_, Claimed> {
        let (claimant, planted) = (claimant.clone(), self.shared.planted);
        self.run(move |tables| claims::claim(tables, job, slice, &claimant, planted))
    }

    fn renew_slices(&self, held: Vec<Held>, lease: Duration) -> Later<'_, Vec<(Held, Renewal)>> {
        self.run(move |tables| Ok(claims::renew(tables, held, lease)))
    }

    fn release_slice(&self, held: Held) -> Later<'_, ()> {
        self.run(move |tables| {
            claims::release(tables, held);
            Ok(())
        })
    }

    fn close_slice(&self, held: Held) -> Later<'_, Closing> {
        self.run(move |tables| claims::close(tables, held))
    }

    fn resume_job(&self, job: JobKey) -> Later<'_, u64> {
        self.run(move |tables| Ok(runs::resume(tables, job, Resumer::Command)?.leads))
    }

    fn set_aside_slice(&self, held: Held, why: &str) -> Later<'_, ()> {
        let why = why.to_owned();
        self.run(move |tables| {
            claims::set_aside(tables, held, why);
            Ok(())
        })
    }

    fn set_aside(&self) -> Later<'_, u64> {
        self.run(|tables| {
            let broken = tables.slices.values().filter(|slice| slice.open && slice.broken.is_some());
            Ok(u64::try_from(broken.count()).unwrap())
        })
    }

    fn telling(&self, held: Held, lead: LeadNo) -> Later<'_, Option<LeadResult>> {
        self.run(move |tables| {
            let slice = tables.slices.get(&(held.job, held.slice));
            if !slice.is_some_and(|slice| slice.open && slice.epoch == held.epoch) {
                return Ok(None);
            }
            let row = tables.leads.get(&(held.job, lead)).filter(|row| row.ended && row.copy_of.is_none());
            Ok(row.map(|row| result(tables, held.job, lead, row)))
        })
    }

    fn auto_resume(&self) -> Later<'_, Option<JobKey>> {
        self.run(runs::auto_resume)
    }

    fn cancel_job(&self, job: JobKey) -> Later<'_, bool> {
        self.run(move |tables| runs::cancel(tables, job))
    }

    fn progress(&self, job: JobKey) -> Later<'_, Progress> {
        self.run(move |tables| Ok(progress(tables, job)))
    }

    fn results(&self, job: JobKey, after: LeadNo, limit: u32) -> Later<'_, Vec<LeadResult>> {
        self.run(move |tables| {
            let last = LeadNo(after.0.saturating_add(limit));
            let of_job = tables.leads.iter().filter(|((of, n), _)| *of == job && *n > after && *n <= last);
            Ok(of_job.map(|((_, n), lead)| result(tables, job, *n, lead)).collect())
        })
    }

    fn copies(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<(LeadNo, LeadId)>> {
        self.run(move |tables| {
            let copies = tables.leads.iter().filter(|((of, _), copy)| *of == job && copy.copy_of == Some(lead));
            Ok(copies.map(|((_, n), copy)| (*n, copy.id.clone())).collect())
        })
    }

    fn find_lead(&self, job: JobKey, lead: &LeadId) -> Later<'_, Option<LeadNo>> {
        let id = lead.clone();
        self.run(move |tables| {
            let found = tables.leads.iter().find(|((of, _), lead)| *of == job && lead.id == id);
            Ok(found.map(|((_, n), _)| *n))
        })
    }

    fn trail(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<StoredAttempt>> {
        self.run(move |tables| {
            let stored = tables.attempts_of(job, lead).map(|row| StoredAttempt {
                attempt: row.attempt.clone(),
                began_ms: row.began_ms,
                config_version: row.config_version.clone(),
                held: row.hold.as_ref().map(|hold| hold.amount),
            });
            Ok(stored.collect())
        })
    }
}

/// Sets the job's cap, and tops its wallet up by what it exceeds what its earlier budgets have put in.
fn set_budget(tables: &mut Tables, key: JobKey, budget: Usd) -> Result<Balance, LedgerError> {
    let job = tables.job_mut(key)?;
    let amount = budget.left_after(job.stored.funded);
    job.stored.max_spend = Some(budget);
    job.stored.funded = job.stored.funded.max(budget);
    let (account, workspace) = (job.stored.account, job.stored.workspace.clone());
    let reference = format!("budget:{}:{budget}", job.stored.id);
    if amount.is_positive() {
        book(tables, EntryKind::TopUp, &Booking { workspace, amount, reference, note: None })?;
    }
    Ok(tables.accounts.get(&account).ok_or_else(|| missing("a wallet"))?.money)
}

fn progress(tables: &Tables, key: JobKey) -> Progress {
    let Some(job) = tables.jobs.get(&key) else { return Progress::default() };
    let ended: Vec<(Status, Reason, u64)> = tables
        .leads
        .iter()
        .filter(|((of, _), lead)| *of == key && lead.copy_of.is_none())
        .filter_map(|(_, lead)| {
            let ending = lead.ending.as_ref()?;
            Some((ending.status, ending.reason, u64::from(lead.copies).saturating_add(1)))
        })
        .collect();
    let count = |matches: &dyn Fn(Status, Reason) -> bool| -> u64 {
        ended.iter().filter(|(status, reason, _)| matches(*status, *reason)).map(|(_, _, leads)| leads).sum()
    };
    let by_status = Status::ALL.iter().map(|status| (*status, count(&|s, _| s == *status)));
    let by_reason = Reason::ALL.iter().map(|reason| (*reason, count(&|_, r| r == *reason)));
    Progress {
        leads: job.stored.leads,
        done: job.done,
        by_status: by_status.filter(|(_, leads)| *leads > 0).collect(),
        by_reason: by_reason.filter(|(_, leads)| *leads > 0).collect(),
        cost: Some(job.spent),
    }
}

/// A copy shows its original's ending, at no cost; a lead that was opened again has none.
fn result(tables: &Tables, job: JobKey, n: LeadNo, lead: &LeadRow) -> LeadResult {
    let original = lead.copy_of.and_then(|original| tables.leads.get(&(job, original))).unwrap_or(lead);
    let called = tables.attempts_of(job, n).filter(|row| row.is_called()).count();
    LeadResult {
        n,
        id: lead.id.clone(),
        ending: original.ending.clone().filter(|_| original.ended),
        ended_ms: original.ended_ms.filter(|_| original.ended),
        cost: sum(tables.attempts_of(job, n).map(|row| row.charged)),
        called: u32::try_from(called).unwrap(),
        run: original.run,
        copy_of: lead.copy_of,
    }
}
