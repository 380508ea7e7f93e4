//! Telling workers that there is something to do, after a command has written it to the shared store.

use crate::config::Config;
use crate::jobs::StoredJob;
use crate::queue::SliceMessage;
use crate::queue::rabbitmq;
use crate::store::Store;
use anyhow::Result;

/// Announces the job's slices. Without a broker the workers find them by themselves, within two minutes.
pub(super) async fn workers(store: &dyn Store, config: &Config, job: &StoredJob) -> Result<()> {
    for slice in store.announce_slices(job.key, config.boot.slices_per_job).await? {
        let message = rabbitmq::announcement(SliceMessage { job: job.key, slice });
        if let Err(error) = rabbitmq::publish_once(&config.boot.broker_url, message).await {
            tracing::warn!(job.id = %job.id, "{error}; the workers find the job by themselves within two minutes");
            break;
        }
    }
    Ok(())
}
