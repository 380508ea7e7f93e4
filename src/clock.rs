//! The one file that reads the clock. Decisions take time as an argument; waits use `tokio::time`.

use crate::waterfall::Moment;
use std::time::SystemTime;

/// Wall-clock milliseconds since 1970, for what is written down (never for waiting).
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Monotonic time, from the first call of the process. Follows tokio's clock, which tests pause.
pub fn moment() -> Moment {
    use std::sync::LazyLock;
    use tokio::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    Moment(Instant::now().saturating_duration_since(*START))
}

/// A stored wall-clock time as `2026-11-21T10:00:00.123Z`.
pub fn timestamp(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| format!("{at:.3}"))
}
