//! Late answers: one reader per (provider, key) asks for many at once and hands each its own.
//!
//! Icypeas allows 30 reads a minute on the whole account (its rate-limits page), so waiting attempts
//! do not poll each for itself.

use crate::domain::Operation;
use crate::domain::Query;
use crate::http::KeyId;
use crate::providers::Answer;
use crate::providers::Deferred;
use crate::providers::Fault;
use crate::providers::Reading;
use crate::providers::Request;
use crate::worker::engine::Engine;
use crate::worker::routes::Route;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::timeout;

/// So many attempts of a key may wait for late answers: one read lists a hundred.
const MAX_WAITING: usize = 100;
/// An answer that the list of the newest does not show is read by its handle every so many rounds.
const READ_ALONE_EVERY: u32 = 3;

/// The readers of a process.
#[derive(Default)]
pub(super) struct Readers(Mutex<HashMap<(KeyId, &'static str), Arc<Reader>>>);

/// The reader of one key.
pub(super) struct Reader {
    places: Arc<Semaphore>,
    board: Mutex<Board>,
}

/// Who waits for which answer. Whoever finds no reader at work becomes it.
#[derive(Default)]
struct Board {
    waiting: HashMap<String, Waiting>,
    reading: bool,
    next_read: Option<Instant>,
}

struct Waiting {
    operation: Operation,
    query: Query,
    not_before: Instant,
    missed: u32,
    answer: oneshot::Sender<Answer>,
}

/// Frees the board for another reader, however the reading ends.
struct ReadingTurn<'a>(&'a Reader);

impl Readers {
    pub(super) fn of(&self, route: &Route) -> Arc<Reader> {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(readers.entry((route.key, route.adapter.kind())).or_insert_with(|| {
            Arc::new(Reader { places: Arc::new(Semaphore::new(MAX_WAITING)), board: Mutex::default() })
        }))
    }
}

impl Reader {
    /// A place among those who wait; asked for before the submission.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// The same, if there is one at once.
    pub(super) fn place_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Waits for the answer under `handle`; `None` when it does not come in time. The last read is
    /// made at the deadline.
    pub(super) async fn answer(
        &self,
        engine: &Engine,
        route: &Route,
        query: &Query,
        handle: &str,
        after: Duration,
    ) -> Option<Answer> {
        let deferred = route.adapter.deferred()?;
        let (sender, mut receiver) = oneshot::channel();
        let not_before = Instant::now() + after;
        let operation = route.step.operation;
        let waiting = Waiting { operation, query: query.clone(), not_before, missed: 0, answer: sender };
        self.board().waiting.insert(handle.to_owned(), waiting);
        let wait = async {
            loop {
                tokio::select! {
                    biased;
                    answer = &mut receiver => return answer.ok(),
                    () = self.read_in_turn(engine, route, deferred) => {}
                }
            }
        };
        if let Ok(answer) = timeout(route.poll_deadline, wait).await {
            return answer;
        }
        self.board().waiting.remove(handle);
        self.read_once(engine, route, query, handle).await
    }

    /// Reads one answer by its handle, now; `None` when it is not there or cannot be read.
    pub(super) async fn read_once(
        &self,
        engine: &Engine,
        route: &Route,
        query: &Query,
        handle: &str,
    ) -> Option<Answer> {
        let deferred = route.adapter.deferred()?;
        let received = engine.client.send(&route.target, &deferred.read_one(handle)).await.ok()?;
        final_answer(deferred.pick(query, &received.reply(), handle))
    }

    /// One read, when it is due and nobody else is at it; else waits a moment for the others' answers.
    async fn read_in_turn(&self, engine: &Engine, route: &Route, deferred: &dyn Deferred) {
        let Some(_turn) = self.begin_reading() else {
            tokio::time::sleep(route.read_interval).await;
            return;
        };
        let due = self.board().next_read;
        if let Some(due) = due {
            tokio::time::sleep_until(due).await;
        }
        let first = self.board().waiting.values().map(|waiting| waiting.not_before).min();
        if let Some(first) = first {
            tokio::time::sleep_until(first).await;
        }
        self.board().next_read = Some(Instant::now() + route.read_interval);
        let Some(request) = self.next_request(deferred) else { return };
        let Ok(received) = engine.client.send(&route.target, &request).await else { return };
        let mut board = self.board();
        let handles: Vec<String> = board.waiting.keys().cloned().collect();
        for handle in handles {
            let Some(mut waiting) = board.waiting.remove(&handle) else { continue };
            match final_answer(deferred.pick(&waiting.query, &received.reply(), &handle)) {
                Some(answer) => drop(waiting.answer.send(answer)),
                None if waiting.answer.is_closed() => {}
                None => {
                    waiting.missed = waiting.missed.saturating_add(1);
                    board.waiting.insert(handle, waiting);
                }
            }
        }
    }

    /// Lists the newest answers of whoever was missed most often; one that the list has not shown
    /// three times is asked for by itself.
    fn next_request(&self, deferred: &dyn Deferred) -> Option<Request> {
        let mut board = self.board();
        let (handle, waiting) = board.waiting.iter_mut().max_by_key(|(_, waiting)| waiting.missed)?;
        if waiting.missed < READ_ALONE_EVERY {
            return Some(deferred.read_many(waiting.operation));
        }
        waiting.missed = 0;
        Some(deferred.read_one(handle))
    }

    fn begin_reading(&self) -> Option<ReadingTurn<'_>> {
        let mut board = self.board();
        if board.reading {
            return None;
        }
        board.reading = true;
        Some(ReadingTurn(self))
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ReadingTurn<'_> {
    fn drop(&mut self) {
        self.0.board().reading = false;
    }
}

/// Faults of the read itself (unavailable, throttled, key) say nothing of the answer: read again.
fn final_answer(reading: Option<Reading>) -> Option<Answer> {
    match reading? {
        Reading::Later { .. } | Reading::Ask(_) => None,
        Reading::Done(Answer::Fault(Fault::Unavailable | Fault::RateLimited { .. } | Fault::KeyRejected)) => None,
        Reading::Done(answer) => Some(answer),
    }
}
