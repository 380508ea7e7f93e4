//! `weir explain`: the trail of one lead, every step of it, and the steps that were never tried.

use crate::cli::BadInput;
use crate::cli::Exit;
use crate::cli::Globals;
use crate::cli::arguments;
use crate::cli::attempts;
use crate::cli::jobs::describe_work;
use crate::cli::jobs::find_job;
use crate::cli::output;
use crate::config::Live;
use crate::config::ProviderSettings;
use crate::domain::Address;
use crate::domain::Brief;
use crate::domain::Ending;
use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Step;
use crate::domain::Verdict;
use crate::domain::WaterfallName;
use crate::jobs::LeadResult;
use crate::jobs::StoredAttempt;
use crate::jobs::StoredJob;
use crate::jobs::Work;
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

/// A step of the job as it is configured now that no run has tried.
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
    let steps = match &job.work {
        Work::Enrich(waterfall) => steps_of_waterfall(live, waterfall),
        Work::Copy(brief) => steps_of_copy(live, brief, trail),
    };
    let untried = steps.into_iter().filter(|step| trail.iter().all(|stored| stored.attempt.step != *step));
    untried
        .map(|step| {
            let left_out = live.providers.get(&step.provider).and_then(|provider| why_left_out(provider, nature));
            Untried { step, why: left_out.unwrap_or_else(|| why_not_reached(ending)) }
        })
        .collect()
}

/// One that has gone from the configuration has no steps left to speak of.
fn steps_of_waterfall(live: &Live, waterfall: &WaterfallName) -> Vec<Step> {
    let Some(waterfall) = live.waterfalls.get(waterfall) else { return Vec::new() };
    let find = waterfall.find.iter().map(|name| Step::new(name.clone(), Operation::FindEmail));
    let verify = waterfall.verify.iter().map(|name| Step::new(name.clone(), Operation::VerifyEmail));
    find.chain(verify).collect()
}

/// Who would read the pages, unless somebody has, and who would write.
fn steps_of_copy(live: &Live, brief: &Brief, trail: &[StoredAttempt]) -> Vec<Step> {
    let is_read = trail.iter().any(|stored| stored.attempt.step.operation == Operation::Scrape);
    let reader = live.scrapers().next().filter(|_| !brief.pages.is_empty() && !is_read);
    let writer = live.models.get(&brief.model);
    let read = reader.map(|provider| Step::new(provider.name.clone(), Operation::Scrape));
    let write = writer.map(|model| Step::new(model.provider.clone(), Operation::WriteCopy));
    read.into_iter().chain(write).collect()
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
        output::line(format!("lead {} of job {}, {}", result.id, job.id, describe_work(&job.work)))?;
        if let Some(LeadNo(original)) = result.copy_of {
            output::line(format!("the same lead stands in row {original} and was worked there, at no cost here"))?;
        }
        if !trail.is_empty() {
            match &job.work {
                Work::Enrich(_) => output::table(attempts::LOOKUP_HEADER, trail.iter().map(attempts::lookup_row))?,
                Work::Copy(_) => output::table(attempts::COPY_HEADER, trail.iter().map(attempts::copy_row))?,
            }
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
        let mut story = json!({
            "job_id": job.id.as_str(),
            "workspace_id": job.workspace.as_str(),
            "lead_id": result.id.as_str(),
            "waterfall": job.work.waterfall().map(WaterfallName::as_str),
            "copy_of_row": result.copy_of.map(|LeadNo(original)| original),
            "status": ending.map(|ending| ending.status.as_str()),
            "reason": ending.map(|ending| ending.reason.as_str()),
            "email": ending.and_then(|ending| ending.address.as_ref()).map(Address::as_str),
            "verdict": ending.and_then(|ending| ending.verdict).map(Verdict::as_str),
            "found_by": ending.and_then(|ending| ending.found_by.as_ref()).map(ProviderName::as_str),
            "verified_by": ending.and_then(|ending| ending.verified_by.as_ref()).map(ProviderName::as_str),
            "cost": result.cost.to_string(),
            "trail": trail.iter().map(attempts::to_json).collect::<Vec<_>>(),
            "not_tried": untried.iter().map(Untried::to_json).collect::<Vec<_>>(),
        });
        if let (Value::Object(fields), Some(brief)) = (&mut story, job.work.brief()) {
            fields.insert("purpose".to_owned(), json!(brief.purpose.as_str()));
            fields.insert("model".to_owned(), json!(brief.model));
        }
        story
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::domain::Purpose;
    use crate::domain::Status;
    use std::path::Path;

    #[test]
    fn the_steps_of_copy_are_who_reads_pages_and_who_writes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let live = load(Some(&folder), &|_| None, &[]).unwrap().live;
        let steps = |model: &str, pages: &[&str]| {
            let brief = Brief {
                purpose: Purpose::Live,
                model: model.to_owned(),
                max_output_tokens: 400,
                instructions: "Write.".to_owned(),
                pages: pages.iter().map(|page| (*page).to_owned()).collect(),
            };
            steps_of_copy(&live, &brief, &[]).iter().map(Step::to_string).collect::<Vec<_>>()
        };
        assert_eq!(steps("gpt-5.4-mini", &["https://{domain}"]), ["firecrawl.scrape", "openai.write_copy"]);
        assert_eq!(steps("gpt-5.4-mini", &[]), ["openai.write_copy"]);
        assert_eq!(steps("gone", &[]), Vec::<String>::new());
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
