//! From a list, or from the leads of a message, to a stored job, cut into slices.

use crate::domain::JobId;
use crate::domain::LeadId;
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
use tokio::runtime::Handle;
use tokio::runtime::RuntimeFlavor;
use tokio::task::block_in_place;

/// Leads read, and stored in one transaction.
const LOAD_BATCH: usize = 2_000;

/// Why leads did not become a job.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The list cannot be read, or has changed since it was looked through.
    #[error(transparent)]
    List(#[from] ListError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] LedgerError),
    /// The id was used before for something else.
    #[error("job {0} is in the store with other content")]
    OtherContent(JobId),
    /// The id was used before by somebody else.
    #[error("job {0} is in the store for another workspace")]
    OtherWorkspace(JobId),
    /// Two leads have the same id, and no row numbers to take instead.
    #[error("the lead id {0} is used twice")]
    RepeatedId(LeadId),
    /// There are more leads than the store can number: cut the list up.
    #[error("a job has {most} leads at most")]
    TooMany {
        /// As many it can.
        most: u32,
    },
    /// Somebody else has begun to load the job meanwhile: look again later.
    #[error("the job is being loaded by somebody else")]
    Superseded,
}

impl From<LoadError> for IntakeError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::RepeatedId(id) => Self::RepeatedId(id),
            LoadError::Superseded => Self::Superseded,
            LoadError::TooMany { most } => Self::TooMany { most },
            LoadError::Store(error) => Self::Store(error),
        }
    }
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
    let job = find_or_create(store, new).await?;
    let loaded = load(store, &job, rows(input, scan, LeadIds::FromColumn)?).await;
    let (loaded, repeated_id) = match loaded {
        Err(IntakeError::RepeatedId(id)) => {
            let loaded = load(store, &job, rows(input, scan, LeadIds::RowNumbers)?).await?;
            (loaded, Some(id.to_string()))
        }
        loaded => (loaded?, None),
    };
    taken_in(store, job, loaded, repeated_id).await
}

/// Stores the leads as the job `new`, or finds it stored; as [`take_in`].
///
/// # Errors
/// When the store fails, or two leads have the same id; the job then stays `loading`.
pub async fn take_in_leads(store: &dyn Store, new: NewJob, leads: Vec<NewLead>) -> Result<Intake, IntakeError> {
    let job = find_or_create(store, new).await?;
    let loaded = load(store, &job, leads.into_iter().map(Ok)).await?;
    taken_in(store, job, loaded, None).await
}

async fn find_or_create(store: &dyn Store, new: NewJob) -> Result<StoredJob, IntakeError> {
    if let Some(job) = store.find_job(&new.id).await? {
        return same(job, &new);
    }
    match store.create_job(new.clone()).await {
        Ok(job) => Ok(job),
        // Somebody was quicker.
        Err(LedgerError::Conflict { what }) => match store.find_job(&new.id).await? {
            Some(job) => same(job, &new),
            None => Err(LedgerError::Conflict { what }.into()),
        },
        Err(error) => Err(error.into()),
    }
}

fn same(job: StoredJob, new: &NewJob) -> Result<StoredJob, IntakeError> {
    if job.workspace != new.workspace {
        return Err(IntakeError::OtherWorkspace(job.id));
    }
    if job.content != new.content {
        return Err(IntakeError::OtherContent(job.id));
    }
    Ok(job)
}

fn rows<'a>(
    input: &'a Input,
    scan: &'a Scan,
    ids: LeadIds,
) -> Result<impl Iterator<Item = Result<NewLead, ListError>>, ListError> {
    let rows = lists::rows(input, scan, ids)?;
    Ok(rows.map(|row| {
        let row = row?;
        let n = u32::try_from(row.number).unwrap_or(u32::MAX);
        Ok(NewLead { n: LeadNo(n), id: row.lead_id, lead: row.lead.ok() })
    }))
}

/// Loads a job whole, from the beginning; `false` when it has been loaded before.
async fn load(
    store: &dyn Store,
    job: &StoredJob,
    mut leads: impl Iterator<Item = Result<NewLead, ListError>>,
) -> Result<bool, IntakeError> {
    if job.state != JobState::Loading {
        return Ok(false);
    }
    let Some(load) = store.begin_load(job.key).await? else { return Ok(false) };
    loop {
        let batch = beside(|| leads.by_ref().take(LOAD_BATCH).collect::<Result<Vec<_>, _>>())?;
        if batch.is_empty() {
            break;
        }
        store.load_leads(load, batch).await?;
    }
    store.seal_job(load).await?;
    Ok(true)
}

async fn taken_in(
    store: &dyn Store,
    job: StoredJob,
    loaded: bool,
    repeated_id: Option<String>,
) -> Result<Intake, IntakeError> {
    if !loaded && job.state != JobState::Loading {
        return Ok(Intake { job, known: true, repeated_id: None });
    }
    let job = store.read_job(job.key).await?;
    let job = job.ok_or_else(|| LedgerError::Corrupt("a job was not kept".to_owned()))?;
    Ok(Intake { job, known: !loaded, repeated_id })
}

/// Reads a disk without holding up the other tasks, where the runtime has threads to spare.
fn beside<T>(read: impl FnOnce() -> T) -> T {
    if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread { block_in_place(read) } else { read() }
}
