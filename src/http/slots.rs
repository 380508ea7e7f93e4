//! Slots for deciding and calling, shared fairly between keys.

use crate::http::gates::KeyId;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::oneshot;

/// So many leads may decide and call at once. First come first served, but while keys wait that hold
/// less than a quarter of the slots, those that hold a quarter are passed over.
#[derive(Clone)]
pub struct Slots {
    desk: Desk,
}

/// One lead's slot; free again when dropped.
#[must_use]
pub struct Slot {
    desk: Desk,
    key: KeyId,
}

#[derive(Clone)]
struct Desk(Arc<Mutex<Book>>);

/// Who holds slots and who waits. Every change is followed by [`Desk::hand_out`].
struct Book {
    total: usize,
    held: usize,
    lines: HashMap<KeyId, Line>,
    next_ticket: u64,
}

/// The slots of one key, and those who wait for one.
#[derive(Default)]
struct Line {
    held: usize,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    ticket: u64,
    call: oneshot::Sender<Slot>,
}

impl Slots {
    /// At least one slot.
    pub fn new(total: usize) -> Self {
        let book = Book { total: total.max(1), held: 0, lines: HashMap::new(), next_ticket: 0 };
        Self { desk: Desk(Arc::new(Mutex::new(book))) }
    }

    /// Waits for a slot. Dropping the future gives up the place in the line, and loses no slot.
    pub async fn acquire(&self, key: KeyId) -> Slot {
        loop {
            let called = self.desk.book().wait(key);
            self.desk.hand_out();
            // A waiter is always called; were it not, it would ask anew.
            if let Ok(slot) = called.await {
                return slot;
            }
        }
    }

    /// More slots are handed out at once; fewer, as slots come back.
    pub fn resize(&self, total: usize) {
        self.desk.book().total = total.max(1);
        self.desk.hand_out();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.desk.book().release(self.key);
        self.desk.hand_out();
    }
}

impl Desk {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls those who may have a slot now. Outside the lock, because a slot whose waiter has left
    /// comes straight back through `drop`.
    fn hand_out(&self) {
        loop {
            let Some((key, call)) = self.book().call_next() else { return };
            drop(call.send(Slot { desk: self.clone(), key }));
        }
    }
}

impl Book {
    fn hold(&mut self, key: KeyId) {
        self.held += 1;
        self.lines.entry(key).or_default().held += 1;
    }

    fn release(&mut self, key: KeyId) {
        self.held -= 1;
        if let Some(line) = self.lines.get_mut(&key) {
            line.held -= 1;
            if line.held == 0 && line.waiting.is_empty() {
                self.lines.remove(&key);
            }
        }
    }

    fn wait(&mut self, key: KeyId) -> oneshot::Receiver<Slot> {
        let (call, called) = oneshot::channel();
        let waiter = Waiter { ticket: self.next_ticket, call };
        self.next_ticket += 1;
        self.lines.entry(key).or_default().waiting.push_back(waiter);
        called
    }

    /// Whose turn it is, if a slot is free; it is held for them from here on.
    fn call_next(&mut self) -> Option<(KeyId, oneshot::Sender<Slot>)> {
        let quarter = (self.total / 4).max(1);
        while self.held < self.total {
            let turn = |(key, line): (&KeyId, &Line)| Some((line.held >= quarter, line.waiting.front()?.ticket, *key));
            let (_, _, key) = self.lines.iter().filter_map(turn).min()?;
            let waiter = self.lines.get_mut(&key)?.waiting.pop_front()?;
            self.hold(key);
            if !waiter.call.is_closed() {
                return Some((key, waiter.call));
            }
            self.release(key);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    type Waiting<'a> = Pin<Box<dyn Future<Output = Slot> + 'a>>;

    fn key(name: &str) -> KeyId {
        KeyId::of(&name.into())
    }

    /// Polls once: who waits is in the line from here on.
    async fn poll(waiting: &mut Waiting<'_>) -> Option<Slot> {
        poll_fn(|context| match waiting.as_mut().poll(context) {
            Poll::Ready(slot) => Poll::Ready(Some(slot)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    async fn queue<'a>(slots: &'a Slots, name: &str) -> Waiting<'a> {
        let mut waiting: Waiting<'a> = Box::pin(slots.acquire(key(name)));
        assert!(poll(&mut waiting).await.is_none(), "{name} has a slot already");
        waiting
    }

    /// `held` are the first holders, in the order in which they leave; each of `waiting` leaves when
    /// called. Shows the order in which they are called.
    async fn check(total: usize, held: &str, waiting: &str, called: &str) {
        let slots = Slots::new(total);
        let mut holders = Vec::new();
        for name in held.split_whitespace() {
            holders.push(slots.acquire(key(name)).await);
        }
        let mut line = Vec::new();
        for name in waiting.split_whitespace() {
            line.push((name, queue(&slots, name).await));
        }
        let mut order = Vec::new();
        let mut leaving = VecDeque::from(holders);
        while let Some(slot) = leaving.pop_front() {
            drop(slot);
            for (name, mut waiting) in std::mem::take(&mut line) {
                match poll(&mut waiting).await {
                    Some(slot) => {
                        order.push(name);
                        leaving.push_back(slot);
                    }
                    None => line.push((name, waiting)),
                }
            }
        }
        assert_eq!(order.join(" "), called, "{total} slots, held by {held}, wanted by {waiting}");
    }

    #[tokio::test]
    async fn slots_go_first_come_first_served() {
        check(2, "a b", "a b c a", "a b c a").await;
        check(8, "a b c d e f g h", "x y x z", "x y x z").await;
    }

    #[tokio::test]
    async fn a_key_with_a_quarter_of_the_slots_is_passed_over_while_others_wait() {
        check(4, "a a a a", "a a b c", "b c a a").await;
        check(8, "a a a a a a b b", "a a a b b", "a a a b b").await;
    }

    #[tokio::test]
    async fn a_key_alone_may_hold_every_slot() {
        check(4, "a a a a", "a a a", "a a a").await;
    }

    #[tokio::test]
    async fn a_waiter_that_leaves_loses_no_slot() {
        let slots = Slots::new(1);
        let held = slots.acquire(key("a")).await;
        let left_before = queue(&slots, "b").await;
        let left_when_called = queue(&slots, "c").await;
        let mut last = queue(&slots, "d").await;
        drop(left_before);
        drop(held);
        assert!(poll(&mut last).await.is_none(), "c is called first");
        drop(left_when_called);
        let slot = poll(&mut last).await;
        assert!(slot.is_some());
        drop(slot);
        assert!(slots.desk.book().lines.is_empty());
    }

    #[tokio::test]
    async fn a_resize_hands_out_more_at_once_and_fewer_as_slots_come_back() {
        let slots = Slots::new(1);
        let first = slots.acquire(key("a")).await;
        let mut second = queue(&slots, "b").await;
        let mut third = queue(&slots, "c").await;
        slots.resize(2);
        let second = poll(&mut second).await.unwrap();
        slots.resize(1);
        drop(first);
        assert!(poll(&mut third).await.is_none());
        drop(second);
        assert!(poll(&mut third).await.is_some());
    }
}
