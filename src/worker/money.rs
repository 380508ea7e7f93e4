//! Which wallets have leads waiting for money: their workspaces start no new lead meanwhile.

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
    fewer: Notify,
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
        WaitsForMoney { queues: self.clone(), account }
    }

    pub(super) fn has(&self, account: AccountId) -> bool {
        self.lock().contains_key(&account)
    }

    /// Until some wallet has one waiting lead fewer.
    pub(super) async fn fewer(&self) {
        self.0.fewer.notified().await;
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
        self.queues.0.fewer.notify_one();
    }
}
