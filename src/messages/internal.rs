//! What workers tell each other over `weir.control`. Not part of the contract: one version of the
//! program may say what another ignores.

use crate::domain::ConfigVersion;
use crate::domain::WorkerId;
use crate::domain::WorkspaceId;
use crate::messages::events::Message;
use serde::Serialize;

/// A worker lives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Presence {
    /// Which worker.
    pub worker_id: WorkerId,
    /// When it said so.
    pub at: String,
    /// What is in force there.
    pub config_version: ConfigVersion,
    /// Its first word: the others answer with their own presence.
    pub hello: bool,
}

/// A workspace's keys or settings are others: what is remembered of them is stale.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeysChanged {
    /// Whose.
    pub workspace_id: WorkspaceId,
}

/// A worker has gone, by its own will.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WorkerStopped {
    /// Which worker.
    pub worker_id: WorkerId,
}

impl Message for Presence {
    const KIND: &'static str = "weir.presence.v1";
}

impl Message for KeysChanged {
    const KIND: &'static str = "weir.keys_changed.v1";
}

impl Message for WorkerStopped {
    const KIND: &'static str = "weir.worker_stopped.v1";
}
