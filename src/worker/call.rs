//! One attempt's calls: the only retry loop there is.
//!
//! Repeated are connect failures, 429 and complete answers that say the provider has failed, at most
//! `max_tries` in all. A request that was sent and got no complete answer may have been billed: it is
//! repeated only where the provider says that this is free, or where it can be looked up.

use crate::clock;
use crate::domain::Operation;
use crate::domain::Outage;
use crate::domain::Outcome;
use crate::domain::Query;
use crate::domain::Throttle;
use crate::domain::WorkspaceId;
use crate::http::Failure;
use crate::http::Lesson;
use crate::http::Lost;
use crate::http::Permit;
use crate::http::Received;
use crate::http::Refusal;
use crate::http::Slot;
use crate::metrics;
use crate::providers::Answer;
use crate::providers::Fault;
use crate::providers::LostAnswer;
use crate::providers::Reading;
use crate::providers::Request;
use crate::waterfall::Moment;
use crate::worker::active::Active;
use crate::worker::answers::Upshot;
use crate::worker::answers::refusal_outcome;
use crate::worker::engine::Engine;
use crate::worker::lease::Lease;
use crate::worker::routes::Route;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A pause longer than this gives the hold back: held money is money in use.
pub(super) const LONGEST_HELD_PAUSE: Duration = Duration::from_secs(10);
/// Before the second try of a failing provider; doubled for each one after it.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// Before a lost submission is looked up: the provider lists it only when it has stored it.
const BEFORE_LOOKUP: Duration = Duration::from_secs(3);
/// How often a lost submission is looked up while the provider does not list anything.
const LOOKUPS: u32 = 3;
/// An attempt that is given up before it was answered, and may be made again.
pub(super) const GIVEN_UP: Outcome = Outcome::Unavailable(Outage::HoldExpired);
/// Between two looks whether the store is heard again, which alone knows of own keys.
const BEFORE_NEXT_LOOK: Duration = Duration::from_millis(250);
/// An adapter asks at most so many further questions.
const MAX_QUESTIONS: u8 = 2;

/// Leave to call, in both senses: the provider's and this process's.
pub(super) struct Entry {
    permit: Permit,
    _slot: Slot,
}

/// Why there is no leave to call.
pub(super) enum NoEntry {
    /// The gate refuses.
    Refused(Refusal),
    /// The lead's time is up.
    Late,
    /// A stop was asked for.
    Stopping,
    /// The job was cancelled.
    Cancelled,
    /// The own key was taken away meanwhile.
    Revoked,
    /// The slice is another worker's.
    Fenced,
}

/// What the calls of an attempt came to.
pub(super) enum Called {
    /// The attempt is over.
    Ended(Upshot),
    /// The answer comes later.
    Deferred { handle: String, after: Duration },
    /// A stop was asked for before there was an answer, or the slice's lease may have lapsed; the attempt
    /// stays begun.
    LeftOff,
    /// The slice is another worker's: so is the attempt.
    Fenced,
}

/// An attempt about to call.
pub(super) struct Call<'a> {
    pub(super) engine: &'a Engine,
    pub(super) route: &'a Route,
    pub(super) query: &'a Query,
    /// For whom.
    pub(super) workspace: &'a WorkspaceId,
    /// The attempt's own id, for providers that echo one.
    pub(super) reference: String,
    pub(super) active: &'a Active,
    /// When the lead's time is up.
    pub(super) deadline: Moment,
    /// Says that the job was cancelled.
    pub(super) cancelled: &'a CancellationToken,
    /// By what right it calls.
    pub(super) lease: &'a Lease,
}

/// What one try came to.
enum Tried {
    Over(Called),
    /// Nothing can have been billed: another try may help.
    Again(Fault),
}

impl Call<'_> {
    /// Waits for leave to call; through an outage, `patience` at most.
    pub(super) async fn enter(&self, patience: Duration) -> Result<Entry, NoEntry> {
        let enter = async {
            while self.route.is_unheard_of() {
                sleep(BEFORE_NEXT_LOOK).await;
            }
            let permit = self.permit(patience).await.map_err(NoEntry::Refused)?;
            let slot = self.engine.slots.acquire(self.route.key).await;
            if self.route.is_revoked() {
                return Err(NoEntry::Revoked);
            }
            // The key may have been stopped while this lead waited for its slot.
            match self.route.gate.refusal() {
                Some(refusal) if !permit.is_probe() => Err(NoEntry::Refused(refusal)),
                Some(_) | None => Ok(Entry { permit, _slot: slot }),
            }
        };
        let Moment(now) = clock::moment();
        if now >= self.deadline.0 {
            return Err(NoEntry::Late);
        }
        tokio::select! {
            biased;
            () = self.engine.tasks.stopping() => Err(NoEntry::Stopping),
            () = self.lease.lost() => Err(NoEntry::Fenced),
            () = self.cancelled.cancelled() => Err(NoEntry::Cancelled),
            entry = self.active.wait(enter) => entry,
            () = sleep(self.deadline.0.saturating_sub(now)) => Err(NoEntry::Late),
        }
    }

    /// While the breaker is open only its probe gets through; the others park again.
    async fn permit(&self, patience: Duration) -> Result<Permit, Refusal> {
        let patient_until = Instant::now() + patience;
        loop {
            let refusal = match self.route.gate.permit().await {
                Ok(permit) => return Ok(permit),
                Err(refusal) => refusal,
            };
            let left = patient_until.saturating_duration_since(Instant::now());
            if !matches!(refusal, Refusal::BreakerOpen(_)) || !self.route.gate.recovered(left).await {
                return Err(refusal);
            }
        }
    }

    /// Calls until there is an answer, no more tries, or no leave to call.
    pub(super) async fn make(&self, mut entry: Entry) -> Called {
        let mut tries = 1;
        loop {
            let fault = match self.try_once(&mut entry).await {
                Tried::Over(called) => return called,
                Tried::Again(fault) => fault,
            };
            drop(entry);
            if tries >= self.route.max_tries {
                return Called::Ended(self.tries_spent(fault).await);
            }
            match self.wait_to_retry(fault, tries).await {
                Ok(again) => entry = again,
                Err(called) => return called,
            }
            tries = tries.saturating_add(1);
        }
    }

    /// A provider whose breaker has opened meanwhile is worth waiting for; another is not.
    async fn tries_spent(&self, fault: Fault) -> Upshot {
        let open = fault == Fault::Unavailable && !self.route.gate.recovered(Duration::ZERO).await;
        if open {
            return Upshot::called(Outcome::Unavailable(Outage::BreakerOpen));
        }
        Upshot::of(Answer::Fault(fault))
    }

    async fn wait_to_retry(&self, fault: Fault, tries: u32) -> Result<Entry, Called> {
        if self.route.gate.pause_remaining().is_some_and(|pause| pause > LONGEST_HELD_PAUSE) {
            return Err(Called::Ended(Upshot::called(Outcome::RateLimited(Throttle::GivenBack))));
        }
        if fault == Fault::Unavailable {
            let backoff = FIRST_BACKOFF.saturating_mul(1 << tries.saturating_sub(1).min(6));
            tokio::select! {
                biased;
                () = self.engine.tasks.stopping() => return Err(Called::LeftOff),
                () = self.lease.lost() => return Err(Called::Fenced),
                () = self.active.wait(sleep(backoff)) => {}
            }
        }
        self.enter(Duration::ZERO).await.map_err(|no_entry| match no_entry {
            NoEntry::Stopping => Called::LeftOff,
            NoEntry::Fenced => Called::Fenced,
            NoEntry::Refused(refusal) => Called::Ended(Upshot::called(refusal_outcome(refusal))),
            // Nothing of this attempt was billed; the next decision sees what has changed.
            NoEntry::Cancelled | NoEntry::Revoked => Called::Ended(Upshot::called(GIVEN_UP)),
            NoEntry::Late => Called::Ended(Upshot::of(Answer::Fault(fault))),
        })
    }

    /// Sends once, and asks the adapter's further questions.
    async fn try_once(&self, entry: &mut Entry) -> Tried {
        let mut request = self.route.adapter.request(self.query, &self.reference);
        for turn in 0..=MAX_QUESTIONS {
            if let Some(called) = self.withheld() {
                return Tried::Over(called);
            }
            let received = match self.send(&request).await {
                Ok(received) => received,
                Err(failure) => return self.without_answer(entry, failure, &request).await,
            };
            match self.route.adapter.read(self.query, turn, &received.reply()) {
                Reading::Ask(question) => request = question,
                Reading::Later { handle, after } => {
                    entry.permit.report(Lesson::Answered);
                    return Tried::Over(Called::Deferred { handle, after });
                }
                Reading::Done(answer) => return self.learn(entry, answer),
            }
        }
        entry.permit.report(Lesson::ProviderFault);
        Tried::Over(Called::Ended(Upshot::called(Outcome::ProtocolError)))
    }

    /// Why nothing may be sent, if so. Asked right before each request: this process may have stood still
    /// since it was given leave to call.
    fn withheld(&self) -> Option<Called> {
        if self.lease.is_lost() {
            return Some(Called::Fenced);
        }
        if self.lease.may_have_lapsed() {
            return Some(Called::LeftOff);
        }
        let is_gone = self.route.is_revoked() || self.route.is_unheard_of();
        is_gone.then(|| Called::Ended(Upshot::called(GIVEN_UP)))
    }

    async fn send(&self, request: &Request) -> Result<Received, Failure> {
        let began = Instant::now();
        let received = self.engine.client.send(&self.route.target, request).await;
        metrics::call_seconds(&self.route.step.provider, began.elapsed());
        received
    }

    fn learn(&self, entry: &mut Entry, answer: Answer) -> Tried {
        match &answer {
            Answer::Fault(fault) => {
                entry.permit.report(Lesson::from(*fault));
                // What a model has written is billed, also when nobody can read it.
                if *fault == Fault::ProtocolError && self.route.step.operation == Operation::WriteCopy {
                    self.count_possible_loss();
                }
                if matches!(fault, Fault::Unavailable | Fault::RateLimited { .. }) {
                    return Tried::Again(*fault);
                }
            }
            Answer::Found { .. }
            | Answer::NotFound { .. }
            | Answer::Judged { .. }
            | Answer::Scraped { .. }
            | Answer::Written { .. }
            | Answer::Unwritten { .. } => {
                if entry.permit.is_probe() {
                    self.engine.key_works(self.route, self.workspace);
                }
                entry.permit.report(Lesson::Answered);
            }
        }
        Tried::Over(Called::Ended(Upshot::of(answer)))
    }

    async fn without_answer(&self, entry: &mut Entry, failure: Failure, request: &Request) -> Tried {
        let lost = match failure {
            Failure::NotSent => {
                entry.permit.report(Lesson::ProviderFault);
                return Tried::Again(Fault::Unavailable);
            }
            // The configuration has checked the URL, so it is the key that fits no header.
            Failure::BadTarget => return Tried::Over(Called::Ended(Upshot::called(Outcome::KeyRejected))),
            Failure::Lost(lost) => lost,
        };
        let (lesson, outcome) = judge_lost(lost, self.route.step.operation);
        entry.permit.report(lesson);
        tracing::warn!(provider = %self.route.step.provider, request = ?request, "{failure}");
        match self.route.adapter.after_lost_answer() {
            LostAnswer::Repeat => return Tried::Again(Fault::Unavailable),
            LostAnswer::LookUp => match self.look_up().await {
                LookUp::Found(handle) => {
                    return Tried::Over(Called::Deferred { handle, after: Duration::ZERO });
                }
                LookUp::NotThere => return Tried::Again(Fault::Unavailable),
                LookUp::Revoked => return Tried::Over(Called::Ended(Upshot::called(GIVEN_UP))),
                LookUp::NoAnswer => {}
            },
            LostAnswer::GiveUp => {}
        }
        self.count_possible_loss();
        Tried::Over(Called::Ended(Upshot::called(outcome)))
    }

    /// The provider may bill what the customer does not pay.
    fn count_possible_loss(&self) {
        if let Ok(worst) = self.route.worst_price(self.query) {
            self.engine.meter.lost(&self.route.step.provider, worst);
        }
    }

    /// Looks for a submission by its reference: only an answer that lists others, or none, and is no
    /// fault, says that it is not there.
    pub(super) async fn look_up(&self) -> LookUp {
        let Some(deferred) = self.route.adapter.deferred() else { return LookUp::NotThere };
        for _ in 0..LOOKUPS {
            self.active.park(sleep(BEFORE_LOOKUP)).await;
            if self.route.is_revoked() {
                return LookUp::Revoked;
            }
            if self.route.is_unheard_of() {
                continue;
            }
            let request = deferred.read_many(self.route.step.operation);
            let Ok(received) = self.engine.client.send(&self.route.target, &request).await else { continue };
            let reply = received.reply();
            match deferred.find_reference(&reply, &self.reference) {
                Some(handle) => return LookUp::Found(handle),
                // A reply that is a fault lists nothing, and so says nothing.
                None if deferred.pick(self.query, &reply, "").is_some() => {}
                None => return LookUp::NotThere,
            }
        }
        LookUp::NoAnswer
    }
}

/// What a lost answer says of its provider, and how its attempt ends. A page too large to be read says nothing of
/// who reads pages: their next call is another page's.
const fn judge_lost(lost: Lost, operation: Operation) -> (Lesson, Outcome) {
    match (lost, operation) {
        (Lost::TooLarge, Operation::Scrape) => (Lesson::Answered, Outcome::BadRequest),
        (Lost::Timeout, _) => (Lesson::ProviderFault, Outcome::Timeout),
        (Lost::Cut | Lost::TooLarge, _) => (Lesson::ProviderFault, Outcome::ProtocolError),
    }
}

/// What looking for a lost submission came to.
pub(super) enum LookUp {
    /// It was taken, under this handle.
    Found(String),
    /// The provider does not know it.
    NotThere,
    /// The own key was taken away: nobody looks any more.
    Revoked,
    /// Nobody can say.
    NoAnswer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_too_large_to_be_read_is_its_own_fault_and_any_other_lost_answer_its_providers() {
        let failed = |outcome| (Lesson::ProviderFault, outcome);
        for (lost, operation, expected) in [
            (Lost::TooLarge, Operation::Scrape, (Lesson::Answered, Outcome::BadRequest)),
            (Lost::TooLarge, Operation::FindEmail, failed(Outcome::ProtocolError)),
            (Lost::TooLarge, Operation::WriteCopy, failed(Outcome::ProtocolError)),
            (Lost::Timeout, Operation::Scrape, failed(Outcome::Timeout)),
            (Lost::Timeout, Operation::WriteCopy, failed(Outcome::Timeout)),
            (Lost::Cut, Operation::Scrape, failed(Outcome::ProtocolError)),
        ] {
            assert_eq!(judge_lost(lost, operation), expected, "{lost:?} {operation:?}");
        }
    }
}
