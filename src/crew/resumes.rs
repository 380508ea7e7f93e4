//! Jobs that asked to be resumed, and whose wallet was topped up.

use crate::crew::sweep::announce_job;
use crate::crew::teller::Episode;
use crate::ledger::LedgerError;
use crate::queue::Queue;
use crate::worker::Engine;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// Between two looks; another worker may have booked the money.
const EVERY: Duration = Duration::from_secs(1);

/// Resumes jobs, in a loop of its own: a large one takes its time, and a heartbeat must not wait for it.
pub(super) struct Resumes {
    engine: Arc<Engine>,
    queue: Arc<dyn Queue>,
    wake: Arc<Notify>,
    store_fails: Episode,
}

impl Resumes {
    /// Announces slices in `queue`; `wake` makes the next look come at once.
    pub(super) fn new(engine: Arc<Engine>, queue: Arc<dyn Queue>, wake: Arc<Notify>) -> Self {
        Self { engine, queue, wake, store_fails: Episode::default() }
    }

    /// Until a stop.
    pub(super) async fn run(self) {
        loop {
            match self.resume().await {
                Ok(()) => {
                    if self.store_fails.ends() {
                        tracing::info!("jobs are resumed again");
                    }
                }
                Err(error) => {
                    if self.store_fails.begins() {
                        tracing::warn!("jobs that were paid for cannot be resumed: {error}");
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.engine.tasks.stopping() => return,
                () = self.wake.notified() => {}
                () = sleep(EVERY) => {}
            }
        }
    }

    /// One job after the other, until there is none.
    async fn resume(&self) -> Result<(), LedgerError> {
        let Engine { store, works, settings, tasks, .. } = &*self.engine;
        while !tasks.is_stopping()
            && let Some(job) = store.auto_resume().await?
        {
            works.forget(job);
            announce_job(&**store, &*self.queue, job, settings.slices_per_job).await?;
        }
        Ok(())
    }
}
