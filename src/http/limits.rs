//! What a provider allows one key, and the rate limiter made of it.

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

/// The limits of one key at one provider, as this worker keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// This worker's share of the rate; `None` for no rate. Zero counts as one.
    pub requests_per_second: Option<u32>,
    /// Calls at once; `None` for no cap. Zero counts as one.
    pub max_in_flight: Option<u32>,
    /// Consecutive faults of the provider that open the breaker. Zero counts as one.
    pub breaker_failures: u32,
    /// How long it stays open before a probe.
    pub breaker_open: Duration,
}

impl Limits {
    pub(crate) fn in_flight(&self) -> usize {
        let cap = self.max_in_flight.and_then(|cap| usize::try_from(cap.max(1)).ok());
        cap.unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
    }

    pub(crate) fn rate(&self) -> Option<Rate> {
        self.requests_per_second.map(Rate::new)
    }
}

/// A token bucket (GCRA).
pub(crate) struct Rate(RateLimiter<NotKeyed, InMemoryState, Stopwatch, NoOpMiddleware<Duration>>);

impl Rate {
    /// Calls may bunch up to a tenth of a second's worth: enough to make up for timers of a
    /// millisecond, too little to send a second's worth twice around a second's border.
    fn new(per_second: u32) -> Self {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(per_second / 10));
        Self(RateLimiter::direct_with_clock(quota, Stopwatch(Instant::now())))
    }

    /// Takes a token, or says how long until there is one.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        self.0.check().map_err(|not_until| not_until.wait_time_from(self.0.clock().now()))
    }
}

/// The rate limiter's clock: tokio's, which tests pause.
struct Stopwatch(Instant);

impl Clock for Stopwatch {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
