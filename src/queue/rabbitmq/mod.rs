//! RabbitMQ behind the queue's traits: connections kept alive, messages confirmed, deliveries settled.
//!
//! Knows lapin, the topology (CONTRACTS §4) and how a broken channel shows itself. Publishing and
//! consuming have a connection each, because a broker short of memory or disk blocks those that publish.
//! Recovery is ours: whatever breaks is torn down and made anew, for ever, with pauses.
//! Invariant: no lapin type leaves this folder, nothing is spawned, and no delivery is acknowledged
//! before the copy that takes its place is confirmed and routed.

mod address;
mod broker;
mod consumer;
mod control;
mod dead;
mod delivery;
mod error;
mod inbox;
mod lane;
mod link;
mod message;
mod once;
mod publisher;
mod slices;
#[cfg(test)]
mod tests;
mod topology;

pub use broker::Broker;
pub use broker::Driver;
pub use broker::Health;
pub use consumer::Consumer;
pub use control::ControlConsumer;
pub use control::Event;
pub use dead::DeadLetter;
pub use dead::DeadLetters;
pub use dead::TakenLetter;
pub use delivery::Delivery;
pub use delivery::Settled;
pub use error::BrokerError;
pub use error::PublishError;
pub use link::Connectivity;
pub use once::publish_once;
pub use slices::announcement;
pub use topology::JobQueue;
