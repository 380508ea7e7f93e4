//! The jobs at work: each resolved to plan, routes and caps, and resolved again when the configuration
//! or its workspace's keys change.

use crate::config::Live;
use crate::domain::ConfigVersion;
use crate::domain::KeySource;
use crate::domain::Lead;
use crate::domain::Step;
use crate::domain::Usd;
use crate::http::Gates;
use crate::jobs::StoredJob;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::store::Store;
use crate::waterfall::FindStep;
use crate::waterfall::Plan;
use crate::waterfall::Risky;
use crate::waterfall::VerifyStep;
use crate::worker::keyring::Keyring;
use crate::worker::keyring::WorkspaceKeys;
use crate::worker::routes::Route;
use crate::worker::routes::Routes;
use crate::worker::routes::Sources;
use crate::worker::routes::StepRoutes;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A job as a worker works it: a lead keeps the one it started with.
pub struct JobWork {
    /// The job.
    pub job: Arc<StoredJob>,
    /// Its steps.
    pub routes: Routes,
    /// The policy for risky addresses.
    pub risky: Risky,
    /// Does a finder's own `valid` count?
    pub trust_finders: bool,
    /// The cap of one lead.
    pub lead_cap: Option<Usd>,
    /// Below what its wallet is low.
    pub low_balance: Usd,
    /// How old a reused answer may be.
    pub cache_max_age: Duration,
    /// The configuration in force.
    pub config_version: ConfigVersion,
    /// Somebody has cancelled it.
    pub cancelled: CancellationToken,
    live: Arc<Live>,
    /// In use as long as this is: so a key that is taken away is looked for here.
    _keys: Arc<WorkspaceKeys>,
    keys_version: u64,
}

/// What a run on one machine sets beside the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// `--max-per-lead`.
    pub lead_cap: Option<Usd>,
}

/// The jobs at work, the configuration in force, and the keys.
pub struct Works {
    live: ArcSwap<Live>,
    keyring: Keyring,
    overrides: Overrides,
    jobs: Mutex<HashMap<JobKey, Arc<JobWork>>>,
}

/// Beyond this many, jobs that no lead works on are forgotten: they are read again when needed.
const MOST_JOBS: usize = 4_096;

impl Works {
    /// Nothing at work yet.
    pub fn new(live: Arc<Live>, keyring: Keyring, overrides: Overrides) -> Self {
        Self { live: ArcSwap::new(live), keyring, overrides, jobs: Mutex::default() }
    }

    /// The configuration in force.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Another configuration from now on: leads that start later keep to it. Cannot fail.
    pub fn swap(&self, live: Arc<Live>) {
        self.live.store(live);
    }

    /// What is known of workspaces and their keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The job as a lead that starts now works it; `None` when there is no such job.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn of(&self, store: &dyn Store, gates: &Gates, job: JobKey) -> Result<Option<Arc<JobWork>>, LedgerError> {
        let known = self.jobs().get(&job).cloned();
        let live = self.live();
        if let Some(work) = &known
            // Not by version: a secret behind the same reference may be another.
            && Arc::ptr_eq(&work.live, &live)
            && work.keys_version == self.keyring.version()
        {
            return Ok(known);
        }
        let stored = match &known {
            Some(work) => Arc::clone(&work.job),
            None => match store.read_job(job).await? {
                Some(stored) => Arc::new(stored),
                None => return Ok(None),
            },
        };
        let cancelled = known.map_or_else(CancellationToken::new, |work| work.cancelled.clone());
        let work = Arc::new(self.resolve(store, gates, stored, live, cancelled).await?);
        let mut jobs = self.jobs();
        if jobs.len() >= MOST_JOBS {
            jobs.retain(|_, work| Arc::strong_count(work) > 1);
        }
        jobs.insert(job, Arc::clone(&work));
        Ok(Some(work))
    }

    /// The same work with the keys as they stand now: the snapshot stays the lead's own. `None` when
    /// nothing has changed.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn with_keys_of_now(
        &self,
        store: &dyn Store,
        gates: &Gates,
        work: &JobWork,
    ) -> Result<Option<Arc<JobWork>>, LedgerError> {
        if work.keys_version == self.keyring.version() {
            return Ok(None);
        }
        let (job, live) = (Arc::clone(&work.job), Arc::clone(&work.live));
        let renewed = self.resolve(store, gates, job, live, work.cancelled.clone()).await?;
        Ok(Some(Arc::new(renewed)))
    }

    /// The jobs that leads are at work on.
    pub fn at_work(&self) -> Vec<JobKey> {
        self.jobs().iter().filter(|(_, work)| Arc::strong_count(work) > 1).map(|(key, _)| *key).collect()
    }

    /// The job is another's, changed or over: read it again when it is needed.
    pub fn forget(&self, job: JobKey) {
        self.jobs().remove(&job);
    }

    /// Nothing more is called for this job.
    pub fn cancel(&self, job: JobKey) {
        if let Some(work) = self.jobs().remove(&job) {
            work.cancelled.cancel();
        }
    }

    async fn resolve(
        &self,
        store: &dyn Store,
        gates: &Gates,
        job: Arc<StoredJob>,
        live: Arc<Live>,
        cancelled: CancellationToken,
    ) -> Result<JobWork, LedgerError> {
        let keys_version = self.keyring.version();
        let keys = self.keyring.of(store, &job.workspace).await?;
        let waterfall = live.waterfalls.get(&job.waterfall);
        let newest = self.live();
        let sources = Sources { live: &live, newest: &newest, keys: &keys, gates };
        Ok(JobWork {
            routes: waterfall.map(|waterfall| Routes::resolve(&sources, waterfall)).unwrap_or_default(),
            risky: waterfall.map_or(Risky::KeepLooking, |waterfall| waterfall.risky),
            trust_finders: waterfall.is_some_and(|waterfall| waterfall.trust_finders),
            lead_cap: self.overrides.lead_cap.or_else(|| waterfall.and_then(|waterfall| waterfall.max_spend_per_lead)),
            low_balance: keys.settings.low_balance.unwrap_or(live.low_balance),
            cache_max_age: live.cache_max_age,
            config_version: live.version.clone(),
            job,
            cancelled,
            live,
            _keys: keys,
            keys_version,
        })
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<JobKey, Arc<JobWork>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobWork {
    /// The plan for one lead: each finder with the question it asks about it.
    pub fn plan(&self, lead: &Lead) -> Plan {
        let find = self.routes.find.iter().map(|routes| FindStep {
            step: routes.step.clone(),
            keys: routes.keys,
            query: routes.first().and_then(|route| route.adapter.find_query(lead)),
        });
        let verify =
            self.routes.verify.iter().map(|routes| VerifyStep { step: routes.step.clone(), keys: routes.keys });
        Plan { find: find.collect(), verify: verify.collect(), risky: self.risky, trust_finders: self.trust_finders }
    }

    /// The route of a step by this key, unless the provider, or the key, has left the plan.
    pub fn route(&self, step: &Step, key_source: KeySource) -> Option<&Arc<Route>> {
        let mut steps = self.routes.find.iter().chain(&self.routes.verify);
        steps.find(|routes| routes.step == *step)?.by(key_source)
    }

    /// The key that a step is tried with first.
    pub fn first_key(&self, step: &Step) -> KeySource {
        let mut steps = self.routes.find.iter().chain(&self.routes.verify);
        let route = steps.find(|routes| routes.step == *step).and_then(StepRoutes::first);
        route.map_or(KeySource::House, |route| route.key_source)
    }
}
