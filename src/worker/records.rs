//! What a lead's work writes down: attempts as they begin and end, boundaries, costs.

use crate::clock;
use crate::domain::About;
use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::Fingerprint;
use crate::domain::KeySource;
use crate::domain::Outage;
use crate::domain::Outcome;
use crate::domain::Query;
use crate::domain::Step;
use crate::domain::Usd;
use crate::jobs::Learned;
use crate::ledger::Begin;
use crate::ledger::Boundary;
use crate::ledger::Charged;
use crate::ledger::Committed;
use crate::ledger::Ended;
use crate::ledger::LeadKey;
use crate::ledger::LedgerError;
use crate::ledger::Then;
use crate::ledger::rules::Owed;
use crate::metrics;
use crate::waterfall::Moment;
use crate::worker::answers::Upshot;
use crate::worker::engine::Engine;
use crate::worker::lead::Flow;
use crate::worker::lead::LeadAtWork;
use crate::worker::lead::Making;
use crate::worker::routes::Route;
use crate::worker::works::JobWork;
use std::sync::Arc;
use std::time::Duration;

/// A hold outlives its lead's deadline by this, then it may be given back.
const HOLD_GRACE: Duration = Duration::from_secs(5 * 60);

impl LeadAtWork<'_> {
    /// A begun attempt that nobody will ask about again: its step has left the plan, or its job is
    /// cancelled. Its hold is given back; what the provider took, if anything, is the house's loss.
    pub(super) fn drop_begun(&mut self, mut attempt: Attempt) -> Flow {
        let owed = owed_uncalled(attempt.key_source);
        attempt.state = AttemptState::Ended(AttemptEnd::not_asked(Outcome::Unavailable(Outage::HoldExpired)));
        let fingerprint = Fingerprint::from_bytes([0; 16]);
        let config_version = self.work.config_version.clone();
        self.trail.attempts.push(attempt.clone());
        self.unsaved.push(Ended { attempt, fingerprint, owed, held: None, config_version });
        Flow::On
    }

    pub(super) async fn commit(&mut self, then: Then) -> Result<Committed, LedgerError> {
        let boundary = boundary_of(self.key, &self.work, std::mem::take(&mut self.unsaved), then);
        let ended = numbers(&boundary);
        let committed = self.engine.store.commit(boundary).await?;
        record_costs(&mut self.trail.attempts, &ended, &committed.charged, self.engine);
        if let Some(brief) = self.work.job.work.brief() {
            let paid = committed.charged.iter().fold(Usd::ZERO, |sum, charged| sum.saturating_add(charged.paid));
            metrics::copy_spend(brief.purpose, paid);
        }
        Ok(committed)
    }

    pub(super) fn make(&self, route: Arc<Route>, query: Query) -> Making {
        let about = query.about();
        let n = self.trail.attempts.last().map_or(AttemptNo::FIRST, |last| last.n.next());
        let attempt = Attempt {
            n,
            run: self.trail.run,
            step: route.step.clone(),
            about,
            key_source: route.key_source,
            state: AttemptState::Begun,
        };
        Making { route, query, attempt, began: clock::moment(), held: None, place: None }
    }

    pub(super) fn begin(&self, making: &Making) -> Result<Begin, LedgerError> {
        let Making { route, query, attempt, .. } = making;
        let no_price = |error| LedgerError::Corrupt(format!("{} has no price: {error}", route.step));
        let now_ms = clock::wall_ms();
        let reuses = !self.work.cache_max_age.is_zero();
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Ok(Begin {
            n: attempt.n,
            run: attempt.run,
            step: attempt.step.clone(),
            fingerprint: query.fingerprint(&self.work.job.workspace, &attempt.step),
            about: attempt.about.clone(),
            key_source: attempt.key_source,
            price: route.worst_price(query).map_err(no_price)?,
            cached_since_ms: reuses.then(|| now_ms.saturating_sub(ms(self.work.cache_max_age))),
            expires_in: self.engine.settings.lead_deadline.saturating_add(HOLD_GRACE),
            config_version: self.work.config_version.clone(),
        })
    }

    /// A begun attempt that is not called after all.
    pub(super) fn not_called(&mut self, making: Making, outcome: Outcome) -> Flow {
        let owed = if making.is_taken_up() { owed_uncalled(making.attempt.key_source) } else { Owed::NOTHING };
        self.note_owing(making, Upshot::not_asked(outcome), owed)
    }

    /// The attempt has ended: on the trail at once, in the store with the next boundary.
    pub(super) fn note(&mut self, making: Making, mut upshot: Upshot) -> Flow {
        let Making { route, attempt, .. } = &making;
        let owed = match attempt.key_source {
            KeySource::Own => Owed::NOTHING,
            KeySource::House => upshot.owed(route.price, &route.step.provider),
        };
        self.note_owing(making, upshot, owed)
    }

    fn note_owing(&mut self, making: Making, upshot: Upshot, owed: Owed) -> Flow {
        let Making { query, mut attempt, began, held, .. } = making;
        let Moment(now) = clock::moment();
        let took = now.saturating_sub(began.0);
        attempt.state = AttemptState::Ended(upshot.end(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)));
        let fingerprint = query.fingerprint(&self.work.job.workspace, &attempt.step);
        let config_version = self.work.config_version.clone();
        self.trail.attempts.push(attempt.clone());
        self.unsaved.push(Ended { attempt, fingerprint, owed, held, config_version });
        Flow::On
    }

    /// What an overtaken owner had learned of this attempt.
    pub(super) fn learned_of(&mut self, n: AttemptNo) -> Option<Learned> {
        let place = self.lead.learned.iter().position(|learned| learned.n == n)?;
        Some(self.lead.learned.swap_remove(place))
    }

    /// Takes the answer of an overtaken owner as this attempt's: nobody is called again.
    pub(super) fn take_learned(&mut self, mut attempt: Attempt, learned: Learned) -> Flow {
        let fingerprint = self.fingerprint_of(&attempt);
        let owed = Owed::Amount(learned.owed);
        attempt.state = AttemptState::Ended(learned.end);
        let config_version = self.work.config_version.clone();
        self.trail.attempts.push(attempt.clone());
        self.unsaved.push(Ended { attempt, fingerprint, owed, held: None, config_version });
        Flow::On
    }

    /// The fingerprint under which the attempt's step is charged once; of no use if the step has left
    /// the plan, since then nobody asks it again.
    fn fingerprint_of(&self, attempt: &Attempt) -> Fingerprint {
        let query = self.course.query_of(attempt, &self.trail);
        let unknown = Fingerprint::from_bytes([0; 16]);
        query.map_or(unknown, |query| query.fingerprint(&self.work.job.workspace, &attempt.step))
    }

    /// Own keys may have come, gone or changed since the lead started. Were they?
    pub(super) async fn take_keys_of_now(&mut self) -> Result<bool, LedgerError> {
        let Engine { works, store, gates, .. } = self.engine;
        let Some(renewed) = works.with_keys_of_now(&**store, gates, &self.work).await? else { return Ok(false) };
        self.course = renewed.course(&self.lead.lead, &self.lead.id);
        self.work = renewed;
        Ok(true)
    }

    /// The store has recorded the attempt's end itself.
    pub(super) fn recorded(&mut self, making: Making, end: AttemptEnd) -> Flow {
        self.engine.meter.attempt(&making.attempt.step, making.attempt.key_source, &end);
        let state = AttemptState::Ended(end);
        self.trail.attempts.push(Attempt { state, ..making.attempt });
        Flow::On
    }

    pub(super) fn pass_over(&mut self, step: Step, about: Option<About>) -> Flow {
        let n = self.trail.attempts.last().map_or(AttemptNo::FIRST, |last| last.n.next());
        let key_source = self.work.first_key(&step);
        let state = AttemptState::Ended(AttemptEnd::not_asked(Outcome::NotApplicable));
        let attempt = Attempt { n, run: self.trail.run, step, about, key_source, state };
        let fingerprint = self.lead.lead.fingerprint();
        let config_version = self.work.config_version.clone();
        self.trail.attempts.push(attempt.clone());
        self.unsaved.push(Ended { attempt, fingerprint, owed: Owed::NOTHING, held: None, config_version });
        Flow::On
    }
}

/// What is owed for an attempt that an earlier owner began, and that is not called now. Whether that owner's call
/// was billed nobody knows: the customer does not pay for it.
const fn owed_uncalled(key_source: KeySource) -> Owed {
    match key_source {
        KeySource::Own => Owed::NOTHING,
        KeySource::House => Owed::ByHouse,
    }
}

impl Making {
    /// Did an earlier owner begin it?
    pub(super) const fn is_taken_up(&self) -> bool {
        self.held.is_none()
    }
}

pub(super) fn boundary_of(key: LeadKey, work: &JobWork, ended: Vec<Ended>, then: Then) -> Boundary {
    Boundary {
        lead: key,
        account: work.job.account,
        lead_cap: work.lead_cap,
        low_balance: work.low_balance,
        ended,
        then,
    }
}

/// Which attempts a boundary ends.
pub(super) fn numbers(boundary: &Boundary) -> Vec<AttemptNo> {
    boundary.ended.iter().map(|ended| ended.attempt.n).collect()
}

/// Writes what the ended attempts cost onto the trail, and counts them.
pub(super) fn record_costs(trail: &mut [Attempt], ended: &[AttemptNo], charged: &[Charged], engine: &Engine) {
    for (n, charged) in ended.iter().zip(charged) {
        let on_trail = trail.iter_mut().rfind(|attempt| attempt.n == *n);
        let Some(Attempt { step, key_source, state: AttemptState::Ended(end), .. }) = on_trail else { continue };
        end.cost = charged.paid;
        if charged.lost.is_positive() {
            engine.meter.lost(&step.provider, charged.lost);
        }
        if end.source == AnswerSource::Called {
            engine.meter.attempt(step, *key_source, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_owner_may_have_called_for_costs_the_house_alone_and_by_an_own_key_nobody() {
        assert_eq!(owed_uncalled(KeySource::House), Owed::ByHouse);
        assert_eq!(owed_uncalled(KeySource::Own), Owed::NOTHING);
    }
}
