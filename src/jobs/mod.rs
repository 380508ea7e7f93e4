//! Jobs, leads, slices and trails: what is to be done, and how far it has come.
//!
//! Knows how a list becomes a job of slices, what a claim of a slice hands to a worker, how a job is
//! resumed and cancelled, and what its results are. Stored in the same database, and written in the
//! same transactions, as the ledger.
//! Invariant: no provider, no HTTP, no queue. Messages only wake workers up; the truth is here.

mod records;

pub use records::Claim;
pub use records::JobState;
pub use records::LeadResult;
pub use records::LeadWork;
pub use records::NewJob;
pub use records::NewLead;
pub use records::Progress;
pub use records::StoredAttempt;
pub use records::StoredJob;

use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Usd;
use crate::ledger::Balance;
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;

/// Why a list could not be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// Two leads have the same id: load again with row numbers.
    #[error("the lead id {0} stands in the list twice")]
    RepeatedId(LeadId),
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

    /// Creates a job in state `loading`, with its wallet if that is new. A job of that id must not
    /// exist.
    fn create_job(&self, job: NewJob) -> Later<'_, StoredJob>;

    /// Adds leads, in the order of their numbers; numbers that are already there are passed over,
    /// so that an interrupted load goes on by being done again.
    fn load_leads(&self, job: JobKey, leads: Vec<NewLead>) -> LoadLater<'_>;

    /// Drops the leads of a job that is still `loading`.
    fn unload_leads(&self, job: JobKey) -> Later<'_, ()>;

    /// Ends the loading: cuts the job into slices.
    fn seal_job(&self, job: JobKey) -> Later<'_, ()>;

    /// Sets the job's cap to `budget`, and tops its wallet up by what that exceeds what its earlier
    /// budgets have put in.
    fn set_budget(&self, job: JobKey, budget: Usd) -> Later<'_, Balance>;

    /// Raises the job's cap, whether or not the wallet has the money; `false` when `cap` is lower than
    /// the one in force, or when none is.
    fn raise_cap(&self, job: JobKey, cap: Usd) -> Later<'_, bool>;

    /// Slices with leads to decide, in order.
    fn open_slices(&self, job: JobKey) -> Later<'_, Vec<SliceNo>>;

    /// Takes a slice over: its epoch grows, and what older owners write is refused from now on.
    fn claim_slice(&self, job: JobKey, slice: SliceNo) -> Later<'_, Option<Claim>>;

    /// Begins the next run for every lead whose reason can have changed, and says how many those are.
    /// A cancelled job is opened again.
    fn resume_job(&self, job: JobKey) -> Later<'_, u64>;

    /// No attempt begins any more; the leads end as `cancelled`.
    fn cancel_job(&self, job: JobKey) -> Later<'_, ()>;

    /// Notes that the job is at work, or has come to an end.
    fn mark_job(&self, job: JobKey, state: JobState) -> Later<'_, ()>;

    /// How far the job has come.
    fn progress(&self, job: JobKey) -> Later<'_, Progress>;

    /// Up to `limit` results after lead `after`, in order; copies show the result they copy.
    fn results(&self, job: JobKey, after: LeadNo, limit: u32) -> Later<'_, Vec<LeadResult>>;

    /// The number of a lead by its id.
    fn find_lead(&self, job: JobKey, lead: &LeadId) -> Later<'_, Option<LeadNo>>;

    /// All attempts of a lead, oldest first.
    fn trail(&self, job: JobKey, lead: LeadNo) -> Later<'_, Vec<StoredAttempt>>;
}

/// The answer to a load.
pub type LoadLater<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), LoadError>> + Send + 'a>>;
