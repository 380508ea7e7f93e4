//! The right to a slice: how long it surely lasts, and whether it is another worker's by now.

use crate::jobs::Renewal;
use crate::jobs::Tenure;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The lease of a slice in hand, as far as it is known here; a lock never lapses.
pub(super) struct Lease {
    /// `None` under a lock.
    lasts: Option<Duration>,
    /// When the last claim or renewal that succeeded was asked for: the store counts from later on.
    asked: Mutex<Instant>,
    lost: CancellationToken,
}

impl Lease {
    /// To be made before the slice is claimed.
    pub(super) fn begin(tenure: Tenure) -> Self {
        let lasts = match tenure {
            Tenure::Lease(lasts) => Some(lasts),
            Tenure::Lock => None,
        };
        Self { lasts, asked: Mutex::new(Instant::now()), lost: CancellationToken::new() }
    }

    /// What became of a renewal that was asked for at `asked`. Is it lost, and is that news?
    pub(super) fn hear(&self, renewal: Renewal, asked: Instant) -> bool {
        match renewal {
            Renewal::Renewed => {
                let mut last = self.asked();
                *last = asked.max(*last);
                false
            }
            Renewal::Lost => self.lose(),
            Renewal::Left => false,
        }
    }

    /// Another worker owns the slice. Is that news?
    pub(super) fn lose(&self) -> bool {
        let is_news = !self.lost.is_cancelled();
        self.lost.cancel();
        is_news
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Until another worker owns the slice.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// May somebody else have claimed the slice, and be calling? Known without asking anybody: this
    /// process may have stood still.
    pub(super) fn may_have_lapsed(&self) -> bool {
        self.lasts.is_some_and(|lasts| self.asked().elapsed() >= lasts)
    }

    fn asked(&self) -> MutexGuard<'_, Instant> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_lease_lapses_unless_it_is_renewed_and_a_lock_does_not() {
        let lease = Lease::begin(Tenure::Lease(30 * SECOND));
        let lock = Lease::begin(Tenure::Lock);
        advance(29 * SECOND).await;
        assert!(!lease.may_have_lapsed());
        assert!(!lease.hear(Renewal::Renewed, Instant::now()));
        // An answer that comes late says less.
        assert!(!lease.hear(Renewal::Renewed, Instant::now() - 9 * SECOND));
        advance(29 * SECOND).await;
        assert!(!lease.may_have_lapsed());
        advance(SECOND).await;
        assert!(lease.may_have_lapsed());
        assert!(!lock.may_have_lapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_left_as_it_is_lapses_when_it_was_to() {
        let lease = Lease::begin(Tenure::Lease(30 * SECOND));
        for _ in 0..3 {
            assert!(!lease.may_have_lapsed());
            advance(10 * SECOND).await;
            assert!(!lease.hear(Renewal::Left, Instant::now()));
        }
        assert!(lease.may_have_lapsed());
        assert!(!lease.is_lost());
        // Nobody had taken it all the same.
        assert!(!lease.hear(Renewal::Renewed, Instant::now()));
        assert!(!lease.may_have_lapsed());
    }

    #[tokio::test]
    async fn a_lease_is_lost_once_and_for_good() {
        let lease = Lease::begin(Tenure::Lease(30 * SECOND));
        assert!(!lease.is_lost());
        let lose = || lease.hear(Renewal::Lost, Instant::now());
        assert_eq!([lose(), lose(), lease.lose()], [true, false, false]);
        lease.lost().await;
        assert!(lease.is_lost());
    }
}
