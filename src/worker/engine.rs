//! What all leads of a process share.

use crate::http::Client;
use crate::http::Gates;
use crate::http::Slots;
use crate::http::StartError;
use crate::ledger::JobKey;
use crate::store::Store;
use crate::worker::active::ActiveLeads;
use crate::worker::meter::Meter;
use crate::worker::money::MoneyQueues;
use crate::worker::reader::Readers;
use crate::worker::routes::JobWork;
use crate::worker::tasks::Tasks;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
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
    jobs: Mutex<HashMap<JobKey, Arc<JobWork>>>,
}

impl Engine {
    /// An engine over a store.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(store: Arc<dyn Store>, settings: Settings, tasks: Tasks, gates: Gates) -> Result<Self, StartError> {
        Ok(Self {
            store,
            client: Client::new()?,
            gates,
            meter: Meter::default(),
            tasks,
            settings,
            slots: Slots::new(settings.leads_in_flight),
            active: ActiveLeads::default(),
            readers: Readers::default(),
            money: MoneyQueues::default(),
            jobs: Mutex::default(),
        })
    }

    /// Makes a job known, with the routes its leads take from now on.
    pub fn register(&self, work: JobWork) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(work.job.key, Arc::new(work));
    }

    pub(super) fn job(&self, key: JobKey) -> Option<Arc<JobWork>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }
}
