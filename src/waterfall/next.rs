//! THE decision.

use crate::domain::About;
use crate::domain::Ending;
use crate::domain::KeySource;
use crate::domain::Query;
use crate::domain::Reason;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Verdict;
use crate::waterfall::FindStep;
use crate::waterfall::Moment;
use crate::waterfall::Plan;
use crate::waterfall::Risky;
use crate::waterfall::Trail;
use crate::waterfall::judge::Candidate;
use crate::waterfall::judge::Prospect;
use crate::waterfall::judge::candidates;
use crate::waterfall::standing::Setback;
use crate::waterfall::standing::Standing;
use crate::waterfall::standing::standing;

/// What is to be done with a lead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Ask this step this question, with this key.
    Try(Step, KeySource, Query),
    /// The same, once the provider's breaker lets a call through: nothing else can help.
    TryAfterOutage(Step, KeySource, Query),
    /// Note that the lead lacks this step's inputs, and ask again.
    PassOver(Step, Option<About>),
    /// The lead is decided.
    Finish(Ending),
}

/// What to do next for the lead with this plan and this trail.
pub fn next(plan: &Plan, trail: &Trail, now: Moment) -> Next {
    let survey = Survey::of(plan, trail);
    match survey.act(plan, trail) {
        Some(Next::Try(..) | Next::TryAfterOutage(..)) if now >= trail.deadline => Next::Finish(survey.out_of_time()),
        Some(action) => action,
        None => Next::Finish(survey.finish()),
    }
}

/// How the lead ends when its job is cancelled now. A risky address in hand is given as
/// `unverified`, so that the lead can be resumed.
pub fn cancel(plan: &Plan, trail: &Trail) -> Ending {
    let survey = Survey::of(plan, trail);
    match (survey.act(plan, trail), survey.in_hand()) {
        (Some(Next::Finish(ending)), _) => ending,
        (None, _) => survey.finish(),
        (Some(_), Some(known)) => ending(known, Status::Unverified, Reason::Cancelled),
        (Some(_), None) => Ending::without_address(Status::Skipped, Reason::Cancelled),
    }
}

/// What the whole trail shows.
struct Survey {
    candidates: Vec<Candidate>,
    /// The weightiest reason why a finder, or another verifier, was not really asked.
    setback: Option<Setback>,
    /// Was any address rejected, or any finder really asked?
    searched: bool,
}

impl Survey {
    fn of(plan: &Plan, trail: &Trail) -> Self {
        let candidates = candidates(plan, trail);
        let mut searched = candidates.iter().any(|candidate| candidate.verdict == Some(Verdict::Invalid));
        let mut setbacks: Vec<Setback> = Vec::new();
        for find in &plan.find {
            match standing(trail, &find.step, find.keys, None) {
                Standing::Answered(_) => searched = true,
                Standing::Closed(setback) => setbacks.push(setback),
                Standing::Open(_) | Standing::AfterOutage(_) | Standing::PassedOver => {}
            }
        }
        setbacks.extend(candidates.iter().filter_map(|candidate| candidate.setback));
        Self { candidates, setback: setbacks.into_iter().min(), searched }
    }

    /// The first thing that can be done, or `None` at the end of the plan.
    fn act(&self, plan: &Plan, trail: &Trail) -> Option<Next> {
        if let Some(valid) = self.candidates.iter().find(|candidate| candidate.verdict == Some(Verdict::Valid)) {
            return Some(Next::Finish(ending(valid, Status::Verified, Reason::None)));
        }
        let mut after_outage = None;
        for candidate in self.candidates.iter().filter(|candidate| candidate.verdict != Some(Verdict::Invalid)) {
            let question = || Query::Verify(candidate.address.clone());
            match (&candidate.prospect, candidate.verdict) {
                (Prospect::Ask(step, key), _) => return Some(Next::Try(step.clone(), *key, question())),
                (Prospect::AwaitVerifier(step, key), verdict) => {
                    after_outage = after_outage.or_else(|| Some(Next::TryAfterOutage(step.clone(), *key, question())));
                    if verdict.is_none() {
                        return after_outage;
                    }
                }
                (Prospect::Closed, None) => {
                    return after_outage.or_else(|| Some(Next::Finish(self.unverifiable(candidate))));
                }
                (Prospect::NoVerifier, None) => {
                    return Some(Next::Finish(ending(candidate, Status::Unverified, Reason::NoVerifier)));
                }
                (Prospect::Settled | Prospect::Closed | Prospect::NoVerifier, _) => {}
            }
            if plan.risky == Risky::Accept {
                // What was not searched is of no account here, only who could not be asked about it.
                let reason = risky_reason(candidate.setback);
                return after_outage.or_else(|| Some(Next::Finish(ending(candidate, Status::Risky, reason))));
            }
        }
        search(plan, trail, after_outage)
    }

    /// The best risky address: `catch_all` before `unknown`, then the first found.
    fn risky(&self) -> Option<&Candidate> {
        let with = |verdict| self.candidates.iter().find(|candidate| candidate.verdict == Some(verdict));
        with(Verdict::CatchAll).or_else(|| with(Verdict::Unknown))
    }

    /// The best address in hand, judged or not.
    fn in_hand(&self) -> Option<&Candidate> {
        self.risky().or_else(|| self.candidates.iter().find(|candidate| candidate.verdict.is_none()))
    }

    /// Everything that could be tried was.
    fn finish(&self) -> Ending {
        if let Some(risky) = self.risky() {
            return ending(risky, Status::Risky, risky_reason(self.setback));
        }
        match self.setback {
            Some(Setback::Unavailable) => Ending::without_address(Status::Failed, Reason::ProvidersUnavailable),
            Some(setback) => Ending::without_address(Status::Skipped, setback.reason()),
            None if self.searched => Ending::without_address(Status::NotFound, Reason::None),
            None => Ending::without_address(Status::Skipped, Reason::NoSteps),
        }
    }

    /// This address could not be verified: no other is bought that could not be verified either.
    fn unverifiable(&self, candidate: &Candidate) -> Ending {
        if let Some(risky) = self.risky() {
            return ending(risky, Status::Risky, risky_reason(self.setback));
        }
        let reason = match candidate.setback {
            Some(Setback::Unavailable) | None => Reason::VerifiersUnavailable,
            Some(setback) => setback.reason(),
        };
        ending(candidate, Status::Unverified, reason)
    }

    /// Something could still be tried, but the lead's time is up. Money's reasons weigh more: for an
    /// unjudged address, what kept its verifiers from being paid; else anything that was refused.
    fn out_of_time(&self) -> Ending {
        if let Some(risky) = self.risky() {
            return ending(risky, Status::Risky, money_reason(self.setback).unwrap_or(Reason::Deadline));
        }
        if let Some(unjudged) = self.in_hand() {
            return ending(unjudged, Status::Unverified, money_reason(unjudged.setback).unwrap_or(Reason::Deadline));
        }
        match money_reason(self.setback) {
            Some(reason) => Ending::without_address(Status::Skipped, reason),
            None => Ending::without_address(Status::Failed, Reason::Deadline),
        }
    }
}

/// The reason of a setback that money or a cap would lift.
fn money_reason(setback: Option<Setback>) -> Option<Reason> {
    match setback? {
        setback @ (Setback::WalletEmpty | Setback::LeadCap | Setback::JobCap) => Some(setback.reason()),
        Setback::OwnKey | Setback::Unavailable => None,
    }
}

/// A risky address has no reason of its own for an own key that failed: to its owner the provider
/// was not available.
fn risky_reason(setback: Option<Setback>) -> Reason {
    let without_money = if setback.is_none() { Reason::None } else { Reason::ProvidersUnavailable };
    money_reason(setback).unwrap_or(without_money)
}

/// The first finder that can be asked; then what is worth waiting for.
fn search(plan: &Plan, trail: &Trail, mut after_outage: Option<Next>) -> Option<Next> {
    for FindStep { step, keys, query } in &plan.find {
        match (standing(trail, step, *keys, None), query) {
            (Standing::Open(_), None) => return Some(Next::PassOver(step.clone(), None)),
            (Standing::Open(key), Some(query)) => return Some(Next::Try(step.clone(), key, query.clone())),
            (Standing::AfterOutage(key), Some(query)) => {
                after_outage = after_outage.or_else(|| Some(Next::TryAfterOutage(step.clone(), key, query.clone())));
            }
            (Standing::AfterOutage(_), None)
            | (Standing::Answered(_) | Standing::Closed(_) | Standing::PassedOver, _) => {}
        }
    }
    after_outage
}

/// The lead ends with this address.
fn ending(candidate: &Candidate, status: Status, reason: Reason) -> Ending {
    Ending {
        status,
        reason,
        address: Some(candidate.address.clone()),
        verdict: candidate.verdict,
        found_by: candidate.found_by.clone(),
        verified_by: candidate.by.clone(),
    }
}
