//! What every worker hears: a queue of its own on `weir.control`, made anew with each connection.

use crate::queue::rabbitmq::delivery::Delivery;
use crate::queue::rabbitmq::error::BrokerError;
use crate::queue::rabbitmq::inbox::Inbox;
use crate::queue::rabbitmq::topology::CONTROL;
use lapin::Channel;
use lapin::options::QueueBindOptions;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::sync::Arc;

/// Control messages taken at once.
pub(super) const PREFETCH: u16 = 16;

/// What a worker's own queue brings.
pub enum Event {
    /// The queue is bound, for the first time or again: what was said meanwhile is lost, so read the
    /// store.
    Connected,
    /// A message.
    Message(Box<Delivery>),
}

/// Takes from the worker's own queue.
pub struct ControlConsumer {
    inbox: Arc<Inbox>,
}

impl ControlConsumer {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// The next one; `None` after the stop. Loses nothing when it is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        self.inbox.next().await
    }
}

/// The queue's name. Each binding has its own, because the broker may keep an exclusive queue for a
/// while after it has lost the connection that owned it.
pub(super) fn queue_name(worker: &str, binding: u32) -> String {
    match binding {
        0 => format!("{CONTROL}.{worker}"),
        again => format!("{CONTROL}.{worker}.{again}"),
    }
}

/// Is this the name of a worker's own queue?
pub(super) fn is_own_queue(queue: &str) -> bool {
    queue.strip_prefix(CONTROL).is_some_and(|rest| rest.starts_with('.'))
}

/// Declares the queue, which goes with its connection, and binds it.
pub(super) async fn declare_own(channel: &Channel, queue: &str) -> Result<(), BrokerError> {
    let options = QueueDeclareOptions::exclusive().auto_delete();
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    declared.map_err(|error| BrokerError::of(&error))?;
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(queue.into(), CONTROL.into(), "".into(), options, FieldTable::default()).await;
    bound.map_err(|error| BrokerError::of(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_binding_has_a_queue_of_its_own() {
        assert_eq!(queue_name("w1", 0), "weir.control.w1");
        assert_eq!(queue_name("w1", 2), "weir.control.w1.2");
        assert!(is_own_queue("weir.control.w1"));
        assert!(!is_own_queue("weir.control") && !is_own_queue("weir.enrich"));
    }
}
