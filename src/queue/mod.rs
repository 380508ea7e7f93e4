//! The broker's side: what is announced, received, settled and published. The store is the truth.
//!
//! Knows how a slice is announced and how a delivery ends. In memory for one process; RabbitMQ, the
//! only user of lapin, behind the same traits.
//! Invariant: no lead, no money, no JSON. Losing every message loses no work: slices that nobody has
//! ended are announced again, results that were not confirmed are published again.

mod memory;
mod outgoing;
pub mod rabbitmq;

pub use memory::MemoryQueue;
pub use outgoing::DeadReason;
pub use outgoing::Fate;
pub use outgoing::NotPublished;
pub use outgoing::Outgoing;
pub use outgoing::Publishing;
pub use outgoing::RetryAfter;
pub use outgoing::To;

use crate::ledger::JobKey;
use crate::ledger::SliceNo;
use std::pin::Pin;

/// "There is work in this slice."
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SliceMessage {
    /// Of this job.
    pub job: JobKey,
    /// Which slice.
    pub slice: SliceNo,
}

/// Tells one delivery of a slice from another of the same slice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Receipt(pub u64);

/// A slice as it was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// What it says.
    pub message: SliceMessage,
    /// Under which it is settled.
    pub receipt: Receipt,
}

/// What becomes of a slice's delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Its last lead has ended, or somebody else is at it for good: done with.
    Done,
    /// It was not finished here: somebody else takes it at once.
    LeftOff,
    /// Its lease is another's, or the store could not be asked: it comes again after a while.
    Later(RetryAfter),
}

/// Where slices are announced and received.
pub trait Queue: Send + Sync {
    /// Announces a slice, behind all that are waiting. Never fails to the caller: what gets lost is
    /// announced again by the sweep.
    fn publish(&self, message: SliceMessage);

    /// The next slice; `None` when there will be no more.
    fn receive(&self) -> Pin<Box<dyn Future<Output = Option<Received>> + Send + '_>>;

    /// Ends a delivery.
    fn settle(&self, receipt: Receipt, disposition: Disposition);
}

/// Where messages go out, each confirmed before its answer.
pub trait Publish: Send + Sync {
    /// Publishes, and waits for the broker's confirmation. Only `Ok` means that it lies in a queue.
    fn publish(&self, message: Outgoing) -> Publishing<'_>;
}
