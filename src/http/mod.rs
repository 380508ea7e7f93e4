//! Calls over HTTP, and who may make one now: the only user of `reqwest` and `governor`.
//!
//! Knows how a [`crate::providers::Request`] goes over the wire under timeouts and size caps, and keeps
//! one [`Gate`] per (provider, key): rate, calls in flight, pauses, breaker, stopped keys.
//! Invariant: nothing here retries, spends, logs, or reads what a body means. A failure says only whether
//! anything can have been billed; no error, `Debug` or state line holds a key, a URL or a body.

mod breaker;
mod build;
mod client;
mod download;
mod gate;
mod gates;
mod health;
mod limits;
mod slots;

pub use client::Client;
pub use client::Failure;
pub use client::Lost;
pub use client::Received;
pub use client::Sending;
pub use client::StartError;
pub use client::Target;
pub use client::Transport;
pub use download::Download;
pub use download::DownloadError;
pub use download::Downloading;
pub use gate::Admission;
pub use gate::Gate;
pub use gate::Permit;
pub use gates::Gates;
pub use gates::KeyId;
pub use health::Lesson;
pub use health::Refusal;
pub use limits::Limits;
pub use slots::Slot;
pub use slots::Slots;
