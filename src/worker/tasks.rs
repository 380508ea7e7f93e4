//! The one file that spawns tasks: each is told of a stop, and awaited at the end.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The process's tasks, and the word that stops them.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs `task` beside everything else until it ends by itself.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Asks everything to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Has a stop been asked for?
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Until a stop is asked for.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// The word itself, for those who want to pass it on.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Stops, and waits for every task to end.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
