//! Messages between weir's words and AMQP's.

use crate::clock;
use crate::queue::Outgoing;
use crate::queue::To;
use crate::queue::rabbitmq::topology::CONTROL;
use crate::queue::rabbitmq::topology::EVENTS;
use crate::queue::rabbitmq::topology::JOBS;
use crate::queue::rabbitmq::topology::rung;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use lapin::types::FieldTable;
use lapin::types::ShortString;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

pub(super) const REASON: &str = "x-weir-reason";
pub(super) const DETAIL: &str = "x-weir-detail";
pub(super) const QUEUE: &str = "x-weir-queue";
pub(super) const TRIES: &str = "x-weir-tries";

/// AMQP's delivery mode for what survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A message ready for lapin.
pub(super) struct Parcel {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

impl Parcel {
    /// `None` when a name is longer than the 255 bytes that AMQP has for it: no queue can take it.
    pub(super) fn pack(message: Outgoing) -> Option<Self> {
        let (exchange, routing_key) = match message.to {
            To::Jobs(routing_key) => (JOBS, routing_key.to_owned()),
            To::Events(routing_key) => (EVENTS, routing_key),
            To::Control => (CONTROL, String::new()),
            To::Queue(queue) => ("", queue),
            To::Retry(after, queue) => (rung(after).0, queue),
        };
        let mut properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_app_id("weir".into())
            .with_timestamp(u64::try_from(clock::wall_ms() / 1_000).unwrap_or_default());
        // An empty one came without, and is published without again.
        if !message.kind.is_empty() {
            properties = properties.with_type(short(message.kind)?);
        }
        if !message.message_id.is_empty() {
            properties = properties.with_message_id(short(message.message_id)?);
        }
        if let Some(correlation_id) = message.correlation_id {
            properties = properties.with_correlation_id(short(correlation_id)?);
        }
        if let Some(reply_to) = message.reply_to {
            properties = properties.with_reply_to(short(reply_to)?);
        }
        if !message.headers.is_empty() {
            let mut headers = FieldTable::default();
            for (name, value) in message.headers {
                headers.insert(short(name)?, AMQPValue::LongString(value.into()));
            }
            properties = properties.with_headers(headers);
        }
        Some(Self { exchange: exchange.into(), routing_key: short(routing_key)?, properties, body: message.body })
    }

    /// The same for messages of one id to one place.
    pub(super) fn mark(&self) -> u64 {
        mark(&self.exchange, &self.routing_key, &self.properties)
    }
}

/// The mark of a message that came back.
pub(super) fn mark_of(returned: &Delivery) -> u64 {
    mark(&returned.exchange, &returned.routing_key, &returned.properties)
}

fn mark(exchange: &ShortString, routing_key: &ShortString, properties: &BasicProperties) -> u64 {
    let mut hasher = DefaultHasher::new();
    (exchange, routing_key, properties.message_id()).hash(&mut hasher);
    hasher.finish()
}

/// lapin's own conversion panics at a longer text.
fn short(text: String) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

/// A property as text.
pub(super) fn property(value: &Option<ShortString>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

/// A header that is a text.
pub(super) fn text_header(properties: &BasicProperties, name: &str) -> Option<String> {
    text_of(header(properties, name)?)
}

/// A header that is a whole number, or its text: clients choose the width themselves.
pub(super) fn number_header(properties: &BasicProperties, name: &str) -> Option<i64> {
    let value = header(properties, name)?;
    value
        .as_long_long_int()
        .or_else(|| value.as_long_int().map(i64::from))
        .or_else(|| value.as_long_uint().map(i64::from))
        .or_else(|| value.as_short_int().map(i64::from))
        .or_else(|| value.as_short_short_int().map(i64::from))
        .or_else(|| value.as_short_short_uint().map(i64::from))
        .or_else(|| text_of(value)?.parse().ok())
}

/// The newest entry of `x-death`: why, and from which queue, the broker dead-lettered the message.
pub(super) fn death(properties: &BasicProperties) -> Option<(String, String)> {
    let newest = header(properties, "x-death")?.as_array()?.as_slice().first()?.as_field_table()?;
    let entry = |name: &str| text_of(newest.inner().get(name)?);
    Some((entry("reason")?, entry("queue")?))
}

fn header<'p>(properties: &'p BasicProperties, name: &str) -> Option<&'p AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

fn text_of(value: &AMQPValue) -> Option<String> {
    value.as_long_string().map(ToString::to_string).or_else(|| value.as_short_string().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::RetryAfter;
    use lapin::types::FieldArray;

    fn outgoing(to: To) -> Outgoing {
        Outgoing {
            to,
            kind: "weir.lead_result.v1".to_owned(),
            message_id: "e1".to_owned(),
            correlation_id: None,
            reply_to: None,
            headers: vec![(TRIES.to_owned(), "3".to_owned())],
            body: b"{}".to_vec(),
        }
    }

    #[test]
    fn every_destination_has_its_exchange_and_routing_key() {
        for (to, exchange, routing_key) in [
            (To::Jobs("enrich"), "weir.jobs", "enrich"),
            (To::Events("lead_result".to_owned()), "weir.events", "lead_result"),
            (To::Control, "weir.control", ""),
            (To::Queue("weir.dead".to_owned()), "", "weir.dead"),
            (To::Retry(RetryAfter::OneMinute, "weir.copy".to_owned()), "weir.retry.60s", "weir.copy"),
        ] {
            let parcel = Parcel::pack(outgoing(to)).unwrap();
            assert_eq!((parcel.exchange.as_str(), parcel.routing_key.as_str()), (exchange, routing_key));
        }
    }

    #[test]
    fn a_message_is_persistent_json_with_its_type_id_and_headers() {
        let parcel = Parcel::pack(outgoing(To::Control)).unwrap();
        let properties = &parcel.properties;
        assert_eq!(property(properties.content_type()).unwrap(), "application/json");
        assert_eq!(property(properties.kind()).unwrap(), "weir.lead_result.v1");
        assert_eq!(property(properties.message_id()).unwrap(), "e1");
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(property(properties.correlation_id()), None);
        assert_eq!(number_header(properties, TRIES), Some(3));
        assert_eq!(text_header(properties, REASON), None);
    }

    #[test]
    fn what_came_without_type_and_id_goes_without_them() {
        let bare = Outgoing { kind: String::new(), message_id: String::new(), ..outgoing(To::Control) };
        let parcel = Parcel::pack(bare).unwrap();
        assert_eq!((property(parcel.properties.kind()), property(parcel.properties.message_id())), (None, None));
    }

    #[test]
    fn a_name_too_long_for_amqp_is_refused_not_a_panic() {
        assert!(Parcel::pack(outgoing(To::Queue("q".repeat(255)))).is_some());
        assert!(Parcel::pack(outgoing(To::Queue("q".repeat(256)))).is_none());
        assert!(Parcel::pack(Outgoing { reply_to: Some("r".repeat(256)), ..outgoing(To::Control) }).is_none());
    }

    #[test]
    fn the_same_id_to_two_places_has_two_marks() {
        let to_events = Parcel::pack(outgoing(To::Events("lead_result".to_owned()))).unwrap();
        let to_queue = Parcel::pack(outgoing(To::Queue("replies".to_owned()))).unwrap();
        assert_ne!(to_events.mark(), to_queue.mark());
        assert_eq!(to_queue.mark(), Parcel::pack(outgoing(To::Queue("replies".to_owned()))).unwrap().mark());
    }

    #[test]
    fn the_newest_death_is_told() {
        let entry = |reason: &str, queue: &str| {
            let mut entry = FieldTable::default();
            entry.insert("reason".into(), AMQPValue::LongString(reason.into()));
            entry.insert("queue".into(), AMQPValue::LongString(queue.into()));
            AMQPValue::FieldTable(entry)
        };
        let deaths = vec![entry("delivery_limit", "weir.enrich"), entry("expired", "weir.retry.1s")];
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(deaths)));
        let properties = BasicProperties::default().with_headers(headers);
        assert_eq!(death(&properties), Some(("delivery_limit".to_owned(), "weir.enrich".to_owned())));
        assert_eq!(death(&BasicProperties::default()), None);
    }
}
