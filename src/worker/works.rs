//! The jobs at work: each resolved to plan, routes and caps, and resolved again when the configuration
//! or its workspace's keys change.

use crate::config::Live;
use crate::domain::Brief;
use crate::domain::ConfigVersion;
use crate::domain::KeySource;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Step;
use crate::domain::Usd;
use crate::http::Gates;
use crate::jobs::JobState;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::providers;
use crate::store::Store;
use crate::waterfall::CopyPlan;
use crate::waterfall::Course;
use crate::waterfall::FindStep;
use crate::waterfall::Plan;
use crate::waterfall::Risky;
use crate::waterfall::ScrapeStep;
use crate::waterfall::VerifyStep;
use crate::waterfall::WriteStep;
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
use std::sync::Weak;
use std::time::Duration;
use tokio::task::spawn_blocking;
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
    /// Somebody has cancelled it: one word for all works of a job that live at the same time.
    pub cancelled: Arc<CancellationToken>,
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
    known: Mutex<Known>,
}

/// What was looked up.
#[derive(Default)]
struct Known {
    works: HashMap<JobKey, Arc<JobWork>>,
    /// The word that a job's works share, those included that only leads have in hand.
    words: HashMap<JobKey, Weak<CancellationToken>>,
}

/// Who is named in the trail for a page that nobody can read.
const SCRAPER: &str = "firecrawl";
/// Beyond this many, jobs that no lead works on are forgotten: they are read again when needed.
const MOST_JOBS: usize = 4_096;

impl Works {
    /// Nothing at work yet.
    pub fn new(live: Arc<Live>, keyring: Keyring, overrides: Overrides) -> Self {
        Self { live: ArcSwap::new(live), keyring, overrides, known: Mutex::default() }
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
        let (known, cancelled) = self.known().look_up(job);
        let live = self.live();
        if let Some(work) = &known
            // Not by version: a secret behind the same reference may be another.
            && Arc::ptr_eq(&work.live, &live)
            && work.keys_version == self.keyring.version()
        {
            return Ok(known);
        }
        let stored = match known {
            Some(work) => Arc::clone(&work.job),
            None => match store.read_job(job).await? {
                Some(stored) => Arc::new(stored),
                None => return Ok(None),
            },
        };
        if stored.state == JobState::Cancelled {
            cancelled.cancel();
        }
        let work = Arc::new(self.resolve(store, gates, stored, live, cancelled).await?);
        self.known().keep(job, &work);
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
        let renewed = self.resolve(store, gates, job, live, Arc::clone(&work.cancelled)).await?;
        Ok(Some(Arc::new(renewed)))
    }

    /// The job is another's, changed or done with: read it again when it is needed.
    pub fn forget(&self, job: JobKey) {
        self.known().forget(job);
    }

    /// Nothing more is called for this job, also by leads that are at work on it. Is that news?
    pub fn cancel(&self, job: JobKey) -> bool {
        self.known().cancel(job)
    }

    async fn resolve(
        &self,
        store: &dyn Store,
        gates: &Gates,
        job: Arc<StoredJob>,
        live: Arc<Live>,
        cancelled: Arc<CancellationToken>,
    ) -> Result<JobWork, LedgerError> {
        let keys_version = self.keyring.version();
        let keys = self.keyring.of(store, &job.workspace).await?;
        let waterfall = job.work.waterfall().and_then(|name| live.waterfalls.get(name));
        let newest = self.live();
        let sources = Sources { live: &live, newest: &newest, keys: &keys, gates };
        if let Work::Copy(brief) = &job.work {
            // The table its tokens are counted with takes a moment to build, once: not on a thread that others wait for.
            let model = brief.model.clone();
            drop(spawn_blocking(move || providers::warm(&model)).await);
        }
        Ok(JobWork {
            routes: match (&job.work, waterfall) {
                (Work::Enrich(_), None) => Routes::default(),
                (Work::Enrich(_), Some(waterfall)) => Routes::resolve(&sources, waterfall),
                (Work::Copy(brief), _) => Routes::for_copy(&sources, brief),
            },
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

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The job as it is known, and the word for its next work: a cancelled one is not used again.
    fn look_up(&mut self, job: JobKey) -> (Option<Arc<JobWork>>, Arc<CancellationToken>) {
        let is_good = |word: &Arc<CancellationToken>| !word.is_cancelled();
        if let Some(word) = self.words.get(&job).and_then(Weak::upgrade).filter(is_good) {
            return (self.works.get(&job).cloned(), word);
        }
        if self.words.len() >= MOST_JOBS {
            self.words.retain(|_, word| word.strong_count() > 0);
        }
        let word = Arc::<CancellationToken>::default();
        self.words.insert(job, Arc::downgrade(&word));
        self.works.remove(&job);
        (None, word)
    }

    /// One that is cancelled is read again each time: it may be resumed.
    fn keep(&mut self, job: JobKey, work: &Arc<JobWork>) {
        if work.cancelled.is_cancelled() {
            return;
        }
        if self.works.len() >= MOST_JOBS {
            self.works.retain(|_, work| Arc::strong_count(work) > 1);
        }
        self.works.insert(job, Arc::clone(work));
    }

    /// The word stays: leads at work listen to it.
    fn forget(&mut self, job: JobKey) {
        self.works.remove(&job);
        if self.words.get(&job).is_some_and(|word| word.strong_count() == 0) {
            self.words.remove(&job);
        }
    }

    fn cancel(&mut self, job: JobKey) -> bool {
        let word = self.words.remove(&job).and_then(|word| word.upgrade());
        self.works.remove(&job);
        let Some(word) = word.filter(|word| !word.is_cancelled()) else { return false };
        word.cancel();
        true
    }
}

impl JobWork {
    /// What is to be done for one lead.
    pub fn course(&self, lead: &Lead, id: &LeadId) -> Course {
        match &self.job.work {
            Work::Enrich(_) => Course::Enrich(self.plan(lead)),
            Work::Copy(brief) => Course::Copy(Box::new(self.copy_plan(brief, lead, id))),
        }
    }

    fn copy_plan(&self, brief: &Arc<Brief>, lead: &Lead, id: &LeadId) -> CopyPlan {
        let Routes { scrape, write, .. } = &self.routes;
        let nobody = || Step::new(ProviderName::new(SCRAPER), Operation::Scrape);
        let dialect = |provider| self.live.providers.get(provider).map(|settings| settings.dialect.clone());
        CopyPlan {
            brief: Arc::clone(brief),
            lead: lead.clone(),
            id: id.clone(),
            scrape: ScrapeStep {
                step: scrape.as_ref().map_or_else(nobody, |routes| routes.step.clone()),
                keys: scrape.as_ref().map(|routes| routes.keys),
            },
            write: write.as_ref().map(|routes| WriteStep {
                step: routes.step.clone(),
                keys: routes.keys,
                dialect: dialect(&routes.step.provider).unwrap_or_default(),
            }),
        }
    }

    /// The plan for one lead: each finder with the question it asks about it.
    fn plan(&self, lead: &Lead) -> Plan {
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
        self.routes.all().find(|routes| routes.step == *step)?.by(key_source)
    }

    /// The key that a step is tried with first.
    pub fn first_key(&self, step: &Step) -> KeySource {
        let route = self.routes.all().find(|routes| routes.step == *step).and_then(StepRoutes::first);
        route.map_or(KeySource::House, |route| route.key_source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::prepare_inline;
    use crate::domain::Fingerprint;
    use crate::domain::JobId;
    use crate::domain::LeadId;
    use crate::domain::WaterfallName;
    use crate::domain::WorkspaceId;
    use crate::jobs::NewJob;
    use crate::jobs::NewLead;
    use crate::ledger::LeadNo;
    use crate::store::Nature;
    use crate::store::SqliteStore;
    use std::path::Path;

    const LIVE: &str = r#"
        [providers.leadmagic]
        house_key = "env:KEY"
        credit_price = "0.0125"
        [waterfalls.work_email]
        find = ["leadmagic"]
    "#;

    fn live(folder: &Path) -> Arc<Live> {
        let key = |name: &str| (name == "KEY").then(|| "k".to_owned());
        prepare_inline(LIVE, folder, &key, &[]).unwrap().live
    }

    fn new_job() -> NewJob {
        NewJob {
            id: JobId::new("job_1"),
            workspace: WorkspaceId::new("acme"),
            work: Work::Enrich(WaterfallName::new("work_email")),
            content: Fingerprint::of("job", []),
            slice_size: 2,
            campaign: None,
            max_spend: None,
            auto_resume: false,
            reply: None,
        }
    }

    #[tokio::test]
    async fn a_cancel_reaches_every_work_of_a_job_and_a_cancelled_one_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("weir.db"), Nature::Paid).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let job = store.create_job(new_job()).await.unwrap().key;
        let load = store.begin_load(job).await.unwrap().unwrap();
        let lead = NewLead { n: LeadNo(1), id: LeadId::new("1"), lead: None };
        store.load_leads(load, vec![lead]).await.unwrap();
        store.seal_job(load).await.unwrap();
        let gates = Gates::default();
        let works = Works::new(live(folder.path()), Keyring::new(None), Overrides::default());
        let work = async || works.of(&*store, &gates, job).await.unwrap().unwrap();
        let first = work().await;
        assert!(Arc::ptr_eq(&first, &work().await));
        works.swap(live(folder.path()));
        let second = work().await;
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!([works.cancel(job), works.cancel(job)], [true, false]);

        // The store does not say so: whoever did had the wrong job, or it was resumed.
        let third = work().await;
        let cancelled = [&first, &second, &third].map(|work| work.cancelled.is_cancelled());
        assert_eq!(cancelled, [true, true, false]);

        works.forget(job);
        assert!(store.cancel_job(job).await.unwrap());
        let fourth = work().await;
        assert!(third.cancelled.is_cancelled() && fourth.cancelled.is_cancelled());
        assert!(!Arc::ptr_eq(&fourth, &work().await));
        assert!(!works.cancel(job));
    }
}
