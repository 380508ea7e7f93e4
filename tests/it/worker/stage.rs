//! A whole plant for one test: store, broker, providers, and a folder that `weir` is run in.

use crate::services::Call;
use crate::services::Config;
use crate::services::ConfigFolder;
use crate::services::Message;
use crate::services::Postgres;
use crate::services::RabbitMq;
use crate::services::Received;
use crate::services::Sandbox;
use crate::services::WorkerProcess;
use crate::services::eventually;
use crate::worker::told::all_completed;
use crate::worker::told::amount;
use crate::worker::told::job;
use crate::worker::told::with;
use jsonschema::Validator;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

/// For anything that must come; a lease and a retry, most of it.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);

/// The platform's queue.
pub(super) const RESULTS: &str = "weir.results";
/// The queue of whoever listens to everything.
pub(super) const EVENTS: &str = "events";

/// Where a job may wait to be worked on.
const WORK_QUEUES: [&str; 7] =
    ["weir.enrich", "weir.copy", "weir.jobcontrol", "weir.slices", "weir.retry.1s", "weir.retry.10s", "weir.retry.60s"];

pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    pub(super) database: Postgres,
    pub(super) broker: RabbitMq,
    pub(super) folder: ConfigFolder,
    /// What `weir schema` says of each type of message.
    schemas: BTreeMap<String, Validator>,
}

impl Stage {
    /// With an empty store, and a sandbox started with these options.
    pub(super) async fn new(config: Config<'_>, sandbox: &[&str]) -> Self {
        Self::on(RabbitMq::fresh().await, config, sandbox).await
    }

    /// The same, with the whole broker to itself: for a test whose name begins with `alone_`.
    pub(super) async fn alone(config: Config<'_>, sandbox: &[&str]) -> Self {
        Self::on(RabbitMq::alone().await, config, sandbox).await
    }

    async fn on(broker: RabbitMq, config: Config<'_>, sandbox: &[&str]) -> Self {
        let (database, sandbox) = (Postgres::fresh().await, Sandbox::start(sandbox));
        let folder = ConfigFolder::new(config, &sandbox, &database, &broker);
        folder.weir(&["migrate"]).await.done();
        let schemas = folder.weir(&["schema"]).await.done();
        let schemas: BTreeMap<String, Value> = serde_json::from_str(&schemas).unwrap();
        let schemas = schemas.into_iter().map(|(kind, schema)| (kind, jsonschema::validator_for(&schema).unwrap()));
        Self { sandbox, database, broker, folder, schemas: schemas.collect() }
    }

    /// LeadMagic's calls a second, all workers together; for workers that start later.
    pub(super) fn limit_finds(&mut self, per_second: u32) {
        self.folder.set("WEIR__PROVIDERS__LEADMAGIC__REQUESTS_PER_SECOND", &per_second.to_string());
    }

    /// One more worker, which takes work already.
    pub(super) async fn worker(&self) -> WorkerProcess {
        let mut worker = WorkerProcess::start(&self.folder, &[]);
        worker.wait_ready().await;
        worker
    }

    /// What a command prints with `--json`, a value a line; it must succeed.
    pub(super) async fn json(&self, args: &[&str]) -> Vec<Value> {
        let printed = self.folder.weir(&[args, &["--json"]].concat()).await.done();
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(super) async fn top_up(&self, workspace: &str, usd: &str) {
        let reference = Uuid::now_v7().to_string();
        self.folder.weir(&["wallet", "topup", workspace, usd, "--ref", &reference]).await.done();
    }

    /// Publishes a message that its schema allows.
    pub(super) async fn say(&self, exchange: &str, routing_key: &str, kind: &str, message: &Value) {
        self.assert_is_as_its_schema_says(kind, message);
        let (id, text) = (Uuid::now_v7().to_string(), message.to_string());
        let body = text.as_bytes();
        let message = Message { exchange, routing_key, kind, message_id: &id, body, ..Message::default() };
        self.broker.publish(message).await;
    }

    pub(super) async fn submit(&self, job: &Value) {
        self.say("weir.jobs", "enrich", "weir.enrichment_job.v1", job).await;
    }

    pub(super) async fn submit_copy(&self, job: &Value) {
        self.say("weir.jobs", "copy", "weir.copy_job.v1", job).await;
    }

    /// Orders or answers, as a platform sends them.
    pub(super) async fn control(&self, kind: &str, message: &Value) {
        self.say("weir.jobs", "control", kind, message).await;
    }

    /// `weir workspace set`.
    pub(super) async fn set_workspace(&self, workspace: &str, options: &[&str]) {
        self.folder.weir(&[&["workspace", "set", workspace][..], options].concat()).await.done();
    }

    /// Gives a workspace a key of its own.
    pub(super) async fn set_key(&self, workspace: &str, provider: &str, key: &str) {
        self.folder.weir_on(key, &["key", "set", workspace, provider]).await.done();
    }

    /// Takes messages until those taken are enough; each must be what its schema says.
    pub(super) async fn take(&self, queue: &str, enough: impl FnMut(&[Received]) -> bool) -> Vec<Received> {
        let taken = self.broker.drain_until(queue, PATIENCE, enough).await;
        for message in &taken {
            self.assert_is_as_its_schema_says(message.kind(), &message.json());
        }
        taken
    }

    /// Takes what comes to the platform until each of these jobs has completed once.
    pub(super) async fn until_completed(&self, jobs: &[&str]) -> Vec<Received> {
        self.take(RESULTS, all_completed(jobs)).await
    }

    /// Takes what whoever listens hears until these jobs have completed, and whatever happened before is told too:
    /// what happens together is told in any order, so a job of a workspace `witness` is sent behind them, and left out.
    pub(super) async fn until_all_is_told(&self, jobs: &[&str]) -> Vec<Received> {
        let mut heard = self.take(EVENTS, all_completed(jobs)).await;
        self.top_up("witness", "1").await;
        let id = format!("witness-{}", Uuid::now_v7());
        self.submit(&with(job(&id, &[(1, "miss")]), "workspace_id", "witness")).await;
        heard.extend(self.take(EVENTS, all_completed(&[id.as_str()])).await);
        heard.retain(|message| message.json()["workspace_id"] != "witness");
        heard
    }

    /// Takes what lies in a queue now.
    pub(super) async fn take_rest(&self, queue: &str) -> Vec<Received> {
        let depth = self.broker.queue_depth(queue).await.unwrap();
        self.take(queue, |taken| taken.len() >= usize::try_from(depth).unwrap()).await
    }

    /// Waits until the providers have had so many calls in all.
    pub(super) async fn until_called(&self, times: usize) {
        let called = async || (self.sandbox.calls().len() >= times).then_some(());
        eventually(&format!("{times} calls"), PATIENCE, called).await;
    }

    /// `weir jobs show`.
    pub(super) async fn job(&self, id: &str) -> Value {
        self.json(&["jobs", "show", id]).await.remove(0)
    }

    /// What is in a wallet, held or not.
    pub(super) async fn balance(&self, workspace: &str) -> Decimal {
        amount(&self.json(&["wallet", "show", workspace]).await[0]["balance"])
    }

    pub(super) async fn ledger(&self, workspace: &str) -> Vec<Value> {
        self.json(&["wallet", "ledger", workspace]).await
    }

    /// What a workspace's jobs have cost by its ledger; no step of a lead may be in it twice, no balance below zero.
    pub(super) async fn spent(&self, workspace: &str) -> Decimal {
        let mut paid = BTreeSet::new();
        let mut spent = Decimal::ZERO;
        for entry in self.ledger(workspace).await {
            assert!(!amount(&entry["balance"]).is_sign_negative(), "{entry}");
            if entry["kind"] == "settle" {
                let step = ["job_id", "lead_id", "provider", "operation"].map(|field| entry[field].to_string());
                assert!(paid.insert(step), "charged twice: {entry}");
                spent -= amount(&entry["amount"]);
            }
        }
        spent
    }

    /// What the providers have billed for all calls, at the configured prices.
    pub(super) fn billed(&self) -> Decimal {
        self.sandbox.calls().iter().map(Call::cost).sum()
    }

    /// Every sum in the store is right, and no money is held: to be asked when no job is running.
    pub(super) async fn assert_audit_is_clean(&self) {
        let audit = &self.json(&["wallet", "audit"]).await[0];
        assert_eq!((&audit["ok"], &audit["open_holds"]), (&json!(true), &json!(0)), "{audit}");
    }

    /// Waits until no message waits to be worked on, and nothing was given up.
    pub(super) async fn assert_no_work_is_left(&self) {
        for queue in WORK_QUEUES {
            let empty = async || (self.broker.queue_depth(queue).await == Some(0)).then_some(());
            eventually(&format!("an empty {queue}"), PATIENCE, empty).await;
        }
        assert_eq!(self.broker.queue_depth("weir.dead").await, Some(0));
    }

    /// Asks each worker to end, and waits for it; then nothing that was received may come back.
    pub(super) async fn assert_all_end_well(&self, workers: &mut [WorkerProcess]) {
        for worker in &*workers {
            worker.terminate();
        }
        for worker in workers {
            assert_eq!(worker.ended().await, Some(0), "{}", worker.log());
        }
        self.assert_no_work_is_left().await;
    }

    fn assert_is_as_its_schema_says(&self, kind: &str, message: &Value) {
        let schema = self.schemas.get(kind).unwrap_or_else(|| panic!("there is no schema for {kind:?}"));
        if let Err(error) = schema.validate(message) {
            panic!("{kind}: {error} in {message}");
        }
    }
}
