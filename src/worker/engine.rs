//! What all leads of a process share.

use crate::config::Live;
use crate::domain::KeySource;
use crate::domain::WorkspaceId;
use crate::http::Client;
use crate::http::Gates;
use crate::http::Slots;
use crate::http::StartError;
use crate::jobs::Claimant;
use crate::jobs::Held;
use crate::jobs::Tenure;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::store::Store;
use crate::store::this_process;
use crate::worker::active::ActiveLeads;
use crate::worker::announce::Announce;
use crate::worker::lease::Lease;
use crate::worker::meter::Meter;
use crate::worker::money::MoneyQueues;
use crate::worker::reader::Readers;
use crate::worker::routes::Route;
use crate::worker::tasks::Tasks;
use crate::worker::works::JobWork;
use crate::worker::works::Works;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The worker's own shape, from the boot half of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Leads decided and called for at the same time.
    pub leads_in_flight: usize,
    /// Slices held open.
    pub prefetch: usize,
    /// Slices of a job not yet fully started.
    pub slices_per_job: u32,
    /// How long a run works on a lead.
    pub lead_deadline: Duration,
}

/// What all leads of a process share.
pub struct Engine {
    /// Ledger, jobs and trails.
    pub store: Arc<dyn Store>,
    /// Connections to the providers.
    pub client: Client,
    /// Who may call now.
    pub gates: Gates,
    /// Counters for people.
    pub meter: Meter,
    /// Tasks, and the word that stops them.
    pub tasks: Tasks,
    /// The worker's own shape.
    pub settings: Settings,
    pub(super) slots: Slots,
    pub(super) active: ActiveLeads,
    pub(super) readers: Readers,
    pub(super) money: MoneyQueues,
    /// The jobs at work, the configuration and the keys.
    pub works: Works,
    /// Leads at work at the same time; part of the live half.
    in_flight: AtomicUsize,
    /// Who this is, and how it keeps others off its slices.
    pub claimant: Claimant,
    /// Who is told of each result before its slice is closed; on one machine, nobody.
    pub announce: Option<Arc<dyn Announce>>,
    in_hand: Mutex<InHand>,
}

/// The slices in hand.
#[derive(Default)]
struct InHand {
    leases: HashMap<Held, Arc<Lease>>,
    /// When the last one was taken.
    taken: Option<Instant>,
}

/// What an engine is made of.
pub struct Parts {
    /// Ledger, jobs and trails.
    pub store: Arc<dyn Store>,
    /// The worker's own shape.
    pub settings: Settings,
    /// Tasks, and the word that stops them.
    pub tasks: Tasks,
    /// Who may call now.
    pub gates: Gates,
    /// Connections to the providers.
    pub client: Client,
    /// The configuration and the keys.
    pub works: Works,
    /// Who this is.
    pub claimant: Claimant,
    /// Who is told of results.
    pub announce: Option<Arc<dyn Announce>>,
}

impl Parts {
    /// One machine, one job at a time, under its lock: nobody is told of results, and slices need no lease.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn embedded(store: Arc<dyn Store>, settings: Settings, tasks: Tasks, works: Works) -> Result<Self, StartError> {
        let claimant = Claimant { worker: this_process(), tenure: Tenure::Lock };
        let client = Client::new()?;
        Ok(Self { store, settings, tasks, gates: Gates::default(), client, works, claimant, announce: None })
    }
}

impl Engine {
    /// An engine of these parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, settings, tasks, gates, client, works, claimant, announce } = parts;
        Self {
            store,
            client,
            gates,
            meter: Meter::default(),
            tasks,
            settings,
            slots: Slots::new(settings.leads_in_flight),
            active: ActiveLeads::default(),
            readers: Readers::default(),
            money: MoneyQueues::default(),
            works,
            in_flight: AtomicUsize::new(settings.leads_in_flight),
            claimant,
            announce,
            in_hand: Mutex::default(),
        }
    }

    /// Another configuration from now on: leads that start later keep to it, and so does their number.
    pub fn swap(&self, live: Arc<Live>) {
        let in_flight = usize::try_from(live.leads_in_flight).unwrap_or(usize::MAX);
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.slots.resize(in_flight);
        self.works.swap(live);
    }

    /// Leads at work at the same time, at most.
    pub(super) fn leads_in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Does this one process work the whole job, under its lock?
    pub(super) fn is_locked(&self) -> bool {
        self.claimant.tenure == Tenure::Lock
    }

    /// The slices in hand, in order.
    pub fn held(&self) -> Vec<Held> {
        let mut held: Vec<Held> = self.in_hand().leases.keys().copied().collect();
        held.sort_unstable_by_key(|held| (held.job, held.slice, held.epoch));
        held
    }

    /// The jobs of the slices in hand, each once, in order.
    pub fn jobs_at_work(&self) -> Vec<JobKey> {
        let mut jobs: Vec<JobKey> = self.held().into_iter().map(|held| held.job).collect();
        jobs.dedup();
        jobs
    }

    /// Could it take more slices, and was none there to be taken for so long?
    pub fn is_idle(&self, lately: Duration) -> bool {
        let in_hand = self.in_hand();
        let has_room = in_hand.leases.len() < self.settings.prefetch;
        has_room && in_hand.taken.is_none_or(|taken| taken.elapsed() >= lately)
    }

    /// Renews the leases of what is in hand; names the slices that are found to be another's, whose
    /// leads end here. One that the store did not come to runs out here too, unless the next renewal does.
    /// A lock needs none.
    ///
    /// # Errors
    /// When the store cannot be asked: then the leases go on running out.
    pub async fn renew(&self) -> Result<Vec<Held>, LedgerError> {
        let held = self.held();
        let Tenure::Lease(lease) = self.claimant.tenure else { return Ok(Vec::new()) };
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let asked = Instant::now();
        let told = self.store.renew_slices(held, lease).await?;
        let is_lost = |held, renewal| self.lease(held).is_some_and(|lease| lease.hear(renewal, asked));
        Ok(told.into_iter().filter(|(held, renewal)| is_lost(*held, *renewal)).map(|(held, _)| held).collect())
    }

    /// The slice is another worker's: its leads end here, and nothing more is called for them. Is that
    /// news?
    pub fn lose(&self, held: Held) -> bool {
        self.lease(held).is_some_and(|lease| lease.lose())
    }

    fn lease(&self, held: Held) -> Option<Arc<Lease>> {
        self.in_hand().leases.get(&held).cloned()
    }

    /// Gives up all that is in hand, unfinished, for a process that ends: others have it at once.
    pub async fn release_held(&self) {
        let held = self.held();
        self.in_hand().leases.clear();
        let mut releases = Vec::with_capacity(held.len());
        for held in held {
            releases.push(self.store.release_slice(held));
        }
        for error in join_all(releases).await.into_iter().filter_map(Result::err) {
            tracing::warn!("a slice cannot be given up, and is free when its lease has lapsed: {error}");
        }
    }

    pub(super) fn hold(&self, held: Held, lease: Arc<Lease>) {
        let mut in_hand = self.in_hand();
        in_hand.leases.insert(held, lease);
        in_hand.taken = Some(Instant::now());
    }

    pub(super) fn let_go(&self, held: Held) {
        self.in_hand().leases.remove(&held);
    }

    /// The job as a lead that starts now works it.
    pub(super) async fn job(&self, key: JobKey) -> Result<Option<Arc<JobWork>>, LedgerError> {
        self.works.of(&*self.store, &self.gates, key).await
    }

    /// A key works again: its next failure is told of again.
    pub(super) fn key_works(&self, route: &Route, workspace: &WorkspaceId) {
        let owner = (route.key_source == KeySource::Own).then(|| workspace.clone());
        let provider = route.step.provider.clone();
        let store = Arc::clone(&self.store);
        self.tasks.spawn(async move {
            if let Err(error) = store.key_works(owner.as_ref(), Some(&provider)).await {
                tracing::warn!(%provider, "that its key works again is not recorded: {error}");
            }
        });
    }

    fn in_hand(&self) -> MutexGuard<'_, InHand> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
