//! Who works on a store, and under which stored configuration.
//!
//! Knows the workers that are alive, by the store's clock, and the inline configuration that was last
//! accepted.
//! Invariant: a heartbeat says all that a worker may have missed while it was cut off from the broker.

use crate::domain::ConfigVersion;
use crate::domain::WorkerId;
use crate::ledger::Later;
use std::time::Duration;

/// What a heartbeat brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Counts the changes of workspaces and own keys.
    pub keys_version: u64,
    /// Counts the inline configurations stored and taken back.
    pub config_seq: u64,
}

/// A worker that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerRow {
    /// Which.
    pub worker: WorkerId,
    /// Under which configuration it works.
    pub config_version: ConfigVersion,
    /// When it was last heard of, wall-clock milliseconds.
    pub seen_ms: i64,
}

/// The inline configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredConfig {
    /// Grows with every change.
    pub seq: u64,
    /// The TOML text of the live half; `None`: the files are in force.
    pub text: Option<String>,
}

/// What the store keeps of workers and configurations.
pub trait Roster: Send + Sync {
    /// "I am alive, under this configuration."
    fn heartbeat(&self, worker: &WorkerId, version: &ConfigVersion) -> Later<'_, Pulse>;

    /// "I am leaving."
    fn farewell(&self, worker: &WorkerId) -> Later<'_, ()>;

    /// The workers heard of within `alive`.
    fn workers(&self, alive: Duration) -> Later<'_, Vec<WorkerRow>>;

    /// Stores an accepted inline configuration (`None`: the files again), once per request: a request
    /// that was stored before changes nothing.
    fn store_config(&self, request: &str, text: Option<String>) -> Later<'_, u64>;

    /// What is stored.
    fn stored_config(&self) -> Later<'_, StoredConfig>;
}
