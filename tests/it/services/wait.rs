//! Waiting for what another process brings about.

use std::time::Duration;
use tokio::time::Instant;
use tokio::time::sleep;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until there is something to see. Panics once `patience` is over: `what` says what was waited for.
pub(crate) async fn eventually<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < until, "waited {patience:?} in vain for {what}");
        sleep(PAUSE).await;
    }
}
