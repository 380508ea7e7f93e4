//! Slices: announced, claimed, leased, given up, closed.

use crate::domain::AttemptEnd;
use crate::domain::Outage;
use crate::domain::Outcome;
use crate::domain::Usd;
use crate::jobs::Claim;
use crate::jobs::Claimant;
use crate::jobs::Claimed;
use crate::jobs::Closing;
use crate::jobs::Held;
use crate::jobs::JobState;
use crate::jobs::LeadWork;
use crate::jobs::Learned;
use crate::jobs::Renewal;
use crate::jobs::Tenure;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::store::memory::Planted;
use crate::store::memory::runs::tell_completed;
use crate::store::memory::tables::AttemptRow;
use crate::store::memory::tables::LeadRow;
use crate::store::memory::tables::Slice;
use crate::store::memory::tables::Tables;
use crate::store::memory::tables::after_ms;
use crate::store::memory::tables::missing;
use crate::store::rows::HoldState;
use std::time::Duration;

/// The lowest open slices that have not been announced, which they are from now on.
pub(super) fn announce(tables: &mut Tables, job: JobKey, at_most: u32) -> Vec<SliceNo> {
    let now_ms = tables.now_ms();
    let at_most = usize::try_from(at_most).unwrap();
    let fresh = |slice: &Slice| slice.open && slice.queued_ms.is_none() && slice.broken.is_none();
    let slices = tables.slices.iter_mut().filter(|((of, _), slice)| *of == job && fresh(slice));
    let announced = slices.take(at_most).map(|((_, n), slice)| {
        slice.queued_ms = Some(now_ms);
        *n
    });
    announced.collect()
}

/// Open slices that were announced or left `idle` ago and that nobody leases, and the first ones of jobs
/// of which none is announced or leased. They are announced from now on.
pub(super) fn find_stranded(tables: &mut Tables, idle: Duration, per_job: u32) -> Vec<(JobKey, SliceNo)> {
    let now_ms = tables.now_ms();
    let since = now_ms.saturating_sub(i64::try_from(idle.as_millis()).unwrap());
    let mut stranded = Vec::new();
    for (key, job) in &tables.jobs {
        if !matches!(job.stored.state, JobState::Queued | JobState::Running | JobState::Cancelled) {
            continue;
        }
        let open: Vec<(&(JobKey, SliceNo), &Slice)> =
            tables.slices.iter().filter(|((of, _), slice)| of == key && slice.open && slice.broken.is_none()).collect();
        let is_in_hand = |slice: &Slice| slice.queued_ms.is_some() || slice.lease_until >= now_ms;
        let nothing_in_hand = !open.iter().any(|(_, slice)| is_in_hand(slice));
        let is_idle = |slice: &Slice| match slice.queued_ms {
            Some(queued) if slice.lease_until < now_ms && queued.max(slice.lease_until) < since => true,
            Some(_) | None => nothing_in_hand && job.updated_ms < since,
        };
        let of_job = open.into_iter().filter(|(_, slice)| is_idle(slice)).map(|(place, _)| *place);
        stranded.extend(of_job.take(usize::try_from(per_job).unwrap()));
    }
    for place in &stranded {
        if let Some(slice) = tables.slices.get_mut(place) {
            slice.queued_ms = Some(now_ms);
        }
    }
    stranded
}

/// Takes a slice over, with the leads its run has still to decide and all that happened to them.
pub(super) fn claim(
    tables: &mut Tables,
    key: JobKey,
    n: SliceNo,
    claimant: &Claimant,
    planted: Option<Planted>,
) -> Result<Claimed, LedgerError> {
    let now_ms = tables.now_ms();
    let loaded = tables.jobs.get_mut(&key).filter(|job| job.stored.state != JobState::Loading);
    let slice = tables.slices.get_mut(&(key, n)).filter(|slice| slice.open && slice.broken.is_none());
    let (Some(job), Some(slice)) = (loaded, slice) else { return Ok(Claimed::Closed) };
    if slice.lease_until > now_ms {
        return Ok(Claimed::Leased);
    }
    slice.lease_until = match claimant.tenure {
        Tenure::Lease(lease) => after_ms(now_ms, lease),
        Tenure::Lock => 0,
    };
    slice.epoch.0 = slice.epoch.0.saturating_add(1);
    slice.worker = Some(claimant.worker.clone());
    slice.queued_ms = slice.queued_ms.or(Some(now_ms));
    if job.stored.state == JobState::Queued {
        job.stored.state = JobState::Running;
        job.updated_ms = now_ms;
    }
    let (epoch, since_run, run, state) = (slice.epoch, slice.since_run, job.stored.run, job.stored.state);
    let all: Vec<(LeadNo, LeadRow)> = tables.originals(key, n)?.map(|(n, lead)| (n, lead.clone())).collect();
    let mut leads = Vec::new();
    let mut unannounced = Vec::new();
    for (n, lead) in all {
        if lead.ended {
            if lead.run >= since_run {
                unannounced.push(n);
            }
            continue;
        }
        if planted == Some(Planted::StaleSettles) {
            give_up_begun(tables, key, n)?;
        }
        // From here on this run decides it; what is told of it later is told of this run.
        if let Some(row) = tables.leads.get_mut(&(key, n)) {
            row.run = run;
        }
        leads.push(work_of(tables, key, n, lead));
    }
    Ok(Claimed::Taken(Box::new(Claim { epoch, run, state, leads, unannounced })))
}

fn work_of(tables: &Tables, job: JobKey, n: LeadNo, lead: LeadRow) -> LeadWork {
    let attempts = || tables.attempts_of(job, n);
    let left = attempts().filter(|row| row.attempt.end().is_none()).filter_map(|row| {
        let (end, owed) = row.learned.clone()?;
        Some(Learned { n: row.attempt.n, end, owed })
    });
    let learned = left.collect();
    let attempts = attempts().map(|row| row.attempt.clone()).collect();
    LeadWork { n, id: lead.id, lead: lead.lead, attempts, copies: lead.copies, learned }
}

/// With [`Planted::StaleSettles`]: ends what an earlier owner has begun, as if its time were up.
fn give_up_begun(tables: &mut Tables, job: JobKey, lead: LeadNo) -> Result<(), LedgerError> {
    let begun = tables.attempts.iter().filter(|(_, row)| row.job == job && row.lead == lead);
    let begun: Vec<i64> = begun.filter(|(_, row)| row.attempt.end().is_none()).map(|(id, _)| *id).collect();
    begun.into_iter().try_for_each(|id| expire_one(tables, id))
}

/// Gives a hold back; its attempt ends without an answer, so that the step is tried again.
pub(super) fn expire_one(tables: &mut Tables, id: i64) -> Result<(), LedgerError> {
    let now_ms = tables.now_ms();
    let row = tables.attempts.get_mut(&id).ok_or_else(|| missing("an attempt"))?;
    let amount = row.open_amount().unwrap_or(Usd::ZERO);
    let job = row.job;
    row.end(&AttemptEnd::not_asked(Outcome::Unavailable(Outage::HoldExpired)), now_ms);
    if let Some((_, owed)) = row.learned.take() {
        // The provider was paid for an answer that nobody takes any more.
        row.lost = row.lost.saturating_add(owed);
    }
    let Some(hold) = &mut row.hold else { return Ok(()) };
    hold.state = HoldState::Expired;
    let account = tables.accounts.get_mut(&hold.account).ok_or_else(|| missing("a wallet"))?;
    account.money.held = account.money.held.left_after(amount);
    let job = tables.job_mut(job)?;
    job.stored.held = job.stored.held.left_after(amount);
    Ok(())
}

/// Gives back holds that nobody works on any more.
pub(super) fn expire(tables: &mut Tables, owned: &[JobKey]) -> Result<u64, LedgerError> {
    let now_ms = tables.now_ms();
    let is_due = |row: &AttemptRow| {
        let nobodys = tables.slice_of(row.job, row.lead).is_some_and(|slice| slice.lease_until <= now_ms);
        let is_over = row.hold.as_ref().is_some_and(|hold| hold.expires_ms <= now_ms);
        row.open_amount().is_some() && is_over && nobodys && !owned.contains(&row.job)
    };
    let due: Vec<i64> = tables.attempts.iter().filter(|(_, row)| is_due(row)).map(|(id, _)| *id).collect();
    for id in &due {
        expire_one(tables, *id)?;
    }
    Ok(u64::try_from(due.len()).unwrap())
}

/// Renews leases; says of each what became of it.
pub(super) fn renew(tables: &mut Tables, held: Vec<Held>, lease: Duration) -> Vec<(Held, Renewal)> {
    let lease_until = after_ms(tables.now_ms(), lease);
    let mut renew = |held: Held| match tables.slices.get_mut(&(held.job, held.slice)) {
        Some(slice) if slice.epoch == held.epoch && slice.open => {
            slice.lease_until = lease_until;
            Renewal::Renewed
        }
        Some(_) | None => Renewal::Lost,
    };
    held.into_iter().map(|held| (held, renew(held))).collect()
}

/// Gives a slice up, if it is still the caller's. Whoever gives it up announces it.
pub(super) fn release(tables: &mut Tables, held: Held) {
    let now_ms = tables.now_ms();
    let slice = tables.slices.get_mut(&(held.job, held.slice));
    if let Some(slice) = slice.filter(|slice| slice.epoch == held.epoch && slice.open) {
        (slice.lease_until, slice.worker, slice.queued_ms) = (0, None, Some(now_ms));
    }
}

/// Sets a slice aside, if it is still the caller's: it is neither claimed nor announced any more.
pub(super) fn set_aside(tables: &mut Tables, held: Held, why: String) {
    let slice = tables.slices.get_mut(&(held.job, held.slice));
    if let Some(slice) = slice.filter(|slice| slice.epoch == held.epoch && slice.open) {
        (slice.broken, slice.lease_until, slice.worker, slice.queued_ms) = (Some(why), 0, None, None);
    }
}

/// Closes a slice; the last one completes its job. Closing again changes nothing.
pub(super) fn close(tables: &mut Tables, held: Held) -> Result<Closing, LedgerError> {
    let slice = tables.slices.get_mut(&(held.job, held.slice));
    let Some(slice) = slice.filter(|slice| slice.epoch == held.epoch) else { return Ok(Closing::Fenced) };
    if !slice.open {
        return Ok(Closing::Closed);
    }
    if slice.pending > 0 {
        release(tables, held);
        return Ok(Closing::Reopened);
    }
    (slice.open, slice.lease_until, slice.worker, slice.broken) = (false, 0, None, None);
    if tables.slices.iter().any(|((job, _), slice)| *job == held.job && slice.open) {
        return Ok(Closing::Closed);
    }
    let now_ms = tables.now_ms();
    let job = tables.job_mut(held.job)?;
    if job.stored.state != JobState::Cancelled {
        job.stored.state = JobState::Completed;
        job.updated_ms = now_ms;
    }
    tell_completed(tables, held.job)?;
    Ok(Closing::Closed)
}
