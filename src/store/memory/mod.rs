//! A store in memory, for the simulation of the worker: the shared rules of the group commit, no file, no
//! thread, and a clock that a test moves.
//!
//! Keeps the same promises as the other stores. Each handle is one worker's connection: what its [`Seam`]
//! does happens to that worker alone.
//! Invariant: no last line of defence. What the constraints of a database would refuse is written down
//! here, so that it is the auditor who has to see it.

mod campaigns;
mod claims;
mod committer;
mod connection;
mod jobs;
mod ledger;
mod others;
mod recharges;
mod rows;
mod runs;
mod tables;
mod view;

pub(crate) use connection::MemoryStore;
pub(crate) use tables::AttemptRow;
pub(crate) use tables::Tables;

use crate::ledger::Boundary;
use crate::ledger::LedgerError;
use std::pin::Pin;
use std::time::Duration;

/// What lies between a worker and the store.
pub(crate) trait Seam: Send + Sync {
    /// Until what the worker asks gets through; for ever, when it never does.
    fn reach(&self) -> Reaching<'_>;

    /// What becomes of a boundary that the worker commits.
    fn before(&self, boundary: &Boundary) -> Fate;

    /// It is committed: does the worker live to hear of it?
    fn after(&self) -> bool;
}

/// A question on its way.
pub(crate) type Reaching<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// What becomes of a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is committed, after so long.
    Commits(Duration),
    /// It is committed, after so long, and the store cannot tell: it is run again with the same ids.
    CommitsTwice(Duration),
    /// Nothing is written, and after so long the worker is told that the store cannot be used.
    Fails(Duration),
    /// The worker is dead: it asked for nothing.
    NeverAsked,
}

/// Is told of every change before anybody else can make one.
pub(crate) trait Watch: Send + Sync {
    /// This is how things stand now.
    fn changed(&self, tables: &Tables);

    /// The store was asked for what a correct worker never asks for.
    fn refused(&self, error: &LedgerError);
}

/// A mistake planted into the store, for the auditor to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Planted {
    /// G1: a hold is granted before it is committed.
    EarlyGrant,
    /// G2: what is available is counted without what others hold.
    HeldIgnored,
    /// G3: some holds are not ended with their attempt.
    HoldStaysOpen,
    /// G4: a takeover gives up what was begun and asks anew, and the overtaken owner settles all the same.
    StaleSettles,
    /// G5: what an overtaken owner has paid for is not written down.
    LateAnswerDropped,
}
