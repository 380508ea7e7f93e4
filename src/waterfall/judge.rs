//! What is known of an address, and which verifier is asked about it next.

use crate::domain::About;
use crate::domain::Address;
use crate::domain::KeySource;
use crate::domain::ProviderName;
use crate::domain::Step;
use crate::domain::Verdict;
use crate::waterfall::Plan;
use crate::waterfall::Trail;
use crate::waterfall::VerifyStep;
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
    /// What kept a verifier from answering in this run.
    pub(super) setback: Option<Setback>,
    pub(super) prospect: Prospect,
}

/// What can still be learned of an address.
#[derive(Clone, Debug)]
pub(super) enum Prospect {
    /// Nothing, or nothing that matters.
    Settled,
    /// This verifier is asked next.
    Ask(Step, KeySource),
    /// Only this verifier could tell more, and its breaker is open.
    AwaitVerifier(Step, KeySource),
    /// Verifiers that could tell more did not answer in this run.
    Closed,
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
    let Finding { address, found_by, claims } = finding;
    let settled = first_verdict(trail, &address, |verdict| verdict != Verdict::Unknown)
        .map(|(verdict, by)| (verdict, Some(by)))
        .or_else(|| trusted_claim(plan, &claims));
    if let Some((verdict, by)) = settled {
        return Candidate { address, found_by, verdict: Some(verdict), by, setback: None, prospect: Prospect::Settled };
    }
    let verifiers = Verifiers::of(plan, trail, &address);
    let prospect = verifiers.prospect(plan);
    let unknown_by = first_verdict(trail, &address, |verdict| verdict == Verdict::Unknown).map(|(_, by)| by);
    let all_refused = verifiers.refused && matches!(prospect, Prospect::Settled);
    let verdict = (unknown_by.is_some() || all_refused).then_some(Verdict::Unknown);
    Candidate { address, found_by, verdict, by: unknown_by, setback: verifiers.setback, prospect }
}

/// The first such verdict of any run, also of a verifier that has left the plan.
fn first_verdict(
    trail: &Trail,
    address: &Address,
    wanted: impl Fn(Verdict) -> bool,
) -> Option<(Verdict, ProviderName)> {
    trail.attempts.iter().filter(|attempt| attempt.about.as_ref().and_then(About::address) == Some(address)).find_map(
        |attempt| {
            let verdict = attempt.outcome()?.verdict().filter(|verdict| wanted(*verdict))?;
            Some((verdict, attempt.step.provider.clone()))
        },
    )
}

/// A finder's own `valid` is the verification; its other words count only where nobody can be asked.
fn trusted_claim(plan: &Plan, claims: &[(Verdict, ProviderName)]) -> Option<(Verdict, Option<ProviderName>)> {
    if !plan.trust_finders {
        return None;
    }
    if let Some((verdict, by)) = claims.iter().find(|(claim, _)| *claim == Verdict::Valid) {
        return Some((*verdict, Some(by.clone())));
    }
    let word = claims.first().map_or(Verdict::Unknown, |(claim, _)| *claim);
    plan.verify.is_empty().then_some((word, None))
}

/// How the plan's verifiers stand for one address.
struct Verifiers<'a> {
    open: Option<(&'a Step, KeySource)>,
    after_outage: Option<(&'a Step, KeySource)>,
    setback: Option<Setback>,
    /// Did any refuse the question as a bad one?
    refused: bool,
}

impl<'a> Verifiers<'a> {
    fn of(plan: &'a Plan, trail: &Trail, address: &Address) -> Self {
        let mut seen = Self { open: None, after_outage: None, setback: None, refused: false };
        let about = About::Address(address.clone());
        for VerifyStep { step, keys } in &plan.verify {
            match standing(trail, step, *keys, Some(&about)) {
                Standing::Open(key) => seen.open = seen.open.or(Some((step, key))),
                Standing::AfterOutage(key) => seen.after_outage = seen.after_outage.or(Some((step, key))),
                Standing::Answered(end) => seen.refused |= end.outcome.verdict().is_none(),
                Standing::Closed(why) => seen.setback = Some(seen.setback.map_or(why, |before| before.min(why))),
                Standing::PassedOver => {}
            }
        }
        seen
    }

    fn prospect(&self, plan: &Plan) -> Prospect {
        match (self.open, self.after_outage) {
            (Some((step, key)), _) => Prospect::Ask(step.clone(), key),
            (None, Some((step, key))) => Prospect::AwaitVerifier(step.clone(), key),
            (None, None) if self.setback.is_some() => Prospect::Closed,
            (None, None) if plan.verify.is_empty() => Prospect::NoVerifier,
            (None, None) => Prospect::Settled,
        }
    }
}
