//! The queue between the workers: at least once, in no order, and again from whoever is lost.

use crate::domain::WorkerId;
use crate::queue::Disposition;
use crate::queue::Queue;
use crate::queue::Receipt;
use crate::queue::Received;
use crate::queue::RetryAfter;
use crate::queue::SliceMessage;
use crate::worker::simulation::body::Body;
use crate::worker::simulation::body::Point;
use crate::worker::simulation::dice::Dice;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio::time::timeout_at;

pub(super) struct Broker {
    post: Mutex<Post>,
    changed: Notify,
}

struct Post {
    dice: Dice,
    waiting: Vec<Letter>,
    /// Delivered and not settled, by receipt.
    delivered: BTreeMap<u64, (WorkerId, SliceMessage)>,
    last_receipt: u64,
}

/// A message, and from when on it can be delivered.
struct Letter {
    message: SliceMessage,
    from: Instant,
}

/// What there is for a worker now.
enum Mail {
    Letter(Received),
    NotBefore(Instant),
    Nothing,
}

impl Broker {
    pub(super) fn new(dice: Dice) -> Self {
        let post = Post { dice, waiting: Vec::new(), delivered: BTreeMap::new(), last_receipt: 0 };
        Self { post: Mutex::new(post), changed: Notify::new() }
    }

    /// Takes a message in; one in twelve comes twice.
    pub(super) fn publish(&self, message: SliceMessage) {
        let mut post = self.post();
        let pause = post.dice.ms(0, 50);
        post.wait(message, pause);
        if post.dice.below(12) == 0 {
            let later = post.dice.ms(0, 5_000);
            post.wait(message, later);
        }
        drop(post);
        self.changed.notify_waiters();
    }

    /// The worker's connection is gone: what it had in hand is anybody's.
    pub(super) fn take_back(&self, worker: &WorkerId) {
        let mut post = self.post();
        let (lost, kept) = std::mem::take(&mut post.delivered).into_iter().partition(|(_, (to, _))| to == worker);
        post.delivered = kept;
        let lost: BTreeMap<u64, (WorkerId, SliceMessage)> = lost;
        for (_, message) in lost.into_values() {
            post.wait(message, Duration::ZERO);
        }
        drop(post);
        self.changed.notify_waiters();
    }

    /// Everything that is in somebody's hands comes once more.
    pub(super) fn deliver_again(&self) {
        let mut post = self.post();
        let messages: Vec<SliceMessage> = post.delivered.values().map(|(_, message)| *message).collect();
        for message in messages {
            post.wait(message, Duration::ZERO);
        }
        drop(post);
        self.changed.notify_waiters();
    }

    fn mail_for(&self, body: &Body) -> Mail {
        if body.is_dead() {
            return Mail::Nothing;
        }
        if let Some(until) = body.deaf_until() {
            return Mail::NotBefore(until);
        }
        self.post().hand_out(&body.name)
    }

    fn settle(&self, receipt: Receipt, disposition: Disposition) {
        let mut post = self.post();
        // One that was taken back is another's delivery by now.
        let Some((_, message)) = post.delivered.remove(&receipt.0) else { return };
        match disposition {
            Disposition::Done => {}
            Disposition::LeftOff => post.wait(message, Duration::ZERO),
            Disposition::Later(RetryAfter::OneSecond) => post.wait(message, Duration::from_secs(1)),
            Disposition::Later(RetryAfter::TenSeconds) => post.wait(message, Duration::from_secs(10)),
            Disposition::Later(RetryAfter::OneMinute) => post.wait(message, Duration::from_secs(60)),
        }
        drop(post);
        self.changed.notify_waiters();
    }

    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap()
    }
}

impl Post {
    fn wait(&mut self, message: SliceMessage, pause: Duration) {
        self.waiting.push(Letter { message, from: Instant::now() + pause });
    }

    /// Any of those that are due.
    fn hand_out(&mut self, to: &WorkerId) -> Mail {
        let now = Instant::now();
        let due: Vec<usize> = (0..self.waiting.len()).filter(|place| self.waiting[*place].from <= now).collect();
        if due.is_empty() {
            let first = self.waiting.iter().map(|letter| letter.from).min();
            return first.map_or(Mail::Nothing, Mail::NotBefore);
        }
        let place = due[self.dice.place(due.len())];
        let Letter { message, .. } = self.waiting.remove(place);
        self.last_receipt += 1;
        self.delivered.insert(self.last_receipt, (to.clone(), message));
        Mail::Letter(Received { message, receipt: Receipt(self.last_receipt) })
    }
}

/// One worker's channel to the broker.
pub(super) struct Channel {
    broker: Arc<Broker>,
    body: Arc<Body>,
}

impl Channel {
    pub(super) const fn new(broker: Arc<Broker>, body: Arc<Body>) -> Self {
        Self { broker, body }
    }

    async fn next(&self) -> Option<Received> {
        loop {
            let changed = self.broker.changed.notified();
            match self.broker.mail_for(&self.body) {
                Mail::Letter(received) => return Some(received),
                Mail::NotBefore(at) => {
                    let _ = timeout_at(at, changed).await;
                }
                Mail::Nothing => changed.await,
            }
        }
    }
}

impl Queue for Channel {
    /// What gets lost on the way is found by the sweep.
    fn publish(&self, message: SliceMessage) {
        if !self.body.is_dead() && self.body.deaf_until().is_none() {
            self.broker.publish(message);
        }
    }

    fn receive(&self) -> Pin<Box<dyn Future<Output = Option<Received>> + Send + '_>> {
        Box::pin(self.next())
    }

    fn settle(&self, receipt: Receipt, disposition: Disposition) {
        if self.body.deaf_until().is_none() && self.body.lives_past(Point::BeforeAck) {
            self.broker.settle(receipt, disposition);
        }
    }
}
