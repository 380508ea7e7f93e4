//! The group commit: one thread owns the ledger's connection, takes whatever has arrived, and commits it in one
//! transaction. Answers go out only after the commit; while one batch runs, the next collects.

use crate::ledger::Boundary;
use crate::ledger::LedgerError;
use crate::ledger::Pending;
use crate::ledger::Responder;
use crate::ledger::pending;
use crate::store::batch::Applied;
use crate::store::batch::Batch;
use crate::store::postgres::commit::Prepared;
use crate::store::postgres::commit::Ran;
use crate::store::postgres::connect::Door;
use crate::store::postgres::error::is_conflict;
use crate::store::postgres::prefetched::Prefetched;
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
/// How long a batch is tried again while the store cannot be used; then it fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Is told of every commit of the ledger, on the ledger's own thread: it must not wait.
pub trait CommitObserver: Send + Sync {
    /// One transaction committed so many boundaries, and took so long, repetitions included.
    fn committed(&self, boundaries: usize, took: Duration);
}

type Item = (Box<Boundary>, Responder);

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
        drop(self.items.send((Box::new(boundary), responder)));
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
}

struct Writer {
    session: Session,
    waiting: Waiting,
    /// When holds that wait are looked at again; `None` while none waits.
    retry_at: Option<Instant>,
    observer: Arc<OnceLock<Arc<dyn CommitObserver>>>,
}

impl Writer {
    async fn serve(mut self, mut arrivals: UnboundedReceiver<Item>) {
        loop {
            let mut items = Vec::new();
            let arrival = arrivals.recv_many(&mut items, MAX_BATCH);
            let received = match self.retry_at {
                None => Some(arrival.await),
                Some(retry_at) => timeout_at(retry_at, arrival).await.ok(),
            };
            if received == Some(0) {
                return;
            }
            let freed = !items.is_empty() && self.commit(items).await;
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

    /// Commits a batch whole. One that fails on its content is split until the guilty item fails alone; one
    /// that fails on the store for too long fails for all. Says whether money was given back.
    async fn commit(&mut self, items: Vec<Item>) -> bool {
        let mut freed = false;
        let mut parts = vec![items];
        while let Some(mut part) = parts.pop() {
            let started = Instant::now();
            match self.apply_patiently(&part).await {
                Ok(ran) => {
                    freed |= ran.freed;
                    self.tell(part.len(), started.elapsed());
                    self.answer(part, ran.decided);
                }
                Err(error) if part.len() == 1 || error.is_transient() => {
                    for (_, responder) in part {
                        responder.answer(Err(error.clone()));
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

    /// A store that is gone, full or failing for a while is waited for: what was learned from a paid call is
    /// held here alone until it is committed. The ids make it safe to run a batch again whose commit may have
    /// come through.
    async fn apply_patiently(&mut self, items: &[Item]) -> Result<Ran<Vec<Applied>>, LedgerError> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.apply(items).await {
                Err(error) if error.is_transient() && Instant::now() < deadline => {
                    if is_conflict(&error) {
                        continue;
                    }
                    tracing::warn!("{error}; trying again");
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
                decided => return decided,
            }
        }
    }

    async fn apply(&mut self, items: &[Item]) -> Result<Ran<Vec<Applied>>, LedgerError> {
        let boundaries: Vec<&Boundary> = items.iter().map(|(boundary, _)| boundary.as_ref()).collect();
        let waiting = &self.waiting;
        let decide = |batch: &mut Batch<Prefetched>| -> Result<Vec<Applied>, LedgerError> {
            boundaries.iter().map(|boundary| batch.apply(boundary, waiting.has(boundary.account))).collect()
        };
        Box::pin(self.session.run(&boundaries, decide)).await
    }

    fn answer(&mut self, items: Vec<Item>, decided: Vec<Applied>) {
        for ((boundary, responder), applied) in items.into_iter().zip(decided) {
            match applied {
                Applied::Answered(committed) => responder.answer(Ok(committed)),
                Applied::Waits(charged) => self.waiting.add(*boundary, charged, responder),
            }
        }
    }

    fn tell(&self, boundaries: usize, took: Duration) {
        if let Some(observer) = self.observer.get() {
            observer.committed(boundaries, took);
        }
    }

    /// Grants what waited and can be granted now, in a transaction of its own.
    async fn serve_waiting(&mut self) {
        self.retry_at = Some(Instant::now() + RETRY_WAITING);
        if !self.waiting.prune() {
            return;
        }
        let boundaries: Vec<&Boundary> = self.waiting.boundaries().collect();
        let waiting = &self.waiting;
        let mut guilty = 0;
        let decide = |batch: &mut Batch<Prefetched>| {
            waiting.decide(batch).map_err(|(place, error)| {
                guilty = place;
                error
            })
        };
        let ran = Box::pin(self.session.run(&boundaries, decide)).await;
        match ran {
            Ok(ran) => self.waiting.answer(ran.decided),
            Err(error) => self.waiting.fail(guilty, error),
        }
    }
}
