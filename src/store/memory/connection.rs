//! A worker's connection to the store.

use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::store::memory::Planted;
use crate::store::memory::Seam;
use crate::store::memory::Watch;
use crate::store::memory::committer::Arrival;
use crate::store::memory::tables::Tables;
use crate::store::waiting::Waiting;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection; all of one store share its tables, each has its own faults.
#[derive(Clone)]
pub(crate) struct MemoryStore {
    pub(super) shared: Arc<Shared>,
    pub(super) seam: Arc<dyn Seam>,
}

/// What all connections share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// A boundary has arrived.
    pub(super) arrived: Notify,
    pub(super) watch: Arc<dyn Watch>,
    pub(super) planted: Option<Planted>,
}

pub(super) struct State {
    pub(super) tables: Tables,
    /// Boundaries that are not due yet, as they came.
    pub(super) arrivals: Vec<Arrival>,
    pub(super) waiting: Waiting,
    /// When holds that wait are looked at again; `None` while none waits.
    pub(super) retry_at: Option<Instant>,
}

impl MemoryStore {
    /// An empty store.
    pub(crate) fn new(seam: Arc<dyn Seam>, watch: Arc<dyn Watch>, planted: Option<Planted>) -> Self {
        let state = State { tables: Tables::new(), arrivals: Vec::new(), waiting: Waiting::default(), retry_at: None };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), arrived: Notify::new(), watch, planted }), seam }
    }

    /// Another connection to the same store.
    pub(crate) fn through(&self, seam: Arc<dyn Seam>) -> Self {
        Self { shared: Arc::clone(&self.shared), seam }
    }

    /// Looks at how things stand.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Tables) -> T) -> T {
        at(&self.shared.state().tables)
    }

    /// One transaction beside the group commit.
    pub(super) fn run<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut Tables) -> Result<T, LedgerError> + Send + 'a,
    ) -> Later<'a, T> {
        Box::pin(async move {
            self.seam.reach().await;
            let mut state = self.shared.state();
            let done = work(&mut state.tables);
            self.shared.watch.changed(&state.tables);
            done
        })
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
