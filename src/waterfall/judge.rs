//! What is known of an address, and which verifier is asked about it next.

use crate::domain::Address;
use crate::domain::ProviderName;
use crate::domain::Step;
use crate::domain::Verdict;
use crate::waterfall::Plan;
use crate::waterfall::Trail;
use crate::waterfall::standing::Setback;
use crate::waterfall::standing::Standing;
use crate::waterfall::standing::standing;

/// An address in hand, and who found it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) address: Address,
    /// `None` when it came with the lead.
    pub(super) found_by: Option<ProviderName>,
    /// What its finder says of it.
    claim: Verdict,
}

/// What is known of a candidate.
#[derive(Debug)]
pub(super) enum Judgement {
    /// It takes mail: the lead is decided.
    Valid(ProviderName),
    /// It does not: search on.
    Rejected,
    /// Neither, as far as could be asked.
    Risky(RiskyVerdict),
    /// This verifier is asked next.
    Ask(Step),
    /// Only this verifier could tell, and its breaker is open.
    AwaitVerifier(Step),
    /// No verifier could be asked.
    Unverifiable(Setback),
    /// The waterfall has no verifier.
    NoVerifier,
}

/// A verdict that is neither yes nor no.
#[derive(Debug)]
pub(super) struct RiskyVerdict {
    /// `CatchAll` or `Unknown`.
    pub(super) verdict: Verdict,
    /// Whose verdict; `None` when every verifier refused the question.
    pub(super) by: Option<ProviderName>,
    /// What kept another verifier from being asked.
    pub(super) setback: Option<Setback>,
    /// A verifier worth waiting for.
    pub(super) after_outage: Option<Step>,
}

/// Every distinct address in hand: the lead's own first, then as they were found.
pub(super) fn candidates(trail: &Trail) -> Vec<Candidate> {
    let given = trail.given.clone().map(|address| Candidate { address, found_by: None, claim: Verdict::Unknown });
    let mut all: Vec<Candidate> = given.into_iter().collect();
    for attempt in &trail.attempts {
        let Some(end) = attempt.end() else { continue };
        let Some(address) = &end.found else { continue };
        if all.iter().all(|known| known.address != *address) {
            all.push(Candidate {
                address: address.clone(),
                found_by: Some(attempt.step.provider.clone()),
                claim: end.claim.unwrap_or(Verdict::Unknown),
            });
        }
    }
    all
}

/// What is known of this address, by the first conclusive verdict of any run.
pub(super) fn judge(plan: &Plan, trail: &Trail, candidate: &Candidate) -> Judgement {
    match conclusive_verdict(trail, &candidate.address) {
        Some((Verdict::Valid, by)) => return Judgement::Valid(by),
        Some((Verdict::Invalid, _)) => return Judgement::Rejected,
        Some((verdict @ (Verdict::CatchAll | Verdict::Unknown), by)) => {
            return Judgement::Risky(RiskyVerdict { verdict, by: Some(by), setback: None, after_outage: None });
        }
        None => {}
    }
    if plan.trust_finders
        && let Some(judgement) = trusted_claim(plan, candidate)
    {
        return judgement;
    }
    ask_verifiers(plan, trail, candidate)
}

/// The first verdict that is not `unknown`.
fn conclusive_verdict(trail: &Trail, address: &Address) -> Option<(Verdict, ProviderName)> {
    trail.attempts.iter().filter(|attempt| attempt.about.as_ref() == Some(address)).find_map(|attempt| {
        let verdict = attempt.outcome()?.verdict().filter(|verdict| *verdict != Verdict::Unknown)?;
        Some((verdict, attempt.step.provider.clone()))
    })
}

/// A finder's own `valid` is the verification; its other words count only where nobody can be asked.
fn trusted_claim(plan: &Plan, candidate: &Candidate) -> Option<Judgement> {
    match (candidate.claim, &candidate.found_by) {
        (Verdict::Valid, Some(by)) => Some(Judgement::Valid(by.clone())),
        _ if !plan.verify.is_empty() => None,
        (Verdict::Invalid, _) => Some(Judgement::Rejected),
        (verdict, _) => Some(Judgement::Risky(RiskyVerdict { verdict, by: None, setback: None, after_outage: None })),
    }
}

fn ask_verifiers(plan: &Plan, trail: &Trail, candidate: &Candidate) -> Judgement {
    let (mut unknown_by, mut refused, mut setback, mut after_outage) = (None, false, None, None);
    for step in &plan.verify {
        match standing(trail, step, Some(&candidate.address)) {
            Standing::Open => return Judgement::Ask(step.clone()),
            Standing::AfterOutage => after_outage = after_outage.or_else(|| Some(step.clone())),
            Standing::Answered(end) if end.outcome.verdict().is_none() => refused = true,
            Standing::Answered(_) => unknown_by = unknown_by.or_else(|| Some(step.provider.clone())),
            Standing::Closed(why) => setback = Some(setback.map_or(why, |before: Setback| before.min(why))),
            Standing::PassedOver => {}
        }
    }
    let nothing_else = setback.is_none() && after_outage.is_none();
    if unknown_by.is_some() || (refused && nothing_else) {
        return Judgement::Risky(RiskyVerdict { verdict: Verdict::Unknown, by: unknown_by, setback, after_outage });
    }
    match (after_outage, setback) {
        (Some(step), _) => Judgement::AwaitVerifier(step),
        (None, Some(setback)) => Judgement::Unverifiable(setback),
        (None, None) => Judgement::NoVerifier,
    }
}
