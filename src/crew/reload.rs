//! Configurations, while the worker works: prepared, stored, and only then in force, the same on every
//! worker; and whatever else is said on `weir.control`.

use crate::clock;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Mistakes;
use crate::config::Prepared;
use crate::config::prepare_files;
use crate::config::prepare_inline;
use crate::crew::fate::STORE_TRIES;
use crate::crew::fate::settle;
use crate::crew::gauges::show_configuration;
use crate::crew::presence::Presence;
use crate::domain::ConfigVersion;
use crate::ledger::LedgerError;
use crate::messages;
use crate::messages::ConfigApplied;
use crate::messages::ConfigMistake;
use crate::messages::ConfigRejected;
use crate::messages::ConfigReload;
use crate::messages::Incoming;
use crate::messages::Message;
use crate::messages::ReloadFrom;
use crate::messages::event_id;
use crate::messages::is_id;
use crate::messages::routing_key;
use crate::metrics;
use crate::queue::Fate;
use crate::queue::NotPublished;
use crate::queue::Outgoing;
use crate::queue::Publish;
use crate::queue::RetryAfter;
use crate::queue::To;
use crate::queue::rabbitmq::ControlConsumer;
use crate::queue::rabbitmq::Delivery;
use crate::queue::rabbitmq::Event;
use crate::store::Store;
use crate::worker::Engine;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Mistakes that one event names.
const MOST_MISTAKES: usize = 100;
/// Tries to tell how a request ended, until one is confirmed.
const TELL_TRIES: u32 = 10;
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// Follows the configuration that the store says is in force.
pub(super) struct Reloads {
    engine: Arc<Engine>,
    publisher: Arc<dyn Publish>,
    folder: Option<PathBuf>,
    environment: Environment,
    /// Held while another is prepared: one after the other.
    running: Mutex<Running>,
}

struct Running {
    config: Config,
    /// What of the store was looked at last, usable or not; `None` before the first look.
    seq: Option<u64>,
}

/// How a request ended on this worker.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Answer {
    /// In force now.
    version: ConfigVersion,
    /// None: it was applied.
    mistakes: Vec<ConfigMistake>,
}

impl Reloads {
    /// The configuration to start with: the stored one over `config`, where one is stored and has no mistake.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(super) async fn starting(
        store: &dyn Store,
        config: Config,
        environment: &Environment,
    ) -> Result<Config, LedgerError> {
        let Some(text) = store.stored_config().await?.text else { return Ok(config) };
        let env = |name: &str| environment.get(name);
        match prepare_inline(&text, &config.folder, &env, environment.variables()) {
            Ok(prepared) => {
                prepared.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                Ok(config.with_live(prepared))
            }
            Err(mistakes) => {
                tracing::error!(
                    "the stored inline configuration cannot be used, so {} is in force; `weir submit config FILE` \
                     stores another, and a reload from the files takes it back:\n{mistakes}",
                    config.origin
                );
                Ok(config)
            }
        }
    }

    /// `config` is in force; `folder` is the one that was named at the start, if one was.
    pub(super) fn new(
        engine: Arc<Engine>,
        publisher: Arc<dyn Publish>,
        config: Config,
        folder: Option<PathBuf>,
        environment: Environment,
    ) -> Self {
        let running = Mutex::new(Running { config, seq: None });
        Self { engine, publisher, folder, environment, running }
    }

    /// Hears what is said to all workers, until a stop. Nothing of it goes to `weir.dead`: each worker
    /// has its own copy.
    pub(super) async fn hear(
        self: Arc<Self>,
        mut events: ControlConsumer,
        presence: Arc<Presence>,
        pulse: Arc<Notify>,
    ) {
        let stop = self.engine.tasks.token();
        while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
            match event {
                // What was said meanwhile is in the store.
                Event::Connected => pulse.notify_one(),
                Event::Message(delivery) => {
                    let fate = self.take(&presence, &pulse, open(&delivery), delivery.tries).await;
                    // A retry waits before it is given back: others are heard meanwhile.
                    self.engine.tasks.spawn(settle(*delivery, fate));
                }
            }
        }
    }

    async fn take(&self, presence: &Presence, pulse: &Notify, said: Said, tries: u32) -> Fate {
        match said {
            Said::Message(Incoming::ConfigReload(reload)) => return self.obey(reload, tries).await,
            Said::Message(Incoming::Presence(said)) => presence.heard(said),
            Said::Message(Incoming::WorkerStopped(stopped)) => presence.gone(stopped),
            Said::Message(Incoming::KeysChanged(_)) => pulse.notify_one(),
            Said::Message(
                Incoming::Enrich(_)
                | Incoming::Copy(_)
                | Incoming::JobControl(_)
                | Incoming::TopUp(_)
                | Incoming::CampaignActivate(_),
            ) => tracing::warn!("a message of a type that does not belong on weir.control is passed over"),
            Said::BadReload { request, problem } => {
                let mistakes = vec![ConfigMistake { path: String::new(), message: problem }];
                self.tell(&request, Answer { version: self.engine.works.live().version.clone(), mistakes });
            }
            Said::Nonsense(problem) => tracing::warn!("a message on weir.control is passed over: {problem}"),
        }
        Fate::Ack
    }

    async fn obey(&self, reload: ConfigReload, tries: u32) -> Fate {
        let ConfigReload { request_id: request, from } = reload;
        let text = match from {
            ReloadFrom::Inline(text) => Some(text),
            ReloadFrom::Files => None,
        };
        match self.reload(&request, text).await {
            Ok(answer) => self.tell(&request, answer),
            Err(error) if error.is_transient() || tries < STORE_TRIES => {
                tracing::warn!(request.id = request, "a configuration cannot be stored, and waits: {error}");
                return Fate::Retry(RetryAfter::tries(tries));
            }
            Err(error) => self.tell(&request, self.not_stored(&error)),
        }
        Fate::Ack
    }

    /// Reads the files again, here and everywhere.
    pub(super) async fn reload_files(&self, request: &str) {
        let answer = self.reload(request, None).await.unwrap_or_else(|error| self.not_stored(&error));
        self.tell(request, answer);
    }

    /// Somebody has stored another configuration, as change number `seq`.
    pub(super) async fn catch_up(&self, seq: u64) {
        let mut running = self.running.lock().await;
        if running.seq == Some(seq) {
            return;
        }
        match self.follow(&mut running).await {
            Ok(Ok(())) => {}
            Ok(Err(mistakes)) => {
                tracing::error!("the stored configuration cannot be used here, the former stays in force:\n{mistakes}");
            }
            Err(error) => tracing::warn!("the stored configuration cannot be read: {error}"),
        }
    }

    /// Prepares, stores, and puts in force what is stored then: of two requests at once every worker
    /// takes the same.
    async fn reload(&self, request: &str, text: Option<String>) -> Result<Answer, LedgerError> {
        let mut running = self.running.lock().await;
        let outcome = match self.prepare(&running.config, text.as_deref()) {
            Ok(_) => {
                self.engine.store.store_config(request, text).await?;
                self.follow(&mut running).await?
            }
            Err(mistakes) => Err(mistakes),
        };
        let mistakes = outcome.err().map(|mistakes| named(&mistakes)).unwrap_or_default();
        Ok(Answer { version: running.config.live.version.clone(), mistakes })
    }

    /// Puts in force what is stored, if it is another than the last; with mistakes the former stays.
    async fn follow(&self, running: &mut Running) -> Result<Result<(), Mistakes>, LedgerError> {
        let stored = self.engine.store.stored_config().await?;
        let first = running.seq.is_none();
        if running.seq.replace(stored.seq) == Some(stored.seq) {
            return Ok(Ok(()));
        }
        match self.prepare(&running.config, stored.text.as_deref()) {
            Ok(prepared) => {
                // At the start it was read a moment ago.
                if !first || prepared.live.version != running.config.live.version {
                    self.put_in_force(running, prepared).await;
                }
                Ok(Ok(()))
            }
            Err(mistakes) => Ok(Err(mistakes)),
        }
    }

    fn prepare(&self, running: &Config, text: Option<&str>) -> Result<Prepared, Mistakes> {
        let env = |name: &str| self.environment.get(name);
        let overrides = self.environment.variables();
        match text {
            Some(text) => prepare_inline(text, &running.folder, &env, overrides),
            None => prepare_files(running, self.folder.as_deref(), &env, overrides),
        }
    }

    async fn put_in_force(&self, running: &mut Running, prepared: Prepared) {
        prepared.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let live = Arc::clone(&prepared.live);
        running.config = running.config.clone().with_live(prepared);
        self.engine.swap(Arc::clone(&live));
        show_configuration(&live);
        tracing::info!(config.version = %live.version, "{} is in force", running.config.origin);
        // The house's keys may be others: the next failure of one is news.
        if let Err(error) = self.engine.store.key_works(None, None).await {
            tracing::warn!("keys that failed may not be told of again: {error}");
        }
    }

    fn not_stored(&self, error: &LedgerError) -> Answer {
        tracing::error!("a configuration cannot be stored, the former stays in force: {error}");
        let message = "the store did not take it: send it again".to_owned();
        let mistakes = vec![ConfigMistake { path: String::new(), message }];
        Answer { version: self.engine.works.live().version.clone(), mistakes }
    }

    /// Tells whoever asked, beside all else.
    fn tell(&self, request: &str, answer: Answer) {
        let message = self.event(request, answer);
        let (publisher, tasks) = (Arc::clone(&self.publisher), self.engine.tasks.clone());
        self.engine.tasks.spawn(async move {
            for _ in 0..TELL_TRIES {
                match publisher.publish(message.clone()).await {
                    Ok(()) => return,
                    Err(NotPublished::Unroutable) => return metrics::unroutable(&message.kind),
                    Err(NotPublished::Unconfirmed(why)) => tracing::debug!(kind = message.kind, "{why}; telling again"),
                }
                tokio::select! {
                    () = tasks.stopping() => return,
                    () = sleep(TELL_PAUSE) => {}
                }
            }
        });
    }

    fn event(&self, request: &str, answer: Answer) -> Outgoing {
        let Answer { version: config_version, mistakes: errors } = answer;
        let worker_id = self.engine.claimant.worker.clone();
        let id = |kind: &str| event_id(&[kind, request, worker_id.as_str()]);
        let (at, workspace_id, request_id) = (clock::timestamp(clock::wall_ms()), None, request.to_owned());
        if errors.is_empty() {
            tracing::info!(request.id = request, config.version = %config_version, "a configuration is applied");
            let event_id = id(ConfigApplied::KIND);
            outgoing(
                event_id.clone(),
                &ConfigApplied { event_id, at, workspace_id, request_id, worker_id, config_version, errors },
            )
        } else {
            let count = errors.len();
            tracing::warn!(request.id = request, "a configuration is rejected for {count} mistakes");
            let event_id = id(ConfigRejected::KIND);
            outgoing(
                event_id.clone(),
                &ConfigRejected { event_id, at, workspace_id, request_id, worker_id, config_version, errors },
            )
        }
    }
}

fn outgoing<M: Message + Serialize>(message_id: String, event: &M) -> Outgoing {
    Outgoing {
        to: To::Events(routing_key(M::KIND).to_owned()),
        kind: M::KIND.to_owned(),
        message_id,
        correlation_id: None,
        reply_to: None,
        headers: Vec::new(),
        body: event.to_body(),
    }
}

fn named(mistakes: &Mistakes) -> Vec<ConfigMistake> {
    let entries = mistakes.entries().take(MOST_MISTAKES);
    entries.map(|(path, message)| ConfigMistake { path, message }).collect()
}

/// What somebody said on `weir.control`.
enum Said {
    Message(Incoming),
    /// A reload that cannot be read, and the request it names.
    BadReload {
        request: String,
        problem: String,
    },
    Nonsense(String),
}

fn open(delivery: &Delivery) -> Said {
    understand(delivery.kind.as_deref(), &delivery.routing_key, &delivery.body)
}

fn understand(kind: Option<&str>, key: &str, body: &[u8]) -> Said {
    match messages::read(kind, key, body) {
        Ok(message) => Said::Message(message),
        Err(refusal) => match request_of(kind, body) {
            Some(request) => Said::BadReload { request, problem: refusal.detail },
            None => Said::Nonsense(refusal.to_string()),
        },
    }
}

/// The request that a reload names, though it cannot be read: whoever sent it waits for an answer.
fn request_of(kind: Option<&str>, body: &[u8]) -> Option<String> {
    let is_reload = kind.is_none_or(|kind| kind.is_empty() || kind == ConfigReload::KIND);
    let body: Value = serde_json::from_slice(body).ok()?;
    let request = body.get("request_id")?.as_str()?;
    (is_reload && is_id(request)).then(|| request.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;
    use crate::config::load;
    use crate::crew::intake::tests::LIVE;
    use crate::crew::intake::tests::engine;
    use crate::queue::Publishing;
    use expect_test::expect;
    use std::fs;
    use std::path::Path;
    use std::sync::Mutex as StdMutex;
    use tempfile::TempDir;

    /// Another price than in [`LIVE`].
    const OTHER: &str = r#"
        [providers.leadmagic]
        house_key = "env:KEY"
        credit_price = "0.02"
        [waterfalls.work_email]
        find = ["leadmagic"]
    "#;
    const WRONG: &str = "[wallet]\nlow_balance = 10\n[store]\nurl = \"sqlite://x\"\n";

    /// Remembers what is published.
    #[derive(Default)]
    struct Recorder(StdMutex<Vec<Outgoing>>);

    impl Publish for Recorder {
        fn publish(&self, message: Outgoing) -> Publishing<'_> {
            self.0.lock().unwrap().push(message);
            Box::pin(async { Ok(()) })
        }
    }

    fn environment() -> Environment {
        Environment::from(vec![("KEY".to_owned(), "k".to_owned())])
    }

    fn files(folder: &Path, live: &str) -> Config {
        fs::write(folder.join("weir.toml"), live).unwrap();
        load(Some(folder), &|name| environment().get(name), &[]).unwrap()
    }

    fn reloads() -> (Reloads, Arc<Recorder>, TempDir) {
        let (engine, folder) = engine();
        let config = files(folder.path(), LIVE);
        let recorder = Arc::new(Recorder::default());
        let publisher = Arc::<Recorder>::clone(&recorder);
        let named = Some(folder.path().to_owned());
        (Reloads::new(engine, publisher, config, named, environment()), recorder, folder)
    }

    fn reload(request: &str, text: &str) -> ConfigReload {
        ConfigReload { request_id: request.to_owned(), from: ReloadFrom::Inline(text.to_owned()) }
    }

    /// Price, and where it was read.
    async fn in_force(reloads: &Reloads) -> (String, Origin) {
        let live = reloads.engine.works.live();
        let price = live.providers.values().next().unwrap().credit_price.unwrap();
        (price.to_string(), reloads.running.lock().await.config.origin.clone())
    }

    #[tokio::test]
    async fn an_inline_configuration_is_stored_in_force_and_told_of() {
        let (reloads, recorder, _folder) = reloads();
        for _ in 0..2 {
            assert_eq!(reloads.obey(reload("r1", OTHER), 0).await, Fate::Ack);
            assert_eq!(in_force(&reloads).await, ("0.020000000".to_owned(), Origin::Stored));
        }
        let stored = reloads.engine.store.stored_config().await.unwrap();
        assert_eq!(stored.text.as_deref(), Some(OTHER));

        reloads.engine.tasks.drain().await;
        let told = recorder.0.lock().unwrap();
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|event| event.message_id == told[0].message_id));
        let event: Value = serde_json::from_slice(&told[0].body).unwrap();
        assert_eq!((told[0].kind.as_str(), &event["request_id"]), (ConfigApplied::KIND, &Value::from("r1")));
        assert_eq!(event["config_version"], reloads.engine.works.live().version.as_str());
    }

    #[tokio::test]
    async fn with_a_mistake_nothing_is_stored_and_every_mistake_is_told() {
        let (reloads, recorder, _folder) = reloads();
        assert_eq!(reloads.obey(reload("r1", WRONG), 0).await, Fate::Ack);
        assert_eq!(in_force(&reloads).await.0, "0.012500000");
        assert_eq!(reloads.engine.store.stored_config().await.unwrap().text, None);

        reloads.engine.tasks.drain().await;
        let told = recorder.0.lock().unwrap();
        let event: Value = serde_json::from_slice(&told[0].body).unwrap();
        let errors = event["errors"].as_array().unwrap();
        let paths: Vec<&str> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
        assert_eq!((told[0].kind.as_str(), paths), (ConfigRejected::KIND, vec!["wallet.low_balance", "store.url"]));
    }

    #[tokio::test]
    async fn what_another_worker_has_stored_is_followed_and_its_mistakes_are_not() {
        let (reloads, _recorder, folder) = reloads();
        let store = Arc::clone(&reloads.engine.store);
        let seq = store.store_config("r1", Some(OTHER.to_owned())).await.unwrap();
        reloads.catch_up(seq).await;
        assert_eq!(in_force(&reloads).await.0, "0.020000000");

        // That worker knows other providers.
        let seq = store.store_config("r2", Some(WRONG.to_owned())).await.unwrap();
        reloads.catch_up(seq).await;
        assert_eq!(in_force(&reloads).await, ("0.020000000".to_owned(), Origin::Stored));

        files(folder.path(), &LIVE.replace("0.0125", "0.03"));
        reloads.reload_files("sighup-1").await;
        let file = Origin::File(folder.path().join("weir.toml"));
        assert_eq!(in_force(&reloads).await, ("0.030000000".to_owned(), file));
        assert_eq!(store.stored_config().await.unwrap().text, None);
    }

    #[tokio::test]
    async fn a_worker_starts_with_what_is_stored_if_it_can() {
        let (reloads, _recorder, folder) = reloads();
        let store = &*reloads.engine.store;
        for (request, stored, price) in
            [("r1", Some(OTHER), "0.020000000"), ("r2", Some(WRONG), "0.012500000"), ("r3", None, "0.012500000")]
        {
            store.store_config(request, stored.map(str::to_owned)).await.unwrap();
            let config = files(folder.path(), LIVE);
            let config = Reloads::starting(store, config, &environment()).await.unwrap();
            let leadmagic = config.live.providers.values().next().unwrap();
            assert_eq!(leadmagic.credit_price.unwrap().to_string(), price);
        }
    }

    #[test]
    fn whoever_sent_a_reload_that_cannot_be_read_is_answered_if_it_says_which() {
        let mut told = String::new();
        for (kind, body) in [
            (None, r#"{"request_id":"r1","from":"files"}"#),
            (None, r#"{"request_id":"r1"}"#),
            (Some(ConfigReload::KIND), r#"{"request_id":"r1","from":"disk"}"#),
            (Some(ConfigReload::KIND), r#"{"request_id":"r 1","from":"files"}"#),
            (Some("weir.config_reload.v2"), r#"{"request_id":"r1","from":"files"}"#),
            (None, "reload!"),
        ] {
            told += &match understand(kind, "", body.as_bytes()) {
                Said::Message(message) => format!("{}\n", message.id()),
                Said::BadReload { request, problem } => format!("{request} is answered: {problem}\n"),
                Said::Nonsense(problem) => format!("passed over: {}\n", problem.split(" (line").next().unwrap()),
            };
        }
        expect![[r#"
            r1
            r1 is answered: config is missing: give config, or from
            r1 is answered: from must be files
            passed over: invalid: request_id must be 1 to 64 letters, digits, `_`, `.`, `:` or `-`
            passed over: unknown_type: type weir.config_reload.v2 is another version: weir.config_reload.v1 is read here
            passed over: not_json: the body is not a JSON object
        "#]]
        .assert_eq(&told);
    }
}
