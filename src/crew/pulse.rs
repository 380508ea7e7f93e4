//! A heartbeat a second: it says that this worker lives, and brings back what it may not have heard of.

use crate::crew::reload::Reloads;
use crate::crew::teller::Episode;
use crate::domain::WorkspaceId;
use crate::jobs::JobState;
use crate::ledger::LedgerError;
use crate::worker::Engine;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio::time::sleep;

const EVERY: Duration = Duration::from_secs(1);
/// Workspaces whose keys are read at once.
const READ_AT_ONCE: usize = 8;

/// Keeps up with what others have changed in the store: keys, configurations, jobs.
pub(super) struct Pulses {
    engine: Arc<Engine>,
    reloads: Arc<Reloads>,
    wake: Arc<Notify>,
    /// Workspaces at work whose keys have changed and could not be read since.
    stale: BTreeSet<WorkspaceId>,
    store_fails: Episode,
}

impl Pulses {
    /// `wake` makes the next heartbeat come at once.
    pub(super) fn new(engine: Arc<Engine>, reloads: Arc<Reloads>, wake: Arc<Notify>) -> Self {
        Self { engine, reloads, wake, stale: BTreeSet::new(), store_fails: Episode::default() }
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

    /// Does all it can; what fails in one part keeps nobody from the others.
    async fn beat(&mut self) -> Result<(), LedgerError> {
        let Engine { store, works, claimant, .. } = &*self.engine;
        let version = works.live().version.clone();
        let asked = Instant::now();
        let pulse = store.heartbeat(&claimant.worker, &version).await?;
        let read = self.revoke_keys(pulse.keys_version).await;
        self.engine.works.keyring().beat(asked);
        let looked = self.cancel_jobs().await;
        self.reloads.catch_up(pulse.config_seq).await;
        read.and(looked)
    }

    /// Reads the changed keys of workspaces at work, which revokes those in hand that are gone. Where they
    /// cannot be read, all in hand are revoked; they are read again with the next beat.
    async fn revoke_keys(&mut self, version: u64) -> Result<(), LedgerError> {
        let Engine { store, works, .. } = &*self.engine;
        let keyring = works.keyring();
        self.stale.extend(keyring.advance(version));
        let stale: Vec<WorkspaceId> = self.stale.iter().cloned().collect();
        let mut result = Ok(());
        for some in stale.chunks(READ_AT_ONCE) {
            let mut reading = Vec::with_capacity(some.len());
            for workspace in some {
                reading.push(keyring.of(&**store, workspace));
            }
            for (workspace, read) in some.iter().zip(join_all(reading).await) {
                match read {
                    Ok(_) => {
                        self.stale.remove(workspace);
                    }
                    Err(error) => {
                        keyring.revoke(workspace);
                        result = Err(error);
                    }
                }
            }
        }
        result
    }

    /// Calls nothing more for jobs in hand that were cancelled elsewhere.
    async fn cancel_jobs(&self) -> Result<(), LedgerError> {
        let Engine { store, works, .. } = &*self.engine;
        for key in self.engine.jobs_at_work() {
            let job = store.read_job(key).await?;
            if let Some(job) = job.filter(|job| job.state == JobState::Cancelled)
                && works.cancel(key)
            {
                tracing::info!(job.id = %job.id, "the job is cancelled: nothing more is called for it");
            }
        }
        Ok(())
    }
}
