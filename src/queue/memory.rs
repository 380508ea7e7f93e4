//! The queue of one process, in memory.

use crate::queue::Disposition;
use crate::queue::Queue;
use crate::queue::Receipt;
use crate::queue::Received;
use crate::queue::SliceMessage;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::Notify;

/// First in, first out. What is left off is not announced again: the next start of the job does that.
/// What shall come later comes behind all that waits, without a pause: nothing else holds leases here.
#[derive(Default)]
pub struct MemoryQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<SliceMessage>,
    open: HashMap<u64, SliceMessage>,
    next_receipt: u64,
}

impl MemoryQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Some(None)` when there is nothing left to wait for.
    fn take(&self) -> Option<Option<Received>> {
        let mut state = self.state();
        match state.waiting.pop_front() {
            Some(message) => Some(Some(state.hand_out(message))),
            None if state.open.is_empty() => Some(None),
            None => None,
        }
    }
}

impl State {
    fn hand_out(&mut self, message: SliceMessage) -> Received {
        let receipt = self.next_receipt;
        self.next_receipt = receipt.wrapping_add(1);
        self.open.insert(receipt, message);
        Received { message, receipt: Receipt(receipt) }
    }

    /// A receipt that was settled before changes nothing.
    fn settle(&mut self, receipt: Receipt, disposition: Disposition) {
        let Some(message) = self.open.remove(&receipt.0) else { return };
        match disposition {
            Disposition::Done | Disposition::LeftOff => {}
            Disposition::Later(_) => self.waiting.push_back(message),
        }
    }
}

impl Queue for MemoryQueue {
    fn publish(&self, message: SliceMessage) {
        self.state().waiting.push_back(message);
        self.changed.notify_one();
    }

    fn receive(&self) -> Pin<Box<dyn Future<Output = Option<Received>> + Send + '_>> {
        Box::pin(async move {
            loop {
                let changed = self.changed.notified();
                if let Some(taken) = self.take() {
                    return taken;
                }
                changed.await;
            }
        })
    }

    fn settle(&self, receipt: Receipt, disposition: Disposition) {
        self.state().settle(receipt, disposition);
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::JobKey;
    use crate::ledger::SliceNo;
    use crate::queue::RetryAfter;

    fn message(n: u32) -> SliceMessage {
        SliceMessage { job: JobKey(1), slice: SliceNo(n) }
    }

    #[tokio::test]
    async fn slices_come_in_order_and_the_end_comes_when_the_last_is_settled() {
        let queue = MemoryQueue::default();
        queue.publish(message(0));
        queue.publish(message(1));
        let first = queue.receive().await.unwrap();
        let second = queue.receive().await.unwrap();
        assert_eq!((first.message, second.message), (message(0), message(1)));
        let settle_later = async {
            queue.settle(first.receipt, Disposition::Done);
            queue.publish(message(2));
        };
        let (third, ()) = tokio::join!(queue.receive(), settle_later);
        let third = third.unwrap();
        assert_eq!(third.message, message(2));
        queue.settle(second.receipt, Disposition::LeftOff);
        let (end, ()) = tokio::join!(queue.receive(), async { queue.settle(third.receipt, Disposition::Done) });
        assert_eq!(end, None);
    }

    #[tokio::test]
    async fn what_shall_come_later_comes_behind_the_others_under_a_new_receipt() {
        let queue = MemoryQueue::default();
        queue.publish(message(0));
        queue.publish(message(1));
        let first = queue.receive().await.unwrap();
        for _ in 0..2 {
            queue.settle(first.receipt, Disposition::Later(RetryAfter::OneSecond));
        }
        let second = queue.receive().await.unwrap();
        let again = queue.receive().await.unwrap();
        assert_eq!((second.message, again.message), (message(1), message(0)));
        assert_ne!(first.receipt, again.receipt);
        queue.settle(second.receipt, Disposition::Done);
        queue.settle(again.receipt, Disposition::Done);
        assert_eq!(queue.receive().await, None);
    }
}
