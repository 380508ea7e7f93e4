//! Why a message is not taken.

use crate::queue::DeadReason;

/// What lies beside a refused message in `weir.dead`: `x-weir-reason` and `x-weir-detail`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", .reason.as_str())]
pub struct Refusal {
    /// The contract's word for it.
    pub reason: DeadReason,
    /// A sentence that names the field, and no value but an id.
    pub detail: String,
}

impl Refusal {
    pub(super) fn not_json(detail: impl Into<String>) -> Self {
        Self { reason: DeadReason::NotJson, detail: detail.into() }
    }

    pub(super) fn unknown_type(detail: impl Into<String>) -> Self {
        Self { reason: DeadReason::UnknownType, detail: detail.into() }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self { reason: DeadReason::Invalid, detail: detail.into() }
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self { reason: DeadReason::TooLarge, detail: detail.into() }
    }

    pub(super) fn source_refused(detail: impl Into<String>) -> Self {
        Self { reason: DeadReason::SourceRefused, detail: detail.into() }
    }
}
