//! The group commit: what is due at the same moment is one transaction. Nothing is committed but while
//! [`MemoryStore::serve`] is polled.

use crate::domain::Usd;
use crate::ledger::Answer;
use crate::ledger::Boundary;
use crate::ledger::Charged;
use crate::ledger::Committed;
use crate::ledger::Ended;
use crate::ledger::LedgerError;
use crate::ledger::Pending;
use crate::ledger::Responder;
use crate::ledger::Then;
use crate::ledger::pending;
use crate::store::batch::Applied;
use crate::store::batch::Batch;
use crate::store::memory::Fate;
use crate::store::memory::MemoryStore;
use crate::store::memory::Planted;
use crate::store::memory::Seam;
use crate::store::memory::connection::Shared;
use crate::store::memory::connection::State;
use crate::store::memory::rows::MemoryRows;
use crate::store::memory::tables::Tables;
use crate::store::waiting::Waiting;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::timeout_at;

/// How often holds that wait are looked at again.
const RETRY_WAITING: Duration = Duration::from_millis(250);

/// A boundary on its way into the store.
pub(super) struct Arrival {
    due: Instant,
    boundary: Boundary,
    responder: Responder,
    seam: Arc<dyn Seam>,
    course: Course,
}

/// How its commit goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Once,
    Twice,
    Fails,
}

impl MemoryStore {
    pub(super) fn arrive(&self, boundary: Boundary) -> Pending {
        let (mut responder, answer) = pending();
        let (course, delay) = match self.seam.before(&boundary) {
            Fate::Commits(delay) => (Course::Once, delay),
            Fate::CommitsTwice(delay) => (Course::Twice, delay),
            Fate::Fails(delay) => (Course::Fails, delay),
            Fate::NeverAsked => return answer,
        };
        if self.shared.planted == Some(Planted::EarlyGrant) && matches!(boundary.then, Then::Begin(_)) {
            responder.answer(Ok(grant(&boundary)));
            (responder, _) = pending();
        }
        let arrival =
            Arrival { due: Instant::now() + delay, boundary, responder, seam: Arc::clone(&self.seam), course };
        self.shared.state().arrivals.push(arrival);
        self.shared.arrived.notify_one();
        answer
    }

    /// Commits what arrives, until it is dropped.
    pub(crate) async fn serve(&self) {
        loop {
            let arrived = self.shared.arrived.notified();
            let wake = self.shared.state().next_wake();
            match wake {
                None => arrived.await,
                Some(at) => {
                    let _ = timeout_at(at, arrived).await;
                }
            }
            self.shared.commit_due();
        }
    }
}

/// The answer of a store that has not looked.
fn grant(boundary: &Boundary) -> Committed {
    let paid = |ended: &Ended| ended.owed.by_customer(ended.held.unwrap_or(Usd::ZERO));
    let charged = boundary.ended.iter().map(|ended| Charged { paid: paid(ended), lost: Usd::ZERO }).collect();
    Committed { charged, answer: Answer::Granted }
}

impl State {
    fn next_wake(&self) -> Option<Instant> {
        self.arrivals.iter().map(|arrival| arrival.due).chain(self.retry_at).min()
    }

    fn take_due(&mut self, now: Instant) -> Vec<Arrival> {
        let (mut due, later): (Vec<Arrival>, Vec<Arrival>) =
            std::mem::take(&mut self.arrivals).into_iter().partition(|arrival| arrival.due <= now);
        self.arrivals = later;
        due.sort_by_key(|arrival| arrival.due);
        due
    }
}

impl Shared {
    fn commit_due(&self) {
        let mut state = self.state();
        let now = Instant::now();
        let (failing, mut due): (Vec<Arrival>, Vec<Arrival>) =
            state.take_due(now).into_iter().partition(|arrival| arrival.course == Course::Fails);
        for arrival in failing {
            arrival.responder.answer(Err(LedgerError::Unavailable("it fails by design".to_owned())));
        }
        let State { tables, waiting, retry_at, .. } = &mut *state;
        if self.planted == Some(Planted::StaleSettles) {
            for arrival in &mut due {
                arrival.boundary.lead = tables.as_owner(arrival.boundary.lead);
            }
        }
        self.commit(tables, waiting, due);
        self.serve_waiting(tables, waiting);
        *retry_at = (!waiting.is_empty()).then(|| now + RETRY_WAITING);
    }

    /// Commits a batch whole. One that fails on its content is split until the guilty item fails alone.
    fn commit(&self, tables: &mut Tables, waiting: &mut Waiting, mut due: Vec<Arrival>) {
        if due.is_empty() {
            return;
        }
        match self.apply(tables, waiting, &due) {
            Ok(applied) => {
                self.watch.changed(tables);
                for (arrival, applied) in due.into_iter().zip(applied) {
                    arrival.tell(applied, waiting);
                }
            }
            Err(error) if due.len() == 1 => {
                self.watch.refused(&error);
                for arrival in due {
                    arrival.responder.answer(Err(error.clone()));
                }
            }
            Err(_) => {
                let second_half = due.split_off(due.len().div_ceil(2));
                self.commit(tables, waiting, due);
                self.commit(tables, waiting, second_half);
            }
        }
    }

    /// A commit whose outcome is unknown is run again; what counts is the second answer.
    fn apply(&self, tables: &mut Tables, waiting: &Waiting, due: &[Arrival]) -> Result<Vec<Applied>, LedgerError> {
        let mut applied = Vec::with_capacity(due.len());
        let first = self.transact(tables, waiting, due)?;
        for (arrival, first) in due.iter().zip(first) {
            let again = match arrival.course {
                Course::Once | Course::Fails => None,
                Course::Twice => self.transact(tables, waiting, std::slice::from_ref(arrival))?.pop(),
            };
            applied.push(again.unwrap_or(first));
        }
        Ok(applied)
    }

    fn transact(&self, tables: &mut Tables, waiting: &Waiting, due: &[Arrival]) -> Result<Vec<Applied>, LedgerError> {
        let mut batch = Batch::new(MemoryRows::begin(tables, self.planted));
        let mut all = Vec::with_capacity(due.len());
        for Arrival { boundary, .. } in due {
            all.push(batch.apply(boundary, waiting.has(boundary.account))?);
        }
        batch.flush()?.commit();
        Ok(all)
    }

    /// Grants what can be granted now to those who wait, and refuses what never can be.
    fn serve_waiting(&self, tables: &mut Tables, waiting: &mut Waiting) {
        if !waiting.prune() {
            return;
        }
        match self.decide_waiting(tables, waiting) {
            Ok(decided) => {
                self.watch.changed(tables);
                waiting.answer(decided);
            }
            Err((place, error)) => {
                self.watch.refused(&error);
                waiting.fail(place, error);
            }
        }
    }

    /// An error comes with the place of the one it is about.
    fn decide_waiting(
        &self,
        tables: &mut Tables,
        waiting: &Waiting,
    ) -> Result<Vec<Option<Answer>>, (usize, LedgerError)> {
        let mut batch = Batch::new(MemoryRows::begin(tables, self.planted));
        let decided = waiting.decide(&mut batch)?;
        if decided.iter().any(Option::is_some) {
            batch.flush().map_err(|error| (0, error))?.commit();
        }
        Ok(decided)
    }
}

impl Arrival {
    /// Tells the worker, if it still lives.
    fn tell(self, applied: Applied, waiting: &mut Waiting) {
        if !self.seam.after() {
            return;
        }
        match applied {
            Applied::Answered(committed) => self.responder.answer(Ok(committed)),
            Applied::Waits(charged) => waiting.add(self.boundary, charged, self.responder),
        }
    }
}
