//! One function for each metric. A series is made once and then found by its labels, so that a record
//! is a look-up and an atomic addition; where nothing is installed it is one load.

use crate::domain::ConfigVersion;
use crate::domain::KeySource;
use crate::domain::Outcome;
use crate::domain::ProviderName;
use crate::domain::Purpose;
use crate::domain::Reason;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Tokens;
use crate::domain::Usd;
use crate::metrics::families::Families;
use crate::queue::DeadReason;
use metrics_exporter_prometheus::BuildError;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

/// What this process records into; empty before [`install`].
static FAMILIES: OnceLock<Arc<Families>> = OnceLock::new();

/// Why the metrics cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It is done once in a process.
    #[error("the metrics are installed already")]
    AlreadyInstalled,
    /// The exporter refuses the buckets.
    #[error("the metrics cannot be set up: {0}")]
    Refused(#[from] BuildError),
}

/// Records from now on. Whoever installs must call [`Exposition::render`] or [`Exposition::run_upkeep`]
/// every few seconds: what histograms gather lies in memory until then. [`crate::metrics::serve`] does.
///
/// # Errors
/// The second time.
pub fn install() -> Result<Exposition, InstallError> {
    let exposition = Exposition::apart()?;
    FAMILIES.set(Arc::clone(&exposition.0)).map_err(|_| InstallError::AlreadyInstalled)?;
    Ok(exposition)
}

/// Shows what was recorded.
#[derive(Clone)]
pub struct Exposition(Arc<Families>);

impl Exposition {
    /// One that nobody but its owner records into.
    pub(super) fn apart() -> Result<Self, InstallError> {
        Ok(Self(Arc::new(Families::new()?)))
    }

    /// All metrics as Prometheus text, version 0.0.4.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what the histograms have gathered into their buckets.
    pub fn run_upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// An attempt ended.
pub fn attempt(step: &Step, key_source: KeySource, outcome: Outcome) {
    record(|families| families.attempt(step, key_source, outcome));
}

/// A customer was charged for a call to this provider.
pub fn spend(provider: &ProviderName, cost: Usd) {
    record(|families| families.spend(provider, cost));
}

/// A cost of this provider stayed with the house.
pub fn house_loss(provider: &ProviderName, cost: Usd) {
    record(|families| families.house_loss(provider, cost));
}

/// A call was made again because its first answer was lost.
pub fn call_repeated(provider: &ProviderName) {
    record(|families| families.call_repeated(provider));
}

/// A provider of the configuration: its sums begin at zero, so that a first loss shows as a rise.
pub fn known_provider(provider: &ProviderName) {
    record(|families| families.known_provider(provider));
}

/// A provider that serves a model of the configuration: what its models count begins at zero.
pub fn known_model_provider(provider: &ProviderName) {
    record(|families| families.known_model_provider(provider));
}

/// Open holds, as counted in the store.
pub fn holds_open(holds: u64) {
    record(|families| families.holds_open(holds));
}

/// So many leads, one and those identical to it, ended so.
pub fn lead_ended(status: Status, reason: Reason, leads: u64) {
    record(|families| families.lead_ended(status, reason, leads));
}

/// So many leads of a copy job for this purpose ended so; they are counted as leads too.
pub fn copy_ended(purpose: Purpose, status: Status, reason: Reason, leads: u64) {
    record(|families| families.copy_ended(purpose, status, reason, leads));
}

/// A customer was charged for a step of copy for this purpose; it is counted as the provider's too.
pub fn copy_spend(purpose: Purpose, cost: Usd) {
    record(|families| families.copy_spend(purpose, cost));
}

/// A model of this provider has counted these tokens.
pub fn tokens(provider: &ProviderName, tokens: Tokens) {
    record(|families| families.tokens(provider, tokens));
}

/// A model of this provider has answered on the house's key without saying what it consumed: it is charged as much as
/// was held.
pub fn usage_missing(provider: &ProviderName) {
    record(|families| families.usage_missing(provider, 1));
}

/// How long a run worked on a lead.
pub fn lead_seconds(took: Duration) {
    record(|families| families.lead_seconds(took));
}

/// How long one HTTP call took.
pub fn call_seconds(provider: &ProviderName, took: Duration) {
    record(|families| families.call_seconds(provider, took));
}

/// A commit of the ledger: how many boundaries it carried, and how long it took.
pub fn ledger_batch(size: usize, took: Duration) {
    record(|families| families.ledger_batch(size, took));
}

/// The configuration now in force; the former version is shown no more.
pub fn config_version(version: &ConfigVersion) {
    record(|families| families.config_version(version));
}

/// A message went to `weir.dead`.
pub fn dead_letter(reason: DeadReason) {
    record(|families| families.dead_letter(reason, 1));
}

/// A message of this type had no queue to go to.
pub fn unroutable(kind: &str) {
    record(|families| families.unroutable(kind));
}

/// Does the broker take no message from this worker?
pub fn amqp_blocked(blocked: bool) {
    record(|families| families.amqp_blocked(blocked));
}

/// Slices this worker holds.
pub fn slices_held(slices: u64) {
    record(|families| families.slices_held(slices));
}

/// Slices whose work broke, and that nobody claims until their job is resumed, as counted in the store.
pub fn slices_set_aside(slices: u64) {
    record(|families| families.slices_set_aside(slices));
}

/// Events of the outbox that wait to be published.
pub fn outbox_unpublished(rows: u64) {
    record(|families| families.outbox_unpublished(rows));
}

fn record(with: impl FnOnce(&Families)) {
    if let Some(families) = FAMILIES.get() {
        with(families);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_recorded_before_the_installation_which_happens_once() {
        call_repeated(&ProviderName::new("early"));
        let exposition = install().unwrap();
        call_repeated(&ProviderName::new("late"));
        let text = exposition.render();
        assert!(!text.contains("early"), "{text}");
        assert!(text.contains("weir_calls_repeated_total{provider=\"late\"} 1\n"), "{text}");
        assert!(matches!(install(), Err(InstallError::AlreadyInstalled)));
    }
}
