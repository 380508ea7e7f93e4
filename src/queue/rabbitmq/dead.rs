//! What lies in `weir.dead`, for a person to look at, send again or drop. One command at a time: while
//! one looks, the letters are held, and another sees none.

use crate::queue::Outgoing;
use crate::queue::To;
use crate::queue::rabbitmq::address::Address;
use crate::queue::rabbitmq::control::is_own_queue;
use crate::queue::rabbitmq::error::BrokerError;
use crate::queue::rabbitmq::error::NOT_FOUND;
use crate::queue::rabbitmq::error::PublishError;
use crate::queue::rabbitmq::error::refusal;
use crate::queue::rabbitmq::link::connect;
use crate::queue::rabbitmq::link::hang_up;
use crate::queue::rabbitmq::link::open_confirming;
use crate::queue::rabbitmq::message::DETAIL;
use crate::queue::rabbitmq::message::Parcel;
use crate::queue::rabbitmq::message::QUEUE;
use crate::queue::rabbitmq::message::REASON;
use crate::queue::rabbitmq::message::death;
use crate::queue::rabbitmq::message::number_header;
use crate::queue::rabbitmq::message::property;
use crate::queue::rabbitmq::message::text_header;
use crate::queue::rabbitmq::once::publish_alone;
use crate::queue::rabbitmq::topology::DEAD;
use lapin::BasicProperties;
use lapin::Channel;
use lapin::Connection;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::options::BasicGetOptions;
use lapin::options::BasicNackOptions;
use lapin::types::AMQPValue;
use lapin::types::FieldTable;
use secrecy::SecretString;

/// Letters held at once; of more than that the order changes with every look.
const MAX_HELD: usize = 10_000;
/// A letter that was put back so often is put back as a copy: RabbitMQ 4.0 to 4.2 drop a message that
/// returned 20 times, and each look is a return.
const RENEWED_FROM: i64 = 10;
/// Where brokers count returns.
const RETURNS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// The letters of `weir.dead`.
pub struct DeadLetters {
    connection: Connection,
}

/// A message that could not be handled. No `Debug`: it has a body.
pub struct DeadLetter {
    /// Counted from 1, the oldest first.
    pub place: usize,
    /// The AMQP `type`.
    pub kind: Option<String>,
    /// Why: weir's `x-weir-reason`, or what the broker gave as reason in `x-death`.
    pub reason: Option<String>,
    /// The sentence that goes with it.
    pub detail: Option<String>,
    /// The queue it came from.
    pub queue: Option<String>,
    /// The sender's id.
    pub message_id: Option<String>,
    /// As it was sent.
    pub body: Vec<u8>,
}

/// One letter in hand, while the others are held. Dropped, it lies where it was.
pub struct TakenLetter {
    letter: DeadLetter,
    message: Delivery,
    others: Vec<Delivery>,
    channel: Channel,
}

impl DeadLetters {
    /// Connects. Declares nothing: where there is no `weir.dead`, there are no letters.
    ///
    /// # Errors
    /// When the broker cannot be used.
    pub async fn open(url: &SecretString) -> Result<Self, BrokerError> {
        let connection = connect(&Address::parse(url)?, "weir/dead").await?;
        Ok(Self { connection })
    }

    /// The first `limit` letters; all of them lie there afterwards as before.
    ///
    /// # Errors
    /// When the broker cannot be used.
    pub async fn list(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let (channel, held) = self.hold_all().await?;
        let places = (1..).zip(held.iter().take(limit));
        let letters = places.map(|(place, message)| DeadLetter::read(place, message)).collect();
        put_back(&channel, held).await?;
        Ok(letters)
    }

    /// The letter at `place`; `None` when there is none.
    ///
    /// # Errors
    /// When the broker cannot be used.
    pub async fn take(&self, place: usize) -> Result<Option<TakenLetter>, BrokerError> {
        let (channel, mut held) = self.hold_all().await?;
        if place == 0 || place > held.len() {
            put_back(&channel, held).await?;
            return Ok(None);
        }
        let message = held.remove(place - 1);
        let letter = DeadLetter::read(place, &message);
        Ok(Some(TakenLetter { letter, message, others: held, channel }))
    }

    /// Hangs up.
    pub async fn close(self) {
        hang_up(&self.connection).await;
    }

    /// Takes all letters without acknowledging them. All, because brokers put what is given back at the
    /// end of a queue without a delivery limit: only when every letter goes round the order stays.
    async fn hold_all(&self) -> Result<(Channel, Vec<Delivery>), BrokerError> {
        let channel = open_confirming(&self.connection).await?;
        let mut held = Vec::new();
        while held.len() < MAX_HELD {
            match channel.basic_get(DEAD.into(), BasicGetOptions::default()).await {
                Ok(Some(message)) => held.push(message.delivery),
                Ok(None) => break,
                Err(error) if matches!(refusal(&error), Some((NOT_FOUND, _))) => break,
                Err(error) => return Err(BrokerError::of(&error)),
            }
        }
        Ok((channel, held))
    }
}

impl TakenLetter {
    /// What it is.
    pub fn letter(&self) -> &DeadLetter {
        &self.letter
    }

    /// Publishes it to the queue it came from, and takes it out of `weir.dead` once that is confirmed.
    ///
    /// # Errors
    /// When it was not published; it lies in `weir.dead` as before.
    pub async fn replay(self) -> Result<(), PublishError> {
        let published = match self.letter.to_origin(&self.message.properties) {
            Some(parcel) => publish_alone(&self.channel, parcel).await.map_err(PublishError::from),
            None => Err(PublishError::NoOrigin),
        };
        match published {
            Ok(()) => Ok(self.discard().await?),
            Err(error) => {
                self.put_back().await?;
                Err(error)
            }
        }
    }

    /// Takes it out of `weir.dead` for good.
    ///
    /// # Errors
    /// When the broker did not hear of it: the letter is still there.
    pub async fn discard(self) -> Result<(), BrokerError> {
        acknowledge(&self.message).await?;
        put_back(&self.channel, self.others).await
    }

    /// Puts it back where it was.
    ///
    /// # Errors
    /// When the broker did not hear of it: it puts everything back by itself.
    pub async fn put_back(self) -> Result<(), BrokerError> {
        let mut all = self.others;
        let place = self.letter.place.saturating_sub(1).min(all.len());
        all.insert(place, self.message);
        put_back(&self.channel, all).await
    }
}

impl DeadLetter {
    fn read(place: usize, message: &Delivery) -> Self {
        let properties = &message.properties;
        let (died_of, died_in) = death(properties).unzip();
        Self {
            place,
            kind: property(properties.kind()),
            reason: text_header(properties, REASON).or(died_of),
            detail: text_header(properties, DETAIL),
            queue: text_header(properties, QUEUE).or(died_in),
            message_id: property(properties.message_id()),
            body: message.data.clone(),
        }
    }

    /// The same message for the queue it came from, as if it had never died. A worker's own queue may
    /// be gone with its worker: what came from there goes to all.
    fn to_origin(&self, properties: &BasicProperties) -> Option<Parcel> {
        let queue = self.queue.clone()?;
        let to = if is_own_queue(&queue) { To::Control } else { To::Queue(queue) };
        Parcel::pack(Outgoing {
            to,
            kind: self.kind.clone().unwrap_or_default(),
            message_id: self.message_id.clone().unwrap_or_default(),
            correlation_id: property(properties.correlation_id()),
            reply_to: property(properties.reply_to()),
            headers: Vec::new(),
            body: self.body.clone(),
        })
    }
}

/// Puts letters back in their order.
async fn put_back(channel: &Channel, held: Vec<Delivery>) -> Result<(), BrokerError> {
    for message in held {
        if returns(&message.properties) >= RENEWED_FROM && publish_alone(channel, renewed(&message)).await.is_ok() {
            acknowledge(&message).await?;
            continue;
        }
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        message.acker.nack(options).await.map_err(|error| BrokerError::of(&error))?;
    }
    Ok(())
}

async fn acknowledge(message: &Delivery) -> Result<(), BrokerError> {
    match message.acker.ack(BasicAckOptions::default()).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(BrokerError::Unreachable("the channel was lost".to_owned())),
        Err(error) => Err(BrokerError::of(&error)),
    }
}

fn returns(properties: &BasicProperties) -> i64 {
    RETURNS.iter().filter_map(|name| number_header(properties, name)).max().unwrap_or(0)
}

/// The same letter, never put back yet. What `x-death` says is kept in words too, because brokers
/// from 4.0 on do not take it from a publisher.
fn renewed(message: &Delivery) -> Parcel {
    let properties = &message.properties;
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().iter().flatten() {
        if !RETURNS.contains(&name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    if let Some((reason, queue)) = death(properties).filter(|_| !headers.contains_key(QUEUE)) {
        let detail = format!("dead-lettered by the broker: {reason}");
        headers.insert(QUEUE.into(), AMQPValue::LongString(queue.into()));
        headers.insert(DETAIL.into(), AMQPValue::LongString(detail.into()));
    }
    Parcel {
        exchange: "".into(),
        routing_key: DEAD.into(),
        properties: properties.clone().with_headers(headers),
        body: message.data.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldArray;

    fn message(headers: &[(&str, AMQPValue)]) -> Delivery {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        let mut message = Delivery::mock(1, "".into(), "weir.dead".into(), true, b"{}".to_vec());
        message.properties = BasicProperties::default().with_type("weir.copy_job.v1".into()).with_headers(table);
        message
    }

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(value.into())
    }

    fn killed_by_broker() -> AMQPValue {
        let mut entry = FieldTable::default();
        entry.insert("reason".into(), text("delivery_limit"));
        entry.insert("queue".into(), text("weir.slices"));
        AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::FieldTable(entry)]))
    }

    #[test]
    fn a_letter_says_why_and_whence_whoever_laid_it_aside() {
        let ours = message(&[(REASON, text("invalid")), (DETAIL, text("leads: missing")), (QUEUE, text("weir.copy"))]);
        let ours = DeadLetter::read(1, &ours);
        assert_eq!((ours.reason.as_deref(), ours.queue.as_deref()), (Some("invalid"), Some("weir.copy")));
        assert_eq!(ours.detail.as_deref(), Some("leads: missing"));
        let brokers = DeadLetter::read(2, &message(&[("x-death", killed_by_broker())]));
        assert_eq!(
            (brokers.reason.as_deref(), brokers.queue.as_deref()),
            (Some("delivery_limit"), Some("weir.slices"))
        );
        assert_eq!(brokers.kind.as_deref(), Some("weir.copy_job.v1"));
    }

    #[test]
    fn a_letter_goes_back_to_its_queue_and_a_workers_own_to_all() {
        let destination = |queue: &str| {
            let message = message(&[(QUEUE, text(queue)), (REASON, text("gave_up"))]);
            let parcel = DeadLetter::read(1, &message).to_origin(&message.properties).unwrap();
            assert!(parcel.properties.headers().is_none());
            (parcel.exchange.to_string(), parcel.routing_key.to_string())
        };
        assert_eq!(destination("weir.copy"), (String::new(), "weir.copy".to_owned()));
        assert_eq!(destination("weir.control.w1"), ("weir.control".to_owned(), String::new()));
        let nowhere = message(&[]);
        assert!(DeadLetter::read(1, &nowhere).to_origin(&nowhere.properties).is_none());
    }

    #[test]
    fn a_renewed_letter_keeps_its_story_and_loses_its_count() {
        let old = message(&[("x-delivery-count", AMQPValue::LongLongInt(12)), ("x-death", killed_by_broker())]);
        assert_eq!(returns(&old.properties), 12);
        let new = renewed(&old);
        assert_eq!(returns(&new.properties), 0);
        assert_eq!(text_header(&new.properties, QUEUE).as_deref(), Some("weir.slices"));
        assert_eq!(property(new.properties.kind()).as_deref(), Some("weir.copy_job.v1"));
        assert_eq!((new.routing_key.as_str(), new.body.as_slice()), ("weir.dead", b"{}".as_slice()));
    }
}
