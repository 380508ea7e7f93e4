//! The group commit: one thread owns the writing connection, takes whatever has arrived, and commits
//! it in one transaction. Answers go out only after the commit; while one batch runs, the next collects.

use crate::ledger::Answer;
use crate::ledger::Boundary;
use crate::ledger::LedgerError;
use crate::ledger::Pending;
use crate::ledger::pending;
use crate::store::batch::Applied;
use crate::store::batch::Batch;
use crate::store::patience::Backoff;
use crate::store::patience::Item;
use crate::store::patience::give_up;
use crate::store::patience::give_up_all;
use crate::store::sqlite::rows::SqliteRows;
use crate::store::waiting::Waiting;
use rusqlite::Connection;
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The most boundaries of one transaction: about 20 ms of work.
const MAX_BATCH: usize = 1024;
/// How often holds that wait are looked at again, for what other processes have freed.
const RETRY_WAITING: Duration = Duration::from_millis(250);

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

enum Arrival {
    Boundary(Item),
    Work(Work),
}

/// The sending side of the writing thread. The thread ends when this is dropped.
pub(super) struct Committer {
    arrivals: mpsc::Sender<Arrival>,
}

impl Committer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (sender, arrivals) = mpsc::channel();
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || Writer { connection, waiting: Waiting::default() }.serve(&arrivals))?;
        Ok(Self { arrivals: sender })
    }

    pub(super) fn commit(&self, boundary: Boundary) -> Pending {
        let (responder, answer) = pending();
        // A thread that is gone drops the responder, and that is the answer.
        drop(self.arrivals.send(Arrival::Boundary(Item::new(boundary, responder))));
        answer
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |connection| drop(sender.send(work(connection))));
        drop(self.arrivals.send(Arrival::Work(work)));
        receiver.await.unwrap_or_else(|_| Err(LedgerError::Unavailable("the store was closed".to_owned())))
    }
}

/// What arrived together.
#[derive(Default)]
struct Arrivals {
    boundaries: Vec<Item>,
    work: Vec<Work>,
}

impl Arrivals {
    fn add(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Boundary(item) => self.boundaries.push(item),
            Arrival::Work(work) => self.work.push(work),
        }
    }
}

struct Writer {
    connection: Connection,
    waiting: Waiting,
}

impl Writer {
    fn serve(mut self, arrivals: &mpsc::Receiver<Arrival>) {
        loop {
            let mut arrived = Arrivals::default();
            let first = if self.waiting.is_empty() {
                arrivals.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
            } else {
                arrivals.recv_timeout(RETRY_WAITING)
            };
            match first {
                Ok(arrival) => arrived.add(arrival),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            while arrived.boundaries.len() < MAX_BATCH
                && let Ok(arrival) = arrivals.try_recv()
            {
                arrived.add(arrival);
            }
            self.commit(arrived.boundaries, arrivals);
            for work in arrived.work {
                work(&mut self.connection);
            }
            self.serve_waiting();
        }
    }

    /// Commits a batch whole. One that fails on its content is split until the guilty item fails
    /// alone; one that fails on the store is tried again.
    fn commit(&mut self, mut items: Vec<Item>, arrivals: &mpsc::Receiver<Arrival>) {
        if items.is_empty() {
            return;
        }
        match self.apply_patiently(&mut items, arrivals) {
            Ok(applied) => {
                for (Item { boundary, responder, .. }, applied) in items.into_iter().zip(applied) {
                    match applied {
                        Applied::Answered(committed) => responder.answer(Ok(committed)),
                        Applied::Waits(charged) => self.waiting.add(*boundary, charged, responder),
                    }
                }
            }
            Err(error) if items.len() <= 1 => {
                for item in items {
                    item.responder.answer(Err(error.clone()));
                }
            }
            Err(_) => {
                let second_half = items.split_off(items.len().div_ceil(2));
                self.commit(items, arrivals);
                self.commit(second_half, arrivals);
            }
        }
    }

    /// A store that is busy, full or failing is waited for, with what has arrived meanwhile; what is given up
    /// leaves `items`. An error is of their content, unless none is left.
    fn apply_patiently(
        &mut self,
        items: &mut Vec<Item>,
        arrivals: &mpsc::Receiver<Arrival>,
    ) -> Result<Vec<Applied>, LedgerError> {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.apply(items) {
                Err(error) if error.is_transient() => error,
                decided => return decided,
            };
            tracing::warn!("{error}; trying again");
            std::thread::park_timeout(backoff.pause());
            if self.take_in(items, arrivals) == mpsc::TryRecvError::Disconnected {
                give_up_all(items, &error);
            }
            give_up(items, &error);
            if items.is_empty() {
                return Err(error);
            }
        }
    }

    /// Takes what has arrived by now, as far as it is a boundary; anything else is done, and fails by itself.
    fn take_in(&mut self, items: &mut Vec<Item>, arrivals: &mpsc::Receiver<Arrival>) -> mpsc::TryRecvError {
        loop {
            match arrivals.try_recv() {
                Ok(Arrival::Boundary(item)) => items.push(item),
                Ok(Arrival::Work(work)) => work(&mut self.connection),
                Err(none) => return none,
            }
        }
    }

    fn apply(&mut self, items: &[Item]) -> Result<Vec<Applied>, LedgerError> {
        let mut batch = Batch::new(SqliteRows::begin(&mut self.connection)?);
        let mut all = Vec::with_capacity(items.len());
        for Item { boundary, .. } in items {
            let queued = self.waiting.has(boundary.account);
            all.push(batch.apply(boundary, queued)?);
        }
        batch.flush()?.commit()?;
        Ok(all)
    }

    /// Grants what can be granted now to those who wait, and refuses what never can be.
    fn serve_waiting(&mut self) {
        if !self.waiting.prune() {
            return;
        }
        match decide(&mut self.connection, &self.waiting) {
            Ok(decided) => self.waiting.answer(decided),
            Err((Some(place), error)) => self.waiting.fail(place, error),
            Err((None, error)) if error.is_transient() => tracing::warn!("{error}; holds go on waiting"),
            Err((None, _)) => self.serve_one_by_one(),
        }
    }

    /// The same where all together fail and nobody can be blamed: only the guilty one hears of its error.
    fn serve_one_by_one(&mut self) {
        for mut alone in self.waiting.take_apart() {
            if !alone.is_behind(&self.waiting) {
                match decide(&mut self.connection, &alone) {
                    Ok(decided) => alone.answer(decided),
                    Err((_, error)) => alone.fail(0, error),
                }
            }
            self.waiting.append(alone);
        }
    }
}

/// Decides, and commits, what can be granted or refused of what waits. An error comes with the place of the one
/// it is about, if it is about one.
fn decide(connection: &mut Connection, waiting: &Waiting) -> Result<Vec<Option<Answer>>, (Option<usize>, LedgerError)> {
    let of_all = |error: LedgerError| (None::<usize>, error);
    let mut batch = Batch::new(SqliteRows::begin(connection).map_err(of_all)?);
    let decided = waiting.decide(&mut batch).map_err(|(place, error)| (Some(place), error))?;
    if decided.iter().any(Option::is_some) {
        batch.flush().and_then(SqliteRows::commit).map_err(of_all)?;
    }
    Ok(decided)
}
