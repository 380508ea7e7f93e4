//! What an HTTP status means once the body has said nothing the adapter knows.

use crate::providers::Fault;
use crate::providers::Reply;
use std::time::Duration;

/// Is it a 2xx?
pub(super) const fn is_success(reply: &Reply<'_>) -> bool {
    matches!(reply.status, 200..=299)
}

/// The fault by status. A 2xx or a redirect is one too here, since its body was not understood, and
/// so is a page of HTML: it comes from something in between, which knows nothing of the key.
pub(super) fn fault(reply: &Reply<'_>) -> Fault {
    match reply.status {
        429 => Fault::RateLimited { retry_after: retry_after(reply) },
        500..=599 => Fault::Unavailable,
        _ if is_html(reply) => Fault::ProtocolError,
        401 | 403 => Fault::KeyRejected,
        402 => Fault::ProviderOutOfCredits,
        400..=499 => Fault::BadRequest,
        _ => Fault::ProtocolError,
    }
}

/// `Retry-After` in seconds. Its other form, a date, would need a clock and counts as unsaid.
pub(super) fn retry_after(reply: &Reply<'_>) -> Option<Duration> {
    seconds(reply, "retry-after")
}

/// A header holding whole seconds; `None` beyond 32 bits, which no provider means.
pub(super) fn seconds(reply: &Reply<'_>, header: &str) -> Option<Duration> {
    let seconds: u32 = reply.header(header)?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

fn is_html(reply: &Reply<'_>) -> bool {
    reply.body.trim_start().starts_with('<')
}
