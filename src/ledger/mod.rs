//! The ledger: what is in each wallet, what open holds bind, and every change, append-only.
//!
//! Knows accounts (workspace, bucket), holds, entries, and the [`Boundary`]: everything that changes
//! between two calls of a lead, committed whole. The rules are pure ([`rules`]); a store applies them
//! inside its own transaction, many boundaries with one commit.
//! Invariant: no provider, no HTTP, no float. No call is made without a hold that a store has
//! committed; nothing here makes one.

mod boundary;
mod burn;
mod happening;
mod recharge;
pub mod rules;
#[cfg(test)]
mod tests;

pub use boundary::AccountId;
pub use boundary::Answer;
pub use boundary::Begin;
pub use boundary::Boundary;
pub use boundary::Charged;
pub use boundary::Committed;
pub use boundary::Ended;
pub use boundary::Epoch;
pub use boundary::JobKey;
pub use boundary::LeadKey;
pub use boundary::LeadNo;
pub use boundary::Pending;
pub use boundary::Responder;
pub use boundary::SliceNo;
pub use boundary::Then;
pub use boundary::pending;
pub use burn::Burn;
pub use burn::Outlook;
pub use happening::Happening;
pub use happening::Stopper;
pub use happening::StoredHappening;
pub use recharge::ASK_AGAIN_AFTER;
pub use recharge::Asking;
pub use recharge::DAYS_A_MONTH;
pub use recharge::Declined;
pub use recharge::MOST_DECLINES;
pub use recharge::RechargeChange;
pub use recharge::RechargeHistory;
pub use recharge::RechargeState;
pub use recharge::RechargeTerms;
pub use recharge::Recharges;
pub use recharge::StoredRecharge;
pub use recharge::TermsRefused;
pub use recharge::decide_recharge;
pub use recharge::recharge_reference;

use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::ProviderName;
use crate::domain::Step;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use std::time::Duration;

/// Why the ledger did not do what it was asked. Variants are named for what the caller does next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The same id was used before for something else: a mistake in the caller, never repeated.
    #[error("{what} was used before with other content")]
    Conflict {
        /// Which id.
        what: String,
    },
    /// The change would take the balance below what open holds bind.
    #[error("only {available} USD are available in this wallet")]
    Insufficient {
        /// What could be taken.
        available: Usd,
    },
    /// The store cannot be used now (locked, full, gone): nothing was changed, stop and try later.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// What is stored breaks a rule that the ledger itself holds: stop, and audit.
    #[error("the store holds something impossible: {0}")]
    Corrupt(String),
}

impl LedgerError {
    /// Can the same request succeed later, unchanged?
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Conflict { .. } | Self::Insufficient { .. } | Self::Corrupt(_) => false,
        }
    }
}

/// A wallet as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// What is in it.
    pub balance: Usd,
    /// What open holds bind of it.
    pub held: Usd,
}

impl Balance {
    /// What a new hold may take.
    pub fn available(self) -> Usd {
        self.balance.left_after(self.held)
    }
}

/// What changed a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Money came in, once by its reference.
    TopUp,
    /// A call was paid.
    Settle,
    /// An operator's correction, once by its reference.
    Adjust,
}

impl EntryKind {
    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::Settle => "settle",
            Self::Adjust => "adjust",
        }
    }
}

/// One line of a wallet's ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts the store's entries; grows along each wallet.
    pub seq: i64,
    /// When, wall-clock milliseconds.
    pub at_ms: i64,
    /// What kind of change; the stored word.
    pub kind: String,
    /// By how much.
    pub amount: Usd,
    /// The balance after it.
    pub balance: Usd,
    /// The caller's reference of a top-up or adjustment.
    pub reference: Option<String>,
    /// Why, for an adjustment.
    pub note: Option<String>,
    /// For a settlement: the lead and the step that were paid.
    pub paid: Option<(JobId, LeadId, Step)>,
}

/// A booking under the caller's own reference: done once, however often it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// Whose metered wallet.
    pub workspace: WorkspaceId,
    /// Above zero for a top-up; either sign for an adjustment.
    pub amount: Usd,
    /// Unique in the wallet.
    pub reference: String,
    /// Why, for an adjustment.
    pub note: Option<String>,
}

/// What the audit recomputed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Wallets looked at.
    pub accounts: u64,
    /// Entries summed.
    pub entries: u64,
    /// Holds that bind money now.
    pub open_holds: u64,
    /// Every difference found, in words.
    pub problems: Vec<String>,
}

/// What a worker and the commands ask of the ledger. A boundary joins the group commit; everything
/// else is a transaction of its own.
pub trait Ledger: Send + Sync {
    /// Commits a step boundary. Asked again with the same ids it gives its first answer. One that brings
    /// an ended attempt is tried again for as long as the store cannot be used; any other fails after
    /// half a minute.
    fn commit(&self, boundary: Boundary) -> Pending;

    /// Books money in, once by its reference. `false`: that reference was booked before, alike.
    fn top_up(&self, booking: Booking) -> Later<'_, bool>;

    /// Books a correction, once by its reference; never below what open holds bind.
    fn adjust(&self, booking: Booking) -> Later<'_, bool>;

    /// Gives back open holds past their expiry whose slice nobody leases, except those of `owned` jobs;
    /// says how many.
    fn expire(&self, owned: Vec<JobKey>) -> Later<'_, u64>;

    /// How many holds are open.
    fn open_holds(&self) -> Later<'_, u64>;

    /// The metered wallet of a workspace; `None` when it was never mentioned.
    fn balance(&self, workspace: &WorkspaceId) -> Later<'_, Option<Balance>>;

    /// How fast the workspace's metered wallet is spent just now; `None` when nothing was settled within
    /// [`Burn::WINDOW`].
    fn burn(&self, workspace: &WorkspaceId) -> Later<'_, Option<Burn>>;

    /// Up to `limit` entries of the workspace's metered wallet after `after`, oldest first.
    fn entries(&self, workspace: &WorkspaceId, after: i64, limit: u32) -> Later<'_, Vec<Entry>>;

    /// Recomputes every balance, hold and charge, of one workspace or all.
    fn audit(&self, workspace: Option<&WorkspaceId>) -> Later<'_, Audit>;
}

/// What a commit caused, until it has been told.
pub trait Outbox: Send + Sync {
    /// Up to `limit` happenings that nobody is telling, oldest first; for `lease` they are the caller's.
    /// Kinds that this program does not know are left to a newer one.
    fn take_happenings(&self, limit: u32, lease: Duration) -> Later<'_, Vec<StoredHappening>>;

    /// They have been told: forget them.
    fn forget_happenings(&self, told: Vec<i64>) -> Later<'_, ()>;

    /// How many wait.
    fn happenings(&self) -> Later<'_, u64>;

    /// A key works again: its next failure is told again. `workspace` is `None` for the house's keys,
    /// `provider` is `None` for all of them.
    fn key_works(&self, workspace: Option<&WorkspaceId>, provider: Option<&ProviderName>) -> Later<'_, ()>;
}

/// An answer of the store that comes later.
pub type Later<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'a>>;
