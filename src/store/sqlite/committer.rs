//! The group commit: one thread owns the writing connection, takes whatever has arrived, and commits
//! it in one transaction. Answers go out only after the commit; while one batch runs, the next collects.

use crate::ledger::Answer;
use crate::ledger::Boundary;
use crate::ledger::LedgerError;
use crate::ledger::Pending;
use crate::ledger::Responder;
use crate::ledger::pending;
use crate::store::batch::Applied;
use crate::store::batch::Batch;
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

/// Between two tries of a store that cannot be used.
const RETRY_STORE: Duration = Duration::from_millis(500);
/// After so many, half a minute at the least, a store that cannot be used ends the work.
const MAX_STORE_TRIES: u32 = 60;

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

enum Item {
    Boundary(Box<Boundary>, Responder),
    Work(Work),
}

/// The sending side of the writing thread. The thread ends when this is dropped.
pub(super) struct Committer {
    items: mpsc::Sender<Item>,
}

impl Committer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (items, arrivals) = mpsc::channel();
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || Writer { connection, waiting: Waiting::default() }.serve(&arrivals))?;
        Ok(Self { items })
    }

    pub(super) fn commit(&self, boundary: Boundary) -> Pending {
        let (responder, answer) = pending();
        // A thread that is gone drops the responder, and that is the answer.
        drop(self.items.send(Item::Boundary(Box::new(boundary), responder)));
        answer
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |connection| drop(sender.send(work(connection))));
        drop(self.items.send(Item::Work(work)));
        receiver.await.unwrap_or_else(|_| Err(LedgerError::Unavailable("the store was closed".to_owned())))
    }
}

/// What arrived together.
#[derive(Default)]
struct Arrivals {
    boundaries: Vec<(Box<Boundary>, Responder)>,
    work: Vec<Work>,
}

impl Arrivals {
    fn add(&mut self, item: Item) {
        match item {
            Item::Boundary(boundary, responder) => self.boundaries.push((boundary, responder)),
            Item::Work(work) => self.work.push(work),
        }
    }
}

struct Writer {
    connection: Connection,
    waiting: Waiting,
}

impl Writer {
    fn serve(mut self, items: &mpsc::Receiver<Item>) {
        loop {
            let mut arrived = Arrivals::default();
            let first = if self.waiting.is_empty() {
                items.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected)
            } else {
                items.recv_timeout(RETRY_WAITING)
            };
            match first {
                Ok(item) => arrived.add(item),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            while arrived.boundaries.len() < MAX_BATCH
                && let Ok(item) = items.try_recv()
            {
                arrived.add(item);
            }
            self.commit(arrived.boundaries);
            for work in arrived.work {
                work(&mut self.connection);
            }
            self.serve_waiting();
        }
    }

    /// Commits a batch whole. One that fails on its content is split until the guilty item fails
    /// alone; one that fails on the store for too long fails for all, since nothing of it was written.
    fn commit(&mut self, mut items: Vec<(Box<Boundary>, Responder)>) {
        if items.is_empty() {
            return;
        }
        match self.apply_patiently(&items) {
            Ok(applied) => {
                for ((boundary, responder), applied) in items.into_iter().zip(applied) {
                    match applied {
                        Applied::Answered(committed) => responder.answer(Ok(committed)),
                        Applied::Waits(charged) => self.waiting.add(*boundary, charged, responder),
                    }
                }
            }
            Err(error) if items.len() == 1 || error.is_transient() => {
                for (_, responder) in items {
                    responder.answer(Err(error.clone()));
                }
            }
            Err(_) => {
                let second_half = items.split_off(items.len().div_ceil(2));
                self.commit(items);
                self.commit(second_half);
            }
        }
    }

    /// A store that is busy, full or failing for a while is waited for: what was learned from a paid
    /// call is held here alone until it is committed.
    fn apply_patiently(&mut self, items: &[(Box<Boundary>, Responder)]) -> Result<Vec<Applied>, LedgerError> {
        let mut tries = 1;
        loop {
            match self.apply(items) {
                Err(error) if error.is_transient() && tries < MAX_STORE_TRIES => {
                    tracing::warn!("{error}; trying again");
                    std::thread::park_timeout(RETRY_STORE);
                    tries += 1;
                }
                decided => return decided,
            }
        }
    }

    fn apply(&mut self, items: &[(Box<Boundary>, Responder)]) -> Result<Vec<Applied>, LedgerError> {
        let mut batch = Batch::new(SqliteRows::begin(&mut self.connection)?);
        let mut all = Vec::with_capacity(items.len());
        for (boundary, _) in items {
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
        match self.decide_waiting() {
            Ok(decided) => self.waiting.answer(decided),
            Err((place, error)) => self.waiting.fail(place, error),
        }
    }

    /// An error comes with the place of the one it is about.
    fn decide_waiting(&mut self) -> Result<Vec<Option<Answer>>, (usize, LedgerError)> {
        let first = |error| (0, error);
        let mut batch = Batch::new(SqliteRows::begin(&mut self.connection).map_err(first)?);
        let decided = self.waiting.decide(&mut batch)?;
        if decided.iter().any(Option::is_some) {
            batch.flush().and_then(SqliteRows::commit).map_err(first)?;
        }
        Ok(decided)
    }
}
