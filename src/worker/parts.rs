//! The tasks of the pump: a slice is claimed, a lead worked, a result told once more.

use crate::clock;
use crate::jobs::Claim;
use crate::jobs::Claimed;
use crate::jobs::JobState;
use crate::jobs::LeadWork;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::metrics;
use crate::queue::Disposition;
use crate::queue::Queue;
use crate::queue::Received;
use crate::queue::SliceMessage;
use crate::waterfall::Moment;
use crate::worker::active::Active;
use crate::worker::announce::Announced;
use crate::worker::announce::Telling;
use crate::worker::engine::Engine;
use crate::worker::lead::LeadAtWork;
use crate::worker::lead::LeadEnd;
use crate::worker::lease::Lease;
use crate::worker::slice::LATER;
use crate::worker::slice::Settlement;
use crate::worker::slice::SliceInHand;
use crate::worker::works::JobWork;
use std::sync::Arc;

/// What a claim came to; `None` when there is nothing to do, and the delivery is settled.
pub(super) type Claiming = Result<Option<Taken>, LedgerError>;

/// A slice that was claimed.
pub(super) struct Taken {
    pub(super) work: Arc<JobWork>,
    pub(super) claim: Claim,
    pub(super) lease: Arc<Lease>,
}

/// A task of the pump that has ended.
pub(super) enum Part {
    Claimed(Received, Claiming),
    Worked(Arc<SliceInHand>, Result<LeadEnd, LedgerError>),
    /// The turn was handed on, or could not be: then the sweep does it.
    HandedOn(Arc<SliceInHand>),
    Concluded(Arc<SliceInHand>, Settlement),
}

/// `None`: there is nothing to do, and the delivery is settled.
pub(super) async fn claim_slice(engine: &Engine, queue: &dyn Queue, received: Received) -> Claiming {
    let SliceMessage { job, slice } = received.message;
    let Some(work) = engine.job(job).await? else {
        queue.settle(received.receipt, Disposition::Done);
        return Ok(None);
    };
    let lease = Arc::new(Lease::begin(engine.claimant.tenure));
    match engine.store.claim_slice(job, slice, &engine.claimant).await? {
        Claimed::Taken(claim) => return Ok(Some(Taken { work, claim: *claim, lease })),
        // Who has a job's lock waits for nobody: whoever leases the slice ends it.
        Claimed::Leased if engine.is_locked() => queue.settle(received.receipt, Disposition::Done),
        Claimed::Leased => queue.settle(received.receipt, LATER),
        Claimed::Closed => queue.settle(received.receipt, Disposition::Done),
    }
    Ok(None)
}

/// Has the job's next slice announced, behind everything that waits.
pub(super) async fn hand_on(engine: &Engine, queue: &dyn Queue, slice: &SliceInHand) {
    let job = slice.held.job;
    match engine.store.announce_slices(job, 1).await {
        Ok(next) => next.into_iter().for_each(|slice| queue.publish(SliceMessage { job, slice })),
        Err(error) => tracing::warn!(job.id = %slice.work.job.id, "the turn cannot be handed on: {error}"),
    }
}

pub(super) async fn work_lead(
    engine: &Engine,
    slice: &SliceInHand,
    lead: LeadWork,
    active: Active,
) -> Result<LeadEnd, LedgerError> {
    let held = slice.held;
    let Some(work) = engine.job(held.job).await? else { return Ok(LeadEnd::LeftOff) };
    let cancelled = slice.state == JobState::Cancelled || work.cancelled.is_cancelled();
    let at_work = LeadAtWork::new(engine, slice, work, lead, active);
    let Moment(began) = clock::moment();
    let end = if cancelled { at_work.cancel().await } else { at_work.run().await };
    let Moment(now) = clock::moment();
    metrics::lead_seconds(now.saturating_sub(began));
    end
}

/// Tells a result that an earlier owner recorded and may not have told.
pub(super) async fn tell_again(engine: &Engine, slice: &SliceInHand, n: LeadNo) -> Result<LeadEnd, LedgerError> {
    let job = slice.held.job;
    let Some(announce) = &engine.announce else { return Ok(LeadEnd::NothingToTell) };
    // Asked anew: the lead may have been opened again since the slice was claimed.
    let result = engine.store.telling(slice.held, n).await?;
    let Some((result, ending)) = result.and_then(|mut result| result.ending.take().map(|ending| (result, ending)))
    else {
        return Ok(LeadEnd::NothingToTell);
    };
    let trail = engine.store.trail(job, n).await?.into_iter().map(|stored| stored.attempt);
    let status = ending.status;
    let announced = Announced {
        job: Arc::clone(&slice.work.job),
        n,
        id: result.id,
        run: result.run,
        ending,
        ended_ms: result.ended_ms.unwrap_or_else(clock::wall_ms),
        attempts: trail.filter(|attempt| attempt.run <= result.run).collect(),
        // Whether it has any is asked of the store.
        copies: u32::MAX,
    };
    Ok(match announce.announce(announced).await? {
        Telling::Told => LeadEnd::Decided(status),
        Telling::Stopped => LeadEnd::LeftOff,
    })
}
