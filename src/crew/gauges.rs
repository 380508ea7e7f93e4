//! What the ledger's group commits come to, as metrics.

use crate::metrics;
use crate::store::CommitObserver;
use std::time::Duration;

/// Counts batches and their time.
pub struct Gauges;

impl CommitObserver for Gauges {
    fn committed(&self, boundaries: usize, took: Duration) {
        metrics::ledger_batch(boundaries, took);
    }
}
