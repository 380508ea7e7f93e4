//! Jobs, leads, slices and trails: what is to be done, and how far it has come.
//!
//! Knows how a list becomes a job of slices, what a claim of a slice hands to a worker, how a job is
//! resumed and cancelled, and what its results are. Stored in the same database, and written in the
//! same transactions, as the ledger.
//! Invariant: no provider, no HTTP, no queue. Messages only wake workers up; the truth is here.

mod campaigns;
mod claims;
mod records;

pub use campaigns::Activation;
pub use campaigns::Campaigns;
pub(crate) use campaigns::Resumer;
pub use campaigns::StoredCampaign;
pub use campaigns::can_pay;
pub use claims::Claim;
pub use claims::Claimant;
pub use claims::Claimed;
pub use claims::Closing;
pub use claims::Held;
pub use claims::Learned;
pub use claims::Load;
pub use claims::Renewal;
pub use claims::Tenure;
pub use records::JobState;
pub use records::LeadResult;
pub use records::LeadWork;
pub use records::NewJob;
pub use records::NewLead;
pub use records::Progress;
pub use records::Reply;
pub use records::StoredAttempt;
pub use records::StoredJob;
pub use records::Work;

use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Usd;
use crate::ledger::Balance;
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use std::time::Duration;

/// Why a list could not be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// Two leads have the same id: load again with row numbers.
    #[error("the lead id {0} stands in the list twice")]
    RepeatedId(LeadId),
    /// Somebody else has begun to load the job, or has sealed it.
    #[error("the job is loaded by somebody else")]
    Superseded,
    /// The store cannot number so many leads of one job: cut the list up.
    #[error("a job has {most} leads at most")]
    TooMany {
        /// As many it can.
        most: u32,
    },
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] LedgerError),
}

/// What a worker and the commands ask of the store about jobs. Each call is one transaction.
pub trait Jobs: Send + Sync {
    /// The job of this id, if there is one.
    fn find_job(&self, id: &JobId) -> Later<'_, Option<StoredJob>>;

    /// Every job, oldest first.
    fn list_jobs(&self) -> Later<'_, Vec<StoredJob>>;

    /// The job of this row, if there is one.
    fn read_job(&self, job: JobKey) -> Later<'_, Option<StoredJob>>;

    /// Creates a job in state `loading`, with its wallet and campaign if they are new. A job of that id
    /// must not exist: `Conflict`.
    fn create_job(&self, job: NewJob) -> Later<'_, StoredJob>;

    /// Begins to load a job that is still `loading`: leads of an earlier load are dropped, and whoever
    /// still loads is refused from now on. `None` when the job has been sealed.
    fn begin_load(&self, job: JobKey) -> Later<'_, Option<Load>>;

    /// Adds leads, in the order of their numbers. A job that is cancelled meanwhile is loaded to its end.
    fn load_leads(&self, load: Load, leads: Vec<NewLead>) -> LoadLater<'_>;

    /// Ends the loading: cuts the job into slices. One that was cancelled meanwhile is from now on, and
    /// its leads are ended slice by slice, as any other's.
    fn seal_job(&self, load: Load) -> LoadLater<'_>;

    /// Sets the job's cap to `budget`, and tops its wallet up by what that exceeds what its earlier
    /// budgets have put in.
    fn set_budget(&self, job: JobKey, budget: Usd) -> Later<'_, Balance>;

    /// Raises the job's cap, whether or not the wallet has the money; `false` when `cap` is lower than
    /// the one in force, or when none is.
    fn raise_cap(&self, job: JobKey, cap: Usd) -> Later<'_, bool>;

    /// Slices that are not closed, in order.
    fn open_slices(&self, job: JobKey) -> Later<'_, Vec<SliceNo>>;

    /// Up to `at_most` open slices, in order, that have not been announced yet: from now on they are.
    fn announce_slices(&self, job: JobKey, at_most: u32) -> Later<'_, Vec<SliceNo>>;

    /// Open slices of all jobs that were announced, or left, `idle` ago and that nobody leases; and the
    /// first of jobs of which none is announced. At most `per_job` of a job; from now on they are
    /// announced anew.
    fn stranded_slices(&self, idle: Duration, per_job: u32) -> Later<'_, Vec<(JobKey, SliceNo)>>;

    /// Takes a slice over: its epoch grows, and what older owners write is refused from now on. Its leads
    /// that have not ended are from now on those of the run at work.
    fn claim_slice(&self, job: JobKey, slice: SliceNo, claimant: &Claimant) -> Later<'_, Claimed>;

    /// Renews leases; says of each what became of it. One that somebody else has locked is waited for a moment at most:
    /// then it is left as it is, and has its turn the next time.
    fn renew_slices(&self, held: Vec<Held>, lease: Duration) -> Later<'_, Vec<(Held, Renewal)>>;

    /// Gives a slice up unfinished: anybody may claim it at once.
    fn release_slice(&self, held: Held) -> Later<'_, ()>;

    /// Sets a slice aside whose work breaks again and again, and keeps why. Until its job is resumed or
    /// cancelled nobody claims it and it is not announced; it stays open, and so does its job. Leads of it
    /// that are at work may still be ended.
    fn set_aside_slice(&self, held: Held, why: &str) -> Later<'_, ()>;

    /// How many slices are set aside.
    fn set_aside(&self) -> Later<'_, u64>;

    /// The result of a lead that has ended, while its slice is held. `None`: there is nothing to tell any
    /// more; the lead was opened again, or the slice is another's.
    fn telling(&self, held: Held, lead: LeadNo) -> Later<'_, Option<LeadResult>>;

    /// Closes a slice whose leads have all ended and whose results are out. The last one completes the
    /// job, which is a happening.
    fn close_slice(&self, held: Held) -> Later<'_, Closing>;

    /// Begins the next run for every lead whose reason can have changed, and says how many those are.
    /// What was set aside is worked again. A cancelled job is opened again, and whoever is ending its leads
    /// is refused from now on; one that is still loading is only not cancelled any more. The job's campaign
    /// is active again if the wallet can pay, which is a happening.
    fn resume_job(&self, job: JobKey) -> Later<'_, u64>;

    /// Resumes one job that asked to be and whose wallet was topped up since, and names it; `None` when
    /// there is none (any more). Leads that were refused before the top-up may end after it: a job that had
    /// leads at work has another turn when those have ended.
    fn auto_resume(&self) -> Later<'_, Option<JobKey>>;

    /// No attempt begins any more; the leads end as `cancelled`. `false` when it had come to its end. A job
    /// that is still loading goes on to, and is cancelled when it is sealed.
    fn cancel_job(&self, job: JobKey) -> Later<'_, bool>;

    /// How far the job has come.
    fn progress(&self, job: JobKey) -> Later<'_, Progress>;

    /// Up to `limit` results after lead `after`, in order; copies show the result they copy.
    fn results(&self, job: JobKey, after: LeadNo, limit: u32) -> Later<'_, Vec<LeadResult>>;

    /// The identical leads that copy this one's result.
    fn copies(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<(LeadNo, LeadId)>>;

    /// The number of a lead by its id.
    fn find_lead(&self, job: JobKey, lead: &LeadId) -> Later<'_, Option<LeadNo>>;

    /// All attempts of a lead, oldest first.
    fn trail(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<StoredAttempt>>;
}

/// The answer to a load.
pub type LoadLater<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), LoadError>> + Send + 'a>>;
