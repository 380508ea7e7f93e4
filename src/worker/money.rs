//! Which wallets have leads waiting for money: their workspaces start no new lead meanwhile.
//!
//! Unless all that were started wait: then the money they wait for is bound by attempts that an
//! earlier owner left begun, and only starting more leads comes to those.

use crate::ledger::AccountId;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::Notify;

/// Counts the waiting leads of each wallet.
#[derive(Clone, Default)]
pub(super) struct MoneyQueues(Arc<Queues>);

#[derive(Default)]
struct Queues {
    waiting: Mutex<HashMap<AccountId, usize>>,
    changed: Notify,
}

/// One lead that waits, until dropped.
pub(super) struct WaitsForMoney {
    queues: MoneyQueues,
    account: AccountId,
}

impl MoneyQueues {
    pub(super) fn join(&self, account: AccountId) -> WaitsForMoney {
        let mut waiting = self.lock();
        let count = waiting.entry(account).or_default();
        *count = count.saturating_add(1);
        drop(waiting);
        self.0.changed.notify_one();
        WaitsForMoney { queues: self.clone(), account }
    }

    /// Do some, but not all, of the wallet's `started` leads wait?
    pub(super) fn holds_back(&self, account: AccountId, started: usize) -> bool {
        self.lock().get(&account).is_some_and(|waiting| *waiting < started)
    }

    /// Until some wallet has one waiting lead more or fewer.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, usize>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitsForMoney {
    fn drop(&mut self) {
        let mut waiting = self.queues.lock();
        if let Some(count) = waiting.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiting.remove(&self.account);
            }
        }
        drop(waiting);
        self.queues.0.changed.notify_one();
    }
}
