//! Ending a cancelled job that no process is working on.

use crate::cli::Globals;
use crate::config::Config;
use crate::config::Live;
use crate::jobs::StoredJob;
use crate::queue::MemoryQueue;
use crate::queue::Queue;
use crate::queue::SliceMessage;
use crate::store::JobLock;
use crate::store::LockError;
use crate::store::Store;
use crate::worker;
use crate::worker::Engine;
use crate::worker::Keyring;
use crate::worker::Overrides;
use crate::worker::Parts;
use crate::worker::Settings;
use crate::worker::Tasks;
use crate::worker::Works;
use anyhow::Result;
use secrecy::SecretString;
use std::path::Path;
use std::sync::Arc;

/// Gives every lead of a cancelled job its ending and the wallet what was held, without a call.
/// `false` when a process is working on the job: then that one does so.
pub(super) async fn end_cancelled(
    store: &Arc<dyn Store>,
    globals: &Globals,
    config: &Config,
    job: &StoredJob,
) -> Result<bool> {
    let path = globals.store_path(config)?;
    let _lock = match JobLock::take(path.parent().unwrap_or(Path::new(".")), &job.id) {
        Ok(lock) => lock,
        Err(LockError::Taken { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let settings = Settings {
        leads_in_flight: usize::try_from(config.live.leads_in_flight).unwrap_or(usize::MAX),
        prefetch: usize::try_from(config.boot.broker_prefetch).unwrap_or(usize::MAX),
        slices_per_job: config.boot.slices_per_job,
        lead_deadline: config.boot.lead_deadline,
    };
    let works = Works::new(Arc::new(with_every_key(&config.live)), Keyring::new(None), Overrides::default());
    let engine = Engine::new(Parts::embedded(Arc::clone(store), settings, Tasks::default(), works)?);
    let queue = MemoryQueue::default();
    for slice in store.open_slices(job.key).await? {
        queue.publish(SliceMessage { job: job.key, slice });
    }
    worker::work(Arc::new(engine), Arc::new(queue)).await?;
    Ok(true)
}

/// The steps decide which ending a lead gets; whose keys they need does not matter, since a cancelled
/// job calls nobody.
fn with_every_key(live: &Live) -> Live {
    let mut live = live.clone();
    for settings in live.providers.values_mut() {
        settings.house_key = Some(SecretString::from("none"));
    }
    live
}
