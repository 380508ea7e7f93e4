//! A heartbeat a second: it says that this worker lives, and brings back what it may not have heard of.

use crate::crew::reload::Reloads;
use crate::crew::sweep::announce_job;
use crate::crew::teller::Episode;
use crate::domain::WorkspaceId;
use crate::jobs::JobState;
use crate::ledger::LedgerError;
use crate::queue::Queue;
use crate::worker::Engine;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

const EVERY: Duration = Duration::from_secs(1);

/// Keeps up with what others have changed in the store: keys, configurations, money, jobs.
pub(super) struct Pulses {
    engine: Arc<Engine>,
    queue: Arc<dyn Queue>,
    reloads: Arc<Reloads>,
    wake: Arc<Notify>,
    /// Workspaces at work whose keys have changed and could not be read since.
    stale: Vec<WorkspaceId>,
    store_fails: Episode,
}

impl Pulses {
    /// `wake` makes the next heartbeat come at once.
    pub(super) fn new(engine: Arc<Engine>, queue: Arc<dyn Queue>, reloads: Arc<Reloads>, wake: Arc<Notify>) -> Self {
        Self { engine, queue, reloads, wake, stale: Vec::new(), store_fails: Episode::default() }
    }

    /// Until a stop.
    pub(super) async fn run(mut self) {
        loop {
            match self.beat().await {
                Ok(()) => {
                    if self.store_fails.ends() {
                        tracing::info!("the store answers heartbeats again");
                    }
                }
                Err(error) => {
                    if self.store_fails.begins() {
                        tracing::warn!("a heartbeat failed: {error}");
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

    async fn beat(&mut self) -> Result<(), LedgerError> {
        let Engine { store, works, claimant, .. } = &*self.engine;
        let version = works.live().version.clone();
        let pulse = store.heartbeat(&claimant.worker, &version).await?;
        self.revoke_keys(pulse.keys_version).await?;
        self.reloads.catch_up(pulse.config_seq).await;
        self.cancel_jobs().await?;
        self.resume_jobs().await
    }

    /// Reads the changed keys of workspaces at work, which revokes those in hand that are gone.
    async fn revoke_keys(&mut self, version: u64) -> Result<(), LedgerError> {
        let keyring = self.engine.works.keyring();
        self.stale.extend(keyring.advance(version));
        while let Some(workspace) = self.stale.last() {
            keyring.of(&*self.engine.store, workspace).await?;
            self.stale.pop();
        }
        Ok(())
    }

    /// Calls nothing more for jobs that were cancelled elsewhere.
    async fn cancel_jobs(&self) -> Result<(), LedgerError> {
        let Engine { store, works, .. } = &*self.engine;
        for key in works.at_work() {
            let job = store.read_job(key).await?;
            if let Some(job) = job.filter(|job| job.state == JobState::Cancelled) {
                tracing::info!(job.id = %job.id, "the job is cancelled: nothing more is called for it");
                works.cancel(key);
            }
        }
        Ok(())
    }

    /// Resumes the jobs whose wallet was topped up and that asked for it.
    async fn resume_jobs(&self) -> Result<(), LedgerError> {
        let Engine { store, works, settings, .. } = &*self.engine;
        let resumed = store.auto_resume().await?;
        for job in &resumed {
            works.forget(*job);
        }
        for job in resumed {
            announce_job(&**store, &*self.queue, job, settings.slices_per_job).await?;
        }
        Ok(())
    }
}
