//! The slices in hand stay this worker's as long as it renews their leases.

use crate::crew::teller::Episode;
use crate::worker::Engine;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::sleep;

/// After so long without a renewal a slice is anybody's, by the store's clock.
pub(super) const LEASE: Duration = Duration::from_secs(30);
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// After a renewal that failed: there is time for many tries before a lease lapses.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks, after a stop, whether the last slice is settled.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Renews leases.
pub(super) struct Leases {
    engine: Arc<Engine>,
    store_fails: Episode,
}

impl Leases {
    /// For the slices that `engine` holds.
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, store_fails: Episode::default() }
    }

    /// Until a stop, and on until no slice is in hand: a drain may outlast a lease.
    pub(super) async fn run(self) {
        let engine = Arc::clone(&self.engine);
        let mut pause = RENEW_EVERY;
        loop {
            tokio::select! {
                biased;
                () = engine.tasks.stopping() => break,
                () = sleep(pause) => pause = self.renew().await,
            }
        }
        while !engine.held().is_empty() {
            let due = Instant::now() + self.renew().await;
            while Instant::now() < due && !engine.held().is_empty() {
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Renews what is in hand; how long to wait then.
    async fn renew(&self) -> Duration {
        match self.engine.renew().await {
            Ok(lost) => {
                if self.store_fails.ends() {
                    tracing::info!("leases are renewed again");
                }
                for held in lost {
                    tracing::info!(job = held.job.0, slice = held.slice.0, "a slice is another worker's by now");
                }
                RENEW_EVERY
            }
            Err(error) => {
                if self.store_fails.begins() {
                    tracing::warn!("leases cannot be renewed: {error}");
                }
                TRY_AGAIN
            }
        }
    }
}
