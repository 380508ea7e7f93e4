//! Ending a cancelled job that no process is working on.

use crate::cli::Globals;
use crate::config::Config;
use crate::http::Gates;
use crate::jobs::StoredJob;
use crate::ledger::SliceNo;
use crate::queue::MemoryQueue;
use crate::queue::Queue;
use crate::queue::SliceMessage;
use crate::store::JobLock;
use crate::store::LockError;
use crate::store::Store;
use crate::waterfall::Risky;
use crate::worker;
use crate::worker::Engine;
use crate::worker::JobWork;
use crate::worker::Routes;
use crate::worker::Settings;
use crate::worker::Tasks;
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
    let engine = Engine::new(Arc::clone(store), settings, Tasks::default(), Gates::default())?;
    engine.register(job_work(job, config, &engine.gates));
    let queue = MemoryQueue::default();
    for slice in 0..config.boot.slices_per_job {
        queue.publish(SliceMessage { job: job.key, slice: SliceNo(slice) });
    }
    worker::work(Arc::new(engine), Arc::new(queue)).await?;
    Ok(true)
}

/// The steps decide which ending a lead gets; whose keys they need does not matter, since a cancelled
/// job calls nobody.
fn job_work(job: &StoredJob, config: &Config, gates: &Gates) -> JobWork {
    let mut live = config.live.as_ref().clone();
    for settings in live.providers.values_mut() {
        settings.house_key = Some(SecretString::from("none"));
    }
    let waterfall = live.waterfalls.get(&job.waterfall);
    let routes = waterfall.map(|waterfall| Routes::with_house_keys(&live, waterfall, gates));
    JobWork {
        job: job.clone(),
        routes: routes.unwrap_or_default(),
        risky: waterfall.map_or(Risky::KeepLooking, |waterfall| waterfall.risky),
        trust_finders: waterfall.is_some_and(|waterfall| waterfall.trust_finders),
        lead_cap: None,
        cache_max_age: live.cache_max_age,
        config_version: live.version.clone(),
    }
}
