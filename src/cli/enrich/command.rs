//! The command from top to bottom.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::enrich::Args;
use crate::cli::enrich::estimate::estimate;
use crate::cli::enrich::identity;
use crate::cli::enrich::output;
use crate::cli::enrich::progress;
use crate::cli::enrich::setup;
use crate::cli::enrich::summary;
use crate::cli::output as printed;
use crate::config::Live;
use crate::domain::JobId;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::NewJob;
use crate::jobs::StoredJob;
use crate::lists;
use crate::lists::Input;
use crate::lists::Mapping;
use crate::lists::Out;
use crate::lists::Scan;
use crate::queue::MemoryQueue;
use crate::queue::Queue;
use crate::queue::SliceMessage;
use crate::store::JobLock;
use crate::store::LockError;
use crate::store::Store;
use crate::worker;
use crate::worker::Engine;
use crate::worker::Overrides;
use crate::worker::Parts;
use crate::worker::Routes;
use crate::worker::Tasks;
use crate::worker::Works;
use anyhow::Result;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// What `--sandbox` grants when no budget is given.
const SANDBOX_BUDGET: Usd = Usd::from_nanos(10_000_000_000);

/// How often, and how far apart, a job that is taken is tried for.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(40);

/// A list that has been looked through, and where it goes.
struct List {
    input: Input,
    scan: Scan,
    mapping: Mapping,
    out: Out,
}

/// Enriches a list.
///
/// # Errors
/// Bad input before anything is spent; a list that changed, or a store that failed, afterwards.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let tasks = Tasks::default();
    let result = enrich(args, globals, &tasks).await;
    tasks.drain().await;
    result
}

async fn enrich(args: Args, globals: &Globals, tasks: &Tasks) -> Result<Exit> {
    let config = globals.load_config()?;
    let waterfall = setup::waterfall(&config.live, args.waterfall.as_deref())?;
    let list = look_through(&args)?;
    let live = if globals.sandbox {
        setup::into_sandbox(&config.live, args.keep_limits, tasks).await?
    } else {
        Live::clone(&config.live)
    };
    let lead_cap = args.max_per_lead.or(waterfall.max_spend_per_lead);

    let routes = Routes::with_house_keys(&live, &waterfall, &crate::http::Gates::default());
    setup::check_routes(&routes, &waterfall, globals)?;
    let estimate = estimate(&list.scan.counts, &routes, lead_cap);
    if args.estimate {
        if globals.json {
            printed::line(estimate.to_json())?;
        } else {
            printed::line(&estimate)?;
        }
        return Ok(Exit::Done);
    }
    let Some(budget) = args.budget.or(globals.sandbox.then_some(SANDBOX_BUDGET)) else {
        let say = "nothing is spent without a budget: add --budget USD (or --sandbox to try it for free)";
        return Err(BadInput(format!("{say}\n{estimate}")).into());
    };

    let path = globals.store_path(&config)?;
    let store = globals.make_store(&config).await?;
    let content = identity::content(&list.scan, &list.mapping, &routes, &waterfall);
    let job_id = identity::job_id(content);
    let directory = path.parent().unwrap_or(Path::new("."));
    let _lock = own_job(directory, &job_id).await?;
    let new = NewJob {
        id: job_id,
        workspace: WorkspaceId::new(if globals.sandbox { "sandbox" } else { "local" }),
        waterfall: waterfall.name.clone(),
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

    let settings = setup::settings(&config, args.concurrency);
    let works = Works::new(Arc::new(live), globals.keyring(&config)?, Overrides { lead_cap });
    let engine = Arc::new(Engine::new(Parts::embedded(Arc::clone(&store), settings, tasks.clone(), works)?));
    let worked = work(&engine, &job).await;
    let summary = summary_of(&engine, &job, globals).await?;
    match list.out {
        Out::Stdout => printed::aside(summary),
        Out::File(_) => printed::line(summary)?,
    }
    finish(&store, job, list, worked?).await
}

/// Everything about the list that can be wrong, before anything is spent.
fn look_through(args: &Args) -> Result<List> {
    let from_stdin = args.file.as_os_str() == "-";
    let input =
        if from_stdin { Input::spool("standard input", std::io::stdin().lock())? } else { Input::file(&args.file)? };
    let mapping = Mapping::parse(&args.mapping)?;
    let scan = lists::scan(&input, args.format, &mapping)?;
    let out = match &args.output {
        Some(path) => Out::from(path.clone()),
        None if from_stdin => Out::Stdout,
        None => Out::beside(&args.file, scan.format()),
    };
    out.check(&input)?;
    Ok(List { input, scan, mapping, out })
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

/// Works the job until it is done, or Ctrl-C.
async fn work(engine: &Arc<Engine>, job: &StoredJob) -> Result<Exit> {
    let before = engine.store.progress(job.key).await?;
    let working = work_every_slice(engine, job);
    let showing = progress::show(Arc::clone(engine), before.done, before.leads);
    tokio::pin!(working);
    let worked = tokio::select! {
        worked = &mut working => worked,
        () = showing => Ok(()),
        () = interrupted() => {
            tracing::info!("stopping: calls in flight are settled, no new one is made");
            engine.tasks.stop();
            working.await
        }
    };
    let stopped = engine.tasks.is_stopping();
    worked?;
    if stopped {
        return Ok(Exit::Interrupted);
    }
    Ok(Exit::Done)
}

/// Works until no slice has a lead to decide: `jobs resume` may open leads again meanwhile.
async fn work_every_slice(engine: &Arc<Engine>, job: &StoredJob) -> Result<()> {
    let mut before = Vec::new();
    loop {
        let open = engine.store.open_slices(job.key).await?;
        // A round that decides nothing would decide nothing again.
        if open.is_empty() || open == before || engine.tasks.is_stopping() {
            return Ok(());
        }
        let queue = MemoryQueue::default();
        for slice in &open {
            queue.publish(SliceMessage { job: job.key, slice: *slice });
        }
        before = open;
        worker::work(Arc::clone(engine), Arc::new(queue)).await?;
    }
}

/// Until Ctrl-C, or a polite request to end. A system that cannot tell of them stops us by itself.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn summary_of(engine: &Engine, job: &StoredJob, globals: &Globals) -> Result<String> {
    let progress = engine.store.progress(job.key).await?;
    let balance = engine.store.balance(&job.workspace).await?;
    let totals = engine.meter.totals();
    Ok(if globals.json {
        summary::json(job, &progress, &totals, balance).to_string()
    } else {
        summary::text(&progress, &totals, balance)
    })
}

/// Writes the list with what is known.
async fn finish(store: &Arc<dyn Store>, job: StoredJob, list: List, exit: Exit) -> Result<Exit> {
    let List { input, scan, out, .. } = list;
    let named = out.name();
    output::write(Arc::clone(store), job.key, input, scan, out).await?;
    tracing::info!(job.id = %job.id, "{named} is written");
    Ok(exit)
}
