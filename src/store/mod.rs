//! Where the ledger, the jobs and the trails are kept: one database, so that one transaction covers
//! a step boundary whole.
//!
//! Knows SQL. The rules it applies are [`crate::ledger::rules`]; it decides nothing by itself.
//! Invariant: no provider, no HTTP, no queue. Balances are read inside the transaction that decides
//! on them, never remembered between two.

mod batch;
mod brief;
mod lock;
#[cfg(test)]
pub(crate) mod memory;
mod opening;
mod patience;
mod postgres;
mod product;
mod rows;
mod settling;
mod sqlite;
mod waiting;

pub use lock::JobLock;
pub use lock::LockError;
pub use lock::this_process;
pub use opening::Nature;
pub use opening::OpenError;
pub use postgres::CommitObserver;
pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;

use crate::jobs::Campaigns;
use crate::jobs::Jobs;
use crate::keys::Workspaces;
use crate::ledger::Ledger;
use crate::ledger::Outbox;
use crate::ledger::Recharges;
use crate::roster::Roster;

/// What everything above asks of a store.
pub trait Store: Ledger + Recharges + Outbox + Jobs + Campaigns + Workspaces + Roster {}

impl<T: Ledger + Recharges + Outbox + Jobs + Campaigns + Workspaces + Roster> Store for T {}
