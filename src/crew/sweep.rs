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
use tokio::time::Instant;
use tokio::time::sleep;

/// Soon after the start: whoever ran before may have left something.
const FIRST_AFTER: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(30);
/// A slice that nobody has owned for so long is announced again.
const STRANDED_AFTER: Duration = Duration::from_secs(60);
/// A worker that could take more slices, and found none to take for so long, knows that none waits.
const QUIET: Duration = Duration::from_secs(10);
/// Where no worker is ever idle, what got lost is still found.
const SELDOM: Duration = Duration::from_secs(10 * 60);

/// Looks for slices and holds that nobody has any more.
pub(super) struct Sweep {
    engine: Arc<Engine>,
    queue: Arc<dyn Queue>,
    /// When stranded slices were last looked for.
    looked: Instant,
    store_fails: Episode,
}

impl Sweep {
    /// Announces what it finds in `queue`.
    pub(super) fn new(engine: Arc<Engine>, queue: Arc<dyn Queue>) -> Self {
        Self { engine, queue, looked: Instant::now(), store_fails: Episode::default() }
    }

    /// Until a stop.
    pub(super) async fn run(mut self) {
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

    async fn sweep(&mut self) -> Result<(), LedgerError> {
        metrics::slices_held(u64::try_from(self.engine.held().len()).unwrap_or(u64::MAX));
        if is_due(self.engine.is_idle(QUIET), self.looked.elapsed()) {
            self.announce_stranded().await?;
            self.looked = Instant::now();
        }
        let store = &self.engine.store;
        let expired = store.expire(Vec::new()).await?;
        if expired > 0 {
            tracing::info!("{expired} holds that nobody settled are given back");
        }
        metrics::holds_open(store.open_holds().await?);
        metrics::slices_set_aside(store.set_aside().await?);
        Ok(())
    }

    async fn announce_stranded(&self) -> Result<(), LedgerError> {
        let Engine { store, settings, .. } = &*self.engine;
        let stranded = store.stranded_slices(STRANDED_AFTER, settings.slices_per_job).await?;
        if !stranded.is_empty() {
            tracing::info!("{} slices that nobody works on are announced again", stranded.len());
        }
        for (job, slice) in stranded {
            self.queue.publish(SliceMessage { job, slice });
        }
        Ok(())
    }
}

/// Are stranded slices looked for now? In the store, one that waits its turn in a long queue looks like
/// one whose message got lost, and would be announced again every minute. An idle worker sees that the
/// queue is empty; the others look seldom.
fn is_due(is_idle: bool, since: Duration) -> bool {
    is_idle || since >= SELDOM
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_worker_looks_for_stranded_slices_each_time_and_a_busy_one_seldom() {
        for (is_idle, since, due) in
            [(true, Duration::ZERO, true), (false, EVERY, false), (false, SELDOM - EVERY, false), (false, SELDOM, true)]
        {
            assert_eq!(is_due(is_idle, since), due, "idle: {is_idle}, {since:?} since the last look");
        }
    }
}
