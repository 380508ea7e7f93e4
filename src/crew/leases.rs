//! The slices in hand stay this worker's as long as it renews their leases.

use crate::crew::teller::Episode;
use crate::jobs::Held;
use crate::worker::Engine;
use std::collections::HashSet;
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
    /// Another's by now, and said so; their leads here have still to notice.
    lost: HashSet<Held>,
    store_fails: Episode,
}

impl Leases {
    /// For the slices that `engine` holds.
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, lost: HashSet::new(), store_fails: Episode::default() }
    }

    /// Until a stop, and on until no slice is in hand: a drain may outlast a lease.
    pub(super) async fn run(mut self) {
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
    async fn renew(&mut self) -> Duration {
        let held = self.engine.held();
        if held.is_empty() {
            return RENEW_EVERY;
        }
        match self.engine.store.renew_slices(held, LEASE).await {
            Ok(lost) => {
                if self.store_fails.ends() {
                    tracing::info!("leases are renewed again");
                }
                for held in newly_lost(&mut self.lost, lost) {
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

/// Those of `lost` that were not known to be; from now on exactly these are.
fn newly_lost(known: &mut HashSet<Held>, lost: Vec<Held>) -> Vec<Held> {
    let new = lost.iter().filter(|held| !known.contains(held)).copied().collect();
    *known = lost.into_iter().collect();
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Epoch;
    use crate::ledger::JobKey;
    use crate::ledger::SliceNo;

    #[test]
    fn a_lost_slice_is_told_of_once_and_again_under_its_next_epoch() {
        let held = |slice, epoch| Held { job: JobKey(1), slice: SliceNo(slice), epoch: Epoch(epoch) };
        let mut known = HashSet::new();
        assert_eq!(newly_lost(&mut known, vec![held(0, 1)]), [held(0, 1)]);
        assert_eq!(newly_lost(&mut known, vec![held(0, 1), held(1, 1)]), [held(1, 1)]);
        assert!(newly_lost(&mut known, Vec::new()).is_empty());
        assert_eq!(newly_lost(&mut known, vec![held(0, 2)]), [held(0, 2)]);
    }
}
