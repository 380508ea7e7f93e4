//! The queue of slices: small messages that wake workers up. The store is the truth.
//!
//! Knows how a slice is announced, received and settled. Today in memory, for one process; RabbitMQ
//! joins behind the same trait.
//! Invariant: no lead, no money. Losing every message loses no work: the slices of a job that nobody
//! has ended are announced again.

mod memory;

pub use memory::MemoryQueue;

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

/// What becomes of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Its last lead has ended: it is done with.
    Done,
    /// It was not finished here: somebody else, or a later start, takes it.
    LeftOff,
}

/// Where slices are announced and received.
pub trait Queue: Send + Sync {
    /// Announces a slice, behind all that are waiting.
    fn publish(&self, message: SliceMessage);

    /// The next slice; `None` when none waits and none that was received is still open.
    fn receive(&self) -> Pin<Box<dyn Future<Output = Option<SliceMessage>> + Send + '_>>;

    /// Ends a delivery.
    fn settle(&self, message: SliceMessage, disposition: Disposition);
}
