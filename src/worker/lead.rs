//! One lead, from top to bottom.

use crate::clock;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::Ending;
use crate::domain::KeySource;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::Query;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Throttle;
use crate::domain::Usd;
use crate::jobs::Held;
use crate::jobs::LeadWork;
use crate::ledger::Answer;
use crate::ledger::Ended;
use crate::ledger::LeadKey;
use crate::ledger::LedgerError;
use crate::ledger::Then;
use crate::metrics;
use crate::providers::Answer as ProviderAnswer;
use crate::waterfall::Course;
use crate::waterfall::Moment;
use crate::waterfall::Next;
use crate::waterfall::Trail;
use crate::worker::active::Active;
use crate::worker::announce::Announced;
use crate::worker::announce::Telling;
use crate::worker::answers::Upshot;
use crate::worker::answers::refusal_outcome;
use crate::worker::call::Call;
use crate::worker::call::Called;
use crate::worker::call::Entry;
use crate::worker::call::GIVEN_UP;
use crate::worker::call::LONGEST_HELD_PAUSE;
use crate::worker::call::NoEntry;
use crate::worker::engine::Engine;
use crate::worker::lease::Lease;
use crate::worker::routes::Route;
use crate::worker::slice::SliceInHand;
use crate::worker::works::JobWork;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// A lead waits so long for a breaker when nothing else can help it.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(120);

/// How the work on a lead ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadEnd {
    /// It is decided.
    Decided(Status),
    /// Its result was to be told again, and is none any more.
    NothingToTell,
    /// A stop was asked for, or the lease may have lapsed; what was learned is stored, the rest is the
    /// next owner's.
    LeftOff,
    /// Another worker owns its slice now.
    Fenced,
}

/// A step of the work: on with the lead, or out.
pub(super) enum Flow {
    On,
    Out(LeadEnd),
}

/// A lead at work.
pub(super) struct LeadAtWork<'a> {
    pub(super) engine: &'a Engine,
    pub(super) work: Arc<JobWork>,
    pub(super) key: LeadKey,
    pub(super) lead: LeadWork,
    pub(super) course: Course,
    pub(super) trail: Trail,
    /// Until when a page is waited for: it leaves the model its time.
    pages_until: Moment,
    /// Attempts that have ended and are not committed yet.
    pub(super) unsaved: Vec<Ended>,
    pub(super) active: Active,
    /// By what right.
    pub(super) lease: &'a Lease,
}

/// An attempt in the making: everything its record needs.
pub(super) struct Making {
    pub(super) route: Arc<Route>,
    pub(super) query: Query,
    pub(super) attempt: Attempt,
    pub(super) began: Moment,
    /// What its hold binds; `None` when an earlier owner began it.
    pub(super) held: Option<Usd>,
    /// Among those who wait for late answers of this key.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl<'a> LeadAtWork<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        slice: &'a SliceInHand,
        work: Arc<JobWork>,
        mut lead: LeadWork,
        active: Active,
    ) -> Self {
        let Moment(now) = clock::moment();
        let lead_deadline = engine.settings.lead_deadline;
        let trail = Trail {
            given: lead.lead.email.clone(),
            run: slice.run,
            deadline: Moment(now.saturating_add(lead_deadline)),
            attempts: std::mem::take(&mut lead.attempts),
        };
        let Held { job, slice: number, epoch } = slice.held;
        let key = LeadKey { job, lead: lead.n, slice: number, epoch };
        let course = work.course(&lead.lead, &lead.id);
        let pages_until = Moment(now.saturating_add(lead_deadline / 2));
        let lease = &slice.lease;
        Self { engine, work, key, lead, course, trail, pages_until, unsaved: Vec::new(), active, lease }
    }

    /// Works the lead until it is decided, or must be left.
    pub(super) async fn run(mut self) -> Result<LeadEnd, LedgerError> {
        if let Flow::Out(end) = self.take_up_begun_attempt().await? {
            return Ok(end);
        }
        loop {
            let flow = match self.course.next(&self.trail, clock::moment()) {
                Next::PassOver(step, about) => self.pass_over(step, about),
                Next::Try(step, key, query) => self.attempt(&step, key, query, Duration::ZERO).await?,
                Next::TryAfterOutage(step, key, query) => self.attempt(&step, key, query, OUTAGE_PATIENCE).await?,
                Next::Finish(ending) => return self.finish(ending).await,
            };
            if let Flow::Out(end) = flow {
                return Ok(end);
            }
        }
    }

    /// The job was cancelled: the lead ends with what is known, and nothing is called.
    pub(super) async fn cancel(mut self) -> Result<LeadEnd, LedgerError> {
        if let Some(begun) = self.trail.attempts.pop_if(|last| last.end().is_none()) {
            self.drop_begun(begun);
        }
        self.finish_cancelled().await
    }

    /// Tries a step: permit first, hold second, send at once. An outage is sat out with `patience`.
    async fn attempt(
        &mut self,
        step: &Step,
        key: KeySource,
        query: Query,
        patience: Duration,
    ) -> Result<Flow, LedgerError> {
        if self.take_keys_of_now().await? {
            // Other keys may mean other steps: decide again.
            return Ok(Flow::On);
        }
        let Some(route) = self.work.route(step, key).cloned() else {
            return Ok(self.pass_over(step.clone(), query.about()));
        };
        let mut making = self.make(route, query);
        let begin = self.begin(&making)?;
        // A page is asked for once at a time: whether somebody does is known before there is leave to call.
        let at_once = match step.operation {
            Operation::Scrape => None,
            Operation::FindEmail | Operation::VerifyEmail | Operation::WriteCopy => {
                self.enter_at_once(&mut making).await
            }
        };
        let entry = match at_once {
            Some(entry) => entry,
            None => {
                // An answer that is known needs no leave to call. What has ended is committed with the
                // question: a settlement does not wait for a permit.
                let recalled = self.commit(Then::Recall(Box::new(begin.clone()))).await?.answer;
                if !matches!(recalled, Answer::Done) {
                    return self.without_call(making, recalled).await;
                }
                match self.enter(&mut making, patience).await {
                    Ok(entry) => entry,
                    Err(NoEntry::Stopping) => return self.leave_off().await,
                    Err(NoEntry::Fenced) => return self.leave_to_owner().await,
                    Err(NoEntry::Cancelled) => return self.finish_cancelled().await.map(Flow::Out),
                    Err(NoEntry::Late) if step.operation == Operation::Scrape => {
                        return Ok(self.page_too_late(making, Outcome::RateLimited(Throttle::TriesSpent)));
                    }
                    // The next decision sees that the time is up, or the key gone.
                    Err(NoEntry::Late | NoEntry::Revoked) => return Ok(Flow::On),
                    Err(NoEntry::Refused(refusal)) => {
                        return Ok(self.note(making, Upshot::not_asked(refusal_outcome(refusal))));
                    }
                }
            }
        };
        making.held = Some(begin.price);
        let committed = self.commit(Then::Begin(Box::new(begin))).await?;
        match committed.answer {
            Answer::Granted => self.call(making, entry).await,
            Answer::Wait(pending) => {
                drop(entry);
                self.wait_for_money(making, pending).await
            }
            other @ (Answer::Cached(_)
            | Answer::Refused(_)
            | Answer::AskedElsewhere
            | Answer::Cancelled
            | Answer::Fenced
            | Answer::Done) => {
                drop(entry);
                self.without_call(making, other).await
            }
        }
    }

    /// Until when this may be waited for.
    pub(super) fn deadline_of(&self, operation: Operation) -> Moment {
        match operation {
            Operation::Scrape => self.pages_until,
            Operation::FindEmail | Operation::VerifyEmail | Operation::WriteCopy => self.trail.deadline,
        }
    }

    /// The page did not come in its time: the copy is written without it.
    fn page_too_late(&mut self, making: Making, why: Outcome) -> Flow {
        self.note(making, Upshot::not_asked(why))
    }

    /// What a begin that needs no call came to.
    pub(super) async fn without_call(&mut self, making: Making, answer: Answer) -> Result<Flow, LedgerError> {
        match answer {
            Answer::Cached(end) => Ok(self.recorded(making, end)),
            Answer::Refused(outcome) => Ok(self.recorded(making, AttemptEnd::not_asked(outcome))),
            Answer::AskedElsewhere if clock::moment() >= self.pages_until => {
                Ok(self.page_too_late(making, Outcome::Timeout))
            }
            Answer::AskedElsewhere => self.let_others_ask().await,
            Answer::Cancelled => self.finish_cancelled().await.map(Flow::Out),
            Answer::Fenced => Ok(Flow::Out(LeadEnd::Fenced)),
            Answer::Granted | Answer::Done | Answer::Wait(_) => {
                Err(LedgerError::Corrupt("an answer that fits no begin".to_owned()))
            }
        }
    }

    /// Calls under a hold that is committed already.
    pub(super) async fn enter_and_call(&mut self, mut making: Making) -> Result<Flow, LedgerError> {
        if making.route.gate.pause_remaining().is_some_and(|pause| pause > LONGEST_HELD_PAUSE) {
            return Ok(self.not_called(making, Outcome::RateLimited(Throttle::GivenBack)));
        }
        match self.enter(&mut making, Duration::ZERO).await {
            Ok(entry) => {
                if making.is_taken_up() {
                    self.engine.meter.repeated(&making.route.step.provider);
                }
                self.call(making, entry).await
            }
            Err(NoEntry::Stopping) => self.leave_off().await,
            Err(NoEntry::Fenced) => self.leave_to_owner().await,
            Err(NoEntry::Late) => Ok(self.not_called(making, Outcome::RateLimited(Throttle::TriesSpent))),
            Err(NoEntry::Cancelled | NoEntry::Revoked) => Ok(self.not_called(making, GIVEN_UP)),
            Err(NoEntry::Refused(refusal)) => Ok(self.not_called(making, refusal_outcome(refusal))),
        }
    }

    /// Calls, and waits for an answer that comes later.
    async fn call(&mut self, making: Making, entry: Entry) -> Result<Flow, LedgerError> {
        if let Some(handle) = self.earlier_handle(&making) {
            let reader = self.engine.readers.of(&making.route);
            match reader.read_once(self.engine, &making.route, &making.query, &handle).await {
                // A fault of the old submission is no answer to the new one.
                None | Some(ProviderAnswer::Fault(_)) => {}
                Some(answer) => return Ok(self.note(making, Upshot::of(answer))),
            }
        }
        let called = self.calling(&making).make(entry).await;
        self.conclude(making, called).await
    }

    pub(super) async fn conclude(&mut self, making: Making, called: Called) -> Result<Flow, LedgerError> {
        match called {
            Called::Ended(upshot) => Ok(self.note(making, upshot)),
            Called::LeftOff => self.leave_off().await,
            Called::Fenced => self.leave_to_owner().await,
            Called::Deferred { handle, after } => {
                self.commit(Then::Submitted(making.attempt.n, handle.clone())).await?;
                self.await_answer(making, handle, after).await
            }
        }
    }

    pub(super) async fn leave_off(&mut self) -> Result<Flow, LedgerError> {
        self.save().await?;
        Ok(Flow::Out(LeadEnd::LeftOff))
    }

    /// The slice is another worker's: what was learned is left to it.
    pub(super) async fn leave_to_owner(&mut self) -> Result<Flow, LedgerError> {
        self.save().await?;
        Ok(Flow::Out(LeadEnd::Fenced))
    }

    /// Commits what has ended, if anything has.
    async fn save(&mut self) -> Result<(), LedgerError> {
        if !self.unsaved.is_empty() {
            self.commit(Then::Nothing).await?;
        }
        Ok(())
    }

    async fn finish(mut self, ending: Ending) -> Result<LeadEnd, LedgerError> {
        self.write_ending(ending).await
    }

    pub(super) async fn finish_cancelled(&mut self) -> Result<LeadEnd, LedgerError> {
        let ending = self.course.cancel(&self.trail);
        self.write_ending(ending).await
    }

    async fn write_ending(&mut self, ending: Ending) -> Result<LeadEnd, LedgerError> {
        let status = ending.status;
        let reason = ending.reason;
        let committed = self.commit(Then::Finish(Box::new(ending.clone()))).await?;
        if let Answer::Fenced = committed.answer {
            return Ok(LeadEnd::Fenced);
        }
        let leads = u64::from(self.lead.copies).saturating_add(1);
        self.engine.meter.ended(status, reason, leads);
        if let Some(brief) = self.work.job.work.brief() {
            metrics::copy_ended(brief.purpose, status, reason, leads);
        }
        tracing::debug!(job.id = %self.work.job.id, lead.id = %self.lead.id, %status, %reason, "lead decided");
        self.announce(ending).await
    }

    /// Tells the result; the slice is not closed before.
    async fn announce(&mut self, ending: Ending) -> Result<LeadEnd, LedgerError> {
        let status = ending.status;
        let Some(announce) = &self.engine.announce else { return Ok(LeadEnd::Decided(status)) };
        let result = Announced {
            job: Arc::clone(&self.work.job),
            n: self.key.lead,
            id: self.lead.id.clone(),
            run: self.trail.run,
            ending,
            ended_ms: clock::wall_ms(),
            attempts: std::mem::take(&mut self.trail.attempts),
            copies: self.lead.copies,
        };
        match self.active.wait(announce.announce(result)).await? {
            Telling::Told => Ok(LeadEnd::Decided(status)),
            Telling::Stopped => Ok(LeadEnd::LeftOff),
        }
    }

    pub(super) fn calling<'b>(&'b self, making: &'b Making) -> Call<'b> {
        let reference = format!("{}:{}:{}", self.work.job.id, self.key.lead.0, making.attempt.n);
        Call {
            engine: self.engine,
            route: &making.route,
            query: &making.query,
            reference,
            workspace: &self.work.job.workspace,
            active: &self.active,
            deadline: self.deadline_of(making.route.step.operation),
            cancelled: &self.work.cancelled,
            lease: self.lease,
        }
    }
}
