//! Taking over where an earlier owner stopped: what was begun is answered first.

use crate::clock;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptState;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::ledger::Answer;
use crate::ledger::LedgerError;
use crate::ledger::Then;
use crate::worker::answers::Upshot;
use crate::worker::call::Called;
use crate::worker::call::GIVEN_UP;
use crate::worker::call::LookUp;
use crate::worker::lead::Flow;
use crate::worker::lead::LeadAtWork;
use crate::worker::lead::LeadEnd;
use crate::worker::lead::Making;
use std::time::Duration;

impl LeadAtWork<'_> {
    /// An attempt that an owner began and did not end is called again under its own hold: the
    /// customer pays once, the repeat is counted. One with a handle is only read.
    pub(super) async fn take_up_begun_attempt(&mut self) -> Result<Flow, LedgerError> {
        let begun = self.trail.attempts.pop_if(|last| last.end().is_none());
        let Some(attempt) = begun else { return Ok(Flow::On) };
        if let Some(learned) = self.learned_of(attempt.n) {
            return Ok(self.take_learned(attempt, learned));
        }
        let query = self.course.query_of(&attempt, &self.trail);
        let (Some(route), Some(query)) = (self.work.route(&attempt.step, attempt.key_source).cloned(), query) else {
            return Ok(self.drop_begun(attempt));
        };
        let submitted = if let AttemptState::Submitted(handle) = &attempt.state { Some(handle.clone()) } else { None };
        let making = Making { route, query, attempt, began: clock::moment(), held: None, place: None };
        if let Some(handle) = submitted {
            return self.await_answer(making, handle, Duration::ZERO).await;
        }
        if making.route.adapter.deferred().is_some() {
            match self.calling(&making).look_up().await {
                LookUp::Found(handle) => {
                    return self.conclude(making, Called::Deferred { handle, after: Duration::ZERO }).await;
                }
                LookUp::NotThere => {}
                LookUp::Revoked => return Ok(self.not_called(making, GIVEN_UP)),
                // It may have been taken, and nobody can say: as with any lost answer, it is not repeated.
                LookUp::NoAnswer => return Ok(self.note(making, Upshot::called(Outcome::Timeout))),
            }
        }
        if making.attempt.step.operation == Operation::Scrape {
            return self.take_up_page(making).await;
        }
        self.enter_and_call(making).await
    }

    /// While nobody worked on this lead, another may have got the page, or asks for it by now: then this attempt is
    /// not called again, its hold is given back, and the page is asked for anew, as by any lead.
    async fn take_up_page(&mut self, making: Making) -> Result<Flow, LedgerError> {
        let begin = self.begin(&making)?;
        match self.commit(Then::Recall(Box::new(begin))).await?.answer {
            Answer::Done => self.enter_and_call(making).await,
            Answer::Fenced => Ok(Flow::Out(LeadEnd::Fenced)),
            Answer::Cached(_)
            | Answer::AskedElsewhere
            | Answer::Cancelled
            | Answer::Granted
            | Answer::Refused(_)
            | Answer::Wait(_) => Ok(self.not_called(making, GIVEN_UP)),
        }
    }

    /// The handle of an earlier submission whose answer did not come in time, or was not waited for: it is
    /// read before anything is submitted anew.
    pub(super) fn earlier_handle(&self, making: &Making) -> Option<String> {
        let Attempt { step, about, .. } = &making.attempt;
        let same = |attempt: &&Attempt| attempt.step == *step && attempt.about == *about;
        let late = |end: &&AttemptEnd| [Outcome::Timeout, GIVEN_UP].contains(&end.outcome);
        self.trail.attempts.iter().rev().filter(same).find_map(|it| it.end().filter(late)?.handle.clone())
    }
}
