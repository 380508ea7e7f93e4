//! The results of a job, as the lines of `weir.lead_result.v1` or `weir.copy_result.v1` (CONTRACTS §4).

use crate::cli::output;
use crate::clock::timestamp;
use crate::domain::Ending;
use crate::jobs::LeadResult;
use crate::jobs::StoredAttempt;
use crate::jobs::StoredJob;
use crate::jobs::Work;
use crate::ledger::LeadNo;
use crate::messages;
use crate::messages::JobHead;
use crate::messages::Message;
use crate::store::Store;
use anyhow::Result;
use serde_json::Value;

/// Results read, and printed, at a time.
const PAGE: u32 = 1_000;

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
    let head = JobHead { job_id: &job.id, workspace_id: &job.workspace, campaign_id: job.campaign.as_ref() };
    let attempts = trail.iter().map(|stored| &stored.attempt);
    let at = ended_ms(trail).map(timestamp);
    let LeadResult { id, run, cost, .. } = result;
    match job.work {
        Work::Enrich(_) => messages::LeadResult::new(head, id, *run, ending, *cost, attempts, at).to_json(),
        Work::Copy(_) => messages::CopyResult::new(head, id, *run, ending, *cost, attempts, at).to_json(),
    }
}

/// When the last attempt came to its end, wall-clock milliseconds.
fn ended_ms(trail: &[StoredAttempt]) -> Option<i64> {
    let ended = trail.iter().rev().find_map(|stored| Some((stored.began_ms, stored.attempt.end()?.duration_ms)));
    ended.map(|(began_ms, duration_ms)| began_ms.saturating_add_unsigned(duration_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Address;
    use crate::domain::AnswerSource;
    use crate::domain::Attempt;
    use crate::domain::AttemptEnd;
    use crate::domain::AttemptNo;
    use crate::domain::AttemptState;
    use crate::domain::Brief;
    use crate::domain::ConfigVersion;
    use crate::domain::Draft;
    use crate::domain::Fingerprint;
    use crate::domain::JobId;
    use crate::domain::KeySource;
    use crate::domain::LeadId;
    use crate::domain::Operation;
    use crate::domain::Outcome;
    use crate::domain::Product;
    use crate::domain::ProviderName;
    use crate::domain::Purpose;
    use crate::domain::Reason;
    use crate::domain::Run;
    use crate::domain::Status;
    use crate::domain::Step;
    use crate::domain::Tokens;
    use crate::domain::Usd;
    use crate::domain::Verdict;
    use crate::domain::WaterfallName;
    use crate::domain::WorkspaceId;
    use crate::jobs::JobState;
    use crate::ledger::AccountId;
    use crate::ledger::JobKey;
    use expect_test::expect;
    use serde_json::json;
    use std::sync::Arc;

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
        AttemptState::Ended(AttemptEnd { source, cost, duration_ms, ..AttemptEnd::not_asked(outcome) })
    }

    fn job(work: Work) -> StoredJob {
        StoredJob {
            key: JobKey(1),
            id: JobId::new("job_1"),
            workspace: WorkspaceId::new("acme"),
            account: AccountId(1),
            work,
            content: Fingerprint::from_bytes([0; 16]),
            state: JobState::Completed,
            run: Run::FIRST,
            max_spend: None,
            funded: Usd::ZERO,
            held: Usd::ZERO,
            leads: 1,
            slice_size: 100,
            campaign: None,
            reply: None,
        }
    }

    fn result(cost: Usd, called: u32) -> LeadResult {
        let (n, id, run) = (LeadNo(1), LeadId::new("1"), Run::FIRST);
        LeadResult { n, id, ending: None, ended_ms: None, cost, called, run, copy_of: None }
    }

    #[test]
    fn a_result_has_exactly_the_fields_of_the_contract() {
        let job = job(Work::Enrich(WaterfallName::new("work_email")));
        let ending = Ending {
            status: Status::Verified,
            reason: Reason::None,
            address: Address::parse("ada@acme.test"),
            verdict: Some(Verdict::Valid),
            found_by: Some(ProviderName::new("leadmagic")),
            verified_by: Some(ProviderName::new("zerobounce")),
        };
        let result = result(Usd::from_nanos(12_500_000), 1);
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
    fn a_copy_jobs_results_are_those_of_its_own_message() {
        let brief = Brief {
            purpose: Purpose::Live,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens: 400,
            instructions: "Write.".to_owned(),
            pages: Vec::new(),
        };
        let draft = Draft { subject: "Hi".to_owned(), body: "Ada".to_owned() };
        let tokens = Tokens { input: 800, output: 100, ..Tokens::default() };
        let product = Some(Product::Copy { draft: Some(Arc::new(draft)), tokens: Some(tokens) });
        let AttemptState::Ended(end) = ended(Outcome::Written, AnswerSource::Called, 1_050_000, 900) else { panic!() };
        let written = AttemptState::Ended(AttemptEnd { product, ..end });
        let trail = [attempt(1, "openai", Operation::WriteCopy, written)];
        let ending = Ending::without_address(Status::Written, Reason::None);
        let job = job(Work::Copy(Arc::new(brief)));
        let line = to_json(&job, &result(Usd::from_nanos(1_050_000), 1), &ending, &trail);
        assert_eq!(
            (&line["status"], &line["subject"], &line["body"]),
            (&json!("written"), &json!("Hi"), &json!("Ada"))
        );
        assert_eq!((&line["usage"]["input_tokens"], &line["cost"]), (&json!(800), &json!("0.001050000")));
        assert_eq!(line["trail"][0]["step"], "openai.write_copy");
        assert!(line.get("email").is_none(), "{line}");
    }
}
