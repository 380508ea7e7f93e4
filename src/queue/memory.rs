//! The queue of one process, in memory.

use crate::queue::Disposition;
use crate::queue::Queue;
use crate::queue::SliceMessage;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::Notify;

/// First in, first out. What is left off is not announced again: the next start of the job does that.
#[derive(Default)]
pub struct MemoryQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<SliceMessage>,
    open: usize,
}

impl MemoryQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `Some(None)` when there is nothing left to wait for.
    fn take(&self) -> Option<Option<SliceMessage>> {
        let mut state = self.state();
        match state.waiting.pop_front() {
            Some(message) => {
                state.open = state.open.saturating_add(1);
                Some(Some(message))
            }
            None if state.open == 0 => Some(None),
            None => None,
        }
    }
}

impl Queue for MemoryQueue {
    fn publish(&self, message: SliceMessage) {
        self.state().waiting.push_back(message);
        self.changed.notify_one();
    }

    fn receive(&self) -> Pin<Box<dyn Future<Output = Option<SliceMessage>> + Send + '_>> {
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

    fn settle(&self, _message: SliceMessage, disposition: Disposition) {
        match disposition {
            Disposition::Done | Disposition::LeftOff => {
                let mut state = self.state();
                state.open = state.open.saturating_sub(1);
            }
        }
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::JobKey;
    use crate::ledger::SliceNo;

    #[tokio::test]
    async fn slices_come_in_order_and_the_end_comes_when_the_last_is_settled() {
        let queue = MemoryQueue::default();
        let message = |n| SliceMessage { job: JobKey(1), slice: SliceNo(n) };
        queue.publish(message(0));
        queue.publish(message(1));
        assert_eq!(queue.receive().await, Some(message(0)));
        assert_eq!(queue.receive().await, Some(message(1)));
        let settle_later = async {
            queue.settle(message(0), Disposition::Done);
            queue.publish(message(2));
        };
        let (third, ()) = tokio::join!(queue.receive(), settle_later);
        assert_eq!(third, Some(message(2)));
        queue.settle(message(1), Disposition::LeftOff);
        let (end, ()) = tokio::join!(queue.receive(), async { queue.settle(message(2), Disposition::Done) });
        assert_eq!(end, None);
    }
}
