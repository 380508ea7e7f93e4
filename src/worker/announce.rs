//! Results on their way out: a slice is closed only when those of its leads are confirmed.

use crate::domain::Attempt;
use crate::domain::Ending;
use crate::domain::LeadId;
use crate::domain::Run;
use crate::jobs::StoredJob;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use std::pin::Pin;
use std::sync::Arc;

/// A decided lead, as it is told.
#[derive(Clone, Debug)]
pub struct Announced {
    /// Of which job.
    pub job: Arc<StoredJob>,
    /// Which lead.
    pub n: LeadNo,
    /// Its id.
    pub id: LeadId,
    /// The run that decided it.
    pub run: Run,
    /// How it ended.
    pub ending: Ending,
    /// When, wall-clock milliseconds.
    pub ended_ms: i64,
    /// All its attempts, with what they cost.
    pub attempts: Vec<Attempt>,
    /// How many identical leads have ended with it.
    pub copies: u32,
}

/// What became of telling a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It lies in a queue, and so do those of its copies.
    Told,
    /// A stop came first: the next owner of the slice tells it.
    Stopped,
}

/// Who is told of results.
pub trait Announce: Send + Sync {
    /// Tells the result of a lead and of its copies; goes on trying until it is told, or a stop is
    /// asked for.
    fn announce(&self, result: Announced) -> AnnounceLater<'_>;
}

/// The answer to an announcement; an error is the store's.
pub type AnnounceLater<'a> = Pin<Box<dyn Future<Output = Result<Telling, LedgerError>> + Send + 'a>>;
