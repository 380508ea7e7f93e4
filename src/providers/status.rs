//! What an HTTP status means once the body has said nothing the adapter knows.

use crate::providers::Fault;
use crate::providers::Reply;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
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

/// A duration as some headers print it: `6m0s`, `1.5s`, `12ms`; parts of a millisecond are rounded up.
/// `None` when it is anything else.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = None;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic())?);
        let (unit, after) = behind.split_at(behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len()));
        let millis = match unit {
            "h" => Decimal::new(3_600_000, 0),
            "m" => Decimal::new(60_000, 0),
            "s" => Decimal::new(1_000, 0),
            "ms" => Decimal::ONE,
            _ => return None,
        };
        let part = number.parse::<Decimal>().ok()?.checked_mul(millis)?.ceil().to_u64()?;
        sum = Some(sum.unwrap_or(Duration::ZERO).checked_add(Duration::from_millis(part))?);
        rest = after;
    }
    sum
}

fn is_html(reply: &Reply<'_>) -> bool {
    reply.body.trim_start().starts_with('<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_in_its_units_or_not_at_all() {
        for (text, millis) in [
            ("12ms", Some(12)),
            ("6m0s", Some(360_000)),
            (" 1h2m3.5s ", Some(3_723_500)),
            ("0.0001s", Some(1)),
            ("2m59.56s", Some(179_560)),
            ("0s", Some(0)),
            ("", None),
            ("7", None),
            ("-1", None),
            ("-1s", None),
            ("s", None),
            ("1d", None),
            ("1s2", None),
            ("2026-01-01T00:00:00Z", None),
            ("99999999999999999999999999999h", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
