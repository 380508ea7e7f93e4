//! A message that was received, and its end: acknowledged, tried again later, or laid aside.

use crate::queue::DeadReason;
use crate::queue::Fate;
use crate::queue::NotPublished;
use crate::queue::Outgoing;
use crate::queue::Publish;
use crate::queue::RetryAfter;
use crate::queue::To;
use crate::queue::rabbitmq::link::Pauses;
use crate::queue::rabbitmq::message::DETAIL;
use crate::queue::rabbitmq::message::QUEUE;
use crate::queue::rabbitmq::message::REASON;
use crate::queue::rabbitmq::message::TRIES;
use crate::queue::rabbitmq::message::number_header;
use crate::queue::rabbitmq::message::property;
use crate::queue::rabbitmq::topology::DEAD;
use crate::queue::rabbitmq::topology::rung;
use lapin::Acker;
use lapin::options::BasicAckOptions;
use lapin::options::BasicNackOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// `x-weir-detail` has so many characters at most.
const LONGEST_DETAIL: usize = 500;

/// A message, held until it is settled. Dropped unsettled it comes again when its channel ends. No
/// `Debug`: it has a body.
pub struct Delivery {
    /// The queue it came from.
    pub source: String,
    /// The AMQP `type`.
    pub kind: Option<String>,
    /// Of its last publish: after a retry, the queue's name.
    pub routing_key: String,
    /// The sender's id.
    pub message_id: Option<String>,
    /// To copy into answers.
    pub correlation_id: Option<String>,
    /// A queue that wants the answers.
    pub reply_to: Option<String>,
    /// How often it was tried before, by its header `x-weir-tries`.
    pub tries: u32,
    /// Was it handed out before, whether or not anybody saw it?
    pub redelivered: bool,
    /// As it was sent.
    pub body: Vec<u8>,
    acker: Acker,
    origin: Origin,
    copier: Copier,
}

/// Whose queue a delivery came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Everybody's: a retry goes up the ladder and comes back to whoever is free.
    Shared,
    /// One worker's, gone with its connection: nothing may lie on the ladder for it, because a rung
    /// holds on to what it cannot deliver.
    Own,
}

/// What became of settling.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// As it was asked for.
    Done,
    /// The channel it came over is gone: it will come again.
    LostClaim,
}

/// Publishes what takes a delivery's place.
#[derive(Clone)]
pub(super) struct Copier {
    pub(super) publisher: Arc<dyn Publish>,
    pub(super) stop: CancellationToken,
}

impl Copier {
    /// Publishes until it is confirmed: `true`. Gives up when it `is_wanted` no more, and at the stop.
    pub(super) async fn publish_until_confirmed(&self, message: &Outgoing, is_wanted: impl Fn() -> bool) -> bool {
        let mut pauses = Pauses::default();
        while is_wanted() {
            match self.publisher.publish(message.clone()).await {
                Ok(()) => return true,
                Err(error @ NotPublished::Unroutable) => tracing::warn!(to = ?message.to, "{error}; trying again"),
                Err(error @ NotPublished::Unconfirmed(_)) => tracing::debug!(to = ?message.to, "{error}; trying again"),
            }
            if self.stop.is_cancelled() {
                return false;
            }
            tokio::select! {
                () = pauses.pause() => {}
                () = self.stop.cancelled() => {}
            }
        }
        false
    }
}

impl Delivery {
    pub(super) fn new(source: &str, received: lapin::message::Delivery, origin: Origin, copier: Copier) -> Self {
        let properties = &received.properties;
        let tries = number_header(properties, TRIES).and_then(|tries| u32::try_from(tries).ok());
        Self {
            source: source.to_owned(),
            kind: property(properties.kind()),
            message_id: property(properties.message_id()),
            correlation_id: property(properties.correlation_id()),
            reply_to: property(properties.reply_to()),
            tries: tries.unwrap_or(0),
            routing_key: received.routing_key.to_string(),
            redelivered: received.redelivered,
            body: received.data,
            acker: received.acker,
            origin,
            copier,
        }
    }

    /// Ends it. Nothing is acknowledged before the copy that takes its place is confirmed; until then,
    /// or until the stop, this waits.
    pub async fn settle(mut self, fate: Fate) -> Settled {
        if !self.acker.usable() {
            return self.conclude(Ok(false));
        }
        if let Some(copy) = self.copy_for(fate).await {
            let acker = &self.acker;
            if !self.copier.publish_until_confirmed(&copy, || acker.usable()).await {
                return self.conclude(Ok(false));
            }
        }
        let acknowledged = self.acker.ack(BasicAckOptions::default()).await;
        self.conclude(acknowledged)
    }

    /// Gives it back as it is: somebody else takes it at once.
    pub async fn leave(self) -> Settled {
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        let given_back = self.acker.nack(options).await;
        self.conclude(given_back)
    }

    async fn copy_for(&mut self, fate: Fate) -> Option<Outgoing> {
        match fate {
            Fate::Ack => None,
            Fate::Retry(after) => Some(self.copy_to_try_again(after).await),
            Fate::Dead(reason, detail) => Some(self.copy_to_lay_aside(reason, &detail)),
        }
    }

    async fn copy_to_try_again(&mut self, after: RetryAfter) -> Outgoing {
        let source = self.source.clone();
        let to = match self.origin {
            Origin::Shared => To::Retry(after, source),
            Origin::Own => {
                self.wait(after).await;
                To::Queue(source)
            }
        };
        let tries = self.tries.saturating_add(1);
        self.copy(to, vec![(TRIES.to_owned(), tries.to_string())])
    }

    fn copy_to_lay_aside(&mut self, reason: DeadReason, detail: &str) -> Outgoing {
        let headers = vec![
            (REASON.to_owned(), reason.as_str().to_owned()),
            (DETAIL.to_owned(), detail.chars().take(LONGEST_DETAIL).collect()),
            (QUEUE.to_owned(), self.source.clone()),
        ];
        self.copy(To::Queue(DEAD.to_owned()), headers)
    }

    /// The same message with other headers: `x-death` is dropped, or brokers before 4.0 would see a
    /// circle and drop the message.
    fn copy(&mut self, to: To, headers: Vec<(String, String)>) -> Outgoing {
        Outgoing {
            to,
            kind: self.kind.clone().unwrap_or_default(),
            message_id: self.message_id.clone().unwrap_or_default(),
            correlation_id: self.correlation_id.clone(),
            reply_to: self.reply_to.clone(),
            headers,
            body: std::mem::take(&mut self.body),
        }
    }

    async fn wait(&self, after: RetryAfter) {
        let (_, wait_ms) = rung(after);
        tokio::select! {
            () = sleep(Duration::from_millis(u64::try_from(wait_ms).unwrap_or_default())) => {}
            () = self.copier.stop.cancelled() => {}
        }
    }

    fn conclude(&self, settled: lapin::Result<bool>) -> Settled {
        match settled {
            Ok(true) => return Settled::Done,
            Ok(false) => tracing::debug!(queue = self.source, "a delivery's channel is gone; it will come again"),
            Err(error) => tracing::debug!(queue = self.source, "a delivery will come again: {error}"),
        }
        Settled::LostClaim
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::rabbitmq::tests::delivery;
    use crate::queue::rabbitmq::tests::recorder;
    use tokio::time::Instant;

    #[tokio::test]
    async fn a_retry_is_a_copy_up_the_ladder_with_its_tries_counted() {
        let (recorder, copier) = recorder(0);
        let fate = Fate::Retry(RetryAfter::TenSeconds);
        assert_eq!(delivery("{}", Origin::Shared, &copier).settle(fate).await, Settled::Done);
        let copy = recorder.published.lock().unwrap().pop().unwrap();
        assert_eq!(copy.to, To::Retry(RetryAfter::TenSeconds, "weir.enrich".to_owned()));
        assert_eq!((copy.kind.as_str(), copy.message_id.as_str()), ("weir.enrichment_job.v1", ""));
        assert_eq!(copy.headers, [("x-weir-tries".to_owned(), "3".to_owned())]);
        assert_eq!(copy.body, b"{}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_of_a_workers_own_message_waits_here_and_goes_back_to_its_queue() {
        let (recorder, copier) = recorder(0);
        let start = Instant::now();
        let fate = Fate::Retry(RetryAfter::TenSeconds);
        assert_eq!(delivery("{}", Origin::Own, &copier).settle(fate).await, Settled::Done);
        assert_eq!(start.elapsed().as_secs(), 10);
        let copy = recorder.published.lock().unwrap().pop().unwrap();
        assert_eq!(copy.to, To::Queue("weir.enrich".to_owned()));
    }

    #[tokio::test]
    async fn what_is_laid_aside_says_why_and_whence_in_500_characters() {
        let (recorder, copier) = recorder(0);
        let fate = Fate::Dead(DeadReason::Invalid, "ä".repeat(600));
        assert_eq!(delivery("{}", Origin::Shared, &copier).settle(fate).await, Settled::Done);
        let copy = recorder.published.lock().unwrap().pop().unwrap();
        assert_eq!(copy.to, To::Queue("weir.dead".to_owned()));
        let header = |name: &str| copy.headers.iter().find(|(header, _)| header == name).unwrap().1.clone();
        assert_eq!((header(REASON), header(QUEUE)), ("invalid".to_owned(), "weir.enrich".to_owned()));
        assert_eq!(header(DETAIL).chars().count(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_acknowledged_before_its_copy_is_confirmed() {
        let (recorder, copier) = recorder(5);
        let delivery = delivery("{}", Origin::Shared, &copier);
        let acker = delivery.acker.clone();
        let watched = async {
            while recorder.published.lock().unwrap().len() < 6 {
                assert!(acker.usable());
                sleep(Duration::from_millis(20)).await;
            }
        };
        let (settled, ()) = tokio::join!(delivery.settle(Fate::Retry(RetryAfter::OneSecond)), watched);
        assert_eq!(settled, Settled::Done);
        assert!(!acker.usable());
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_stop_an_unconfirmed_copy_leaves_the_message_with_the_broker() {
        let (recorder, copier) = recorder(usize::MAX);
        let delivery = delivery("{}", Origin::Shared, &copier);
        let acker = delivery.acker.clone();
        copier.stop.cancel();
        assert_eq!(delivery.settle(Fate::Retry(RetryAfter::OneSecond)).await, Settled::LostClaim);
        assert!(acker.usable());
        assert_eq!(recorder.published.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_lost_claim_publishes_nothing() {
        let (recorder, copier) = recorder(0);
        let delivery = delivery("{}", Origin::Shared, &copier);
        assert!(delivery.acker.ack(BasicAckOptions::default()).await.unwrap());
        assert_eq!(delivery.settle(Fate::Retry(RetryAfter::OneSecond)).await, Settled::LostClaim);
        assert!(recorder.published.lock().unwrap().is_empty());
    }
}
