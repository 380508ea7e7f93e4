//! What got lost with a message or a worker is found in the store, by whoever looks first.

use crate::crew::teller::Episode;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::metrics;
use crate::queue::Queue;
use crate::queue::SliceMessage;
use crate::store::Store;
use crate::worker::Engine;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Soon after the start: whoever ran before may have left something.
const FIRST_AFTER: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(30);
/// A slice that nobody has owned for so long is announced again.
const STRANDED_AFTER: Duration = Duration::from_secs(60);

/// Looks for slices and holds that nobody has any more.
pub(super) struct Sweep {
    engine: Arc<Engine>,
    queue: Arc<dyn Queue>,
    store_fails: Episode,
}

impl Sweep {
    /// Announces what it finds in `queue`.
    pub(super) fn new(engine: Arc<Engine>, queue: Arc<dyn Queue>) -> Self {
        Self { engine, queue, store_fails: Episode::default() }
    }

    /// Until a stop.
    pub(super) async fn run(self) {
        let mut pause = FIRST_AFTER;
        loop {
            tokio::select! {
                biased;
                () = self.engine.tasks.stopping() => return,
                () = sleep(pause) => {}
            }
            match self.sweep().await {
                Ok(()) => {
                    if self.store_fails.ends() {
                        tracing::info!("the store is swept again");
                    }
                }
                Err(error) => {
                    if self.store_fails.begins() {
                        tracing::warn!("the store cannot be swept: {error}");
                    }
                }
            }
            pause = EVERY;
        }
    }

    async fn sweep(&self) -> Result<(), LedgerError> {
        let Engine { store, settings, .. } = &*self.engine;
        let held = self.engine.held().len();
        metrics::slices_held(u64::try_from(held).unwrap_or(u64::MAX));

        let stranded = store.stranded_slices(STRANDED_AFTER, settings.slices_per_job).await?;
        if !stranded.is_empty() {
            tracing::info!("{} slices that nobody works on are announced again", stranded.len());
        }
        for (job, slice) in stranded {
            self.queue.publish(SliceMessage { job, slice });
        }

        let expired = store.expire(Vec::new()).await?;
        if expired > 0 {
            tracing::info!("{expired} holds that nobody settled are given back");
        }
        metrics::holds_open(store.open_holds().await?);
        Ok(())
    }
}

/// Announces the next slices of a job, as many as may wait at once. What is not announced for an error,
/// the sweep announces.
///
/// # Errors
/// When the store cannot be asked.
pub(super) async fn announce_job(
    store: &dyn Store,
    queue: &dyn Queue,
    job: JobKey,
    slices_per_job: u32,
) -> Result<(), LedgerError> {
    for slice in store.announce_slices(job, slices_per_job).await? {
        queue.publish(SliceMessage { job, slice });
    }
    Ok(())
}
