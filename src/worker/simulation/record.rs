//! The providers' own record: every call that reached them, what it took, and what became of its answer.

use crate::domain::AnswerSource;
use crate::domain::AttemptEnd;
use crate::domain::KeySource;
use crate::domain::Outcome;
use crate::domain::Usd;
use crate::domain::WorkerId;
use crate::ledger::Ended;
use crate::store::memory::Fate;
use crate::worker::simulation::question::Question;
use rust_decimal::Decimal;

/// A call that reached its provider.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) worker: WorkerId,
    pub(super) question: Question,
    pub(super) key_source: KeySource,
    /// The credits that its answer says.
    pub(super) told: Decimal,
    pub(super) fate: CallFate,
}

/// How far a call has come.
#[derive(Debug, PartialEq)]
pub(super) enum CallFate {
    /// Its answer is on its way.
    Underway,
    /// It came to nothing that was billed or could be: the worker may call again at once.
    Retryable,
    /// The worker has its answer, or knows that there will be none.
    Over,
    /// The worker has committed what came of it.
    Booked(AttemptEnd, Usd),
    /// The store has told the worker that this cannot be committed.
    Unbookable,
}

/// Every call of the world.
#[derive(Default)]
pub(super) struct Record(Vec<Call>);

impl Record {
    /// A call reaches its provider; the number it is known by.
    pub(super) fn begin(&mut self, call: Call) -> usize {
        self.0.push(call);
        self.0.len() - 1
    }

    /// The worker has what there is to have of it.
    pub(super) fn end(&mut self, call: usize, fate: CallFate) {
        self.0[call].fate = fate;
    }

    /// A worker commits the end of an attempt of this person: a call that fits is booked; of several, one for which
    /// what the worker says `is_owed`. Returns it.
    pub(super) fn book(
        &mut self,
        worker: &WorkerId,
        person: &str,
        ended: &Ended,
        fate: Fate,
        is_owed: impl Fn(&Call) -> bool,
    ) -> Option<&Call> {
        let end = ended.attempt.end().filter(|end| end.source == AnswerSource::Called)?;
        if matches!(end.outcome, Outcome::RateLimited(_) | Outcome::Unavailable(_)) {
            // What it came to is that its calls were all retryable.
            return None;
        }
        let about = ended.attempt.about.as_ref().map(|address| address.as_str());
        let fits = |call: &Call| {
            call.fate == CallFate::Over
                && call.worker == *worker
                && call.key_source == ended.attempt.key_source
                && call.question.person == person
                && call.question.step == ended.attempt.step
                && about.is_none_or(|about| about == call.question.about)
        };
        let fitting: Vec<usize> = (0..self.0.len()).filter(|place| fits(&self.0[*place])).collect();
        let owed = fitting.iter().copied().find(|place| is_owed(&self.0[*place]));
        let place = owed.or(fitting.first().copied())?;
        let amount = ended.owed.by_customer(ended.held.unwrap_or(Usd::ZERO));
        self.0[place].fate = match fate {
            Fate::Commits(_) | Fate::CommitsTwice(_) => CallFate::Booked(end.clone(), amount),
            Fate::Fails(_) | Fate::NeverAsked => CallFate::Unbookable,
        };
        self.0.get(place)
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.0
    }
}
