//! Where the ledger, the jobs and the trails are kept: one database, so that one transaction covers
//! a step boundary whole.
//!
//! Knows SQL. The rules it applies are [`crate::ledger::rules`]; it decides nothing by itself.
//! Invariant: no provider, no HTTP, no queue. Balances are read inside the transaction that decides
//! on them, never remembered between two.

mod lock;
mod sqlite;

pub use lock::JobLock;
pub use lock::LockError;
pub use sqlite::Nature;
pub use sqlite::OpenError;
pub use sqlite::SqliteStore;

use crate::jobs::Jobs;
use crate::ledger::Ledger;

/// What everything above asks of a store.
pub trait Store: Ledger + Jobs {}

impl<T: Ledger + Jobs> Store for T {}
