//! The tasks of the pump: a slice is claimed, a lead worked, a result told once more.

use crate::clock;
use crate::jobs::Claim;
use crate::jobs::Claimed;
use crate::jobs::JobState;
use crate::jobs::LeadWork;
use crate::ledger::LeadKey;
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
use crate::worker::slice::LATER;
use crate::worker::slice::SliceInHand;
use crate::worker::works::JobWork;
use std::sync::Arc;

/// What a claim came to; `None` when there is nothing to do, and the delivery is settled.
pub(super) type Claiming = Result<Option<(Arc<JobWork>, Claim)>, LedgerError>;

/// A task of the pump that has ended.
pub(super) enum Part {
    Claimed(Received, Claiming),
    Worked(Arc<SliceInHand>, Result<LeadEnd, LedgerError>),
    /// The turn was handed on, or could not be: then the sweep does it.
    HandedOn(Arc<SliceInHand>),
    Concluded(Arc<SliceInHand>, Disposition),
}

/// `None`: there is nothing to do, and the delivery is settled.
pub(super) async fn claim_slice(engine: &Engine, queue: &dyn Queue, received: Received) -> Claiming {
    let SliceMessage { job, slice } = received.message;
    let Some(work) = engine.job(job).await? else {
        queue.settle(received.receipt, Disposition::Done);
        return Ok(None);
    };
    match engine.store.claim_slice(job, slice, &engine.claimant).await? {
        Claimed::Taken(claim) => return Ok(Some((work, *claim))),
        Claimed::Leased => queue.settle(received.receipt, LATER),
        Claimed::Closed => queue.settle(received.receipt, Disposition::Done),
    }
    Ok(None)
}

pub(super) async fn work_lead(
    engine: &Engine,
    slice: &SliceInHand,
    lead: LeadWork,
    active: Active,
) -> Result<LeadEnd, LedgerError> {
    let held = slice.held;
    let Some(work) = engine.job(held.job).await? else { return Ok(LeadEnd::LeftOff) };
    let key = LeadKey { job: held.job, lead: lead.n, slice: held.slice, epoch: held.epoch };
    let cancelled = slice.state == JobState::Cancelled || work.cancelled.is_cancelled();
    let at_work = LeadAtWork::new(engine, work, key, slice.run, lead, active);
    let Moment(began) = clock::moment();
    let end = if cancelled { at_work.cancel().await } else { at_work.run().await };
    let Moment(now) = clock::moment();
    metrics::lead_seconds(now.saturating_sub(began));
    end
}

/// Tells a result that an earlier owner recorded and may not have told.
pub(super) async fn tell_again(engine: &Engine, slice: &SliceInHand, n: LeadNo) -> Result<LeadEnd, LedgerError> {
    let job = slice.held.job;
    let Some(announce) = &engine.announce else { return Ok(LeadEnd::LeftOff) };
    let result = engine.store.results(job, LeadNo(n.0.saturating_sub(1)), 1).await?.pop();
    let Some((result, ending)) = result.and_then(|result| Some((result.clone(), result.ending?))) else {
        return Ok(LeadEnd::LeftOff);
    };
    let attempts = engine.store.trail(job, n).await?.into_iter().map(|stored| stored.attempt).collect();
    let status = ending.status;
    let announced = Announced {
        job: Arc::clone(&slice.work.job),
        n,
        id: result.id,
        run: result.run,
        ending,
        attempts,
        // Whether it has any is asked of the store.
        copies: u32::MAX,
    };
    Ok(match announce.announce(announced).await? {
        Telling::Told => LeadEnd::Decided(status),
        Telling::Stopped => LeadEnd::LeftOff,
    })
}
