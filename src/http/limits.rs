//! What a provider allows one key, this worker's part of it, and the rate limiter made of that.

use governor::Quota;
use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::InMemoryState;
use governor::state::NotKeyed;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The limits of one key at one provider, over all workers together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Calls begun per second; `None` for no rate. Zero counts as one.
    pub requests_per_second: Option<u32>,
    /// Calls at once; `None` for no cap. Zero counts as one.
    pub max_in_flight: Option<u32>,
    /// Consecutive faults of the provider, as one worker sees them, that open its breaker. Zero counts
    /// as one.
    pub breaker_failures: u32,
    /// How long it stays open before a probe.
    pub breaker_open: Duration,
}

/// How many live workers keep the limits together: each takes an equal part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share(NonZeroU32);

impl Share {
    /// Zero counts as one.
    pub(crate) fn among(workers: u32) -> Self {
        Self(at_least_one(workers))
    }
}

impl Default for Share {
    /// One worker has it all.
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

impl Limits {
    /// Calls at once on this worker. At least one, so more workers than places exceed the cap.
    pub(crate) fn in_flight(&self, share: Share) -> usize {
        let part = self.max_in_flight.and_then(|cap| usize::try_from((cap / share.0).max(1)).ok());
        part.unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
    }

    /// This worker's rate at its first call.
    pub(crate) fn rate(&self, share: Share) -> Option<Rate> {
        self.requests_per_second.map(|per_second| Rate::full(per_second, share))
    }

    /// Its rate after a change.
    pub(crate) fn rate_from_now(&self, share: Share) -> Option<Rate> {
        self.requests_per_second.map(|per_second| Rate::empty(per_second, share))
    }
}

/// A token bucket (GCRA).
pub(crate) struct Rate(RateLimiter<NotKeyed, InMemoryState, Stopwatch, NoOpMiddleware<Duration>>);

impl Rate {
    /// The part of a rate may be less than one a second: what counts is the time between two calls.
    fn full(per_second: u32, share: Share) -> Self {
        let period = Duration::from_secs(u64::from(share.0.get())) / per_second.max(1);
        // A period of zero is a rate above one a nanosecond.
        let quota = Quota::with_period(period).unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX));
        let quota = quota.allow_burst(burst(per_second, share));
        Self(RateLimiter::direct_with_clock(quota, Stopwatch(Instant::now())))
    }

    /// The first token comes after a whole period: what an earlier limiter has let through does not
    /// count twice.
    fn empty(per_second: u32, share: Share) -> Self {
        let rate = Self::full(per_second, share);
        // A full bucket holds exactly its burst, so this takes all of it.
        let _ = rate.0.check_n(burst(per_second, share));
        rate
    }

    /// Takes a token, or says how long until there is one.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        self.0.check().map_err(|not_until| not_until.wait_time_from(self.0.clock().now()))
    }
}

/// Calls may bunch up to a tenth of a second's worth: enough to make up for timers of a millisecond, too
/// little to send a second's worth twice around a second's border.
fn burst(per_second: u32, share: Share) -> NonZeroU32 {
    at_least_one(per_second / 10 / share.0)
}

fn at_least_one(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN)
}

/// The rate limiter's clock: tokio's, which tests pause.
struct Stopwatch(Instant);

impl Clock for Stopwatch {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
