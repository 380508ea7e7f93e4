//! Jobs in: each lies whole in the store before its message is acknowledged.

use crate::crew::sources::SourceError;
use crate::crew::sources::Sources;
use crate::crew::sweep::announce_job;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::domain::WaterfallName;
use crate::jobs::JobState;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::jobs::Reply;
use crate::jobs::StoredJob;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::lists;
use crate::lists::Field;
use crate::lists::Input;
use crate::lists::ListError;
use crate::lists::Mapping;
use crate::lists::Scan;
use crate::messages;
use crate::messages::EnrichmentJob;
use crate::messages::Incoming;
use crate::messages::Leads;
use crate::messages::RawLead;
use crate::messages::Refusal;
use crate::messages::is_id;
use crate::metrics;
use crate::queue::DeadReason;
use crate::queue::Fate;
use crate::queue::Queue;
use crate::queue::RetryAfter;
use crate::queue::rabbitmq::Consumer;
use crate::queue::rabbitmq::Delivery;
use crate::queue::rabbitmq::Settled;
use crate::worker;
use crate::worker::Engine;
use crate::worker::IntakeError;
use sha2::Digest;
use sha2::Sha256;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// A message that the store itself refuses, not for being away, is given up after so many tries: two minutes.
pub(super) const STORE_TRIES: u32 = 10;
/// A list that cannot be fetched is given up after so many tries: an hour.
const SOURCE_TRIES: u32 = 60;

/// Takes jobs from `weir.enrich`, one at a time.
pub(super) struct Intake {
    engine: Arc<Engine>,
    queue: Arc<dyn Queue>,
    sources: Sources,
    slice_size: u32,
}

/// Why a message is not done with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It can never be done.
    #[error("{1}")]
    Refused(DeadReason, String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] LedgerError),
    /// Somebody else is at it.
    #[error("somebody else is loading the job")]
    Busy,
    /// Something else is away for now.
    #[error("{0}")]
    Passing(String),
}

impl Intake {
    /// Announces slices of `slice_size` leads in `queue`; `sources` are where lists may lie.
    pub(super) fn new(engine: Arc<Engine>, queue: Arc<dyn Queue>, sources: Sources, slice_size: u32) -> Self {
        Self { engine, queue, sources, slice_size }
    }

    /// Until a stop. A job that is being loaded then is somebody else's at once.
    pub(super) async fn run(self, mut consumer: Consumer) {
        let stop = self.engine.tasks.token();
        while let Some(Some(delivery)) = stop.run_until_cancelled(consumer.next()).await {
            let taking = self.take(open(&delivery));
            let Some(taken) = stop.run_until_cancelled(taking).await else {
                // Where it cannot be given back, it comes again by itself.
                let _ = delivery.leave().await;
                return;
            };
            conclude(delivery, taken).await;
        }
    }

    async fn take(&self, opened: Result<(EnrichmentJob, Option<Reply>), Trouble>) -> Result<(), Trouble> {
        let (job, reply) = opened?;
        let content = content_of(&job);
        let known = self.engine.store.find_job(&job.job_id).await?;
        if let Some(known) = &known {
            if known.workspace != job.workspace_id {
                return Err(other_workspace(&known.id));
            }
            if known.content != content {
                return Err(other_content(&known.id));
            }
            if known.state != JobState::Loading {
                return self.take_again(known).await;
            }
        }
        let waterfall = match known {
            Some(known) => known.waterfall,
            None => self.waterfall(job.waterfall.as_deref())?,
        };
        let new = NewJob {
            id: job.job_id,
            workspace: job.workspace_id,
            waterfall,
            content,
            slice_size: self.slice_size,
            campaign: job.campaign_id,
            max_spend: job.max_spend,
            auto_resume: job.auto_resume,
            reply,
        };
        let store = &*self.engine.store;
        let taken = match job.leads {
            Leads::Inline(leads) => worker::take_in_leads(store, new, (1..).zip(leads).map(new_lead).collect()).await?,
            Leads::From(address) => {
                let (input, scan) = scan(self.sources.open(&address).await?).await?;
                worker::take_in(store, new, &input, &scan).await?
            }
        };
        let job = taken.job;
        if let Some(id) = taken.repeated_id {
            let used = "row numbers are used instead";
            tracing::warn!(job.id = %job.id, "the lead id {id} stands in the list more than once: {used}");
        }
        tracing::info!(job.id = %job.id, workspace.id = %job.workspace, leads = job.leads, "a job is taken in");
        self.announce(&job).await
    }

    /// The same job once more: whoever took it in first may not have come to announcing it.
    async fn take_again(&self, known: &StoredJob) -> Result<(), Trouble> {
        tracing::info!(job.id = %known.id, "the job is known: nothing is done twice");
        if known.state == JobState::Queued { self.announce(known).await } else { Ok(()) }
    }

    async fn announce(&self, job: &StoredJob) -> Result<(), Trouble> {
        let slices = self.engine.settings.slices_per_job;
        Ok(announce_job(&*self.engine.store, &*self.queue, job.key, slices).await?)
    }

    fn waterfall(&self, named: Option<&str>) -> Result<WaterfallName, Trouble> {
        let live = self.engine.works.live();
        match live.default_waterfall(named) {
            Ok(waterfall) => Ok(waterfall.name.clone()),
            // Anything may stand in the field; what could be a name is repeated.
            Err(problem) if named.is_none_or(is_id) => {
                Err(Trouble::Refused(DeadReason::UnknownWaterfall, format!("waterfall: {problem}")))
            }
            Err(_) => {
                let problem = "waterfall names none that is in the configuration".to_owned();
                Err(Trouble::Refused(DeadReason::UnknownWaterfall, problem))
            }
        }
    }
}

/// What came of a message, as its delivery ends.
pub(super) fn fate(taken: Result<(), Trouble>, tries: u32) -> Fate {
    let trouble = match taken {
        Ok(()) => return Fate::Ack,
        Err(trouble) => trouble,
    };
    let again = Fate::Retry(RetryAfter::tries(tries));
    match trouble {
        Trouble::Refused(reason, detail) => Fate::Dead(reason, detail),
        Trouble::Store(error) if error.is_transient() || tries < STORE_TRIES => again,
        Trouble::Passing(_) if tries < SOURCE_TRIES => again,
        Trouble::Store(_) => Fate::Dead(DeadReason::GaveUp, format!("the store has refused it {tries} times")),
        Trouble::Passing(problem) => Fate::Dead(DeadReason::GaveUp, format!("{problem}; tried {tries} times")),
        // Two that load it in turn would chase each other; this one goes slower with each try.
        Trouble::Busy => Fate::Retry(RetryAfter::tries(tries.max(3))),
    }
}

/// Ends a delivery by what came of it.
pub(super) async fn conclude(delivery: Delivery, taken: Result<(), Trouble>) {
    let Delivery { source, tries, .. } = &delivery;
    match &taken {
        Ok(()) | Err(Trouble::Refused(..)) => {}
        Err(trouble) if *tries == 0 => tracing::warn!(queue = source, "{trouble}; the message comes again"),
        Err(trouble) => tracing::debug!(queue = source, tries, "{trouble}; the message comes again"),
    }
    let fate = fate(taken, *tries);
    settle(delivery, fate).await;
}

/// Ends a delivery; what goes to `weir.dead` is counted and said.
pub(super) async fn settle(delivery: Delivery, fate: Fate) {
    match &fate {
        Fate::Ack | Fate::Retry(_) => {}
        Fate::Dead(reason, detail) => {
            metrics::dead_letter(*reason);
            let (queue, reason) = (&delivery.source, reason.as_str());
            tracing::warn!(queue, reason, "a message goes to weir.dead: {detail}");
        }
    }
    match delivery.settle(fate).await {
        Settled::Done | Settled::LostClaim => {}
    }
}

impl Trouble {
    /// A message whose type belongs elsewhere.
    pub(super) fn misplaced(queue: &str) -> Self {
        Self::Refused(DeadReason::UnknownType, format!("a message of this type does not belong on {queue}"))
    }

    pub(super) fn invalid(detail: &str) -> Self {
        Self::Refused(DeadReason::Invalid, detail.to_owned())
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.reason, refusal.detail)
    }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Refused(problem) => Self::Refused(DeadReason::SourceRefused, format!("leads_from {problem}")),
            SourceError::Passing(problem) => Self::Passing(format!("leads_from {problem}")),
        }
    }
}

impl From<ListError> for Trouble {
    fn from(error: ListError) -> Self {
        let problem = format!("leads_from: {error}");
        if error.is_bad_input() { Self::Refused(DeadReason::Invalid, problem) } else { Self::Passing(problem) }
    }
}

impl From<IntakeError> for Trouble {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::List(error) => error.into(),
            IntakeError::Store(error) => error.into(),
            IntakeError::OtherContent(id) => other_content(&id),
            IntakeError::OtherWorkspace(id) => other_workspace(&id),
            IntakeError::RepeatedId(_) => Self::invalid("leads: a lead_id is used twice"),
            IntakeError::TooMany { most } => Self::invalid(&format!("leads: a job has {most} at most")),
            IntakeError::Superseded => Self::Busy,
        }
    }
}

fn other_content(id: &JobId) -> Trouble {
    Trouble::Refused(DeadReason::Conflict, format!("job_id {id} was used before for other content"))
}

/// Whose it is, is nobody's business.
fn other_workspace(id: &JobId) -> Trouble {
    Trouble::Refused(DeadReason::Conflict, format!("job_id {id} was used before by another workspace"))
}

fn open(delivery: &Delivery) -> Result<(EnrichmentJob, Option<Reply>), Trouble> {
    let reply_to = delivery.reply_to.clone().filter(|queue| !queue.is_empty());
    let reply = reply_to.map(|to| Reply { to, correlation_id: delivery.correlation_id.clone() });
    match messages::read(delivery.kind.as_deref(), &delivery.routing_key, &delivery.body)? {
        Incoming::Enrich(job) => Ok((job, reply)),
        Incoming::Copy(_)
        | Incoming::JobControl(_)
        | Incoming::TopUp(_)
        | Incoming::CampaignActivate(_)
        | Incoming::ConfigReload(_)
        | Incoming::Presence(_)
        | Incoming::KeysChanged(_)
        | Incoming::WorkerStopped(_) => Err(Trouble::misplaced(&delivery.source)),
    }
}

/// Case counts: another spelling is other content.
fn content_of(job: &EnrichmentJob) -> Fingerprint {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(Sha256::digest(job.canonical())) {
        *to = from;
    }
    Fingerprint::from_bytes(bytes)
}

/// A lead as a row of a list would make it.
fn new_lead((n, raw): (u32, RawLead)) -> NewLead {
    let lead = lists::lead_of(|field| {
        let text = match field {
            Field::LeadId => None,
            Field::FirstName => raw.first_name.as_deref(),
            Field::LastName => raw.last_name.as_deref(),
            Field::FullName => raw.full_name.as_deref(),
            Field::Company => raw.company.as_deref(),
            Field::Domain => raw.domain.as_deref(),
            Field::LinkedinUrl => raw.linkedin_url.as_deref(),
            Field::Email => raw.email.as_deref(),
        };
        Ok(text.map(Cow::Borrowed))
    });
    let lead = lead.ok();
    NewLead { n: LeadNo(n), id: raw.lead_id, lead }
}

/// Looks the list through, before anything of it is stored.
async fn scan(input: Input) -> Result<(Input, Scan), Trouble> {
    let scanning = spawn_blocking(move || lists::scan(&input, None, &Mapping::default()).map(|scan| (input, scan)));
    let scanned = scanning.await.map_err(|_| Trouble::Passing("leads_from: its reading was stopped".to_owned()))?;
    Ok(scanned?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::prepare_inline;
    use crate::domain::LeadId;
    use crate::domain::WorkerId;
    use crate::http::Client;
    use crate::http::Gates;
    use crate::jobs::Claimant;
    use crate::jobs::Tenure;
    use crate::ledger::SliceNo;
    use crate::queue::MemoryQueue;
    use crate::store::Nature;
    use crate::store::SqliteStore;
    use crate::worker::Keyring;
    use crate::worker::Overrides;
    use crate::worker::Parts;
    use crate::worker::Settings;
    use crate::worker::Tasks;
    use crate::worker::Works;
    use expect_test::expect;
    use serde_json::Value;
    use serde_json::json;
    use std::path::Path;
    use std::time::Duration;
    use tempfile::TempDir;

    pub(in crate::crew) const LIVE: &str = r#"
        [providers.leadmagic]
        house_key = "env:KEY"
        credit_price = "0.0125"
        [waterfalls.work_email]
        find = ["leadmagic"]
    "#;

    /// A worker on a store of its own, which goes with the folder.
    pub(in crate::crew) fn engine() -> (Arc<Engine>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let key = |name: &str| (name == "KEY").then(|| "k".to_owned());
        let live = prepare_inline(LIVE, folder.path(), &key, &[]).unwrap().live;
        let settings =
            Settings { leads_in_flight: 1, prefetch: 1, slices_per_job: 2, lead_deadline: Duration::from_secs(60) };
        let engine = Engine::new(Parts {
            store: Arc::new(SqliteStore::open(&folder.path().join("weir.db"), Nature::Paid).unwrap()),
            settings,
            tasks: Tasks::default(),
            gates: Gates::default(),
            client: Client::new().unwrap(),
            works: Works::new(live, Keyring::new(None), Overrides::default()),
            claimant: Claimant { worker: WorkerId::new("one"), tenure: Tenure::Lease(Duration::from_secs(30)) },
            announce: None,
        });
        (Arc::new(engine), folder)
    }

    fn intake(roots: &[&Path]) -> (Intake, Arc<MemoryQueue>, TempDir) {
        let (engine, folder) = engine();
        let queue = Arc::new(MemoryQueue::default());
        let roots = roots.iter().map(|root| format!("file://{}", root.display())).collect();
        let sources = Sources::new(roots).unwrap();
        (Intake::new(engine, Arc::<MemoryQueue>::clone(&queue), sources, 2), queue, folder)
    }

    fn read(message: &Value) -> Incoming {
        messages::read(None, "enrich", message.to_string().as_bytes()).unwrap()
    }

    async fn take(intake: &Intake, message: &Value) -> Fate {
        let Incoming::Enrich(job) = read(message) else { panic!("not a job") };
        fate(intake.take(Ok((job, None))).await, 0)
    }

    fn leads(count: u32) -> Vec<Value> {
        (1..=count).map(|n| json!({"lead_id": n.to_string(), "email": format!("ada{n}@acme.test")})).collect()
    }

    #[tokio::test]
    async fn a_job_is_stored_whole_announced_and_known_when_it_comes_again() {
        let (intake, queue, _folder) = intake(&[]);
        let mut message = json!({"job_id": "job_1", "workspace_id": "acme", "leads": leads(4)});
        message["leads"][3] = json!({"lead_id": "4", "company": "Acme"});
        assert_eq!(take(&intake, &message).await, Fate::Ack);
        let job = intake.engine.store.find_job(&JobId::new("job_1")).await.unwrap().unwrap();
        assert_eq!((job.state, job.leads, job.waterfall.as_str()), (JobState::Queued, 4, "work_email"));
        let progress = intake.engine.store.progress(job.key).await.unwrap();
        assert_eq!((progress.leads, progress.done), (4, 1));
        for slice in [0, 1] {
            assert_eq!(queue.receive().await.unwrap().message.slice, SliceNo(slice));
        }

        assert_eq!(take(&intake, &message).await, Fate::Ack);
        message["leads"][0]["company"] = json!("Other");
        let used = |by: &str| Fate::Dead(DeadReason::Conflict, format!("job_id job_1 was used before {by}"));
        assert_eq!(take(&intake, &message).await, used("for other content"));
        message["workspace_id"] = json!("umbrella");
        assert_eq!(take(&intake, &message).await, used("by another workspace"));
        let again = intake.engine.store.find_job(&JobId::new("job_1")).await.unwrap().unwrap();
        assert_eq!((again.workspace, again.leads, again.run), (job.workspace, 4, job.run));
    }

    #[tokio::test]
    async fn an_interrupted_load_is_begun_anew() {
        let (intake, _queue, _folder) = intake(&[]);
        let message = json!({"job_id": "job_1", "workspace_id": "acme", "leads": leads(3)});
        let Incoming::Enrich(job) = read(&message) else { panic!("not a job") };
        let new = NewJob {
            id: job.job_id.clone(),
            workspace: job.workspace_id.clone(),
            waterfall: WaterfallName::new("work_email"),
            content: content_of(&job),
            slice_size: 2,
            campaign: None,
            max_spend: None,
            auto_resume: false,
            reply: None,
        };
        let store = &intake.engine.store;
        let key = store.create_job(new).await.unwrap().key;
        let interrupted = store.begin_load(key).await.unwrap().unwrap();
        let Leads::Inline(raw) = job.leads else { panic!("no leads") };
        let half = (1..).zip(raw).take(2).map(new_lead).collect();
        store.load_leads(interrupted, half).await.unwrap();

        assert_eq!(take(&intake, &message).await, Fate::Ack);
        let job = store.read_job(key).await.unwrap().unwrap();
        assert_eq!((job.state, job.leads), (JobState::Queued, 3));
    }

    #[tokio::test]
    async fn a_list_is_fetched_looked_through_and_loaded() {
        let lists = tempfile::tempdir().unwrap();
        let (intake, _queue, _folder) = intake(&[lists.path()]);
        std::fs::write(lists.path().join("good.csv"), "id,email\na,ada@acme.test\na,bea@acme.test\n").unwrap();
        std::fs::write(lists.path().join("bad.csv"), "").unwrap();
        let message = |id: &str, file: &str| {
            let address = format!("file://{}/{file}", lists.path().display());
            json!({"job_id": id, "workspace_id": "acme", "leads_from": address})
        };
        assert_eq!(take(&intake, &message("good", "good.csv")).await, Fate::Ack);
        let job = intake.engine.store.find_job(&JobId::new("good")).await.unwrap().unwrap();
        let lead = intake.engine.store.find_lead(job.key, &LeadId::new("2")).await.unwrap();
        assert_eq!((job.leads, lead), (2, Some(LeadNo(2))));

        let bad = take(&intake, &message("bad", "bad.csv")).await;
        assert!(matches!(&bad, Fate::Dead(DeadReason::Invalid, why) if why.starts_with("leads_from: ")), "{bad:?}");
        let refused = take(&intake, &message("gone", "gone.csv")).await;
        assert!(matches!(refused, Fate::Dead(DeadReason::SourceRefused, _)), "{refused:?}");
        for id in ["bad", "gone"] {
            assert!(intake.engine.store.find_job(&JobId::new(id)).await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn a_waterfall_that_is_not_there_is_named_if_it_can_be_a_name() {
        let (intake, _queue, _folder) = intake(&[]);
        let mut told = String::new();
        for waterfall in ["phones", "ada@acme.test"] {
            let message = json!({"job_id": "job_1", "workspace_id": "acme", "waterfall": waterfall, "leads": leads(1)});
            told += &format!("{:?}\n", take(&intake, &message).await);
        }
        expect![[r#"
            Dead(UnknownWaterfall, "waterfall: there is no waterfall `phones`; there are: work_email")
            Dead(UnknownWaterfall, "waterfall names none that is in the configuration")
        "#]]
        .assert_eq(&told);
    }

    #[test]
    fn a_trouble_that_may_pass_is_tried_again_and_one_that_stays_is_given_up() {
        let away = || Err(Trouble::Store(LedgerError::Unavailable("gone".to_owned())));
        let broken = || Err(Trouble::Store(LedgerError::Corrupt("broken".to_owned())));
        let cut = || Err(Trouble::Passing("leads_from was cut".to_owned()));
        let mut told = String::new();
        for (name, trouble, tries) in [
            ("away", away(), 0),
            ("away", away(), 9_999),
            ("broken", broken(), 9),
            ("broken", broken(), 10),
            ("cut", cut(), 59),
            ("cut", cut(), 60),
            ("busy", Err(Trouble::Busy), 0),
            ("busy", Err(Trouble::Busy), 9),
            ("done", Ok(()), 5),
        ] {
            told += &format!("{name} after {tries}: {:?}\n", fate(trouble, tries));
        }
        expect![[r#"
            away after 0: Retry(OneSecond)
            away after 9999: Retry(OneMinute)
            broken after 9: Retry(OneMinute)
            broken after 10: Dead(GaveUp, "the store has refused it 10 times")
            cut after 59: Retry(OneMinute)
            cut after 60: Dead(GaveUp, "leads_from was cut; tried 60 times")
            busy after 0: Retry(TenSeconds)
            busy after 9: Retry(OneMinute)
            done after 5: Ack
        "#]]
        .assert_eq(&told);
    }
}
