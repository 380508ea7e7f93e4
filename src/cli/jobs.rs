//! `weir jobs`: how far jobs have come, their results, another run, a stop.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::arguments;
use crate::cli::output;
use crate::cli::results;
use crate::cli::unattended;
use crate::cli::wake;
use crate::config::Config;
use crate::domain::JobId;
use crate::domain::Usd;
use crate::jobs::JobState;
use crate::jobs::Progress;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::store::Store;
use anyhow::Result;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// A worker that was heard of within this is alive: it says so every second.
const ALIVE_FOR: Duration = Duration::from_secs(15);

/// What `weir jobs` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List every job, oldest first
    List,
    /// Show how far a job has come
    Show(Named),
    /// Print the results so far, one JSON object for each lead that has ended
    Results(Named),
    /// Begin the next run for leads that may end better now; the workers then do the work
    ///
    /// Where no worker runs, on a laptop for example, this command marks the leads, and the next `weir enrich` or
    /// `weir copy` with the same list works on them.
    Resume {
        #[command(flatten)]
        named: Named,
        /// Raise the job's cap to this amount; no money is put in, and a cap is never lowered
        #[arg(long, value_name = "USD", value_parser = arguments::positive_usd)]
        max_spend: Option<Usd>,
    },
    /// Stop a job: no call begins any more, and leads without an ending end as cancelled
    Cancel(Named),
}

#[derive(clap::Args, Debug)]
struct Named {
    /// The job's id, as `weir jobs list` shows it
    #[arg(value_name = "JOB", value_parser = arguments::job_id)]
    job: JobId,
}

/// Runs the action that was asked for.
///
/// # Errors
/// When the job is not in the store, or the store cannot be used.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    let shared = globals.open_store(&config).await?;
    let store = &*shared;
    match args.action {
        Action::List => list(store, globals).await?,
        Action::Show(Named { job }) => show(store, globals, &job).await?,
        Action::Results(Named { job }) => results::print(store, &find_job(store, &job).await?).await?,
        Action::Resume { named: Named { job }, max_spend } => {
            let job = find_job(store, &job).await?;
            resume(store, &job, max_spend).await?;
            let attended = is_attended(store, globals, &config).await?;
            if attended {
                wake::workers(store, &config, &job).await?;
            }
            tell_resumed(store, globals, &job.id, attended).await?;
        }
        Action::Cancel(Named { job }) => {
            let job = find_job(store, &job).await?;
            refuse_loading(&job)?;
            if store.cancel_job(job.key).await? {
                if is_attended(store, globals, &config).await? {
                    wake::workers(store, &config, &job).await?;
                } else {
                    unattended::end_cancelled(&shared, globals, &config, &job).await?;
                }
            }
            tell_cancelled(store, globals, &job.id).await?;
        }
    }
    Ok(Exit::Done)
}

/// Do workers see to the store's jobs? A shared store is theirs, also while none is up; the embedded one is while one
/// runs on it.
async fn is_attended(store: &dyn Store, globals: &Globals, config: &Config) -> Result<bool> {
    Ok(globals.is_shared(config)? || has_worker(store).await?)
}

async fn has_worker(store: &dyn Store) -> Result<bool> {
    Ok(!store.workers(ALIVE_FOR).await?.is_empty())
}

/// The job of this id.
pub(super) async fn find_job(store: &dyn Store, id: &JobId) -> Result<StoredJob> {
    let found = store.find_job(id).await?;
    found.ok_or_else(|| BadInput(format!("there is no job `{id}` here; `weir jobs list` shows those there are")).into())
}

async fn list(store: &dyn Store, globals: &Globals) -> Result<()> {
    let mut jobs = Vec::new();
    for job in store.list_jobs().await? {
        let progress = store.progress(job.key).await?;
        jobs.push((job, progress));
    }
    if globals.json {
        return Ok(output::lines(jobs.iter().map(|(job, progress)| to_json(job, progress)))?);
    }
    let rows = jobs.iter().map(|(job, progress)| {
        let done = format!("{}/{}", progress.done, progress.leads);
        let [id, workspace, kind] = [job.id.as_str(), job.workspace.as_str(), job.work.kind()].map(str::to_owned);
        [id, workspace, kind, job.state.to_string(), done, cost(progress)]
    });
    Ok(output::table(["job", "workspace", "kind", "state", "done", "cost USD"], rows)?)
}

async fn show(store: &dyn Store, globals: &Globals, id: &JobId) -> Result<()> {
    let job = find_job(store, id).await?;
    let progress = store.progress(job.key).await?;
    if globals.json {
        return Ok(output::line(to_json(&job, &progress))?);
    }
    let cap = job.max_spend.map_or_else(|| "none".to_owned(), |cap| cap.to_string());
    output::lines([
        format!("job        {id}, workspace {}, {}", job.workspace, describe_work(&job.work)),
        format!("state      {}, run {}", job.state, job.run),
        format!("leads      {} of {} have ended", progress.done, progress.leads),
        format!("status     {}", counted(progress.by_status.iter().map(|(status, n)| (status.as_str(), *n)))),
        format!("reason     {}", counted(progress.by_reason.iter().map(|(reason, n)| (reason.as_str(), *n)))),
        format!("cost USD   {}, cap {cap}", cost(&progress)),
    ])?;
    if job.state == JobState::Cancelled {
        print_undecided(&job, &progress)?;
    }
    Ok(())
}

async fn resume(store: &dyn Store, job: &StoredJob, max_spend: Option<Usd>) -> Result<()> {
    refuse_loading(job)?;
    if let Some(cap) = max_spend
        && !store.raise_cap(job.key, cap).await?
    {
        let now = job.max_spend.map_or_else(|| "it has none".to_owned(), |cap| format!("it is {cap} USD"));
        return Err(BadInput(format!("--max-spend {cap}: the cap of job `{}` may only rise, and {now}", job.id)).into());
    }
    store.resume_job(job.key).await?;
    Ok(())
}

async fn tell_resumed(store: &dyn Store, globals: &Globals, id: &JobId, attended: bool) -> Result<()> {
    let job = find_job(store, id).await?;
    let progress = store.progress(job.key).await?;
    if globals.json {
        return Ok(output::line(to_json(&job, &progress))?);
    }
    output::line(match undecided(&progress) {
        0 => format!("{id}: no lead can end better than it has"),
        leads if attended => format!("{id}: run {}, leads to decide: {leads}; the workers go on with them", job.run),
        leads => {
            let spend = job.max_spend.map_or_else(String::new, |cap| format!(" --budget {cap}"));
            let how = match &job.work {
                Work::Enrich(_) => format!("`weir enrich FILE{spend}` with the same list decides them"),
                Work::Copy(_) => format!("`weir copy FILE{spend}` with the same list and brief decides them"),
            };
            format!("{id}: run {}, leads to decide: {leads}; {how}", job.run)
        }
    })?;
    Ok(())
}

async fn tell_cancelled(store: &dyn Store, globals: &Globals, id: &JobId) -> Result<()> {
    let job = find_job(store, id).await?;
    let progress = store.progress(job.key).await?;
    if globals.json {
        return Ok(output::line(to_json(&job, &progress))?);
    }
    if job.state == JobState::Completed {
        return Ok(output::line(format!("{id} is completed: there is nothing to stop"))?);
    }
    output::line(format!("{id} is cancelled: no call begins any more"))?;
    print_undecided(&job, &progress)
}

/// A list that is only half stored has no leads to speak of yet, and has cost nothing.
fn refuse_loading(job: &StoredJob) -> Result<(), BadInput> {
    if job.state == JobState::Loading {
        let (id, kind) = (&job.id, job.work.kind());
        return Err(BadInput(format!("job `{id}` is still being loaded; let `weir {kind}` with its list finish that")));
    }
    Ok(())
}

/// Says who gives the leads of a cancelled job their ending, if they have none yet.
fn print_undecided(job: &StoredJob, progress: &Progress) -> Result<()> {
    let (leads, id) = (undecided(progress), &job.id);
    if leads == 0 {
        return Ok(());
    }
    Ok(output::line(format!(
        "leads without an ending: {leads}; the process that works on the job ends them as cancelled, and when there is \
         none, `weir jobs cancel {id}` does"
    ))?)
}

const fn undecided(progress: &Progress) -> u64 {
    progress.leads.saturating_sub(progress.done)
}

/// What is done for the leads, and by what.
pub(super) fn describe_work(work: &Work) -> String {
    match work {
        Work::Enrich(waterfall) => format!("waterfall {waterfall}"),
        Work::Copy(brief) => format!("copy by model {}, {}", brief.model, brief.purpose.as_str()),
    }
}

fn cost(progress: &Progress) -> String {
    progress.cost.map_or_else(|| "-".to_owned(), |cost| cost.to_string())
}

fn counted<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let words: Vec<String> = counts.map(|(word, n)| format!("{word} {n}")).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

/// The object of CONTRACTS §1; of a copy job with what its copy is for, and who writes it.
fn to_json(job: &StoredJob, progress: &Progress) -> Value {
    let by_status = progress.by_status.iter().map(|(status, n)| (status.as_str(), *n));
    let by_reason = progress.by_reason.iter().map(|(reason, n)| (reason.as_str(), *n));
    let mut object = json!({
        "job_id": job.id.as_str(),
        "workspace_id": job.workspace.as_str(),
        "kind": job.work.kind(),
        "state": job.state.as_str(),
        "leads": progress.leads,
        "done": progress.done,
        "by_status": Value::from_iter(by_status),
        "by_reason": Value::from_iter(by_reason),
        "cost": progress.cost.map(|cost| cost.to_string()),
    });
    if let (Value::Object(fields), Some(brief)) = (&mut object, job.work.brief()) {
        fields.insert("purpose".to_owned(), json!(brief.purpose.as_str()));
        fields.insert("model".to_owned(), json!(brief.model));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Brief;
    use crate::domain::ConfigVersion;
    use crate::domain::Fingerprint;
    use crate::domain::Purpose;
    use crate::domain::Reason;
    use crate::domain::Run;
    use crate::domain::Status;
    use crate::domain::WaterfallName;
    use crate::domain::WorkerId;
    use crate::domain::WorkspaceId;
    use crate::ledger::AccountId;
    use crate::ledger::JobKey;
    use crate::roster::Roster;
    use crate::store::Nature;
    use crate::store::SqliteStore;
    use expect_test::expect;
    use std::sync::Arc;

    fn job(state: JobState) -> StoredJob {
        StoredJob {
            key: JobKey(1),
            id: JobId::new("job_1"),
            workspace: WorkspaceId::new("acme"),
            account: AccountId(1),
            work: Work::Enrich(WaterfallName::new("work_email")),
            content: Fingerprint::from_bytes([0; 16]),
            state,
            run: Run::FIRST,
            max_spend: None,
            funded: Usd::ZERO,
            held: Usd::ZERO,
            leads: 3,
            slice_size: 100,
            campaign: None,
            reply: None,
        }
    }

    #[test]
    fn a_job_is_shown_with_exactly_the_fields_of_the_contract() {
        let progress = Progress {
            leads: 3,
            done: 2,
            by_status: vec![(Status::Verified, 1), (Status::Skipped, 1)],
            by_reason: vec![(Reason::None, 1), (Reason::WalletEmpty, 1)],
            cost: Some(Usd::from_nanos(20_500_000)),
        };
        expect![[r#"{"job_id":"job_1","workspace_id":"acme","kind":"enrich","state":"running","leads":3,"done":2,"by_status":{"verified":1,"skipped":1},"by_reason":{"none":1,"wallet_empty":1},"cost":"0.020500000"}"#]]
        .assert_eq(&to_json(&job(JobState::Running), &progress).to_string());
    }

    #[test]
    fn a_copy_job_is_shown_with_its_purpose_and_its_model() {
        let brief = Brief {
            purpose: Purpose::Warmup,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens: 400,
            instructions: "Write.".to_owned(),
            pages: Vec::new(),
        };
        let job = StoredJob { work: Work::Copy(Arc::new(brief)), ..job(JobState::Completed) };
        let progress = Progress {
            leads: 3,
            done: 3,
            by_status: vec![(Status::Written, 2), (Status::Failed, 1)],
            by_reason: vec![(Reason::None, 2), (Reason::Refused, 1)],
            cost: Some(Usd::from_nanos(1_234_000)),
        };
        expect![[r#"{"job_id":"job_1","workspace_id":"acme","kind":"copy","state":"completed","leads":3,"done":3,"by_status":{"written":2,"failed":1},"by_reason":{"none":2,"refused":1},"cost":"0.001234000","purpose":"warmup","model":"gpt-5.4-mini"}"#]]
        .assert_eq(&to_json(&job, &progress).to_string());
        assert_eq!(describe_work(&job.work), "copy by model gpt-5.4-mini, warmup");
    }

    #[test]
    fn a_job_without_endings_has_empty_counts() {
        let object = to_json(&job(JobState::Queued), &Progress { cost: Some(Usd::ZERO), ..Progress::default() });
        assert_eq!((&object["by_status"], &object["by_reason"]), (&json!({}), &json!({})));
    }

    #[tokio::test]
    async fn a_store_has_a_worker_from_its_first_heartbeat_to_its_farewell() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("weir.db"), Nature::Paid).unwrap();
        let (worker, version) = (WorkerId::new("one"), ConfigVersion::new("0123456789ab"));
        assert!(!has_worker(&store).await.unwrap());
        store.heartbeat(&worker, &version).await.unwrap();
        assert!(has_worker(&store).await.unwrap());
        store.farewell(&worker).await.unwrap();
        assert!(!has_worker(&store).await.unwrap());
    }

    #[test]
    fn a_job_that_is_being_loaded_is_neither_resumed_nor_cancelled() {
        assert!(refuse_loading(&job(JobState::Loading)).is_err());
        for state in [JobState::Queued, JobState::Running, JobState::Completed, JobState::Cancelled] {
            assert!(refuse_loading(&job(state)).is_ok(), "{state}");
        }
    }
}
