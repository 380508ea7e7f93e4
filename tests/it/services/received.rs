//! A message as a test received it.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::AMQPValue;
use lapin::types::ShortString;
use serde_json::Value;

/// Taken from its queue for good.
#[derive(Debug)]
pub(crate) struct Received {
    properties: BasicProperties,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self { properties: delivery.properties, body: delivery.data }
    }

    /// The AMQP `type`; empty where there is none, like the next two.
    pub(crate) fn kind(&self) -> &str {
        text(self.properties.kind())
    }

    pub(crate) fn message_id(&self) -> &str {
        text(self.properties.message_id())
    }

    pub(crate) fn correlation_id(&self) -> &str {
        text(self.properties.correlation_id())
    }

    /// A header that is text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let value = self.properties.headers().as_ref()?.inner().get(name)?;
        if let AMQPValue::LongString(text) = value { Some(text.to_string()) } else { None }
    }

    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn text(property: &Option<ShortString>) -> &str {
    property.as_ref().map_or("", ShortString::as_str)
}
