//! Jobs in: each lies whole in the store before its message is acknowledged.

use crate::crew::fate::Trouble;
use crate::crew::fate::conclude;
use crate::crew::order::Order;
use crate::crew::sources::Sources;
use crate::crew::sweep::announce_job;
use crate::jobs::JobState;
use crate::jobs::NewJob;
use crate::jobs::NewLead;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::ledger::LeadNo;
use crate::lists;
use crate::lists::Field;
use crate::lists::Input;
use crate::lists::Mapping;
use crate::lists::Need;
use crate::lists::Scan;
use crate::messages::Leads;
use crate::messages::RawLead;
use crate::queue::Queue;
use crate::queue::rabbitmq::Consumer;
use crate::worker;
use crate::worker::Engine;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Takes jobs from `weir.enrich` and `weir.copy`, one at a time from each.
pub(super) struct Intake {
    engine: Arc<Engine>,
    queue: Arc<dyn Queue>,
    sources: Sources,
    slice_size: u32,
}

impl Intake {
    /// Announces slices of `slice_size` leads in `queue`; `sources` are where lists may lie.
    pub(super) fn new(engine: Arc<Engine>, queue: Arc<dyn Queue>, sources: Sources, slice_size: u32) -> Self {
        Self { engine, queue, sources, slice_size }
    }

    /// Takes what one queue delivers, until a stop. A job that is being loaded then is somebody else's at once.
    pub(super) async fn run(self: Arc<Self>, mut consumer: Consumer) {
        let stop = self.engine.tasks.token();
        while let Some(Some(delivery)) = stop.run_until_cancelled(consumer.next()).await {
            let taking = self.take(Order::open(&delivery));
            let Some(taken) = stop.run_until_cancelled(taking).await else {
                // Where it cannot be given back, it comes again by itself.
                let _ = delivery.leave().await;
                return;
            };
            conclude(delivery, taken).await;
        }
    }

    async fn take(&self, opened: Result<Order, Trouble>) -> Result<(), Trouble> {
        let Order { id, workspace, campaign, wanted, content, max_spend, auto_resume, leads, reply } = opened?;
        let known = self.engine.store.find_job(&id).await?;
        if let Some(known) = &known {
            if known.workspace != workspace {
                return Err(Trouble::other_workspace(&id));
            }
            if known.content != content {
                return Err(Trouble::other_content(&id));
            }
            if known.state != JobState::Loading {
                return self.take_again(known).await;
            }
        }
        let work = match known {
            Some(known) => known.work,
            None => wanted.resolve(&self.engine.works.live())?,
        };
        let need = need_of(&work);
        let slice_size = self.slice_size;
        let new = NewJob { id, workspace, work, content, slice_size, campaign, max_spend, auto_resume, reply };
        let store = &*self.engine.store;
        let taken = match leads {
            Leads::Inline(leads) => {
                let leads = (1..).zip(leads).map(|(n, raw)| new_lead(need, n, raw));
                worker::take_in_leads(store, new, leads.collect()).await?
            }
            Leads::From(address) => {
                let (input, scan) = scan(need, self.sources.open(&address).await?).await?;
                worker::take_in(store, new, &input, &scan).await?
            }
        };
        let job = taken.job;
        if let Some(id) = taken.repeated_id {
            let used = "row numbers are used instead";
            tracing::warn!(job.id = %job.id, "the lead id {id} stands in the list more than once: {used}");
        }
        let (leads, kind) = (job.leads, job.work.kind());
        tracing::info!(job.id = %job.id, workspace.id = %job.workspace, leads, "a job is taken in: {kind}");
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
}

/// What makes a lead one that this can be done for.
const fn need_of(work: &Work) -> Need {
    match work {
        Work::Enrich(_) => Need::Lookup,
        Work::Copy(_) => Need::Anything,
    }
}

/// A lead as a row of a list would make it.
fn new_lead(need: Need, n: u32, raw: RawLead) -> NewLead {
    let lead = lists::lead_of(need, |field| {
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
async fn scan(need: Need, input: Input) -> Result<(Input, Scan), Trouble> {
    let scanning =
        spawn_blocking(move || lists::scan(&input, None, &Mapping::default(), need).map(|scan| (input, scan)));
    let scanned = scanning.await.map_err(|_| Trouble::Passing("leads_from: its reading was stopped".to_owned()))?;
    Ok(scanned?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::prepare_inline;
    use crate::crew::fate::fate;
    use crate::domain::JobId;
    use crate::domain::LeadId;
    use crate::domain::Purpose;
    use crate::domain::WaterfallName;
    use crate::domain::WorkerId;
    use crate::http::Client;
    use crate::http::Gates;
    use crate::jobs::Claimant;
    use crate::jobs::Tenure;
    use crate::ledger::SliceNo;
    use crate::messages;
    use crate::messages::Incoming;
    use crate::queue::DeadReason;
    use crate::queue::Fate;
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
        [providers.openai]
        house_key = "env:KEY"
        [models."gpt-5.4-mini"]
        provider = "openai"
        input_per_million = "0.75"
        cached_input_per_million = "0.075"
        cache_write_per_million = "0.75"
        output_per_million = "4.50"
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

    /// A job as its queue would deliver it: one that says what is to be written is a copy job.
    fn read(message: &Value) -> Incoming {
        let routing_key = if message.get("instructions").is_some() { "copy" } else { "enrich" };
        messages::read(None, routing_key, message.to_string().as_bytes()).unwrap()
    }

    fn order(message: &Value) -> Order {
        let message = read(message);
        let queue = if let Incoming::Copy(_) = &message { "weir.copy" } else { "weir.enrich" };
        Order::of(message, queue, None).unwrap()
    }

    async fn take(intake: &Intake, message: &Value) -> Fate {
        fate(intake.take(Ok(order(message))).await, 0)
    }

    async fn stored(intake: &Intake, id: &str) -> StoredJob {
        intake.engine.store.find_job(&JobId::new(id)).await.unwrap().unwrap()
    }

    fn copy_job(id: &str) -> Value {
        json!({
            "job_id": id,
            "workspace_id": "acme",
            "purpose": "warmup",
            "model": "gpt-5.4-mini",
            "max_output_tokens": 300,
            "instructions": "Write.",
            "leads": [
                {"lead_id": "1", "email": "ada@acme.test"},
                {"lead_id": "2", "first_name": "Bea"},
                {"lead_id": "3", "domain": "acme.test"},
                {"lead_id": "4", "domain": "n/a", "first_name": " "},
            ],
        })
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
        let job = stored(&intake, "job_1").await;
        assert_eq!((job.state, job.leads), (JobState::Queued, 4));
        assert_eq!((job.work.kind(), job.work.name()), ("enrich", "work_email"));
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
        let again = stored(&intake, "job_1").await;
        assert_eq!((again.workspace, again.leads, again.run), (job.workspace, 4, job.run));
    }

    #[tokio::test]
    async fn an_interrupted_load_is_begun_anew() {
        let (intake, _queue, _folder) = intake(&[]);
        let message = json!({"job_id": "job_1", "workspace_id": "acme", "leads": leads(3)});
        let Order { id, workspace, content, leads: raw, .. } = order(&message);
        let new = NewJob {
            id,
            workspace,
            work: Work::Enrich(WaterfallName::new("work_email")),
            content,
            slice_size: 2,
            campaign: None,
            max_spend: None,
            auto_resume: false,
            reply: None,
        };
        let store = &intake.engine.store;
        let key = store.create_job(new).await.unwrap().key;
        let interrupted = store.begin_load(key).await.unwrap().unwrap();
        let Leads::Inline(raw) = raw else { panic!("no leads") };
        let half = (1..).zip(raw).take(2).map(|(n, raw)| new_lead(Need::Lookup, n, raw)).collect();
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
        let job = stored(&intake, "good").await;
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
    async fn a_copy_job_is_stored_with_its_brief_and_every_lead_that_says_anything() {
        let (intake, queue, _folder) = intake(&[]);
        for _ in 0..2 {
            assert_eq!(take(&intake, &copy_job("copy_1")).await, Fate::Ack);
        }
        let job = stored(&intake, "copy_1").await;
        assert_eq!((job.state, job.leads), (JobState::Queued, 4));
        let brief = job.work.brief().unwrap();
        assert_eq!(
            (brief.purpose, brief.model.as_str(), brief.max_output_tokens),
            (Purpose::Warmup, "gpt-5.4-mini", 300)
        );
        assert_eq!(brief.instructions, "Write.");
        // One lead says nothing, and has ended.
        assert_eq!(intake.engine.store.progress(job.key).await.unwrap().done, 1);
        assert_eq!(queue.receive().await.unwrap().message.slice, SliceNo(0));

        let mut enrich = copy_job("copy_1");
        enrich.as_object_mut().unwrap().remove("instructions");
        let used = "job_id copy_1 was used before for other content".to_owned();
        assert_eq!(take(&intake, &enrich).await, Fate::Dead(DeadReason::Conflict, used));
    }

    #[tokio::test]
    async fn a_copy_jobs_list_is_read_by_the_same_rule_as_its_leads() {
        let lists = tempfile::tempdir().unwrap();
        let (intake, _queue, _folder) = intake(&[lists.path()]);
        std::fs::write(lists.path().join("list.csv"), "id,first_name,domain\na,Ada,\nb,,acme.test\nc,,n/a\n").unwrap();
        for (id, message, done) in [("copy_1", copy_job("copy_1"), 1), ("job_1", json!({"workspace_id": "acme"}), 3)] {
            let mut message = message;
            message["job_id"] = json!(id);
            message["leads"] = json!(null);
            message["leads_from"] = json!(format!("file://{}/list.csv", lists.path().display()));
            assert_eq!(take(&intake, &message).await, Fate::Ack);
            let job = stored(&intake, id).await;
            let progress = intake.engine.store.progress(job.key).await.unwrap();
            assert_eq!((job.leads, progress.done), (3, done), "{id}");
        }
    }

    #[tokio::test]
    async fn a_model_that_is_not_there_is_named_if_it_can_be_a_name() {
        let (intake, _queue, _folder) = intake(&[]);
        let mut told = String::new();
        for model in ["gpt-2", "ada@acme.test"] {
            let mut message = copy_job("copy_1");
            message["model"] = json!(model);
            told += &format!("{:?}\n", take(&intake, &message).await);
        }
        expect![[r#"
            Dead(UnknownModel, "model: there is no model `gpt-2`; there are: gpt-5.4-mini")
            Dead(UnknownModel, "model names none that is in the configuration")
        "#]]
        .assert_eq(&told);
        assert!(intake.engine.store.find_job(&JobId::new("copy_1")).await.unwrap().is_none());
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
}
