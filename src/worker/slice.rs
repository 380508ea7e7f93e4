//! A slice in hand: what of it is still to be started, and how it ends.

use crate::domain::Run;
use crate::jobs::Closing;
use crate::jobs::Held;
use crate::jobs::JobState;
use crate::jobs::LeadWork;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::queue::Disposition;
use crate::queue::Queue;
use crate::queue::Receipt;
use crate::queue::Received;
use crate::queue::RetryAfter;
use crate::worker::engine::Engine;
use crate::worker::lease::Lease;
use crate::worker::parts::Taken;
use crate::worker::works::JobWork;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

/// Before a delivery comes again whose slice is another's, or whose store failed.
pub(super) const LATER: Disposition = Disposition::Later(RetryAfter::TenSeconds);
/// Before one comes again that was to be set aside: its work is likely to break once more.
const MUCH_LATER: Disposition = Disposition::Later(RetryAfter::OneMinute);

/// A slice whose leads are at work.
pub(super) struct SliceInHand {
    /// By what right it is written to.
    pub(super) held: Held,
    /// How long that surely lasts.
    pub(super) lease: Arc<Lease>,
    /// The run at work.
    pub(super) run: Run,
    /// Was its job cancelled before it was claimed?
    pub(super) state: JobState,
    /// Its job, as it stood at the claim: the wallet that pays.
    pub(super) work: Arc<JobWork>,
    /// Every delivery of it, the one first that it was claimed by: a message may come twice.
    receipts: Mutex<Vec<Receipt>>,
    /// Leads, and the handing on of its turn, that have not ended.
    left: AtomicUsize,
    end: Mutex<SliceEnd>,
    /// Why it is to be set aside, in a sentence without names or addresses.
    broken: OnceLock<&'static str>,
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
    /// The work on it broke, and would again.
    Broken,
    /// Another worker owns it.
    Fenced,
}

/// What becomes of a slice's deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settlement {
    /// Of the one that it was claimed by.
    first: Disposition,
    /// Of those that came while it was in hand.
    joined: Disposition,
}

impl Settlement {
    /// A later delivery may be what wakes up whoever claims the slice next.
    const FENCED: Self = Self { first: Disposition::Done, joined: LATER };

    /// The same for all.
    pub(super) const fn all(disposition: Disposition) -> Self {
        Self { first: disposition, joined: disposition }
    }
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
    pub(super) fn new(received: Received, taken: Taken, announces: bool, extra: usize) -> Self {
        let Taken { work, claim, lease } = taken;
        let told = claim.unannounced.into_iter().filter(|_| announces).map(Start::Tell);
        let leads = claim.leads.into_iter().map(|lead| Start::Lead(Box::new(lead)));
        let waiting: Vec<Start> = told.chain(leads).collect();
        let held = Held { job: received.message.job, slice: received.message.slice, epoch: claim.epoch };
        let slice = SliceInHand {
            held,
            lease,
            run: claim.run,
            state: claim.state,
            work,
            receipts: Mutex::new(vec![received.receipt]),
            left: AtomicUsize::new(waiting.len().saturating_add(extra)),
            end: Mutex::new(SliceEnd::Done),
            broken: OnceLock::new(),
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

    /// Ends its deliveries.
    pub(super) fn settle(&self, queue: &dyn Queue, settlement: Settlement) {
        let receipts = std::mem::take(&mut *lock(&self.receipts));
        let mut disposition = settlement.first;
        for receipt in receipts {
            queue.settle(receipt, disposition);
            disposition = settlement.joined;
        }
    }

    pub(super) fn ends(&self, end: SliceEnd) {
        let mut worst = lock(&self.end);
        *worst = end.max(*worst);
    }

    /// The work on it broke, by a mistake that another try would repeat: it is set aside.
    pub(super) fn breaks(&self, why: &'static str) {
        self.ends(SliceEnd::Broken);
        // The first reason is the one to look for.
        let _ = self.broken.set(why);
    }

    /// Is nothing more of it to be started here?
    pub(super) fn is_given_up(&self) -> bool {
        self.lease.is_lost() || *lock(&self.end) >= SliceEnd::Broken
    }

    /// One part has ended; was it the last?
    pub(super) fn is_last(&self) -> bool {
        self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// Closes the slice, gives it up or sets it aside; says what becomes of its deliveries.
    pub(super) async fn conclude(&self, engine: &Engine) -> Settlement {
        let end = *lock(&self.end);
        let settlement = match end {
            SliceEnd::Done => match engine.store.close_slice(self.held).await {
                Ok(Closing::Closed) => Settlement::all(Disposition::Done),
                Ok(Closing::Fenced) => Settlement::FENCED,
                Ok(Closing::Reopened) => Settlement::all(Disposition::LeftOff),
                Err(error) => {
                    tracing::warn!(job.id = %self.work.job.id, "a slice cannot be closed: {error}");
                    self.bear(engine, &error).await
                }
            },
            SliceEnd::Fenced => Settlement::FENCED,
            SliceEnd::Broken => self.set_aside(engine).await,
            SliceEnd::LeftOff | SliceEnd::Troubled => {
                // Where this fails, its lease lapses.
                if let Err(error) = engine.store.release_slice(self.held).await {
                    tracing::warn!(job.id = %self.work.job.id, "a slice cannot be given up: {error}");
                }
                Settlement::all(if end == SliceEnd::Troubled { LATER } else { Disposition::LeftOff })
            }
        };
        engine.let_go(self.held);
        settlement
    }

    /// It could not be closed. Its results are told again each time that it comes again.
    async fn bear(&self, engine: &Engine, error: &LedgerError) -> Settlement {
        match why_broken(error) {
            Some(why) if !engine.is_locked() => {
                self.breaks(why);
                self.set_aside(engine).await
            }
            Some(_) | None => Settlement::all(LATER),
        }
    }

    async fn set_aside(&self, engine: &Engine) -> Settlement {
        let why = self.broken.get().copied().unwrap_or("the work on it broke");
        match engine.store.set_aside_slice(self.held, why).await {
            Ok(()) => {
                let (job, slice) = (&self.work.job.id, self.number().0);
                tracing::error!(job.id = %job, slice, "a slice is set aside until its job is resumed: {why}");
                Settlement::all(Disposition::Done)
            }
            Err(error) => {
                tracing::error!(job.id = %self.work.job.id, "a slice cannot be set aside: {error}");
                Settlement::all(MUCH_LATER)
            }
        }
    }
}

/// Why the same work would fail again after this; `None` when it may not.
pub(super) const fn why_broken(error: &LedgerError) -> Option<&'static str> {
    match error {
        LedgerError::Unavailable(_) => None,
        LedgerError::Conflict { .. } => Some("the store has other content under an id of a lead"),
        LedgerError::Insufficient { .. } => Some("a wallet had less than a lead took for granted"),
        LedgerError::Corrupt(_) => Some("the store holds something impossible about a lead"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
