//! A slice in hand: what of it is still to be started, and how it ends.

use crate::domain::Run;
use crate::jobs::Claim;
use crate::jobs::Closing;
use crate::jobs::Held;
use crate::jobs::JobState;
use crate::jobs::LeadWork;
use crate::ledger::LeadNo;
use crate::ledger::SliceNo;
use crate::queue::Disposition;
use crate::queue::Receipt;
use crate::queue::Received;
use crate::queue::RetryAfter;
use crate::worker::engine::Engine;
use crate::worker::works::JobWork;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// Before a delivery comes again whose slice is another's, or whose store failed.
pub(super) const LATER: Disposition = Disposition::Later(RetryAfter::TenSeconds);

/// A slice whose leads are at work.
pub(super) struct SliceInHand {
    /// By what right it is written to.
    pub(super) held: Held,
    /// The run at work.
    pub(super) run: Run,
    /// Was its job cancelled before it was claimed?
    pub(super) state: JobState,
    /// Its job, as it stood at the claim: the wallet that pays.
    pub(super) work: Arc<JobWork>,
    /// Every delivery of it: a message may come twice.
    receipts: Mutex<Vec<Receipt>>,
    /// Leads, and the handing on of its turn, that have not ended.
    left: AtomicUsize,
    end: Mutex<SliceEnd>,
}

/// How a slice ends here; the later words weigh more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum SliceEnd {
    /// Every lead has ended.
    Done,
    /// A stop was asked for: the rest is the next owner's.
    LeftOff,
    /// The store failed.
    Troubled,
    /// Another worker owns it.
    Fenced,
}

/// One thing of a slice that is still to be started.
pub(super) enum Start {
    /// A lead to decide.
    Lead(Box<LeadWork>),
    /// A result to tell once more: nobody knows whether it was.
    Tell(LeadNo),
}

/// A slice with something still to start.
pub(super) struct OpenSlice {
    pub(super) slice: Arc<SliceInHand>,
    pub(super) waiting: std::vec::IntoIter<Start>,
}

impl OpenSlice {
    /// A slice as it was claimed. `extra` counts what must end besides its leads.
    pub(super) fn new(received: Received, work: Arc<JobWork>, claim: Claim, announces: bool, extra: usize) -> Self {
        let told = claim.unannounced.into_iter().filter(|_| announces).map(Start::Tell);
        let leads = claim.leads.into_iter().map(|lead| Start::Lead(Box::new(lead)));
        let waiting: Vec<Start> = told.chain(leads).collect();
        let held = Held { job: received.message.job, slice: received.message.slice, epoch: claim.epoch };
        let slice = SliceInHand {
            held,
            run: claim.run,
            state: claim.state,
            work,
            receipts: Mutex::new(vec![received.receipt]),
            left: AtomicUsize::new(waiting.len().saturating_add(extra)),
            end: Mutex::new(SliceEnd::Done),
        };
        Self { slice: Arc::new(slice), waiting: waiting.into_iter() }
    }
}

impl SliceInHand {
    pub(super) const fn number(&self) -> SliceNo {
        self.held.slice
    }

    /// Another delivery of the same slice: it is settled with the first.
    pub(super) fn join(&self, receipt: Receipt) {
        lock(&self.receipts).push(receipt);
    }

    /// The deliveries to settle.
    pub(super) fn receipts(&self) -> Vec<Receipt> {
        std::mem::take(&mut *lock(&self.receipts))
    }

    pub(super) fn ends(&self, end: SliceEnd) {
        let mut worst = lock(&self.end);
        *worst = end.max(*worst);
    }

    /// One part has ended; was it the last?
    pub(super) fn is_last(&self) -> bool {
        self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// Closes the slice, or gives it up; says what becomes of its deliveries.
    pub(super) async fn conclude(&self, engine: &Engine) -> Disposition {
        let end = *lock(&self.end);
        let disposition = match end {
            SliceEnd::Done => match engine.store.close_slice(self.held).await {
                Ok(Closing::Closed | Closing::Fenced) => Disposition::Done,
                Ok(Closing::Reopened) => Disposition::LeftOff,
                Err(error) => {
                    tracing::warn!(job.id = %self.work.job.id, "a slice cannot be closed: {error}");
                    LATER
                }
            },
            SliceEnd::Fenced => Disposition::Done,
            SliceEnd::LeftOff | SliceEnd::Troubled => {
                // Where this fails, its lease lapses.
                if let Err(error) = engine.store.release_slice(self.held).await {
                    tracing::warn!(job.id = %self.work.job.id, "a slice cannot be given up: {error}");
                }
                if end == SliceEnd::Troubled { LATER } else { Disposition::LeftOff }
            }
        };
        engine.let_go(self.held);
        disposition
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
