//! Late answers: one reader per (provider, key) asks for many at once and hands each its own.
//!
//! Icypeas allows 30 reads a minute on the whole account (its rate-limits page), so waiting attempts
//! do not poll each for itself.

use crate::domain::Operation;
use crate::domain::Query;
use crate::http::KeyId;
use crate::http::Received;
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
    /// In the order they came; two may wait for the same.
    waiting: Vec<Waiting>,
    reading: bool,
    next_read: Option<Instant>,
}

struct Waiting {
    handle: String,
    operation: Operation,
    query: Query,
    not_before: Instant,
    missed: u32,
    answer: oneshot::Sender<Answer>,
}

/// What waiting for a late answer came to.
pub(super) enum Awaited {
    /// It came.
    Answer(Answer),
    /// It did not come in time.
    Late,
    /// The own key was taken away: nobody reads with it any more.
    Revoked,
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

    /// Waits for the answer under `handle`. The last read is made at the deadline.
    pub(super) async fn answer(
        &self,
        engine: &Engine,
        route: &Route,
        query: &Query,
        handle: &str,
        after: Duration,
    ) -> Awaited {
        let Some(deferred) = route.adapter.deferred() else { return Awaited::Late };
        let (sender, mut receiver) = oneshot::channel();
        let not_before = Instant::now() + after;
        self.board().waiting.push(Waiting {
            handle: handle.to_owned(),
            operation: route.step.operation,
            query: query.clone(),
            not_before,
            missed: 0,
            answer: sender,
        });
        let wait = async {
            while !route.is_revoked() {
                tokio::select! {
                    biased;
                    answer = &mut receiver => return answer.ok(),
                    () = self.read_in_turn(engine, route, deferred) => {}
                }
            }
            receiver.try_recv().ok()
        };
        let waited = timeout(route.poll_deadline, wait).await;
        receiver.close();
        self.board().waiting.retain(|waiting| !waiting.answer.is_closed());
        let answer = match waited {
            Ok(answer) => answer,
            Err(_) => self.read_once(engine, route, query, handle).await,
        };
        match answer {
            Some(answer) => Awaited::Answer(answer),
            // One that is not known to be there could not be read with to the end.
            None if route.is_revoked() || route.is_unheard_of() => Awaited::Revoked,
            None => Awaited::Late,
        }
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
        let received = read(engine, route, &deferred.read_one(handle)).await?;
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
        let first = self.board().waiting.iter().map(|waiting| waiting.not_before).min();
        if let Some(first) = first {
            tokio::time::sleep_until(first).await;
        }
        self.board().next_read = Some(Instant::now() + route.read_interval);
        let Some(request) = self.next_request(deferred) else { return };
        let Some(received) = read(engine, route, &request).await else { return };
        self.board().hand_out(deferred, &received);
    }

    /// Lists the newest answers of whoever was missed most often; one that the list has not shown
    /// three times is asked for by itself.
    fn next_request(&self, deferred: &dyn Deferred) -> Option<Request> {
        let mut board = self.board();
        let waiting = board.waiting.iter().max_by_key(|waiting| waiting.missed)?;
        if waiting.missed < READ_ALONE_EVERY {
            return Some(deferred.read_many(waiting.operation));
        }
        let handle = waiting.handle.clone();
        board.waiting.iter_mut().filter(|waiting| waiting.handle == handle).for_each(|waiting| waiting.missed = 0);
        Some(deferred.read_one(&handle))
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

impl Board {
    /// Gives each who waits its part of a reply; whoever has none in it waits on.
    fn hand_out(&mut self, deferred: &dyn Deferred, received: &Received) {
        for mut waiting in std::mem::take(&mut self.waiting) {
            match final_answer(deferred.pick(&waiting.query, &received.reply(), &waiting.handle)) {
                Some(answer) => drop(waiting.answer.send(answer)),
                None if waiting.answer.is_closed() => {}
                None => {
                    waiting.missed = waiting.missed.saturating_add(1);
                    self.waiting.push(waiting);
                }
            }
        }
    }
}

impl Drop for ReadingTurn<'_> {
    fn drop(&mut self) {
        self.0.board().reading = false;
    }
}

/// One read; `None` when the own key for it may be gone, or nothing came.
async fn read(engine: &Engine, route: &Route, request: &Request) -> Option<Received> {
    if route.is_revoked() || route.is_unheard_of() {
        return None;
    }
    engine.client.send(&route.target, request).await.ok()
}

/// Faults of the read itself (unavailable, throttled, key) say nothing of the answer: read again.
fn final_answer(reading: Option<Reading>) -> Option<Answer> {
    match reading? {
        Reading::Later { .. } | Reading::Ask(_) => None,
        Reading::Done(Answer::Fault(Fault::Unavailable | Fault::RateLimited { .. } | Fault::KeyRejected)) => None,
        Reading::Done(answer) => Some(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Address;
    use crate::domain::Verdict;
    use crate::providers::by_kind;

    #[tokio::test]
    async fn all_who_wait_for_an_answer_get_it_and_the_others_wait_on() {
        let deferred = by_kind("icypeas").unwrap().deferred().unwrap();
        let mut board = Board::default();
        let mut receivers = ["h1", "h2", "h1"].map(|handle| {
            let (answer, receiver) = oneshot::channel();
            let query = Query::Verify(Address::parse("ada@acme.test").unwrap());
            let (operation, not_before) = (Operation::VerifyEmail, Instant::now());
            board.waiting.push(Waiting { handle: handle.to_owned(), operation, query, not_before, missed: 0, answer });
            receiver
        });
        let item = r#"{"_id":"h1","status":"FOUND","results":{"emails":[{"certainty":"ultra_sure"}]}}"#;
        let body = format!(r#"{{"success":true,"items":[{item}]}}"#);
        board.hand_out(deferred, &Received::new(200, Default::default(), body));
        let came = receivers.each_mut().map(|receiver| receiver.try_recv().ok());
        let [Some(first), None, Some(last)] = came else { panic!("{came:?}") };
        assert!(matches!(first, Answer::Judged { verdict: Verdict::Valid, .. }), "{first:?}");
        assert_eq!(first, last);
        let waiting: Vec<(&str, u32)> = board.waiting.iter().map(|it| (it.handle.as_str(), it.missed)).collect();
        assert_eq!(waiting, [("h2", 1)]);
    }
}
