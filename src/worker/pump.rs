//! Slices in, leads started, slices settled: fair between jobs, never more open than allowed.

use crate::jobs::Claim;
use crate::jobs::Tenure;
use crate::ledger::AccountId;
use crate::ledger::JobKey;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::queue::Queue;
use crate::queue::Received;
use crate::queue::SliceMessage;
use crate::worker::engine::Engine;
use crate::worker::lead::LeadEnd;
use crate::worker::parts::Claiming;
use crate::worker::parts::Part;
use crate::worker::parts::claim_slice;
use crate::worker::parts::tell_again;
use crate::worker::parts::work_lead;
use crate::worker::slice::LATER;
use crate::worker::slice::OpenSlice;
use crate::worker::slice::SliceEnd;
use crate::worker::slice::SliceInHand;
use crate::worker::slice::Start;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
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

/// Works what the queue announces until there is no more, or a stop is asked for. Where slices are
/// leased, a store that fails costs the slice in hand, not the worker.
///
/// # Errors
/// When the store of a locked job cannot be used any more: nothing is called after that.
pub async fn work(engine: Arc<Engine>, queue: Arc<dyn Queue>) -> Result<(), WorkError> {
    let mut pump = Pump {
        engine,
        queue,
        turns: VecDeque::new(),
        in_hand: HashMap::new(),
        claiming: 0,
        started: HashMap::new(),
        running: JoinSet::new(),
    };
    let result = pump.run().await;
    if result.is_err() {
        pump.engine.tasks.stop();
    }
    pump.leave_unstarted();
    let drained = pump.drain().await;
    result.and(drained)
}

struct Pump {
    engine: Arc<Engine>,
    queue: Arc<dyn Queue>,
    /// Open slices by job; the first job's turn is next.
    turns: VecDeque<(JobKey, VecDeque<OpenSlice>)>,
    /// Slices received and not settled.
    in_hand: HashMap<(JobKey, SliceNo), Arc<SliceInHand>>,
    /// Slices being claimed.
    claiming: usize,
    /// Leads at work, parked ones included, by the wallet that pays.
    started: HashMap<AccountId, usize>,
    running: JoinSet<Part>,
}

impl Pump {
    async fn run(&mut self) -> Result<(), WorkError> {
        let mut more_to_come = true;
        let engine = Arc::clone(&self.engine);
        let queue = Arc::clone(&self.queue);
        while !engine.tasks.is_stopping() {
            let held = self.in_hand.len().saturating_add(self.claiming);
            if !more_to_come && held == 0 {
                return Ok(());
            }
            let startable = self.bring_startable_forward();
            tokio::select! {
                biased;
                () = engine.tasks.stopping() => {}
                Some(ended) = self.running.join_next() => self.take_part(ended?)?,
                () = engine.active.below(engine.leads_in_flight()), if startable => self.start_next(),
                () = engine.money.changed(), if !startable && !self.turns.is_empty() => {}
                received = queue.receive(), if more_to_come && held < engine.settings.prefetch => match received {
                    Some(received) => self.claim(received),
                    None => more_to_come = false,
                },
            }
        }
        Ok(())
    }

    /// What was not started is left to the next owner.
    fn leave_unstarted(&mut self) {
        for open in self.turns.drain(..).flat_map(|(_, slices)| slices) {
            open.slice.ends(SliceEnd::LeftOff);
            for _ in open.waiting {
                finish_part(&mut self.running, &self.engine, &open.slice);
            }
            // The turn that was never handed on.
            if hands_on(&self.engine) {
                finish_part(&mut self.running, &self.engine, &open.slice);
            }
        }
    }

    /// Waits for the leads at work: calls in flight are settled, everything else is left off.
    async fn drain(&mut self) -> Result<(), WorkError> {
        let mut result = Ok(());
        while let Some(ended) = self.running.join_next().await {
            let taken = match ended {
                // Nothing is begun any more.
                Ok(Part::Claimed(received, claimed)) => {
                    self.give_back(received, claimed);
                    Ok(())
                }
                Ok(part) => self.take_part(part),
                Err(broken) => Err(broken.into()),
            };
            result = result.and(taken);
        }
        result
    }

    fn claim(&mut self, received: Received) {
        let SliceMessage { job, slice } = received.message;
        if let Some(known) = self.in_hand.get(&(job, slice)) {
            known.join(received.receipt);
            return;
        }
        self.claiming = self.claiming.saturating_add(1);
        let engine = Arc::clone(&self.engine);
        let queue = Arc::clone(&self.queue);
        self.running.spawn(async move {
            let claimed = claim_slice(&engine, &*queue, received).await;
            Part::Claimed(received, claimed)
        });
    }

    fn take_part(&mut self, part: Part) -> Result<(), WorkError> {
        match part {
            Part::Claimed(received, claimed) => self.open(received, claimed)?,
            Part::HandedOn(slice) => finish_part(&mut self.running, &self.engine, &slice),
            Part::Worked(slice, end) => self.settle_lead(&slice, end)?,
            Part::Concluded(slice, disposition) => {
                self.in_hand.remove(&(slice.held.job, slice.number()));
                for receipt in slice.receipts() {
                    self.queue.settle(receipt, disposition);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, received: Received, claimed: Claiming) -> Result<(), WorkError> {
        self.claiming = self.claiming.saturating_sub(1);
        let SliceMessage { job, slice } = received.message;
        let (work, claim) = match claimed {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.queue.settle(received.receipt, LATER);
                return self.bear(error, None);
            }
        };
        if let Some(known) = self.in_hand.get(&(job, slice)) {
            // Two deliveries were claimed at once: the later claim holds, and fences the earlier.
            known.ends(SliceEnd::Fenced);
        }
        let extra = usize::from(hands_on(&self.engine));
        let announces = self.engine.announce.is_some();
        let open = OpenSlice::new(received, work, claim, announces, extra);
        self.engine.hold(open.slice.held);
        self.in_hand.insert((job, slice), Arc::clone(&open.slice));
        if open.waiting.len() == 0 {
            self.hand_on(&open.slice);
            if extra == 0 {
                conclude(&mut self.running, &self.engine, &open.slice);
            }
            return Ok(());
        }
        match self.turns.iter_mut().find(|(key, _)| *key == job) {
            Some((_, slices)) => slices.push_back(open),
            None => self.turns.push_back((job, VecDeque::from([open]))),
        }
        Ok(())
    }

    /// A claim that came after the stop.
    fn give_back(&mut self, received: Received, claimed: Claiming) {
        match claimed {
            Ok(Some((work, claim))) => {
                let open = OpenSlice::new(received, work, Claim { leads: Vec::new(), ..claim }, false, 1);
                open.slice.ends(SliceEnd::LeftOff);
                finish_part(&mut self.running, &self.engine, &open.slice);
            }
            Ok(None) => {}
            Err(_) => self.queue.settle(received.receipt, LATER),
        }
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
            if let Some(start) = open.waiting.next() {
                let started = self.started.entry(open.slice.work.job.account).or_default();
                *started = started.saturating_add(1);
                // Counted from here on: the task itself may run later.
                let active = self.engine.active.begin();
                let (engine, slice) = (Arc::clone(&self.engine), Arc::clone(&open.slice));
                match start {
                    Start::Lead(lead) => self.running.spawn(async move {
                        let end = work_lead(&engine, &slice, *lead, active).await;
                        Part::Worked(slice, end)
                    }),
                    Start::Tell(lead) => self.running.spawn(async move {
                        let end = active.wait(tell_again(&engine, &slice, lead)).await;
                        Part::Worked(slice, end)
                    }),
                };
            }
            if open.waiting.len() > 0 {
                slices.push_front(open);
            } else {
                self.hand_on(&open.slice);
            }
        }
        if !slices.is_empty() {
            self.turns.push_back((job, slices));
        }
    }

    /// The turn goes to the job's next slice, behind everything that waits.
    fn hand_on(&mut self, slice: &Arc<SliceInHand>) {
        if !hands_on(&self.engine) {
            return;
        }
        let (engine, queue, slice) = (Arc::clone(&self.engine), Arc::clone(&self.queue), Arc::clone(slice));
        self.running.spawn(async move {
            let job = slice.held.job;
            match engine.store.announce_slices(job, 1).await {
                Ok(next) => next.into_iter().for_each(|slice| queue.publish(SliceMessage { job, slice })),
                Err(error) => tracing::warn!(job.id = %slice.work.job.id, "the turn cannot be handed on: {error}"),
            }
            Part::HandedOn(slice)
        });
    }

    fn settle_lead(&mut self, slice: &Arc<SliceInHand>, end: Result<LeadEnd, LedgerError>) -> Result<(), WorkError> {
        if let Some(started) = self.started.get_mut(&slice.work.job.account) {
            *started = started.saturating_sub(1);
            if *started == 0 {
                self.started.remove(&slice.work.job.account);
            }
        }
        match end {
            Ok(LeadEnd::Decided(_)) => {}
            Ok(LeadEnd::LeftOff) => slice.ends(SliceEnd::LeftOff),
            Ok(LeadEnd::Fenced) => slice.ends(SliceEnd::Fenced),
            Err(error) => self.bear(error, Some(slice))?,
        }
        finish_part(&mut self.running, &self.engine, slice);
        Ok(())
    }

    /// A store that fails ends the work on a locked job; a worker gives up the slice and goes on.
    fn bear(&self, error: LedgerError, slice: Option<&SliceInHand>) -> Result<(), WorkError> {
        if self.engine.claimant.tenure == Tenure::Lock {
            return Err(error.into());
        }
        let job = slice.map_or("", |slice| slice.work.job.id.as_str());
        if error.is_transient() {
            tracing::warn!(job.id = job, "{error}; its slice is given up for now");
        } else {
            tracing::error!(job.id = job, "{error}; its slice is given up for now");
        }
        if let Some(slice) = slice {
            slice.ends(SliceEnd::Troubled);
        }
        Ok(())
    }
}

/// A job that is locked is announced whole at its start; one of many workers' goes slice by slice.
fn hands_on(engine: &Engine) -> bool {
    engine.claimant.tenure != Tenure::Lock
}

fn finish_part(running: &mut JoinSet<Part>, engine: &Arc<Engine>, slice: &Arc<SliceInHand>) {
    if slice.is_last() {
        conclude(running, engine, slice);
    }
}

fn conclude(running: &mut JoinSet<Part>, engine: &Arc<Engine>, slice: &Arc<SliceInHand>) {
    let (engine, slice) = (Arc::clone(engine), Arc::clone(slice));
    running.spawn(async move {
        let disposition = slice.conclude(&engine).await;
        Part::Concluded(slice, disposition)
    });
}
