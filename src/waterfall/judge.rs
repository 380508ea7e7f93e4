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

/// An address in hand, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) address: Address,
    /// `None` when it came with the lead.
    pub(super) found_by: Option<ProviderName>,
    pub(super) verdict: Option<Verdict>,
    /// Whose verdict; `None` also when every verifier refused the question.
    pub(super) by: Option<ProviderName>,
    pub(super) prospect: Prospect,
}

/// What can still be learned of an address.
#[derive(Clone, Debug)]
pub(super) enum Prospect {
    /// Nothing, or nothing that matters.
    Settled,
    /// This verifier is asked next.
    Ask(Step),
    /// Only this verifier could tell more, and its breaker is open.
    AwaitVerifier(Step),
    /// Verifiers that could tell more did not answer in this run.
    Closed(Setback),
    /// The waterfall has no verifier.
    NoVerifier,
}

/// Every distinct address in hand, judged: the lead's own first, then as they were found.
pub(super) fn candidates(plan: &Plan, trail: &Trail) -> Vec<Candidate> {
    let given = trail.given.clone().map(|address| Finding { address, found_by: None, claims: Vec::new() });
    let mut findings: Vec<Finding> = given.into_iter().collect();
    for attempt in &trail.attempts {
        let Some(end) = attempt.end() else { continue };
        let Some(address) = &end.found else { continue };
        let finder = attempt.step.provider.clone();
        let claim = (end.claim.unwrap_or(Verdict::Unknown), finder.clone());
        match findings.iter_mut().find(|known| known.address == *address) {
            Some(known) => known.claims.push(claim),
            None => findings.push(Finding { address: address.clone(), found_by: Some(finder), claims: vec![claim] }),
        }
    }
    findings.into_iter().map(|finding| judge(plan, trail, finding)).collect()
}

/// An address, and what each of its finders says of it.
struct Finding {
    address: Address,
    found_by: Option<ProviderName>,
    claims: Vec<(Verdict, ProviderName)>,
}

/// Judges by the first conclusive verdict of any run; else by a trusted finder's own word; else by
/// what the verifiers of the plan have said and can still say.
fn judge(plan: &Plan, trail: &Trail, finding: Finding) -> Candidate {
    let (verdict, by, prospect) = if let Some((verdict, by)) = conclusive_verdict(trail, &finding.address) {
        (Some(verdict), Some(by), Prospect::Settled)
    } else if let Some((verdict, by)) = trusted_claim(plan, &finding) {
        (Some(verdict), by, Prospect::Settled)
    } else {
        ask_verifiers(plan, trail, &finding.address)
    };
    Candidate { address: finding.address, found_by: finding.found_by, verdict, by, prospect }
}

/// The first verdict that is not `unknown`.
fn conclusive_verdict(trail: &Trail, address: &Address) -> Option<(Verdict, ProviderName)> {
    trail.attempts.iter().filter(|attempt| attempt.about.as_ref() == Some(address)).find_map(|attempt| {
        let verdict = attempt.outcome()?.verdict().filter(|verdict| *verdict != Verdict::Unknown)?;
        Some((verdict, attempt.step.provider.clone()))
    })
}

/// A finder's own `valid` is the verification; its other words count only where nobody can be asked.
fn trusted_claim(plan: &Plan, finding: &Finding) -> Option<(Verdict, Option<ProviderName>)> {
    if !plan.trust_finders {
        return None;
    }
    if let Some((verdict, by)) = finding.claims.iter().find(|(claim, _)| *claim == Verdict::Valid) {
        return Some((*verdict, Some(by.clone())));
    }
    let word = finding.claims.first().map_or(Verdict::Unknown, |(claim, _)| *claim);
    plan.verify.is_empty().then_some((word, None))
}

fn ask_verifiers(plan: &Plan, trail: &Trail, address: &Address) -> (Option<Verdict>, Option<ProviderName>, Prospect) {
    let (mut unknown_by, mut refused, mut setback, mut await_verifier, mut ask) = (None, false, None, None, None);
    for step in &plan.verify {
        match standing(trail, step, Some(address)) {
            Standing::Open => ask = ask.or(Some(step)),
            Standing::AfterOutage => await_verifier = await_verifier.or(Some(step)),
            Standing::Answered(end) if end.outcome.verdict().is_none() => refused = true,
            Standing::Answered(_) => unknown_by = unknown_by.or_else(|| Some(step.provider.clone())),
            Standing::Closed(why) => setback = Some(setback.map_or(why, |before: Setback| before.min(why))),
            Standing::PassedOver => {}
        }
    }
    let prospect = match (ask, await_verifier, setback) {
        (Some(step), _, _) => Prospect::Ask(step.clone()),
        (None, Some(step), _) => Prospect::AwaitVerifier(step.clone()),
        (None, None, Some(setback)) => Prospect::Closed(setback),
        (None, None, None) if plan.verify.is_empty() => Prospect::NoVerifier,
        (None, None, None) => Prospect::Settled,
    };
    let all_refused = refused && matches!(prospect, Prospect::Settled);
    let verdict = (unknown_by.is_some() || all_refused).then_some(Verdict::Unknown);
    (verdict, unknown_by, prospect)
}
