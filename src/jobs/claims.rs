//! Who works on a slice, and by what right.

use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::Run;
use crate::domain::Usd;
use crate::domain::WorkerId;
use crate::jobs::JobState;
use crate::jobs::LeadWork;
use crate::ledger::Epoch;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::SliceNo;
use std::time::Duration;

/// Who claims a slice, and how it keeps others off.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// Which worker.
    pub worker: WorkerId,
    /// By what.
    pub tenure: Tenure,
}

/// What keeps others off a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// A lease of this length by the store's clock, to be renewed.
    Lease(Duration),
    /// The job's lock, which the system frees at death. A lease that is running keeps it off all the same.
    Lock,
}

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// It is the claimant's.
    Taken(Box<Claim>),
    /// Another worker's lease is running.
    Leased,
    /// Nothing is left to do in it, or there is no such slice, or it is set aside.
    Closed,
}

/// A slice in a worker's hands.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Under this epoch everything is written.
    pub epoch: Epoch,
    /// The run at work.
    pub run: Run,
    /// Was the job cancelled? Its leads still need their ending.
    pub state: JobState,
    /// The leads this run has still to decide. From now on they are this run's.
    pub leads: Vec<LeadWork>,
    /// Leads of this slice that have ended since it was opened and whose results may not be out yet.
    pub unannounced: Vec<LeadNo>,
}

/// What an owner that was overtaken had learned of a begun attempt: its successor takes it instead of
/// calling. Only an answer is one: that the owner itself gave up says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Which attempt.
    pub n: AttemptNo,
    /// What it came to.
    pub end: AttemptEnd,
    /// What the provider's rule says it cost.
    pub owed: Usd,
}

/// A slice, and the claim under which it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// Of this job.
    pub job: JobKey,
    /// Which slice.
    pub slice: SliceNo,
    /// Under this epoch.
    pub epoch: Epoch,
}

/// What became of a lease that was to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It runs anew.
    Renewed,
    /// The slice is another's by now, or closed.
    Lost,
    /// The store did not come to it, because somebody else had the slice locked: it runs out when it was to.
    Left,
}

/// What became of closing a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Nothing is left to do in it.
    Closed,
    /// Leads were opened again meanwhile: it is to be claimed anew.
    Reopened,
    /// Another worker's by now.
    Fenced,
}

/// The right to load a job's leads; a later one ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Which job.
    pub job: JobKey,
    /// Counts the loads begun.
    pub number: u32,
}
