//! The shared store: PostgreSQL, read committed. Any number of workers use one database.
//!
//! The ledger's task owns a connection and commits in groups, in two pipelined round trips; everything
//! else takes a connection of the pool for one transaction, heartbeats and leases one of a small pool of
//! their own. Times are the database's own.

mod attempts;
mod audit;
mod burn;
mod campaigns;
mod commit;
mod committer;
mod connect;
mod error;
mod happenings;
mod job_rows;
mod jobs;
mod ledger;
mod migrate;
mod prefetched;
mod recharges;
mod roster;
mod runs;
mod slices;
mod told;
mod trails;
mod wanted;
mod workspaces;
mod writes;

pub use committer::CommitObserver;
pub use connect::PostgresStore;
