//! The group commit: one thread owns the ledger's connection, takes whatever has arrived, and commits it in one
//! transaction. Answers go out only after the commit; while one batch runs, the next collects.

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
use crate::store::postgres::commit::Prepared;
use crate::store::postgres::commit::Ran;
use crate::store::postgres::connect::Door;
use crate::store::postgres::error::is_conflict;
use crate::store::postgres::prefetched::Prefetched;
use crate::store::rows::Rows;
use crate::store::waiting::Waiting;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout_at;

/// The most boundaries of one transaction: about 10 ms of work.
const MAX_BATCH: usize = 1024;
/// How often holds that wait are looked at again, for what other workers have freed.
const RETRY_WAITING: Duration = Duration::from_millis(250);
/// How often boundaries are tried again whose job or slice somebody else has locked.
const RETRY_LOCKED: Duration = Duration::from_millis(20);
/// How long they wait until somebody is told of it, and how often then.
const TELL_LOCKED: Duration = Duration::from_secs(10);

/// Is told of every commit of the ledger, on the ledger's own thread: it must not wait.
pub trait CommitObserver: Send + Sync {
    /// One transaction committed so many boundaries, and took so long, repetitions included.
    fn committed(&self, boundaries: usize, took: Duration);
}

/// The sending side of the ledger's thread. The thread ends when this is dropped.
pub(super) struct Committer {
    items: UnboundedSender<Item>,
    observer: Arc<OnceLock<Arc<dyn CommitObserver>>>,
}

impl Committer {
    pub(super) fn start(door: Door) -> std::io::Result<Self> {
        let (items, arrivals) = mpsc::unbounded_channel();
        let observer = Arc::new(OnceLock::new());
        let writer = Writer {
            session: Session { door, line: None },
            waiting: Waiting::default(),
            retry_at: None,
            locked: Vec::new(),
            unlocked_at: None,
            told_locked: None,
            observer: Arc::clone(&observer),
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || runtime.block_on(Box::pin(writer.serve(arrivals))))?;
        Ok(Self { items, observer })
    }

    pub(super) fn commit(&self, boundary: Boundary) -> Pending {
        let (responder, answer) = pending();
        // A thread that is gone drops the responder, and that is the answer.
        drop(self.items.send(Item::new(boundary, responder)));
        answer
    }

    pub(super) fn observe(&self, observer: Arc<dyn CommitObserver>) {
        drop(self.observer.set(observer));
    }
}

/// The ledger's connection: made when it is needed, given up when it fails.
struct Session {
    door: Door,
    line: Option<Prepared>,
}

impl Session {
    /// Runs one transaction. A connection that may be to blame for its failure is not used again.
    async fn run<T>(
        &mut self,
        boundaries: &[&Boundary],
        decide: impl FnOnce(&mut Batch<Prefetched>) -> Result<T, LedgerError>,
    ) -> Result<Ran<T>, LedgerError> {
        let line = match self.line.take().filter(|line| !line.is_closed()) {
            Some(line) => line,
            None => Prepared::connect(&self.door).await?,
        };
        let ran = line.transact(boundaries, decide).await;
        let keeps = match &ran {
            Ok(_) => true,
            Err(error) => (!error.is_transient() || is_conflict(error)) && line.roll_back().await.is_ok(),
        };
        if keeps {
            self.line = Some(line);
        }
        ran
    }

    /// Decides, and commits, what can be granted or refused of what waits. An error comes with the place of the
    /// one it is about, if it is about one.
    async fn decide(&mut self, waiting: &Waiting) -> Result<Vec<Option<Answer>>, (Option<usize>, LedgerError)> {
        let boundaries: Vec<&Boundary> = waiting.boundaries().collect();
        let mut guilty = None;
        let decide = |batch: &mut Batch<Prefetched>| {
            waiting.decide(batch).map_err(|(place, error)| {
                guilty = Some(place);
                error
            })
        };
        let ran = Box::pin(self.run(&boundaries, decide)).await;
        ran.map(|ran| ran.decided).map_err(|error| (guilty, error))
    }
}

struct Writer {
    session: Session,
    waiting: Waiting,
    /// When holds that wait are looked at again; `None` while none waits.
    retry_at: Option<Instant>,
    /// Those of which somebody else has the job or the slice locked, in order of arrival.
    locked: Vec<Item>,
    /// When they are tried again; `None` while there are none.
    unlocked_at: Option<Instant>,
    /// When it was last said that they wait.
    told_locked: Option<Instant>,
    observer: Arc<OnceLock<Arc<dyn CommitObserver>>>,
}

impl Writer {
    async fn serve(mut self, mut arrivals: UnboundedReceiver<Item>) {
        loop {
            let mut items = self.take_unlocked();
            let received = if items.is_empty() { self.receive(&mut items, &mut arrivals).await } else { None };
            while items.len() < MAX_BATCH
                && let Ok(item) = arrivals.try_recv()
            {
                items.push(item);
            }
            if received == Some(0) {
                if self.locked.is_empty() {
                    return;
                }
                give_up_all(&mut self.locked, &locked());
                sleep(RETRY_LOCKED).await;
            }
            let freed = !items.is_empty() && self.commit(items, &mut arrivals).await;
            let is_due = self.retry_at.is_some_and(|retry_at| retry_at <= Instant::now());
            if !self.waiting.is_empty() && (freed || is_due) {
                self.serve_waiting().await;
            }
            if self.waiting.is_empty() {
                self.retry_at = None;
            } else if self.retry_at.is_none() {
                self.retry_at = Some(Instant::now() + RETRY_WAITING);
            }
        }
    }

    /// Takes what has arrived, or waits for it until something else is due; 0: nothing will arrive any more.
    async fn receive(&self, items: &mut Vec<Item>, arrivals: &mut UnboundedReceiver<Item>) -> Option<usize> {
        let arrival = arrivals.recv_many(items, MAX_BATCH);
        match self.retry_at.into_iter().chain(self.unlocked_at).min() {
            None => Some(arrival.await),
            Some(due) => timeout_at(due, arrival).await.ok(),
        }
    }

    /// Those to be tried again whose rows were locked, if their time has come.
    fn take_unlocked(&mut self) -> Vec<Item> {
        if self.unlocked_at.is_none_or(|unlocked_at| unlocked_at > Instant::now()) {
            return Vec::new();
        }
        self.unlocked_at = None;
        give_up(&mut self.locked, &locked());
        let waited = self.locked.iter().map(Item::waited).max().unwrap_or_default();
        if waited > TELL_LOCKED && self.told_locked.is_none_or(|told| told.elapsed() > TELL_LOCKED) {
            let (count, seconds) = (self.locked.len(), waited.as_secs());
            tracing::warn!("{count} leads wait to be written: their job is locked, or gone, for {seconds} s by now");
            self.told_locked = Some(Instant::now());
        }
        std::mem::take(&mut self.locked)
    }

    /// Commits a batch whole. One that fails on its content is split until the guilty item fails alone; one
    /// that fails on the store is tried again. Says whether money was given back.
    async fn commit(&mut self, items: Vec<Item>, arrivals: &mut UnboundedReceiver<Item>) -> bool {
        let mut freed = false;
        let mut parts = vec![items];
        while let Some(mut part) = parts.pop() {
            let started = Instant::now();
            match self.apply_patiently(&mut part, arrivals).await {
                Ok(ran) => {
                    freed |= ran.freed;
                    let committed = ran.decided.iter().flatten().count();
                    self.tell(committed, started.elapsed());
                    self.answer(part, ran.decided);
                }
                Err(error) if part.len() <= 1 => {
                    for item in part {
                        item.responder.answer(Err(error.clone()));
                    }
                }
                Err(_) => {
                    let second_half = part.split_off(part.len().div_ceil(2));
                    parts.push(second_half);
                    parts.push(part);
                }
            }
        }
        freed
    }

    /// A store that is gone, full or failing is waited for, with what has arrived meanwhile; what is given up
    /// leaves `items`. An error is of their content, unless none is left. The ids make it safe to run a batch again
    /// whose commit may have come through.
    async fn apply_patiently(
        &mut self,
        items: &mut Vec<Item>,
        arrivals: &mut UnboundedReceiver<Item>,
    ) -> Result<Ran<Vec<Option<Applied>>>, LedgerError> {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.apply(items).await {
                Err(error) if error.is_transient() => error,
                decided => return decided,
            };
            if !is_conflict(&error) {
                tracing::warn!("{error}; trying again");
                sleep(backoff.pause()).await;
            }
            while let Ok(item) = arrivals.try_recv() {
                items.push(item);
            }
            if arrivals.is_closed() {
                give_up_all(items, &error);
            }
            give_up(items, &error);
            if items.is_empty() {
                return Err(error);
            }
        }
    }

    /// Decides and commits a batch; `None` for those of which somebody else has the rows locked.
    async fn apply(&mut self, items: &[Item]) -> Result<Ran<Vec<Option<Applied>>>, LedgerError> {
        let boundaries: Vec<&Boundary> = items.iter().map(|item| item.boundary.as_ref()).collect();
        let waiting = &self.waiting;
        let apply = |batch: &mut Batch<Prefetched>, boundary: &Boundary| {
            if !batch.rows.is_at_hand(boundary.lead) {
                return Ok(None);
            }
            batch.apply(boundary, waiting.has(boundary.account)).map(Some)
        };
        let decide = |batch: &mut Batch<Prefetched>| boundaries.iter().map(|boundary| apply(batch, boundary)).collect();
        Box::pin(self.session.run(&boundaries, decide)).await
    }

    fn answer(&mut self, items: Vec<Item>, decided: Vec<Option<Applied>>) {
        for (item, applied) in items.into_iter().zip(decided) {
            match applied {
                Some(Applied::Answered(committed)) => item.responder.answer(Ok(committed)),
                Some(Applied::Waits(charged)) => self.waiting.add(*item.boundary, charged, item.responder),
                None => self.locked.push(item),
            }
        }
        if !self.locked.is_empty() && self.unlocked_at.is_none() {
            self.unlocked_at = Some(Instant::now() + RETRY_LOCKED);
        }
    }

    fn tell(&self, boundaries: usize, took: Duration) {
        if let Some(observer) = self.observer.get().filter(|_| boundaries > 0) {
            observer.committed(boundaries, took);
        }
    }

    /// Grants what waited and can be granted now, in a transaction of its own.
    async fn serve_waiting(&mut self) {
        self.retry_at = Some(Instant::now() + RETRY_WAITING);
        if !self.waiting.prune() {
            return;
        }
        match self.session.decide(&self.waiting).await {
            Ok(decided) => self.waiting.answer(decided),
            Err((Some(place), error)) => self.waiting.fail(place, error),
            Err((None, error)) if error.is_transient() => tracing::warn!("{error}; holds go on waiting"),
            Err((None, _)) => self.serve_one_by_one().await,
        }
    }

    /// The same where all together fail and nobody can be blamed: only the guilty one hears of its error.
    async fn serve_one_by_one(&mut self) {
        for mut alone in self.waiting.take_apart() {
            if !alone.is_behind(&self.waiting) {
                match self.session.decide(&alone).await {
                    Ok(decided) => alone.answer(decided),
                    Err((_, error)) => alone.fail(0, error),
                }
            }
            self.waiting.append(alone);
        }
    }
}

fn locked() -> LedgerError {
    LedgerError::Unavailable("its job has been locked for too long".to_owned())
}
