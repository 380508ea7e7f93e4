//! The results of a job, as the lines of `weir.lead_result.v1` (CONTRACTS §4).

use crate::cli::output;
use crate::clock::timestamp;
use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::Ending;
use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::ProviderName;
use crate::domain::Run;
use crate::domain::Verdict;
use crate::jobs::LeadResult;
use crate::jobs::StoredAttempt;
use crate::jobs::StoredJob;
use crate::ledger::LeadNo;
use crate::store::Store;
use anyhow::Result;
use serde_json::Value;
use serde_json::json;
use sha2::Digest;
use sha2::Sha256;

/// Results read, and printed, at a time.
const PAGE: u32 = 1_000;
const TYPE: &str = "weir.lead_result.v1";
/// Bytes of the digest that make an `event_id`: 32 hex digits.
const EVENT_ID_BYTES: usize = 16;

/// Prints the results so far, in the order of the list. A lead without an ending has no line yet.
pub(super) async fn print(store: &dyn Store, job: &StoredJob) -> Result<()> {
    let mut after = LeadNo(0);
    loop {
        let page = store.results(job.key, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.n;
        let mut lines = Vec::new();
        for result in &page {
            if let Some(ending) = &result.ending {
                let trail = store.trail(job.key, result.n).await?;
                lines.push(to_json(job, result, ending, &trail));
            }
        }
        output::lines(lines)?;
    }
}

fn to_json(job: &StoredJob, result: &LeadResult, ending: &Ending, trail: &[StoredAttempt]) -> Value {
    json!({
        "event_id": event_id(&job.id, &result.id, result.run),
        "at": ended_ms(trail).map(timestamp),
        "job_id": job.id.as_str(),
        "workspace_id": job.workspace.as_str(),
        "campaign_id": null,
        "lead_id": result.id.as_str(),
        "status": ending.status.as_str(),
        "reason": ending.reason.as_str(),
        "email": ending.address.as_ref().map(Address::as_str),
        "verdict": ending.verdict.map(Verdict::as_str),
        "found_by": ending.found_by.as_ref().map(ProviderName::as_str),
        "verified_by": ending.verified_by.as_ref().map(ProviderName::as_str),
        "cost": result.cost.to_string(),
        "trail": trail.iter().filter_map(step_json).collect::<Vec<_>>(),
    })
}

/// A step that came to an end; what is under way is no part of a result.
fn step_json(stored: &StoredAttempt) -> Option<Value> {
    let attempt = &stored.attempt;
    let end = attempt.end()?;
    Some(json!({
        "step": attempt.step.to_string(),
        "key_source": attempt.key_source.as_str(),
        "outcome": end.outcome.as_str(),
        "cached": end.source == AnswerSource::Cached,
        "cost": end.cost.to_string(),
        "duration_ms": end.duration_ms,
    }))
}

/// The same whenever the same result is published again, new after a resume.
fn event_id(job: &JobId, lead: &LeadId, run: Run) -> String {
    let parts = json!([TYPE, job.as_str(), lead.as_str(), run.get()]);
    let digest = Sha256::digest(parts.to_string()).into_iter();
    digest.take(EVENT_ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// When the last attempt came to its end, wall-clock milliseconds.
fn ended_ms(trail: &[StoredAttempt]) -> Option<i64> {
    let ended = trail.iter().rev().find_map(|stored| Some((stored.began_ms, stored.attempt.end()?.duration_ms)));
    ended.map(|(began_ms, duration_ms)| began_ms.saturating_add_unsigned(duration_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Attempt;
    use crate::domain::AttemptEnd;
    use crate::domain::AttemptNo;
    use crate::domain::AttemptState;
    use crate::domain::ConfigVersion;
    use crate::domain::Fingerprint;
    use crate::domain::KeySource;
    use crate::domain::Operation;
    use crate::domain::Outcome;
    use crate::domain::Reason;
    use crate::domain::Status;
    use crate::domain::Step;
    use crate::domain::Usd;
    use crate::domain::WaterfallName;
    use crate::domain::WorkspaceId;
    use crate::jobs::JobState;
    use crate::ledger::AccountId;
    use crate::ledger::JobKey;
    use expect_test::expect;

    fn attempt(n: u32, provider: &str, operation: Operation, state: AttemptState) -> StoredAttempt {
        let step = Step::new(ProviderName::new(provider), operation);
        let attempt =
            Attempt { n: AttemptNo::new(n), run: Run::FIRST, step, about: None, key_source: KeySource::House, state };
        StoredAttempt {
            attempt,
            began_ms: 1_800_000_000_000 + i64::from(n),
            config_version: ConfigVersion::new("0123456789ab"),
            held: None,
        }
    }

    fn ended(outcome: Outcome, source: AnswerSource, nanos: i64, duration_ms: u64) -> AttemptState {
        let cost = Usd::from_nanos(nanos);
        AttemptState::Ended(AttemptEnd { outcome, found: None, claim: None, handle: None, source, cost, duration_ms })
    }

    #[test]
    fn a_result_has_exactly_the_fields_of_the_contract() {
        let job = StoredJob {
            key: JobKey(1),
            id: JobId::new("job_1"),
            workspace: WorkspaceId::new("acme"),
            account: AccountId(1),
            waterfall: WaterfallName::new("work_email"),
            content: Fingerprint::from_bytes([0; 16]),
            state: JobState::Completed,
            run: Run::FIRST,
            max_spend: None,
            funded: Usd::ZERO,
            held: Usd::ZERO,
            leads: 1,
            slice_size: 100,
        };
        let ending = Ending {
            status: Status::Verified,
            reason: Reason::None,
            address: Address::parse("ada@acme.test"),
            verdict: Some(Verdict::Valid),
            found_by: Some(ProviderName::new("leadmagic")),
            verified_by: Some(ProviderName::new("zerobounce")),
        };
        let cost = Usd::from_nanos(12_500_000);
        let result = LeadResult {
            n: LeadNo(1),
            id: LeadId::new("1"),
            ending: None,
            cost,
            called: 1,
            run: Run::FIRST,
            copy_of: None,
        };
        let found = ended(Outcome::Found, AnswerSource::Called, 12_500_000, 412);
        let valid = ended(Outcome::Judged(Verdict::Valid), AnswerSource::Cached, 0, 0);
        let trail = [
            attempt(1, "leadmagic", Operation::FindEmail, found),
            attempt(2, "zerobounce", Operation::VerifyEmail, valid),
            attempt(3, "prospeo", Operation::FindEmail, AttemptState::Begun),
        ];
        expect![[r#"{"event_id":"6e423960e503e5008f4e3ed3e202d73a","at":"2027-01-15T08:00:00.002Z","job_id":"job_1","workspace_id":"acme","campaign_id":null,"lead_id":"1","status":"verified","reason":"none","email":"ada@acme.test","verdict":"valid","found_by":"leadmagic","verified_by":"zerobounce","cost":"0.012500000","trail":[{"step":"leadmagic.find_email","key_source":"house","outcome":"found","cached":false,"cost":"0.012500000","duration_ms":412},{"step":"zerobounce.verify_email","key_source":"house","outcome":"valid","cached":true,"cost":"0.000000000","duration_ms":0}]}"#]]
        .assert_eq(&to_json(&job, &result, &ending, &trail).to_string());
    }

    #[test]
    fn an_event_id_tells_runs_leads_and_jobs_apart() {
        let id = |job: &str, lead: &str, run: u32| event_id(&JobId::new(job), &LeadId::new(lead), Run::new(run));
        let one = id("job", "Lead", 1);
        assert_eq!(one, id("job", "Lead", 1));
        for other in [id("job", "lead", 1), id("job", "Lead", 2), id("jobLead", "", 1)] {
            assert_ne!(one, other);
        }
        assert_eq!(one.len(), 32);
    }
}
