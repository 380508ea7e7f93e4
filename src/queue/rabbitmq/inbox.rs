//! What was received and not yet asked for: as much as the prefetch allows.

use crate::queue::rabbitmq::control::Event;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::Notify;

/// First in, first out; what nobody asked for can be taken back.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Event>,
    ended: bool,
}

impl Inbox {
    pub(super) fn put(&self, event: Event) {
        self.state().waiting.push_back(event);
        self.changed.notify_one();
    }

    /// Takes back what waits.
    pub(super) fn take_all(&self) -> VecDeque<Event> {
        std::mem::take(&mut self.state().waiting)
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_waiters();
    }

    /// The next one; `None` after the end. Loses nothing when it is dropped.
    pub(super) async fn next(&self) -> Option<Event> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if let Some(event) = state.waiting.pop_front() {
                    return Some(event);
                }
                if state.ended {
                    return None;
                }
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_comes_after_what_waits() {
        let inbox = Inbox::default();
        inbox.put(Event::Connected);
        inbox.end();
        assert!(inbox.next().await.is_some());
        assert!(inbox.next().await.is_none());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_what_comes_and_by_the_end() {
        let inbox = Inbox::default();
        let (next, ()) = tokio::join!(inbox.next(), async { inbox.put(Event::Connected) });
        assert!(next.is_some());
        let (one, other, ()) = tokio::join!(inbox.next(), inbox.next(), async { inbox.end() });
        assert!(one.is_none() && other.is_none());
    }

    #[tokio::test]
    async fn what_is_taken_back_is_not_handed_out() {
        let inbox = Inbox::default();
        inbox.put(Event::Connected);
        assert_eq!(inbox.take_all().len(), 1);
        inbox.end();
        assert!(inbox.next().await.is_none());
    }
}
