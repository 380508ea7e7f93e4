//! `weir explain`: the trail of one lead, every step of it, and the steps that were never tried.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::arguments;
use crate::cli::jobs::find_job;
use crate::cli::output;
use crate::clock::timestamp;
use crate::config::Live;
use crate::config::ProviderSettings;
use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::Ending;
use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Step;
use crate::domain::Verdict;
use crate::jobs::LeadResult;
use crate::jobs::StoredAttempt;
use crate::jobs::StoredJob;
use crate::ledger::LeadNo;
use crate::store::Nature;
use crate::store::Store;
use anyhow::Result;
use serde_json::Value;
use serde_json::json;

/// What `weir explain` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The job's id, as `weir jobs list` shows it
    #[arg(value_name = "JOB", value_parser = arguments::job_id)]
    job: JobId,
    /// The lead's id in the list; the row number where the list has none
    #[arg(value_name = "LEAD", value_parser = arguments::lead_id)]
    lead: LeadId,
}

/// All there is to say about a lead.
struct Story {
    job: StoredJob,
    result: LeadResult,
    trail: Vec<StoredAttempt>,
    untried: Vec<Untried>,
}

/// A step of the waterfall as it is configured now that no run has tried.
struct Untried {
    step: Step,
    why: String,
}

/// Shows the lead.
///
/// # Errors
/// When the job or the lead is not in the store, or the store cannot be used.
pub async fn run(args: Args, globals: &Globals) -> Result<Exit> {
    let config = globals.load_config()?;
    let store = globals.open_store(&config).await?;
    let job = find_job(&*store, &args.job).await?;
    let result = find_result(&*store, &job, &args.lead).await?;
    // A copy was not worked itself: its story is the original's.
    let trail = store.trail(job.key, result.copy_of.unwrap_or(result.n)).await?;
    let untried = find_untried(&config.live, globals.nature(), &job, &trail, result.ending.as_ref());
    let story = Story { job, result, trail, untried };
    if globals.json {
        output::line(story.to_json())?
    } else {
        story.print()?
    }
    Ok(Exit::Done)
}

async fn find_result(store: &dyn Store, job: &StoredJob, lead: &LeadId) -> Result<LeadResult> {
    let unknown = || {
        let how = format!("`weir jobs results {}` shows its leads; a list without ids has row numbers", job.id);
        BadInput(format!("job `{}` has no lead `{lead}`; {how}", job.id))
    };
    let LeadNo(n) = store.find_lead(job.key, lead).await?.ok_or_else(unknown)?;
    let results = store.results(job.key, LeadNo(n.saturating_sub(1)), 1).await?;
    Ok(results.into_iter().next().ok_or_else(unknown)?)
}

fn find_untried(
    live: &Live,
    nature: Nature,
    job: &StoredJob,
    trail: &[StoredAttempt],
    ending: Option<&Ending>,
) -> Vec<Untried> {
    // A waterfall that has gone from the configuration has no steps left to speak of.
    let Some(waterfall) = live.waterfalls.get(&job.waterfall) else { return Vec::new() };
    let find = waterfall.find.iter().map(|name| Step::new(name.clone(), Operation::FindEmail));
    let verify = waterfall.verify.iter().map(|name| Step::new(name.clone(), Operation::VerifyEmail));
    let untried = find.chain(verify).filter(|step| trail.iter().all(|stored| stored.attempt.step != *step));
    untried
        .map(|step| {
            let left_out = live.providers.get(&step.provider).and_then(|provider| why_left_out(provider, nature));
            Untried { step, why: left_out.unwrap_or_else(|| why_not_reached(ending)) }
        })
        .collect()
}

/// Why a provider is no part of the plan; the sandbox takes any key.
fn why_left_out(provider: &ProviderSettings, nature: Nature) -> Option<String> {
    if !provider.enabled {
        return Some("left out: the provider is disabled".to_owned());
    }
    if nature == Nature::Sandbox || provider.house_key.is_some() {
        return None;
    }
    Some(match &provider.house_key_source {
        Some(source) => format!("left out: {source} is not set"),
        None => "left out: the provider has no house_key".to_owned(),
    })
}

fn why_not_reached(ending: Option<&Ending>) -> String {
    match ending {
        None => "not yet".to_owned(),
        Some(Ending { reason: Reason::None, .. }) => "not needed".to_owned(),
        Some(Ending { reason, .. }) => format!("not reached: {reason}"),
    }
}

impl Story {
    fn print(&self) -> Result<()> {
        let Self { job, result, trail, untried } = self;
        output::line(format!("lead {} of job {}, waterfall {}", result.id, job.id, job.waterfall))?;
        if let Some(LeadNo(original)) = result.copy_of {
            output::line(format!("the same lead stands in row {original} and was worked there, at no cost here"))?;
        }
        if !trail.is_empty() {
            let header = ["run", "step", "address", "key", "outcome", "cached", "cost USD", "ms", "began", "config"];
            output::table(header, trail.iter().map(attempt_row))?;
        }
        if !untried.is_empty() {
            output::table(["not tried", "why"], untried.iter().map(|it| [it.step.to_string(), it.why.clone()]))?;
        }
        let ending = result.ending.as_ref().map_or_else(|| "has not ended yet".to_owned(), describe_ending);
        Ok(output::line(format!("{ending}; cost {} USD", result.cost))?)
    }

    fn to_json(&self) -> Value {
        let Self { job, result, trail, untried } = self;
        let ending = result.ending.as_ref();
        json!({
                   "job_id": job.id.as_str(),
                   "workspace_id": job.workspace.as_str(),
                   "lead_id": result.id.as_str(),
        "waterfall": job.waterfall.as_str(),
                   "copy_of_row": result.copy_of.map(|LeadNo(original)| original),
                   "status": ending.map(|ending| ending.status.as_str()),
                   "reason": ending.map(|ending| ending.reason.as_str()),
                   "email": ending.and_then(|ending| ending.address.as_ref()).map(Address::as_str),
                   "verdict": ending.and_then(|ending| ending.verdict).map(Verdict::as_str),
                   "found_by": ending.and_then(|ending| ending.found_by.as_ref()).map(ProviderName::as_str),
                   "verified_by": ending.and_then(|ending| ending.verified_by.as_ref()).map(ProviderName::as_str),
                   "cost": result.cost.to_string(),
                   "trail": trail.iter().map(attempt_json).collect::<Vec<_>>(),
                   "not_tried": untried.iter().map(Untried::to_json).collect::<Vec<_>>(),
               })
    }
}

impl Untried {
    fn to_json(&self) -> Value {
        json!({ "step": self.step.to_string(), "why": self.why })
    }
}

fn describe_ending(ending: &Ending) -> String {
    let Ending { status, reason, address, verdict, found_by, verified_by } = ending;
    let mut text = format!("{status} ({reason})");
    if let Some(address) = address {
        text += &format!(": {}", address.as_str());
    }
    if let Some(verdict) = verdict {
        text += &format!(", {}", verdict.as_str());
    }
    if let Some(finder) = found_by {
        text += &format!(", found by {finder}");
    }
    if let Some(verifier) = verified_by {
        text += &format!(", verified by {verifier}");
    }
    text
}

/// The address in question: the one that was verified, or the one that was found.
fn address(stored: &StoredAttempt) -> Option<&str> {
    let attempt = &stored.attempt;
    let found = attempt.end().and_then(|end| end.found.as_ref());
    attempt.about.as_ref().or(found).map(Address::as_str)
}

/// The outcome with what its word leaves out: which cap, which kind of outage.
fn describe_outcome(outcome: Option<Outcome>) -> String {
    match outcome.map(|outcome| (outcome.as_str(), outcome.detail())) {
        None => "under way".to_owned(),
        Some((word, None)) => word.to_owned(),
        Some((word, Some(detail))) => format!("{word} ({detail})"),
    }
}

fn attempt_row(stored: &StoredAttempt) -> [String; 10] {
    let attempt = &stored.attempt;
    let end = attempt.end();
    let cached = if end.is_some_and(|end| end.source == AnswerSource::Cached) { "yes" } else { "-" };
    [
        attempt.run.to_string(),
        attempt.step.to_string(),
        address(stored).unwrap_or("-").to_owned(),
        attempt.key_source.as_str().to_owned(),
        describe_outcome(attempt.outcome()),
        cached.to_owned(),
        end.map_or_else(|| "-".to_owned(), |end| end.cost.to_string()),
        end.map_or_else(|| "-".to_owned(), |end| end.duration_ms.to_string()),
        timestamp(stored.began_ms),
        stored.config_version.to_string(),
    ]
}

fn attempt_json(stored: &StoredAttempt) -> Value {
    let attempt = &stored.attempt;
    let end = attempt.end();
    json!({
        "run": attempt.run.get(),
        "step": attempt.step.to_string(),
        "address": address(stored),
        "key_source": attempt.key_source.as_str(),
        "outcome": end.map(|end| end.outcome.as_str()),
        "detail": end.and_then(|end| end.outcome.detail()),
        "cached": end.is_some_and(|end| end.source == AnswerSource::Cached),
        "cost": end.map(|end| end.cost.to_string()),
        "duration_ms": end.map(|end| end.duration_ms),
        "at": timestamp(stored.began_ms),
        "config_version": stored.config_version.as_str(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Cap;
    use crate::domain::Outage;
    use crate::domain::Status;

    #[test]
    fn an_outcome_says_which_cap_and_which_outage() {
        for (outcome, text) in [
            (None, "under way"),
            (Some(Outcome::Found), "found"),
            (Some(Outcome::Judged(Verdict::CatchAll)), "catch_all"),
            (Some(Outcome::Capped(Cap::Job)), "capped (job)"),
            (Some(Outcome::Unavailable(Outage::BreakerOpen)), "unavailable (breaker_open)"),
        ] {
            assert_eq!(describe_outcome(outcome), text);
        }
    }

    #[test]
    fn a_step_that_was_not_reached_says_why() {
        let skipped = Ending::without_address(Status::Skipped, Reason::WalletEmpty);
        let missing = Ending::without_address(Status::NotFound, Reason::None);
        assert_eq!(why_not_reached(None), "not yet");
        assert_eq!(why_not_reached(Some(&missing)), "not needed");
        assert_eq!(why_not_reached(Some(&skipped)), "not reached: wallet_empty");
    }

    #[test]
    fn an_ending_is_one_sentence() {
        let verified = Ending {
            status: Status::Verified,
            reason: Reason::None,
            address: Address::parse("ada@acme.test"),
            verdict: Some(Verdict::Valid),
            found_by: Some(ProviderName::new("leadmagic")),
            verified_by: Some(ProviderName::new("zerobounce")),
        };
        assert_eq!(
            describe_ending(&verified),
            "verified (none): ada@acme.test, valid, found by leadmagic, verified by zerobounce"
        );
        let skipped = Ending::without_address(Status::Skipped, Reason::InvalidInput);
        assert_eq!(describe_ending(&skipped), "skipped (invalid_input)");
    }
}
