//! One publishing channel: takes what has arrived, publishes it together, and answers when all of it
//! is confirmed; while one batch is on its way, the next collects.
//!
//! Batches are closed sets for a reason. The broker returns an unroutable message and then confirms it,
//! often together with others, and lapin hands the returned one to whichever of these it resolves
//! first. Only when all of a batch are confirmed is it certain which of them came back.

use crate::queue::NotPublished;
use crate::queue::rabbitmq::link::Connectivity;
use crate::queue::rabbitmq::link::Pauses;
use crate::queue::rabbitmq::link::WATCH;
use crate::queue::rabbitmq::link::close_channel;
use crate::queue::rabbitmq::link::open_confirming;
use crate::queue::rabbitmq::message::Parcel;
use crate::queue::rabbitmq::message::mark_of;
use crate::queue::rabbitmq::topology;
use futures_util::future::join_all;
use lapin::Channel;
use lapin::Confirmation;
use lapin::Connection;
use lapin::options::BasicPublishOptions;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The most messages on their way to confirmation on one channel, and as many that wait for it.
pub(super) const WINDOW: usize = 256;
/// A batch without an end for so long, on a channel that seems well, is given up with its channel.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// What comes of a publish.
pub(super) type Answer = Result<(), NotPublished>;

/// A message to publish, and who waits for its confirmation.
pub(super) struct Request {
    pub(super) parcel: Parcel,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Whose message is on its way. The answer is gone when it was given early.
struct Waiting {
    mark: u64,
    answer: Option<oneshot::Sender<Answer>>,
}

/// A lane over one connection.
pub(super) struct Lane<'a> {
    pub(super) connection: &'a Connection,
    pub(super) requests: &'a mut mpsc::Receiver<Request>,
    pub(super) stand: watch::Receiver<Connectivity>,
    pub(super) closing: &'a CancellationToken,
}

/// Why a channel is not served any more.
enum Ended {
    /// Nothing will be asked for any more, and all that was is answered.
    Closed,
    /// It does not work.
    Broken(String),
}

impl Lane<'_> {
    /// Publishes until there will be no more. A channel that breaks is made anew; whoever drops this
    /// knows when the connection is lost.
    pub(super) async fn run(mut self) {
        let mut pauses = Pauses::default();
        loop {
            let why = match open_confirming(self.connection).await {
                Ok(channel) => match self.serve(&channel).await {
                    Ended::Closed => return close_channel(&channel).await,
                    Ended::Broken(why) => why,
                },
                Err(error) => error.to_string(),
            };
            if !self.connection.status().connected() {
                return std::future::pending().await;
            }
            tracing::warn!("a publishing channel broke, and is opened again: {why}");
            pauses.pause().await;
            if let Err(error) = topology::declare(self.connection).await {
                tracing::warn!("{error}");
            }
        }
    }

    async fn serve(&mut self, channel: &Channel) -> Ended {
        let mut batch = Vec::with_capacity(WINDOW);
        loop {
            if let Some(ended) = self.collect(channel, &mut batch).await {
                return ended;
            }
            // Nobody waits any more for what was asked for too long ago.
            batch.retain(|request| !request.answer.is_closed());
            if self.is_blocked() {
                batch.drain(..).for_each(refuse_blocked);
            } else if let Some(why) = self.publish(channel, &mut batch).await {
                return Ended::Broken(why);
            }
        }
    }

    /// Waits for requests, and takes all that are there.
    async fn collect(&mut self, channel: &Channel, batch: &mut Vec<Request>) -> Option<Ended> {
        loop {
            tokio::select! {
                biased;
                count = self.requests.recv_many(batch, WINDOW) => {
                    return (count == 0).then_some(Ended::Closed);
                }
                () = self.closing.cancelled(), if !self.requests.is_closed() => self.requests.close(),
                () = sleep(WATCH) => if !channel.status().connected() {
                    return Some(Ended::Broken("it was closed".to_owned()));
                },
            }
        }
    }

    /// Publishes a batch and answers for all of it; `Some` when the channel is of no use after it.
    async fn publish(&mut self, channel: &Channel, batch: &mut Vec<Request>) -> Option<String> {
        let mut waiting = Vec::with_capacity(batch.len());
        let mut sends = Vec::with_capacity(batch.len());
        for request in batch.drain(..) {
            waiting.push(Waiting { mark: request.parcel.mark(), answer: Some(request.answer) });
            sends.push(send(channel, request.parcel));
        }
        let mut sends = pin!(join_all(sends));
        let started = Instant::now();
        let outcomes = loop {
            tokio::select! {
                biased;
                outcomes = &mut sends => break outcomes,
                Ok(()) = self.stand.changed() => self.refuse_while_blocked(&mut waiting),
                () = sleep(WATCH) => {
                    self.refuse_while_blocked(&mut waiting);
                    if !channel.status().connected() {
                        return Some("it was closed".to_owned());
                    }
                    if !self.is_blocked() && started.elapsed() > STALLED_AFTER {
                        return Some("it confirms nothing".to_owned());
                    }
                }
            }
        };
        let broken = outcomes.iter().find_map(|outcome| outcome.as_ref().err()).map(ToString::to_string);
        answer_all(waiting, outcomes);
        broken.filter(|_| !channel.status().connected())
    }

    /// While the broker is blocked nobody is left waiting. What was sent already may arrive later.
    fn refuse_while_blocked(&mut self, waiting: &mut [Waiting]) {
        if !self.is_blocked() {
            return;
        }
        for answer in waiting.iter_mut().filter_map(|waiting| waiting.answer.take()) {
            give(answer, Err(blocked()));
        }
        while let Ok(request) = self.requests.try_recv() {
            refuse_blocked(request);
        }
    }

    fn is_blocked(&mut self) -> bool {
        *self.stand.borrow_and_update() == Connectivity::Blocked
    }
}

/// Publishes one message, and waits for its confirmation.
pub(super) async fn send(channel: &Channel, parcel: Parcel) -> lapin::Result<Confirmation> {
    let Parcel { exchange, routing_key, properties, body } = parcel;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmation = channel.basic_publish(exchange, routing_key, options, &body, properties).await?;
    drop(body);
    confirmation.await
}

/// Why a message is refused while the broker takes nothing in.
pub(super) fn blocked() -> NotPublished {
    NotPublished::Unconfirmed("the broker is short of memory or disk and takes nothing in".to_owned())
}

fn refuse_blocked(request: Request) {
    give(request.answer, Err(blocked()));
}

/// Whoever asked may be gone.
fn give(asker: oneshot::Sender<Answer>, answer: Answer) {
    drop(asker.send(answer));
}

/// Answers for a whole batch, in its order.
fn answer_all(waiting: Vec<Waiting>, outcomes: Vec<lapin::Result<Confirmation>>) {
    let returned: Vec<u64> = outcomes.iter().filter_map(returned_mark).collect();
    for (waiting, outcome) in waiting.into_iter().zip(outcomes) {
        let answer = if returned.contains(&waiting.mark) { Err(NotPublished::Unroutable) } else { read(outcome) };
        if let Some(asker) = waiting.answer {
            give(asker, answer);
        }
    }
}

/// Of the message that came back with this confirmation, not necessarily the one it confirms.
fn returned_mark(outcome: &lapin::Result<Confirmation>) -> Option<u64> {
    match outcome {
        Ok(Confirmation::Ack(returned) | Confirmation::Nack(returned)) => {
            returned.as_ref().map(|returned| mark_of(&returned.delivery))
        }
        Ok(Confirmation::NotRequested) | Err(_) => None,
    }
}

fn read(outcome: lapin::Result<Confirmation>) -> Answer {
    match outcome {
        Ok(Confirmation::Ack(_)) => Ok(()),
        Ok(Confirmation::Nack(_)) => Err(NotPublished::Unconfirmed("it refused the message".to_owned())),
        Ok(Confirmation::NotRequested) => Err(NotPublished::Unconfirmed("the channel has no confirmations".to_owned())),
        Err(error) => Err(NotPublished::Unconfirmed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Outgoing;
    use crate::queue::To;
    use lapin::ErrorKind;
    use lapin::message::BasicReturnMessage;
    use lapin::message::Delivery;

    fn parcel(queue: &str) -> Parcel {
        let message = Outgoing {
            to: To::Queue(queue.to_owned()),
            kind: String::new(),
            message_id: format!("id of {queue}"),
            correlation_id: None,
            reply_to: None,
            headers: Vec::new(),
            body: Vec::new(),
        };
        Parcel::pack(message).unwrap()
    }

    fn returned(queue: &str) -> BasicReturnMessage {
        let parcel = parcel(queue);
        let mut delivery = Delivery::mock(0, parcel.exchange, parcel.routing_key, false, parcel.body);
        delivery.properties = parcel.properties;
        BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() }
    }

    /// The answers to a batch, as a word each.
    fn answers(batch: Vec<(&str, lapin::Result<Confirmation>)>) -> String {
        let mut answers = Vec::new();
        let mut waiting = Vec::new();
        let mut outcomes = Vec::new();
        for (queue, outcome) in batch {
            let (asker, answer) = oneshot::channel();
            answers.push(answer);
            waiting.push(Waiting { mark: parcel(queue).mark(), answer: Some(asker) });
            outcomes.push(outcome);
        }
        answer_all(waiting, outcomes);
        let words = answers.into_iter().map(|mut answer| match answer.try_recv().unwrap() {
            Ok(()) => "ok",
            Err(NotPublished::Unroutable) => "unroutable",
            Err(NotPublished::Unconfirmed(_)) => "unconfirmed",
        });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_an_acknowledgement_without_a_returned_message_is_success() {
        let broken = || Err(ErrorKind::MissingHeartbeatError.into());
        let batch = vec![
            ("a", Ok(Confirmation::Ack(None))),
            ("b", Ok(Confirmation::Ack(Some(returned("b"))))),
            ("c", Ok(Confirmation::Nack(None))),
            ("d", Ok(Confirmation::NotRequested)),
            ("e", broken()),
        ];
        assert_eq!(answers(batch), "ok unroutable unconfirmed unconfirmed unconfirmed");
    }

    #[test]
    fn a_returned_message_that_lapin_gave_to_another_still_counts_for_its_own() {
        let batch = vec![
            ("routed", Ok(Confirmation::Ack(Some(returned("gone"))))),
            ("gone", Ok(Confirmation::Ack(None))),
            ("also gone", Ok(Confirmation::Ack(Some(returned("also gone"))))),
        ];
        assert_eq!(answers(batch), "ok unroutable unroutable");
    }
}
