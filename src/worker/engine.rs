//! What all leads of a process share.

use crate::config::Live;
use crate::domain::KeySource;
use crate::domain::WorkerId;
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
use crate::worker::active::ActiveLeads;
use crate::worker::announce::Announce;
use crate::worker::meter::Meter;
use crate::worker::money::MoneyQueues;
use crate::worker::reader::Readers;
use crate::worker::routes::Route;
use crate::worker::tasks::Tasks;
use crate::worker::works::JobWork;
use crate::worker::works::Works;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

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
    held: Mutex<HashSet<Held>>,
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
        let worker = WorkerId::new(format!("process-{}", std::process::id()));
        let claimant = Claimant { worker, tenure: Tenure::Lock };
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
            held: Mutex::default(),
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

    /// The slices in hand, to be renewed.
    pub fn held(&self) -> Vec<Held> {
        self.held_set().iter().copied().collect()
    }

    pub(super) fn hold(&self, held: Held) {
        self.held_set().insert(held);
    }

    pub(super) fn let_go(&self, held: Held) {
        self.held_set().remove(&held);
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

    fn held_set(&self) -> MutexGuard<'_, HashSet<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
