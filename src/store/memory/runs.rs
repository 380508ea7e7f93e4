//! How a job comes in, is taken up again, and is stopped.

use crate::domain::Ending;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Status;
use crate::domain::Usd;
use crate::jobs::JobState;
use crate::jobs::Load;
use crate::jobs::LoadError;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::jobs::Resumer;
use crate::jobs::StoredJob;
use crate::ledger::Epoch;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::store::memory::campaigns;
use crate::store::memory::tables::Campaign;
use crate::store::memory::tables::Job;
use crate::store::memory::tables::LeadRow;
use crate::store::memory::tables::Slice;
use crate::store::memory::tables::Tables;
use crate::store::memory::tables::number;
use crate::store::rows::IdForm;

/// What a resume came to.
pub(super) struct Resumed {
    /// Leads that begin another run.
    pub(super) leads: u64,
    /// Is there anything to do that there was not before?
    pub(super) opened: bool,
}

/// Stores a job with its wallet and campaign.
pub(super) fn create_job(tables: &mut Tables, new: NewJob) -> Result<StoredJob, LedgerError> {
    if tables.jobs.values().any(|job| job.stored.id == new.id) {
        return Err(LedgerError::Conflict { what: format!("the job id {}", new.id) });
    }
    let account = tables.open_account(&new.workspace);
    if let Some(campaign) = &new.campaign {
        let place = (new.workspace.clone(), campaign.as_str().to_owned());
        let is_dry = tables.accounts.get(&account).is_some_and(|row| row.empty_told);
        tables.campaigns.entry(place).or_insert(if is_dry { Campaign::Stopped } else { Campaign::Active });
    }
    let stored = StoredJob {
        key: JobKey(number(tables.jobs.len()) + 1),
        account,
        id: new.id,
        workspace: new.workspace,
        work: new.work,
        content: new.content,
        state: JobState::Loading,
        run: Run::FIRST,
        max_spend: new.max_spend,
        funded: Usd::ZERO,
        held: Usd::ZERO,
        leads: 0,
        slice_size: new.slice_size,
        campaign: new.campaign,
        reply: new.reply,
    };
    let job = Job {
        stored: stored.clone(),
        spent: Usd::ZERO,
        done: 0,
        load_number: 0,
        auto_resume: new.auto_resume,
        resume_asked: false,
        resume_again: false,
        cancel_asked: false,
        updated_ms: tables.now_ms(),
    };
    tables.jobs.insert(stored.key, job);
    Ok(stored)
}

/// Drops what an earlier load has stored, and ends its right to go on.
pub(super) fn begin_load(tables: &mut Tables, key: JobKey) -> Option<Load> {
    let job = tables.jobs.get_mut(&key).filter(|job| job.stored.state == JobState::Loading)?;
    job.load_number = job.load_number.saturating_add(1);
    let number = job.load_number;
    tables.leads.retain(|(of, _), _| *of != key);
    Some(Load { job: key, number })
}

fn require_current(tables: &Tables, load: Load) -> Result<(), LoadError> {
    let is_current = |job: &&Job| job.stored.state == JobState::Loading && job.load_number == load.number;
    tables.jobs.get(&load.job).filter(is_current).map(drop).ok_or(LoadError::Superseded)
}

/// Stores leads. One like an earlier one becomes its copy, unless copy is written; one that cannot be used has ended
/// before it began. A repeated id leaves nothing of the batch behind.
pub(super) fn load_leads(tables: &mut Tables, load: Load, leads: Vec<NewLead>) -> Result<(), LoadError> {
    require_current(tables, load)?;
    let most = IdForm::EMBEDDED.most_leads();
    if leads.iter().any(|new| new.n.0 > most) {
        return Err(LoadError::TooMany { most });
    }
    let before: Vec<LeadNo> = tables.leads.keys().filter(|(job, _)| *job == load.job).map(|(_, n)| *n).collect();
    for new in leads {
        let known = tables.leads.iter().any(|((job, _), lead)| *job == load.job && lead.id == new.id);
        if known {
            tables.leads.retain(|(job, n), _| *job != load.job || before.contains(n));
            return Err(LoadError::RepeatedId(new.id));
        }
        insert_lead(tables, load.job, new);
    }
    Ok(())
}

fn insert_lead(tables: &mut Tables, job: JobKey, new: NewLead) {
    let (unusable, now_ms) = (new.lead.is_none(), tables.now_ms());
    // Copy is written for each lead.
    let has_copies = !unusable && tables.jobs.get(&job).is_some_and(|job| job.stored.work.brief().is_none());
    let lead = new.lead.unwrap_or_default();
    let fingerprint = lead.fingerprint();
    let mut others = tables.leads.iter_mut().filter(|((of, _), _)| *of == job);
    let original = others.find(|(_, other)| other.copy_of.is_none() && other.fingerprint == fingerprint);
    let copy_of = original.filter(|_| has_copies).map(|((_, n), original)| {
        original.copies = original.copies.saturating_add(1);
        *n
    });
    let ending = unusable.then(|| Ending::without_address(Status::Skipped, Reason::InvalidInput));
    let ended = unusable || copy_of.is_some();
    let (run, ended_ms) = (Run::FIRST, unusable.then_some(now_ms));
    let row = LeadRow { id: new.id, lead, fingerprint, copy_of, copies: 0, run, ended, ending, ended_ms };
    tables.leads.insert((job, new.n), row);
}

/// Cuts a loaded job into slices. A job without leads has come to its end.
pub(super) fn seal(tables: &mut Tables, load: Load) -> Result<(), LoadError> {
    require_current(tables, load)?;
    let now_ms = tables.now_ms();
    let size = tables.job(load.job)?.stored.slice_size;
    let (mut leads, mut done) = (0, 0);
    for ((_, n), lead) in tables.leads.iter().filter(|((job, _), _)| *job == load.job) {
        let place = SliceNo(n.0.saturating_sub(1) / size);
        let slice = tables.slices.entry((load.job, place)).or_insert_with(|| Slice {
            epoch: Epoch(0),
            pending: 0,
            open: true,
            since_run: Run::FIRST,
            queued_ms: None,
            worker: None,
            lease_until: 0,
            broken: None,
        });
        slice.pending += u32::from(!lead.ended);
        leads += 1;
        done += u64::from(lead.ending.is_some());
    }
    let job = tables.job_mut(load.job)?;
    (job.stored.leads, job.done, job.updated_ms) = (leads, done, now_ms);
    job.stored.state = match std::mem::take(&mut job.cancel_asked) {
        true => JobState::Cancelled,
        false if leads > 0 => JobState::Queued,
        false => JobState::Completed,
    };
    if leads == 0 {
        tell_completed(tables, load.job)?;
    }
    Ok(())
}

/// Tells that every lead of a job has come to its end in this run.
pub(super) fn tell_completed(tables: &mut Tables, key: JobKey) -> Result<(), LedgerError> {
    let job = tables.job(key)?.stored.clone();
    let what = Happening::JobCompleted { workspace: job.workspace, job: key, run: job.run };
    tables.happened(&format!("{}/{}", job.id, job.run), &what);
    Ok(())
}

/// Begins the next run of every lead whose reason can have changed. What had not ended when the job was
/// cancelled is opened again with it, in the same run.
pub(super) fn resume(tables: &mut Tables, key: JobKey, by: Resumer) -> Result<Resumed, LedgerError> {
    let job = tables.job(key)?.stored.clone();
    if job.state == JobState::Loading {
        tables.job_mut(key)?.cancel_asked = false;
        return Ok(Resumed { leads: 0, opened: false });
    }
    let at_work = is_at_work(tables, key);
    let next = job.run.next();
    let leads = begin_run(tables, key, next);
    let mut open = tables.slices.iter().filter(|((of, _), slice)| *of == key && slice.open);
    let opened = leads > 0 || open.any(|(_, slice)| job.state == JobState::Cancelled || slice.broken.is_some());
    let now_ms = tables.now_ms();
    if opened {
        open_slices(tables, &job, next);
        let ended = tables.leads.iter().filter(|((of, _), lead)| *of == key && lead.ended && lead.copy_of.is_none());
        let done: u64 = ended.map(|(_, lead)| u64::from(lead.copies).saturating_add(1)).sum();
        let row = tables.job_mut(key)?;
        row.stored.run = if leads > 0 { next } else { job.run };
        (row.stored.state, row.done, row.updated_ms) = (JobState::Queued, done, now_ms);
    }
    let row = tables.job_mut(key)?;
    row.resume_again = (row.resume_asked || row.resume_again) && at_work;
    row.resume_asked = false;
    campaigns::activate_for(tables, &job, by);
    Ok(Resumed { leads, opened })
}

/// May leads that were refused before a top-up still end?
fn is_at_work(tables: &Tables, key: JobKey) -> bool {
    let at_work = |slice: &Slice| slice.open && slice.pending > 0 && slice.epoch.0 > 0 && slice.broken.is_none();
    tables.slices.iter().any(|((of, _), slice)| *of == key && at_work(slice))
}

/// What was set aside may be claimed again.
fn mend_slices(tables: &mut Tables, key: JobKey) {
    let broken = |slice: &Slice| slice.open && slice.broken.is_some();
    for (_, slice) in tables.slices.iter_mut().filter(|((of, _), slice)| *of == key && broken(slice)) {
        (slice.broken, slice.queued_ms) = (None, None);
    }
}

fn begin_run(tables: &mut Tables, key: JobKey, run: Run) -> u64 {
    let is_resumable = |lead: &LeadRow| lead.ending.as_ref().is_some_and(|ending| ending.reason.is_resumable());
    let mut begun = 0;
    for ((of, _), lead) in &mut tables.leads {
        if *of == key && lead.ended && lead.copy_of.is_none() && is_resumable(lead) {
            (lead.ended, lead.run) = (false, run);
            begun += 1;
        }
    }
    begun
}

/// Counts anew what each slice has to decide, opens those that were closed, and has all that nobody leases
/// announced.
fn open_slices(tables: &mut Tables, job: &StoredJob, run: Run) {
    let now_ms = tables.now_ms();
    mend_slices(tables, job.key);
    for ((_, n), slice) in tables.slices.iter_mut().filter(|((of, _), _)| *of == job.key) {
        if slice.open && job.state == JobState::Cancelled {
            // Whoever ends its leads as cancelled is refused.
            slice.epoch.0 = slice.epoch.0.saturating_add(1);
            (slice.lease_until, slice.worker) = (0, None);
        }
        let first = n.0.saturating_mul(job.slice_size).saturating_add(1);
        let last = first.saturating_add(job.slice_size.saturating_sub(1));
        let leads = tables.leads.range((job.key, LeadNo(first))..=(job.key, LeadNo(last)));
        slice.pending = leads.map(|(_, lead)| u32::from(!lead.ended)).sum();
        if !slice.open && slice.pending > 0 {
            (slice.open, slice.since_run) = (true, run);
        }
        if slice.open && slice.lease_until <= now_ms {
            slice.queued_ms = None;
        }
    }
}

/// Resumes one job that asks for it, if there is something to do in it; one that had leads at work asks again
/// when those have ended, if any of its leads still lacks money.
pub(super) fn auto_resume(tables: &mut Tables) -> Result<Option<JobKey>, LedgerError> {
    let asked = tables.jobs.iter().filter(|(_, job)| job.stored.state != JobState::Loading);
    let asked: Vec<(JobKey, bool)> = asked
        .filter(|(key, job)| job.resume_asked || (job.resume_again && !is_at_work(tables, **key)))
        .map(|(key, job)| (*key, job.resume_asked))
        .collect();
    for (key, is_first) in asked {
        let lacks_money = |lead: &LeadRow| {
            lead.ended && lead.ending.as_ref().is_some_and(|ending| ending.reason == Reason::WalletEmpty)
        };
        if !is_first && !tables.leads.iter().any(|((of, _), lead)| *of == key && lacks_money(lead)) {
            tables.job_mut(key)?.resume_again = false;
        } else if resume(tables, key, Resumer::TopUp)?.opened {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Stops a job that has not come to its end. One that is still loading is cancelled when it is sealed.
pub(super) fn cancel(tables: &mut Tables, key: JobKey) -> Result<bool, LedgerError> {
    let now_ms = tables.now_ms();
    let Some(job) = tables.jobs.get_mut(&key) else { return Ok(false) };
    match job.stored.state {
        JobState::Completed => return Ok(false),
        JobState::Cancelled => return Ok(true),
        JobState::Loading => {
            job.cancel_asked = true;
            return Ok(true);
        }
        JobState::Queued | JobState::Running => {}
    }
    (job.stored.state, job.resume_asked, job.resume_again) = (JobState::Cancelled, false, false);
    job.updated_ms = now_ms;
    mend_slices(tables, key);
    Ok(true)
}
