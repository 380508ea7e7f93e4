//! From a list to a stored job, cut into slices.

use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::jobs::JobState;
use crate::jobs::LoadError;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::jobs::StoredJob;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::lists;
use crate::lists::Input;
use crate::lists::LeadIds;
use crate::lists::ListError;
use crate::lists::Scan;
use crate::store::Store;

/// Leads stored in one transaction.
const LOAD_BATCH: usize = 2_000;

/// Why a list did not become a job.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The list cannot be read, or has changed since it was looked through.
    #[error(transparent)]
    List(#[from] ListError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] LedgerError),
    /// The id belongs to a job of other content: the store is damaged, or was edited.
    #[error("job {0} is in the store with other content")]
    OtherContent(JobId),
}

/// A job in the store, and what its loading met.
#[derive(Debug)]
pub struct Intake {
    /// The job, its leads stored.
    pub job: StoredJob,
    /// Was it there before, with its leads?
    pub known: bool,
    /// Row numbers were taken as lead ids, because ids repeat; the first that does.
    pub repeated_id: Option<String>,
}

/// Stores the list as the job `new`, or finds it stored. An interrupted load is begun anew: nothing
/// is paid before a job is loaded whole.
///
/// # Errors
/// When the list or the store fails; the job then stays `loading`.
pub async fn take_in(store: &dyn Store, new: NewJob, input: &Input, scan: &Scan) -> Result<Intake, IntakeError> {
    let id = new.id.clone();
    let content: Fingerprint = new.content;
    let job = match store.find_job(&id).await? {
        Some(job) if job.content != content => return Err(IntakeError::OtherContent(id)),
        Some(job) if job.state != JobState::Loading => return Ok(Intake { job, known: true, repeated_id: None }),
        Some(job) => job,
        None => store.create_job(new).await?,
    };
    store.unload_leads(job.key).await?;
    let repeated_id = match load(store, &job, input, scan, LeadIds::FromColumn).await {
        Ok(()) => None,
        Err(Interrupted::Repeated(repeated)) => {
            store.unload_leads(job.key).await?;
            load(store, &job, input, scan, LeadIds::RowNumbers).await.map_err(IntakeError::from)?;
            Some(repeated)
        }
        Err(other) => return Err(other.into()),
    };
    store.seal_job(job.key).await?;
    let job = store.find_job(&id).await?.ok_or_else(|| LedgerError::Corrupt("a job was not kept".to_owned()))?;
    Ok(Intake { job, known: false, repeated_id })
}

/// What ended a load early.
enum Interrupted {
    Repeated(String),
    Other(IntakeError),
}

impl From<Interrupted> for IntakeError {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Repeated(id) => Self::Store(LedgerError::Conflict { what: format!("the lead id {id}") }),
            Interrupted::Other(error) => error,
        }
    }
}

async fn load(store: &dyn Store, job: &StoredJob, input: &Input, scan: &Scan, ids: LeadIds) -> Result<(), Interrupted> {
    let list_failed = |error: ListError| Interrupted::Other(error.into());
    let mut batch = Vec::with_capacity(LOAD_BATCH);
    for row in lists::rows(input, scan, ids).map_err(list_failed)? {
        let row = row.map_err(list_failed)?;
        let n = u32::try_from(row.number).unwrap_or(u32::MAX);
        batch.push(NewLead { n: LeadNo(n), id: row.lead_id, lead: row.lead.ok() });
        if batch.len() >= LOAD_BATCH {
            store_batch(store, job, std::mem::take(&mut batch)).await?;
        }
    }
    store_batch(store, job, batch).await
}

async fn store_batch(store: &dyn Store, job: &StoredJob, batch: Vec<NewLead>) -> Result<(), Interrupted> {
    store.load_leads(job.key, batch).await.map_err(|error| match error {
        LoadError::RepeatedId(id) => Interrupted::Repeated(id.to_string()),
        LoadError::Store(error) => Interrupted::Other(error.into()),
    })
}
