//! The step boundary: everything that changes between two calls of a lead, as one item of the group
//! commit. All of it is committed, or nothing.

use crate::domain::About;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::ConfigVersion;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::KeySource;
use crate::domain::Outcome;
use crate::domain::Run;
use crate::domain::Step;
use crate::domain::Usd;
use crate::ledger::LedgerError;
use crate::ledger::rules::Owed;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;

/// Declares a store's own number for a row.
macro_rules! row_number {
    ($(#[$doc:meta] $name:ident($type:ty)),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub $type);
    )+};
}

row_number! {
    /// A wallet's row.
    AccountId(i64),
    /// A job's row.
    JobKey(i64),
    /// A lead's place in its job, from 1: the row number of its list.
    LeadNo(u32),
    /// A slice's place in its job, from 0.
    SliceNo(u32),
    /// Counts the claims of a slice; what an older owner writes is refused.
    Epoch(u32),
}

/// A lead, and by what right it is written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeadKey {
    /// Its job.
    pub job: JobKey,
    /// Which lead of the job.
    pub lead: LeadNo,
    /// The slice it belongs to.
    pub slice: SliceNo,
    /// The claim of that slice under which this is written.
    pub epoch: Epoch,
}

/// One item of the group commit.
#[derive(Clone, Debug)]
pub struct Boundary {
    /// Whose trail.
    pub lead: LeadKey,
    /// The wallet that pays.
    pub account: AccountId,
    /// The lead's cap, if its waterfall has one.
    pub lead_cap: Option<Usd>,
    /// A balance below this is low: the workspace's own threshold, or the configuration's.
    pub low_balance: Usd,
    /// Attempts that came to an end since the last boundary, oldest first.
    pub ended: Vec<Ended>,
    /// What follows them.
    pub then: Then,
}

/// An attempt that came to an end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The attempt, in its ended state. Its cost is filled in by the ledger.
    pub attempt: Attempt,
    /// What it asked.
    pub fingerprint: Fingerprint,
    /// What is owed for it.
    pub owed: Owed,
    /// What its hold was granted with, when the one who ends it also began it: then nobody has to look.
    pub held: Option<Usd>,
    /// The configuration it ran under.
    pub config_version: ConfigVersion,
}

/// What follows the ended attempts.
#[derive(Clone, Debug)]
pub enum Then {
    /// Nothing yet: the next call is not admitted, or the lead stops here for now.
    Nothing,
    /// The next attempt cannot begin at once: is its answer known from an earlier one? Of a page's attempt that an
    /// earlier owner began: `Done` if it is still to be called.
    Recall(Box<Begin>),
    /// The next attempt begins: decide its hold.
    Begin(Box<Begin>),
    /// The attempt's answer comes later, under the provider's handle.
    Submitted(AttemptNo, String),
    /// The lead is decided.
    Finish(Box<Ending>),
}

/// The begin of an attempt, with the hold that must be committed before its call.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Counts the lead's attempts: with job and lead, the hold's id.
    pub n: AttemptNo,
    /// The run that makes it.
    pub run: Run,
    /// What is tried.
    pub step: Step,
    /// What is asked.
    pub fingerprint: Fingerprint,
    /// The address to verify, or the page to read.
    pub about: Option<About>,
    /// Whose key.
    pub key_source: KeySource,
    /// The worst case in dollars; zero on the customer's own key.
    pub price: Usd,
    /// An answer of the workspace from this wall-clock millisecond on is taken instead of a call;
    /// `None` when answers are not reused.
    pub cached_since_ms: Option<i64>,
    /// When the hold may be given back if nobody works on the lead any more, from now on by the store's
    /// clock.
    pub expires_in: Duration,
    /// The configuration in force.
    pub config_version: ConfigVersion,
}

/// What a committed boundary came to.
#[derive(Debug)]
pub struct Committed {
    /// What became of the money of the ended attempts, in their order.
    pub charged: Vec<Charged>,
    /// What became of [`Boundary::then`].
    pub answer: Answer,
}

/// What an ended attempt cost, and whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charged {
    /// What the customer paid.
    pub paid: Usd,
    /// What the provider takes and nobody paid: the house's loss. Counted once, by the one who is told.
    pub lost: Usd,
}

/// What became of what followed.
#[derive(Debug)]
pub enum Answer {
    /// Written.
    Done,
    /// The hold is committed: make the call.
    Granted,
    /// An earlier attempt had the answer; the attempt is recorded as ended with it.
    Cached(AttemptEnd),
    /// No hold: `Unaffordable` or `Capped`, recorded as the attempt's end.
    Refused(Outcome),
    /// Only open holds of others stand in the way: this second answer comes when they are gone.
    Wait(Pending),
    /// Another lead of the workspace is asking the same just now, and its answer will serve all: ask again soon.
    /// Nothing was written of the begin.
    AskedElsewhere,
    /// The job was cancelled: no attempt begins.
    Cancelled,
    /// The slice has another owner: nothing was written.
    Fenced,
}

/// An answer that is on its way.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Committed, LedgerError>>);

/// The other end of a [`Pending`].
#[derive(Debug)]
pub struct Responder(oneshot::Sender<Result<Committed, LedgerError>>);

/// A pair: who waits, and who answers.
pub fn pending() -> (Responder, Pending) {
    let (sender, receiver) = oneshot::channel();
    (Responder(sender), Pending(receiver))
}

impl Responder {
    /// Answers; nobody minds if the one who asked is gone, since what was committed is stored.
    pub fn answer(self, answer: Result<Committed, LedgerError>) {
        drop(self.0.send(answer));
    }

    /// Has the one who asked gone away?
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

impl Pending {
    /// Gives up waiting: the answer that has already come, if any.
    pub fn give_up(mut self) -> Option<Result<Committed, LedgerError>> {
        self.0.close();
        self.0.try_recv().ok()
    }
}

impl Future for Pending {
    type Output = Result<Committed, LedgerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|received| {
            received.unwrap_or_else(|_| Err(LedgerError::Unavailable("the store was closed".to_owned())))
        })
    }
}
