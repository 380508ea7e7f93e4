//! What a test can switch while the sandbox runs.

use crate::sandbox::call::Trouble;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::Instant;

/// What is wrong with a provider at the moment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// HTML with this status.
    Page(u16),
    /// No answer at all, until the sandbox stops.
    Hang,
    /// The call is carried out and billed, and the connection dropped before its answer is whole.
    Cut,
    /// Throttled until then.
    Throttle(Instant),
}

/// The body of `POST /_sandbox/faults`.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Order {
    pub(super) provider: String,
    down: bool,
    status: Option<u16>,
    hang: bool,
    html: bool,
    cut: bool,
    throttle_seconds: Option<u64>,
}

impl Order {
    /// The fault it asks for; `None` puts the provider right.
    pub(super) fn fault(&self, now: Instant) -> Option<Fault> {
        if self.down {
            return Some(Fault::Page(503));
        }
        if let Some(status) = self.status {
            return Some(Fault::Page(status));
        }
        if self.hang {
            return Some(Fault::Hang);
        }
        if self.html {
            return Some(Fault::Page(200));
        }
        if self.cut {
            return Some(Fault::Cut);
        }
        now.checked_add(Duration::from_secs(self.throttle_seconds?)).map(Fault::Throttle)
    }
}

impl Fault {
    /// What it makes of a call that arrives now.
    pub(super) fn trouble(self, now: Instant) -> Option<Trouble> {
        match self {
            Self::Page(status) => Some(Trouble::Outage(status)),
            Self::Hang => Some(Trouble::Outage(503)),
            Self::Cut => None,
            Self::Throttle(until) => {
                let left = until.checked_duration_since(now).filter(|left| !left.is_zero())?;
                // Whole seconds, rounded up: who waits as long as told is let through.
                Some(Trouble::Throttled(Some(left.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX))))
            }
        }
    }
}
