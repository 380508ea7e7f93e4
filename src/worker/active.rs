//! How many leads are being decided and called for. A lead that waits long is not one of them.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A lead that waits longer than this parks.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// The count, shared.
#[derive(Clone, Default)]
pub(super) struct ActiveLeads(Arc<Count>);

#[derive(Default)]
struct Count {
    now: AtomicUsize,
    fewer: Notify,
}

/// One lead at work; counts until dropped, but not while parked.
pub(super) struct Active(Arc<Count>);

impl ActiveLeads {
    /// Counts one more.
    pub(super) fn begin(&self) -> Active {
        self.0.now.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(&self.0))
    }

    /// Until fewer than `limit` leads are at work.
    pub(super) async fn below(&self, limit: usize) {
        loop {
            let fewer = self.0.fewer.notified();
            if self.0.now.load(Ordering::Relaxed) < limit {
                return;
            }
            fewer.await;
        }
    }
}

impl Active {
    /// Waits, and parks if that takes longer than a second.
    pub(super) async fn wait<T>(&self, until: impl Future<Output = T>) -> T {
        let mut until = std::pin::pin!(until);
        if let Ok(came) = timeout(PARK_AFTER, until.as_mut()).await {
            return came;
        }
        self.park(until).await
    }

    /// Waits parked from the start: somebody else works meanwhile.
    pub(super) async fn park<T>(&self, until: impl Future<Output = T>) -> T {
        let parked = Parked::begin(&self.0);
        let came = until.await;
        drop(parked);
        came
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        leave(&self.0);
    }
}

/// A lead that is not counted until this is dropped, however its waiting ends.
struct Parked<'a>(&'a Count);

impl<'a> Parked<'a> {
    fn begin(count: &'a Count) -> Self {
        leave(count);
        Self(count)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_add(1, Ordering::Relaxed);
    }
}

fn leave(count: &Count) {
    count.now.fetch_sub(1, Ordering::Relaxed);
    count.fewer.notify_one();
}
