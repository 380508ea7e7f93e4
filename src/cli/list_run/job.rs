//! A list as a job of the embedded store: owned, funded, loaded, worked, written back.

use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::list_run::List;
use crate::cli::list_run::ListArgs;
use crate::cli::list_run::identity;
use crate::cli::list_run::output;
use crate::cli::list_run::setup;
use crate::cli::list_run::summary;
use crate::cli::list_run::working;
use crate::cli::output as printed;
use crate::config::Config;
use crate::config::Live;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::domain::Usd;
use crate::jobs::NewJob;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::lists::Out;
use crate::store::JobLock;
use crate::store::LockError;
use crate::store::Store;
use crate::worker;
use crate::worker::Engine;
use crate::worker::Overrides;
use crate::worker::Parts;
use crate::worker::Tasks;
use crate::worker::Works;
use anyhow::Result;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often, and how far apart, a job that is taken is tried for.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(40);

/// What a command runs on.
#[derive(Clone, Copy)]
pub(in crate::cli) struct ListRun<'a> {
    pub(in crate::cli) args: &'a ListArgs,
    pub(in crate::cli) globals: &'a Globals,
    pub(in crate::cli) config: &'a Config,
    pub(in crate::cli) tasks: &'a Tasks,
}

/// What is to be done for the leads of a list.
pub(in crate::cli) struct Commission {
    pub(in crate::cli) work: Work,
    /// What makes it the same job when it is asked for again.
    pub(in crate::cli) content: Fingerprint,
    /// The configuration it is done by.
    pub(in crate::cli) live: Live,
    pub(in crate::cli) overrides: Overrides,
    pub(in crate::cli) budget: Usd,
}

impl ListRun<'_> {
    /// Does it. The same commission on the same list goes on where it was left.
    ///
    /// # Errors
    /// A job that is running, a list that changed, a store that failed.
    pub(in crate::cli) async fn carry_out(self, commission: Commission, list: List) -> Result<Exit> {
        let Self { args, globals, config, tasks } = self;
        let Commission { work, content, live, overrides, budget } = commission;
        let path = globals.store_path(config)?;
        let store = globals.make_store(config).await?;
        let id = identity::job_id(work.kind(), content);
        let directory = path.parent().unwrap_or(Path::new("."));
        let _lock = own_job(directory, &id).await?;
        let new = NewJob {
            id,
            workspace: setup::workspace(globals),
            work,
            content,
            slice_size: config.boot.slice_size,
            campaign: None,
            max_spend: None,
            auto_resume: false,
            reply: None,
        };
        let job = take_in(&*store, new, &list).await?;
        give_back_stale_holds(&*store, directory, &job).await?;
        // What nobody named does not lower a cap that was raised before.
        let budget = if args.budget.is_some() { budget } else { job.max_spend.map_or(budget, |cap| cap.max(budget)) };
        store.set_budget(job.key, budget).await?;

        let settings = setup::settings(config, args.concurrency);
        let works = Works::new(Arc::new(live), globals.keyring(config)?, overrides);
        let engine = Arc::new(Engine::new(Parts::embedded(Arc::clone(&store), settings, tasks.clone(), works)?));
        let worked = working::work(&engine, &job).await;
        let summary = summary_of(&engine, &job, globals).await?;
        match &list.out {
            Out::Stdout => printed::aside(summary),
            Out::File(_) => printed::line(summary)?,
        }
        finish(&store, &job, list, worked?).await
    }
}

/// The list as a job of the store; a job that is known begins its next run.
async fn take_in(store: &dyn Store, new: NewJob, list: &List) -> Result<StoredJob> {
    let intake = worker::take_in(store, new, &list.input, &list.scan).await?;
    if let Some(id) = intake.repeated_id {
        tracing::warn!("the lead id {id} stands in the list more than once: row numbers are used instead");
    }
    if intake.known {
        let resumed = store.resume_job(intake.job.key).await?;
        tracing::info!(job.id = %intake.job.id, resumed, "the job is known: going on with it");
    }
    Ok(intake.job)
}

/// Takes the job. Another start may hold it for a moment, while it gives stale holds back.
async fn own_job(directory: &Path, job: &JobId) -> Result<JobLock, LockError> {
    for _ in 0..LOCK_TRIES {
        match JobLock::take(directory, job) {
            Err(LockError::Taken { .. }) => tokio::time::sleep(LOCK_PAUSE).await,
            taken => return taken,
        }
    }
    JobLock::take(directory, job)
}

/// Money that jobs nobody runs any more have held for too long goes back into the wallet.
async fn give_back_stale_holds(store: &dyn Store, directory: &Path, own: &StoredJob) -> Result<()> {
    let mut owned = vec![own.key];
    // Nobody may begin to work on such a job before its holds are given back.
    let mut probed = Vec::new();
    for job in store.list_jobs().await?.into_iter().filter(|job| job.held.is_positive() && job.key != own.key) {
        match JobLock::take(directory, &job.id) {
            Ok(lock) => probed.push(lock),
            Err(LockError::Taken { .. }) => owned.push(job.key),
            Err(error) => return Err(error.into()),
        }
    }
    let expired = store.expire(owned).await?;
    drop(probed);
    if expired > 0 {
        tracing::info!(expired, "holds of jobs that nobody runs any more were given back");
    }
    Ok(())
}

async fn summary_of(engine: &Engine, job: &StoredJob, globals: &Globals) -> Result<String> {
    let progress = engine.store.progress(job.key).await?;
    let balance = engine.store.balance(&job.workspace).await?;
    let totals = engine.meter.totals();
    Ok(if globals.json {
        summary::json(job, &progress, &totals, balance).to_string()
    } else {
        summary::text(job, &progress, &totals, balance)
    })
}

/// Writes the list with what is known.
async fn finish(store: &Arc<dyn Store>, job: &StoredJob, list: List, exit: Exit) -> Result<Exit> {
    let List { input, scan, out, .. } = list;
    let named = out.name();
    output::write(Arc::clone(store), job, input, scan, out).await?;
    tracing::info!(job.id = %job.id, "{named} is written");
    Ok(exit)
}
