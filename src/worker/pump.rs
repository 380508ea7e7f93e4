//! Slices in, leads started, slices settled: fair between jobs, never more open than allowed.

use crate::domain::Run;
use crate::jobs::JobState;
use crate::jobs::LeadWork;
use crate::ledger::AccountId;
use crate::ledger::Epoch;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::queue::Disposition;
use crate::queue::Queue;
use crate::queue::SliceMessage;
use crate::worker::active::Active;
use crate::worker::engine::Engine;
use crate::worker::lead::LeadAtWork;
use crate::worker::lead::LeadEnd;
use crate::worker::routes::JobWork;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use tokio::task::JoinError;
use tokio::task::JoinSet;

/// Why the work stopped before its end. Everything recorded stays recorded.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The store refused, or is gone.
    #[error(transparent)]
    Store(#[from] LedgerError),
    /// A lead's task broke: a mistake in this program.
    #[error("the work on a lead broke: {0}")]
    Broken(#[from] JoinError),
}

/// A slice whose leads are at work.
struct SliceInHand {
    message: SliceMessage,
    work: Arc<JobWork>,
    epoch: Epoch,
    run: Run,
    state: JobState,
    left: AtomicUsize,
    left_off: AtomicBool,
}

/// A slice with leads still to start.
struct OpenSlice {
    slice: Arc<SliceInHand>,
    waiting: std::vec::IntoIter<LeadWork>,
}

/// Works what the queue announces until there is no more, or a stop is asked for.
///
/// # Errors
/// When the store cannot be used any more: nothing is called after that.
pub async fn work(engine: Arc<Engine>, queue: Arc<dyn Queue>) -> Result<(), WorkError> {
    let mut pump =
        Pump { engine, queue, turns: VecDeque::new(), held: 0, started: HashMap::new(), running: JoinSet::new() };
    let result = pump.run().await;
    if result.is_err() {
        pump.engine.tasks.stop();
    }
    let drained = pump.drain().await;
    result.and(drained)
}

type Ended = (Arc<SliceInHand>, Result<LeadEnd, LedgerError>);

struct Pump {
    engine: Arc<Engine>,
    queue: Arc<dyn Queue>,
    /// Open slices by job; the first job's turn is next.
    turns: VecDeque<(JobKey, VecDeque<OpenSlice>)>,
    /// Slices received and not settled.
    held: usize,
    /// Leads at work, parked ones included, by the wallet that pays.
    started: HashMap<AccountId, usize>,
    running: JoinSet<Ended>,
}

impl Pump {
    async fn run(&mut self) -> Result<(), WorkError> {
        let mut more_to_come = true;
        let engine = Arc::clone(&self.engine);
        let queue = Arc::clone(&self.queue);
        let limit = engine.settings.leads_in_flight;
        while !engine.tasks.is_stopping() {
            if !more_to_come && self.held == 0 {
                return Ok(());
            }
            let startable = self.bring_startable_forward();
            tokio::select! {
                biased;
                () = engine.tasks.stopping() => {}
                Some(ended) = self.running.join_next() => self.settle(ended?)?,
                () = engine.active.below(limit), if startable => self.start_next(),
                () = engine.money.changed(), if !startable && !self.turns.is_empty() => {}
                message = queue.receive(), if more_to_come && self.held < engine.settings.prefetch => match message {
                    Some(message) => self.open(message).await?,
                    None => more_to_come = false,
                },
            }
        }
        Ok(())
    }

    /// Waits for the leads at work: calls in flight are settled, everything else is left off.
    async fn drain(&mut self) -> Result<(), WorkError> {
        let mut result = Ok(());
        while let Some(ended) = self.running.join_next().await {
            let settled = ended.map_err(WorkError::from).and_then(|ended| self.settle(ended));
            result = result.and(settled);
        }
        result
    }

    async fn open(&mut self, message: SliceMessage) -> Result<(), WorkError> {
        let SliceMessage { job, slice } = message;
        let claim = match self.engine.job(job) {
            Some(work) => self.engine.store.claim_slice(job, slice).await?.map(|claim| (work, claim)),
            None => None,
        };
        let claim = claim.filter(|(_, claim)| !claim.leads.is_empty());
        let Some((work, claim)) = claim else {
            self.hand_on(message);
            self.queue.settle(message, Disposition::Done);
            return Ok(());
        };
        self.held = self.held.saturating_add(1);
        let slice = Arc::new(SliceInHand {
            message,
            work,
            epoch: claim.epoch,
            run: claim.run,
            state: claim.state,
            left: AtomicUsize::new(claim.leads.len()),
            left_off: AtomicBool::new(false),
        });
        let open = OpenSlice { slice, waiting: claim.leads.into_iter() };
        match self.turns.iter_mut().find(|(key, _)| *key == job) {
            Some((_, slices)) => slices.push_back(open),
            None => self.turns.push_back((job, VecDeque::from([open]))),
        }
        Ok(())
    }

    /// Whose turn is it among the jobs whose wallet nobody waits for?
    fn bring_startable_forward(&mut self) -> bool {
        for _ in 0..self.turns.len() {
            let waits = |slices: &VecDeque<OpenSlice>| {
                slices.front().is_some_and(|open| {
                    let account = open.slice.work.job.account;
                    self.engine.money.holds_back(account, self.started.get(&account).copied().unwrap_or_default())
                })
            };
            match self.turns.front() {
                Some((_, slices)) if waits(slices) => self.turns.rotate_left(1),
                Some(_) => return true,
                None => return false,
            }
        }
        false
    }

    /// Starts the next lead of the job whose turn it is; the job then stands last.
    fn start_next(&mut self) {
        let Some((job, mut slices)) = self.turns.pop_front() else { return };
        if let Some(mut open) = slices.pop_front() {
            if let Some(lead) = open.waiting.next() {
                let started = self.started.entry(open.slice.work.job.account).or_default();
                *started = started.saturating_add(1);
                // Counted from here on: the task itself may run later.
                let active = self.engine.active.begin();
                let task = work_lead(Arc::clone(&self.engine), Arc::clone(&open.slice), lead, active);
                self.running.spawn(task);
            }
            if open.waiting.len() > 0 {
                slices.push_front(open);
            } else {
                self.hand_on(open.slice.message);
            }
        }
        if !slices.is_empty() {
            self.turns.push_back((job, slices));
        }
    }

    /// The turn goes to the slice one stride on, behind everything that waits.
    fn hand_on(&self, message: SliceMessage) {
        let Some(work) = self.engine.job(message.job) else { return };
        let next = message.slice.0.saturating_add(self.engine.settings.slices_per_job);
        if u64::from(next) < work.job.slices() {
            self.queue.publish(SliceMessage { job: message.job, slice: SliceNo(next) });
        }
    }

    fn settle(&mut self, (slice, end): Ended) -> Result<(), WorkError> {
        if let Some(started) = self.started.get_mut(&slice.work.job.account) {
            *started = started.saturating_sub(1);
        }
        let end = end?;
        if end == LeadEnd::LeftOff {
            slice.left_off.store(true, Ordering::Relaxed);
        }
        if slice.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.held = self.held.saturating_sub(1);
            let left_off = slice.left_off.load(Ordering::Relaxed);
            let disposition = if left_off { Disposition::LeftOff } else { Disposition::Done };
            self.queue.settle(slice.message, disposition);
        }
        Ok(())
    }
}

async fn work_lead(engine: Arc<Engine>, slice: Arc<SliceInHand>, lead: LeadWork, active: Active) -> Ended {
    let SliceMessage { job, slice: number } = slice.message;
    let key = LeadKey { job, lead: lead.n, slice: number, epoch: slice.epoch };
    let at_work = LeadAtWork::new(&engine, &slice.work, key, slice.run, lead, active);
    let end = match slice.state {
        JobState::Cancelled => at_work.cancel().await,
        JobState::Loading | JobState::Queued | JobState::Running | JobState::Completed => at_work.run().await,
    };
    (slice, end)
}
