//! A worker of this world: the real engine, between doubles.

use crate::config::Live;
use crate::domain::WorkerId;
use crate::http::Client;
use crate::http::Gates;
use crate::jobs::Claimant;
use crate::jobs::JobState;
use crate::jobs::Tenure;
use crate::keys::MasterKey;
use crate::ledger::LedgerError;
use crate::queue::Queue;
use crate::worker::Engine;
use crate::worker::Keyring;
use crate::worker::Overrides;
use crate::worker::Parts;
use crate::worker::Tasks;
use crate::worker::WorkError;
use crate::worker::Works;
use crate::worker::simulation::audience::Voice;
use crate::worker::simulation::body::Body;
use crate::worker::simulation::broker::Broker;
use crate::worker::simulation::broker::Channel;
use crate::worker::simulation::stage::Stage;
use crate::worker::simulation::wire::Wire;
use crate::worker::work;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// As the crew of the real worker has them.
const LEASE: Duration = Duration::from_secs(30);
const BEAT: Duration = Duration::from_secs(2);
/// Leases are renewed with every fifth beat.
const BEATS_A_RENEWAL: u32 = 5;

/// Thirty-two bytes alike.
const MASTER_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// A task of the world that has ended.
pub(super) enum Ended {
    /// A worker's work: it was stopped, or broke.
    Work(WorkerId, Result<(), WorkError>),
    /// Nothing else ends by itself.
    Other,
}

pub(super) struct Worker {
    pub(super) body: Arc<Body>,
    pub(super) engine: Arc<Engine>,
    handles: [AbortHandle; 2],
}

impl Worker {
    /// Starts a worker of this name beside the others.
    pub(super) fn start(
        stage: &Arc<Stage>,
        broker: &Arc<Broker>,
        name: WorkerId,
        live: Arc<Live>,
        tasks: &mut JoinSet<Ended>,
    ) -> Self {
        let body = Arc::new(Body::new(name.clone(), Arc::clone(stage)));
        let engine = Arc::new(Engine::new(Parts {
            store: Arc::new(stage.store.through(body.clone())),
            settings: stage.plan.settings,
            tasks: Tasks::default(),
            gates: Gates::default(),
            client: Client::over(Arc::new(Wire::new(Arc::clone(&body)))),
            works: Works::new(live, Keyring::new(Some(master_key())), Overrides::default()),
            claimant: Claimant { worker: name.clone(), tenure: Tenure::Lease(LEASE) },
            announce: Some(Arc::new(Voice::new(Arc::clone(&body)))),
        }));
        let queue: Arc<dyn Queue> = Arc::new(Channel::new(Arc::clone(broker), Arc::clone(&body)));
        let at_work = Arc::clone(&engine);
        let work = tasks.spawn(async move { Ended::Work(name, Box::pin(work(at_work, queue)).await) });
        let beating = Arc::clone(&engine);
        let beat = tasks.spawn(async move {
            beat(&beating).await;
            Ended::Other
        });
        Self { body, engine, handles: [work, beat] }
    }

    /// Ends what is left of it: of a dead one everything, of one that has stopped its beat.
    pub(super) fn leave(&self) {
        self.handles.iter().for_each(AbortHandle::abort);
    }
}

pub(super) fn master_key() -> MasterKey {
    MasterKey::parse(&SecretString::from(MASTER_KEY)).unwrap()
}

/// Renews leases, and hears of keys and jobs that others have changed.
async fn beat(engine: &Engine) {
    let mut beats = 0_u32;
    loop {
        sleep(BEAT).await;
        beats += 1;
        // The store without commits does not fail in this world.
        hear(engine).await.unwrap();
        if beats.is_multiple_of(BEATS_A_RENEWAL) {
            engine.renew().await.unwrap();
        }
    }
}

async fn hear(engine: &Engine) -> Result<(), LedgerError> {
    let Engine { store, works, .. } = engine;
    let version = store.keys_version().await?;
    for workspace in works.keyring().advance(version) {
        works.keyring().of(&**store, &workspace).await?;
    }
    for key in engine.jobs_at_work() {
        if store.read_job(key).await?.is_some_and(|job| job.state == JobState::Cancelled) {
            works.cancel(key);
        }
    }
    Ok(())
}
