//! Slices in, leads started, slices settled: fair between jobs, never more open than allowed.

use crate::jobs::Claim;
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
use crate::worker::parts::Taken;
use crate::worker::parts::claim_slice;
use crate::worker::parts::hand_on;
use crate::worker::parts::tell_again;
use crate::worker::parts::work_lead;
use crate::worker::running::Doing;
use crate::worker::running::Ended;
use crate::worker::running::Running;
use crate::worker::slice::LATER;
use crate::worker::slice::OpenSlice;
use crate::worker::slice::Settlement;
use crate::worker::slice::SliceEnd;
use crate::worker::slice::SliceInHand;
use crate::worker::slice::Start;
use crate::worker::slice::why_broken;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::JoinError;

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
/// leased, a store that fails costs the slice in hand, not the worker; and one whose work breaks is set
/// aside, since it would break again, and cost calls each time.
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
        running: Running::default(),
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
    running: Running,
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
                Some(ended) = self.running.next() => self.take(ended)?,
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
                self.running.finish_part(&self.engine, &open.slice);
            }
            // The turn that was never handed on.
            if !self.engine.is_locked() {
                self.running.finish_part(&self.engine, &open.slice);
            }
        }
    }

    /// Waits for the leads at work: calls in flight are settled, everything else is left off.
    async fn drain(&mut self) -> Result<(), WorkError> {
        let mut result = Ok(());
        while let Some(ended) = self.running.next().await {
            let taken = match ended {
                // Nothing is begun any more.
                Ended::Well(Part::Claimed(received, claimed)) => {
                    self.give_back(received, claimed);
                    Ok(())
                }
                ended @ (Ended::Well(_) | Ended::Broken(..)) => self.take(ended),
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
        self.running.spawn(Doing::Claiming(received), async move {
            let claimed = claim_slice(&engine, &*queue, received).await;
            Part::Claimed(received, claimed)
        });
    }

    fn take(&mut self, ended: Ended) -> Result<(), WorkError> {
        match ended {
            Ended::Well(Part::Claimed(received, claimed)) => self.open(received, claimed)?,
            Ended::Well(Part::HandedOn(slice)) => self.running.finish_part(&self.engine, &slice),
            Ended::Well(Part::Worked(slice, end)) => self.settle_lead(&slice, end)?,
            Ended::Well(Part::Concluded(slice, settlement)) => self.put_away(&slice, settlement),
            Ended::Broken(doing, error) => self.mend(doing, error)?,
        }
        Ok(())
    }

    /// A task has broken, by a mistake in this program: where slices are leased, the others go on. What it
    /// said may hold anything, and is not repeated.
    fn mend(&mut self, doing: Option<Doing>, error: JoinError) -> Result<(), WorkError> {
        if self.engine.is_locked() {
            return Err(error.into());
        }
        match doing {
            Some(Doing::Claiming(received)) => {
                self.claiming = self.claiming.saturating_sub(1);
                tracing::error!(job = received.message.job.0, "the claim of a slice broke; it comes again");
                self.queue.settle(received.receipt, LATER);
            }
            Some(Doing::Working(slice)) => {
                tracing::error!(job.id = %slice.work.job.id, slice = slice.number().0, "the work on a lead broke");
                slice.breaks("the work on a lead broke, by a mistake in weir");
                self.finish_lead(&slice);
            }
            Some(Doing::HandingOn(slice)) => {
                tracing::error!(job.id = %slice.work.job.id, "the handing on of a turn broke; the sweep does it");
                self.running.finish_part(&self.engine, &slice);
            }
            Some(Doing::Concluding(slice)) => {
                tracing::error!(job.id = %slice.work.job.id, "the conclusion of a slice broke; it comes again");
                self.engine.let_go(slice.held);
                self.put_away(&slice, Settlement::all(LATER));
            }
            None => tracing::error!("a task broke"),
        }
        Ok(())
    }

    /// A slice is out of hand; with a job's last one the job is forgotten, and its keys with it.
    fn put_away(&mut self, slice: &SliceInHand, settlement: Settlement) {
        let place = (slice.held.job, slice.number());
        // A later claim of the same slice may stand in its place.
        if self.in_hand.get(&place).is_some_and(|in_hand| in_hand.held == slice.held) {
            self.in_hand.remove(&place);
        }
        slice.settle(&*self.queue, settlement);
        self.forget_if_done(slice.held.job);
    }

    fn forget_if_done(&self, job: JobKey) {
        if self.in_hand.keys().all(|(in_hand, _)| *in_hand != job) {
            self.engine.works.forget(job);
        }
    }

    fn open(&mut self, received: Received, claimed: Claiming) -> Result<(), WorkError> {
        self.claiming = self.claiming.saturating_sub(1);
        let SliceMessage { job, slice } = received.message;
        let taken = match claimed {
            Ok(Some(taken)) => taken,
            Ok(None) => {
                self.forget_if_done(job);
                return Ok(());
            }
            Err(error) => {
                self.queue.settle(received.receipt, LATER);
                return self.bear(error, None);
            }
        };
        if let Some(known) = self.in_hand.get(&(job, slice)) {
            // Two deliveries were claimed at once: the later claim holds, and fences the earlier.
            known.ends(SliceEnd::Fenced);
        }
        let extra = usize::from(!self.engine.is_locked());
        let open = self.take_in_hand(received, taken, extra);
        self.in_hand.insert((job, slice), Arc::clone(&open.slice));
        if open.waiting.len() == 0 {
            self.hand_on(&open.slice);
            if extra == 0 {
                self.running.conclude(&self.engine, &open.slice);
            }
            return Ok(());
        }
        match self.turns.iter_mut().find(|(key, _)| *key == job) {
            Some((_, slices)) => slices.push_back(open),
            None => self.turns.push_back((job, VecDeque::from([open]))),
        }
        Ok(())
    }

    fn take_in_hand(&self, received: Received, taken: Taken, extra: usize) -> OpenSlice {
        let lease = Arc::clone(&taken.lease);
        let open = OpenSlice::new(received, taken, self.engine.announce.is_some(), extra);
        self.engine.hold(open.slice.held, lease);
        open
    }

    /// A claim that came after the stop.
    fn give_back(&mut self, received: Received, claimed: Claiming) {
        match claimed {
            Ok(Some(taken)) => {
                let claim = Claim { leads: Vec::new(), unannounced: Vec::new(), ..taken.claim };
                let open = self.take_in_hand(received, Taken { claim, ..taken }, 1);
                open.slice.ends(SliceEnd::LeftOff);
                self.running.finish_part(&self.engine, &open.slice);
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
            if open.slice.is_given_up() {
                for _ in open.waiting.by_ref() {
                    self.running.finish_part(&self.engine, &open.slice);
                }
            } else if let Some(start) = open.waiting.next() {
                self.start(&open.slice, start);
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

    fn start(&mut self, slice: &Arc<SliceInHand>, start: Start) {
        let started = self.started.entry(slice.work.job.account).or_default();
        *started = started.saturating_add(1);
        // Counted from here on: the task itself may run later.
        let active = self.engine.active.begin();
        let doing = Doing::Working(Arc::clone(slice));
        let (engine, slice) = (Arc::clone(&self.engine), Arc::clone(slice));
        match start {
            Start::Lead(lead) => self.running.spawn(doing, async move {
                let end = work_lead(&engine, &slice, *lead, active).await;
                Part::Worked(slice, end)
            }),
            Start::Tell(lead) => self.running.spawn(doing, async move {
                let end = active.wait(tell_again(&engine, &slice, lead)).await;
                Part::Worked(slice, end)
            }),
        }
    }

    /// The turn goes to the job's next slice. A job that is locked is announced whole at its start.
    fn hand_on(&mut self, slice: &Arc<SliceInHand>) {
        if self.engine.is_locked() {
            return;
        }
        let doing = Doing::HandingOn(Arc::clone(slice));
        let (engine, queue, slice) = (Arc::clone(&self.engine), Arc::clone(&self.queue), Arc::clone(slice));
        self.running.spawn(doing, async move {
            hand_on(&engine, &*queue, &slice).await;
            Part::HandedOn(slice)
        });
    }

    fn settle_lead(&mut self, slice: &Arc<SliceInHand>, end: Result<LeadEnd, LedgerError>) -> Result<(), WorkError> {
        match end {
            Ok(LeadEnd::Decided(_) | LeadEnd::NothingToTell) => {}
            Ok(LeadEnd::LeftOff) => slice.ends(SliceEnd::LeftOff),
            Ok(LeadEnd::Fenced) => slice.ends(SliceEnd::Fenced),
            Err(error) => self.bear(error, Some(slice))?,
        }
        self.finish_lead(slice);
        Ok(())
    }

    /// A lead has ended, in whatever way.
    fn finish_lead(&mut self, slice: &Arc<SliceInHand>) {
        let account = slice.work.job.account;
        if let Some(started) = self.started.get_mut(&account) {
            *started = started.saturating_sub(1);
            if *started == 0 {
                self.started.remove(&account);
            }
        }
        self.running.finish_part(&self.engine, slice);
    }

    /// A store that fails ends the work on a locked job; a worker gives up the slice and goes on.
    fn bear(&self, error: LedgerError, slice: Option<&SliceInHand>) -> Result<(), WorkError> {
        if self.engine.is_locked() {
            return Err(error.into());
        }
        let job = slice.map_or("", |slice| slice.work.job.id.as_str());
        if error.is_transient() {
            tracing::warn!(job.id = job, "{error}; its slice is given up for now");
        } else {
            tracing::error!(job.id = job, "{error}; its slice is given up");
        }
        match (slice, why_broken(&error)) {
            (Some(slice), Some(why)) => slice.breaks(why),
            (Some(slice), None) => slice.ends(SliceEnd::Troubled),
            (None, _) => {}
        }
        Ok(())
    }
}
