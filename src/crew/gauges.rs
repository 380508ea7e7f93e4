//! What happens outside of leads and calls, as metrics: group commits, and configurations put in force.

use crate::config::Live;
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

/// This configuration is in force; what is counted of its providers begins at zero.
pub(super) fn show_configuration(live: &Live) {
    metrics::config_version(&live.version);
    live.providers.keys().for_each(metrics::known_provider);
    live.models.values().for_each(|model| metrics::known_model_provider(&model.provider));
}
