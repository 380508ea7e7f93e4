//! Who else works here: a rate that is kept by all workers together is shared among the living.

use crate::clock;
use crate::crew::teller::Episode;
use crate::domain::WorkerId;
use crate::ledger::LedgerError;
use crate::messages;
use crate::messages::Message;
use crate::messages::WorkerStopped;
use crate::messages::event_id;
use crate::queue::NotPublished;
use crate::queue::Outgoing;
use crate::queue::Publish;
use crate::queue::To;
use crate::worker::Engine;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio::time::sleep;

const SAY_EVERY: Duration = Duration::from_secs(5);
/// Who was not heard of for so long has gone, unless the store has heard of it.
const ALIVE_FOR: Duration = Duration::from_secs(15);
/// Who lives tells the store so every second: one that is silent here and there has gone.
const BEATS_WITHIN: Duration = Duration::from_secs(5);
/// Before the first slice: the others answer a hello within this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Says that this worker lives, and counts the others.
pub(super) struct Presence {
    engine: Arc<Engine>,
    publisher: Arc<dyn Publish>,
    peers: Mutex<Peers>,
    /// Somebody said hello.
    answer: Notify,
    unconfirmed: Episode,
    store_fails: Episode,
}

/// The other workers, and when each was last heard of.
struct Peers {
    me: WorkerId,
    heard: HashMap<WorkerId, Instant>,
    /// Among how many, this worker included, the limits are shared now.
    shared: u32,
}

impl Peers {
    fn new(me: WorkerId) -> Self {
        Self { me, heard: HashMap::new(), shared: 1 }
    }

    /// A worker is heard of. Its own voice comes back to each.
    fn hear(&mut self, worker: WorkerId, now: Instant) {
        if worker != self.me {
            self.heard.insert(worker, now);
        }
    }

    /// A worker has gone by its own will.
    fn leave(&mut self, worker: &WorkerId) {
        self.heard.remove(worker);
    }

    /// Has one of them not been heard of for too long?
    fn is_silent(&self, now: Instant) -> bool {
        self.heard.values().any(|at| !is_alive(*at, now))
    }

    /// Who was not heard of for too long counts no more.
    fn forget_silent(&mut self, now: Instant) {
        self.heard.retain(|_, at| is_alive(*at, now));
    }

    /// How many workers there are, this one always.
    fn live(&self) -> u32 {
        u32::try_from(self.heard.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// How many there are, if the limits are not shared among so many yet; from now on they are.
    fn changed(&mut self) -> Option<u32> {
        let live = self.live();
        (std::mem::replace(&mut self.shared, live) != live).then_some(live)
    }
}

fn is_alive(heard: Instant, now: Instant) -> bool {
    now.saturating_duration_since(heard) < ALIVE_FOR
}

impl Presence {
    /// Nobody is heard of yet; the limits of `engine` are shared among those who will be.
    pub(super) fn new(engine: Arc<Engine>, publisher: Arc<dyn Publish>) -> Self {
        let peers = Mutex::new(Peers::new(engine.claimant.worker.clone()));
        Self {
            engine,
            publisher,
            peers,
            answer: Notify::new(),
            unconfirmed: Episode::default(),
            store_fails: Episode::default(),
        }
    }

    /// Says hello and waits for the answers. Heard of nobody, it believes the store: before the first
    /// call the limits are shared.
    pub(super) async fn settle_in(&self) {
        self.say(true).await;
        tokio::select! {
            biased;
            () = self.engine.tasks.stopping() => return,
            () = sleep(ANSWERS_WITHIN) => {}
        }
        let is_alone = self.peers().live() == 1;
        if is_alone && let Err(error) = self.ask_store(ALIVE_FOR).await {
            tracing::warn!("who else works here is not known: {error}");
        }
        self.share();
    }

    /// Until a stop; then it says farewell.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                biased;
                () = self.engine.tasks.stopping() => break,
                () = self.answer.notified() => {}
                () = sleep(SAY_EVERY) => {}
            }
            self.count().await;
            self.say(false).await;
        }
        self.farewell().await;
    }

    /// Another worker lives, or this one's own word has come back.
    pub(super) fn heard(&self, presence: messages::Presence) {
        let worker = presence.worker_id;
        if presence.hello && worker != self.engine.claimant.worker {
            self.answer.notify_one();
        }
        self.peers().hear(worker, Instant::now());
        self.share();
    }

    /// Another worker has gone.
    pub(super) fn gone(&self, stopped: WorkerStopped) {
        self.peers().leave(&stopped.worker_id);
        self.share();
    }

    /// Counts anew. Silence alone makes nobody gone, because the broker may be: then every worker would
    /// take the whole rate. Who is silent is asked for in the store.
    async fn count(&self) {
        if !self.peers().is_silent(Instant::now()) {
            return;
        }
        match self.ask_store(BEATS_WITHIN).await {
            Ok(()) => {
                self.store_fails.ends();
                self.peers().forget_silent(Instant::now());
                self.share();
            }
            Err(error) => {
                if self.store_fails.begins() {
                    tracing::warn!("who still works here is not known: {error}");
                }
            }
        }
    }

    /// Hears of those that the store has heard of within `alive`.
    async fn ask_store(&self, alive: Duration) -> Result<(), LedgerError> {
        let workers = self.engine.store.workers(alive).await?;
        let now = Instant::now();
        let mut peers = self.peers();
        for row in workers {
            peers.hear(row.worker, now);
        }
        Ok(())
    }

    fn share(&self) {
        let mut peers = self.peers();
        if let Some(workers) = peers.changed() {
            // Under the lock: the last count must be the last to be shared among.
            self.engine.gates.share_among(workers);
            tracing::info!(workers, "the limits are shared among the workers alive");
        }
    }

    /// The others share what this worker leaves at once: a drain begins no call.
    async fn farewell(&self) {
        let worker = &self.engine.claimant.worker;
        let stopped = WorkerStopped { worker_id: worker.clone() };
        let told = self.publish(&stopped, worker.as_str());
        // Not told, they notice the silence.
        let (_, left) = tokio::join!(told, self.engine.store.farewell(worker));
        if let Err(error) = left {
            tracing::warn!("the store was not told of the farewell: {error}");
        }
    }

    async fn say(&self, hello: bool) {
        let at = clock::timestamp(clock::wall_ms());
        let presence = messages::Presence {
            worker_id: self.engine.claimant.worker.clone(),
            at: at.clone(),
            config_version: self.engine.works.live().version.clone(),
            hello,
        };
        match self.publish(&presence, &at).await {
            // Nobody listens, not even this worker: its own queue is being bound.
            Ok(()) | Err(NotPublished::Unroutable) => {
                if self.unconfirmed.ends() {
                    tracing::info!("this worker's presence is told again");
                }
            }
            Err(NotPublished::Unconfirmed(why)) => {
                if self.unconfirmed.begins() {
                    tracing::warn!("this worker's presence cannot be told: {why}");
                }
            }
        }
    }

    /// `mark` tells a message from the others of its kind that this worker sends.
    async fn publish<M: Message + Serialize>(&self, message: &M, mark: &str) -> Result<(), NotPublished> {
        let outgoing = Outgoing {
            to: To::Control,
            kind: M::KIND.to_owned(),
            message_id: event_id(&[M::KIND, self.engine.claimant.worker.as_str(), mark]),
            correlation_id: None,
            reply_to: None,
            headers: Vec::new(),
            body: message.to_body(),
        };
        self.publisher.publish(outgoing).await
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn worker(name: &str) -> WorkerId {
        WorkerId::new(name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_alone_counts_itself_and_its_own_voice_adds_nobody() {
        let mut peers = Peers::new(worker("me"));
        assert_eq!((peers.live(), peers.changed()), (1, None));
        peers.hear(worker("me"), Instant::now());
        assert_eq!((peers.live(), peers.changed()), (1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn workers_come_go_and_fall_silent() {
        let mut peers = Peers::new(worker("me"));
        // Seconds to wait, who is heard of, who leaves; how many live then, and whether one is silent.
        for (wait, heard, left, live, silent) in [
            (0, "a b", "", 3, false),
            (5, "a", "", 3, false),
            (9, "a", "", 3, false),
            (1, "", "", 2, true),
            (1, "b c", "", 4, false),
            (1, "", "c unknown", 3, false),
            (12, "b", "", 2, true),
            (15, "", "", 1, true),
            (60, "", "", 1, false),
        ] {
            advance(Duration::from_secs(wait)).await;
            heard.split_whitespace().for_each(|name| peers.hear(worker(name), Instant::now()));
            left.split_whitespace().for_each(|name| peers.leave(&worker(name)));
            assert_eq!(peers.is_silent(Instant::now()), silent, "{heard:?} {left:?}");
            peers.forget_silent(Instant::now());
            assert_eq!(peers.live(), live, "{heard:?} {left:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn limits_are_shared_anew_only_among_another_number() {
        let mut peers = Peers::new(worker("me"));
        peers.hear(worker("a"), Instant::now());
        assert_eq!([peers.changed(), peers.changed()], [Some(2), None]);
        peers.hear(worker("b"), Instant::now());
        peers.leave(&worker("a"));
        assert_eq!(peers.changed(), None);
        peers.leave(&worker("b"));
        assert_eq!(peers.changed(), Some(1));
    }
}
