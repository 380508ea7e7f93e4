//! THE decision.

use crate::domain::Ending;
use crate::domain::ProviderName;
use crate::domain::Query;
use crate::domain::Reason;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Verdict;
use crate::waterfall::Moment;
use crate::waterfall::Plan;
use crate::waterfall::Risky;
use crate::waterfall::Trail;
use crate::waterfall::judge::Candidate;
use crate::waterfall::judge::Judgement;
use crate::waterfall::judge::RiskyVerdict;
use crate::waterfall::judge::candidates;
use crate::waterfall::judge::judge;
use crate::waterfall::standing::Setback;
use crate::waterfall::standing::Standing;
use crate::waterfall::standing::standing;

/// What is to be done with a lead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Ask this step this question.
    Try(Step, Query),
    /// The same, once the provider's breaker lets a call through: nothing else can help.
    TryAfterOutage(Step, Query),
    /// Note that the lead lacks this step's inputs, and ask again.
    PassOver(Step),
    /// The lead is decided.
    Finish(Ending),
}

/// What to do next for the lead with this plan and this trail.
pub fn next(plan: &Plan, trail: &Trail, now: Moment) -> Next {
    let mut seen = Seen::default();
    let action = look(plan, trail, &mut seen);
    let time_is_up = now >= trail.deadline;
    match action {
        Some(Next::Try(..) | Next::TryAfterOutage(..)) if time_is_up => Next::Finish(seen.out_of_time()),
        Some(action) => action,
        None => Next::Finish(seen.finish()),
    }
}

/// How the lead ends when its job is cancelled now. A risky address in hand is given as
/// `unverified`, so that the lead can be resumed.
pub fn cancel(plan: &Plan, trail: &Trail) -> Ending {
    let mut seen = Seen::default();
    if let Some(Next::Finish(ending)) = look(plan, trail, &mut seen) {
        return ending;
    }
    match seen.in_hand() {
        Some(known) => known.ending(Status::Unverified, Reason::Cancelled),
        None => Ending::without_address(Status::Skipped, Reason::Cancelled),
    }
}

/// An address in hand and what is known of it.
#[derive(Clone, Debug)]
struct Known {
    candidate: Candidate,
    verdict: Option<Verdict>,
    verified_by: Option<ProviderName>,
}

impl Known {
    fn ending(self, status: Status, reason: Reason) -> Ending {
        Ending {
            status,
            reason,
            address: Some(self.candidate.address),
            verdict: self.verdict,
            found_by: self.candidate.found_by,
            verified_by: self.verified_by,
        }
    }

    fn unjudged(candidate: &Candidate) -> Self {
        Self { candidate: candidate.clone(), verdict: None, verified_by: None }
    }
}

/// What a look at the whole trail gathers, for the end.
#[derive(Default, Debug)]
struct Seen {
    /// The best risky address: `catch_all` before `unknown`, then the first found.
    risky: Option<Known>,
    /// An address nobody has judged yet.
    pending: Option<Known>,
    /// The weightiest reason why something was not tried.
    setback: Option<Setback>,
    /// Was any address rejected, or any finder really asked?
    searched: bool,
}

/// Walks the plan along the trail: the first thing that can be done, or `None` at the end of it.
fn look(plan: &Plan, trail: &Trail, seen: &mut Seen) -> Option<Next> {
    let mut after_outage = None;
    for candidate in candidates(trail) {
        match judge(plan, trail, &candidate) {
            Judgement::Valid(by) => {
                let known = Known { candidate, verdict: Some(Verdict::Valid), verified_by: Some(by) };
                return Some(Next::Finish(known.ending(Status::Verified, Reason::None)));
            }
            Judgement::Rejected => seen.searched = true,
            Judgement::Risky(risky) => {
                if let Some(step) = &risky.after_outage {
                    let wait = Next::TryAfterOutage(step.clone(), Query::Verify(candidate.address.clone()));
                    after_outage = after_outage.or(Some(wait));
                }
                seen.risky(candidate, risky);
                if plan.risky == Risky::Accept {
                    return after_outage.or_else(|| Some(Next::Finish(seen.finish())));
                }
            }
            Judgement::Ask(step) => {
                seen.pending = Some(Known::unjudged(&candidate));
                return Some(Next::Try(step, Query::Verify(candidate.address)));
            }
            Judgement::AwaitVerifier(step) => {
                seen.pending = Some(Known::unjudged(&candidate));
                return Some(Next::TryAfterOutage(step, Query::Verify(candidate.address)));
            }
            Judgement::Unverifiable(setback) => {
                seen.setback(setback);
                return Some(Next::Finish(seen.unverifiable(&candidate, setback)));
            }
            Judgement::NoVerifier => {
                let known = Known::unjudged(&candidate);
                return Some(Next::Finish(known.ending(Status::Unverified, Reason::NoVerifier)));
            }
        }
    }
    search(plan, trail, seen, after_outage)
}

/// The first finder that can be asked; then what is worth waiting for.
fn search(plan: &Plan, trail: &Trail, seen: &mut Seen, mut after_outage: Option<Next>) -> Option<Next> {
    for find in &plan.find {
        match (standing(trail, &find.step, None), &find.query) {
            (Standing::Open, None) => return Some(Next::PassOver(find.step.clone())),
            (Standing::Open, Some(query)) => return Some(Next::Try(find.step.clone(), query.clone())),
            (Standing::AfterOutage, Some(query)) => {
                after_outage = after_outage.or_else(|| Some(Next::TryAfterOutage(find.step.clone(), query.clone())));
            }
            (Standing::Answered(_), _) => seen.searched = true,
            (Standing::Closed(setback), _) => seen.setback(setback),
            (Standing::PassedOver, _) | (Standing::AfterOutage, None) => {}
        }
    }
    after_outage
}

impl Seen {
    fn setback(&mut self, why: Setback) {
        self.setback = Some(self.setback.map_or(why, |before| before.min(why)));
    }

    fn risky(&mut self, candidate: Candidate, risky: RiskyVerdict) {
        if let Some(setback) = risky.setback {
            self.setback(setback);
        }
        let better = match &self.risky {
            None => true,
            Some(best) => best.verdict == Some(Verdict::Unknown) && risky.verdict == Verdict::CatchAll,
        };
        if better {
            self.risky = Some(Known { candidate, verdict: Some(risky.verdict), verified_by: risky.by });
        }
    }

    fn in_hand(self) -> Option<Known> {
        self.risky.or(self.pending)
    }

    /// Everything that could be tried was.
    fn finish(&self) -> Ending {
        if let Some(risky) = self.risky.clone() {
            return risky.ending(Status::Risky, self.risky_reason());
        }
        match self.setback {
            Some(Setback::Unavailable) => Ending::without_address(Status::Failed, Reason::ProvidersUnavailable),
            Some(setback) => Ending::without_address(Status::Skipped, setback.reason()),
            None if self.searched => Ending::without_address(Status::NotFound, Reason::None),
            None => Ending::without_address(Status::Skipped, Reason::NoSteps),
        }
    }

    /// This address could not be verified: no other is bought that could not be verified either.
    fn unverifiable(&self, candidate: &Candidate, setback: Setback) -> Ending {
        if let Some(risky) = self.risky.clone() {
            return risky.ending(Status::Risky, self.risky_reason());
        }
        let reason = match setback {
            Setback::Unavailable => Reason::VerifiersUnavailable,
            Setback::WalletEmpty | Setback::LeadCap | Setback::JobCap | Setback::OwnKey => setback.reason(),
        };
        Known::unjudged(candidate).ending(Status::Unverified, reason)
    }

    /// Something could still be tried, but the lead's time is up. Money's reasons weigh more.
    fn out_of_time(self) -> Ending {
        let money = match self.setback {
            Some(setback @ (Setback::WalletEmpty | Setback::LeadCap | Setback::JobCap)) => Some(setback.reason()),
            Some(Setback::OwnKey | Setback::Unavailable) | None => None,
        };
        let reason = money.unwrap_or(Reason::Deadline);
        match (self.risky, self.pending) {
            (Some(risky), _) => risky.ending(Status::Risky, reason),
            (None, Some(pending)) => pending.ending(Status::Unverified, reason),
            (None, None) if money.is_some() => Ending::without_address(Status::Skipped, reason),
            (None, None) => Ending::without_address(Status::Failed, reason),
        }
    }

    /// A risky address has no reason of its own for an own key that failed: to its owner the
    /// provider was not available.
    fn risky_reason(&self) -> Reason {
        match self.setback {
            None => Reason::None,
            Some(Setback::OwnKey | Setback::Unavailable) => Reason::ProvidersUnavailable,
            Some(setback @ (Setback::WalletEmpty | Setback::LeadCap | Setback::JobCap)) => setback.reason(),
        }
    }
}
