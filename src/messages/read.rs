//! Reading a message: the body, its type, then field by field.

use crate::domain::CampaignId;
use crate::domain::ConfigVersion;
use crate::domain::JobId;
use crate::domain::Purpose;
use crate::domain::Usd;
use crate::domain::WorkerId;
use crate::domain::WorkspaceId;
use crate::messages::events::Message;
use crate::messages::fields::Fields;
use crate::messages::fields::Place;
use crate::messages::incoming::CampaignActivate;
use crate::messages::incoming::ConfigReload;
use crate::messages::incoming::CopyJob;
use crate::messages::incoming::EnrichmentJob;
use crate::messages::incoming::Incoming;
use crate::messages::incoming::JobAction;
use crate::messages::incoming::JobControl;
use crate::messages::incoming::Personalize;
use crate::messages::incoming::ReloadFrom;
use crate::messages::incoming::TopUp;
use crate::messages::internal::KeysChanged;
use crate::messages::internal::Presence;
use crate::messages::internal::WorkerStopped;
use crate::messages::leads::Leads;
use crate::messages::limits::BODY_LIMIT;
use crate::messages::limits::CONFIG_LIMIT;
use crate::messages::limits::INSTRUCTIONS_LIMIT;
use crate::messages::limits::OUTPUT_TOKENS_LIMIT;
use crate::messages::limits::TEXT_LIMIT;
use crate::messages::limits::URLS_LIMIT;
use crate::messages::limits::USUAL_OUTPUT_TOKENS;
use crate::messages::limits::is_id;
use crate::messages::limits::page_problem;
use crate::messages::refusal::Refusal;

/// Every type that is read.
const KINDS: [&str; 9] = [
    EnrichmentJob::KIND,
    CopyJob::KIND,
    JobControl::KIND,
    TopUp::KIND,
    CampaignActivate::KIND,
    ConfigReload::KIND,
    Presence::KIND,
    KeysChanged::KIND,
    WorkerStopped::KIND,
];

/// Reads a message of this AMQP `type`, or, where it has none, of the type that its routing key and
/// its fields tell. Unknown fields are passed over.
///
/// # Errors
/// The first thing that is wrong with it: its size, its form, its type, then its fields.
pub fn read(kind: Option<&str>, routing_key: &str, body: &[u8]) -> Result<Incoming, Refusal> {
    if body.len() > BODY_LIMIT {
        return Err(Refusal::too_large("the body is larger than 16 MiB"));
    }
    let text = str::from_utf8(body).map_err(|_| Refusal::not_json("the body is not UTF-8"))?;
    let fields = Fields::of(text, Place::Body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refusal::not_json(format!("the body is not a JSON object (line {line}, column {column})"))
    })?;
    let kind = match kind {
        Some(kind) if !kind.is_empty() => kind,
        Some(_) | None => told_kind(routing_key, &fields)?,
    };
    Ok(match kind {
        EnrichmentJob::KIND => Incoming::Enrich(enrichment_job(&fields)?),
        CopyJob::KIND => Incoming::Copy(copy_job(&fields)?),
        JobControl::KIND => Incoming::JobControl(job_control(&fields)?),
        TopUp::KIND => Incoming::TopUp(top_up(&fields)?),
        CampaignActivate::KIND => Incoming::CampaignActivate(campaign_activate(&fields)?),
        ConfigReload::KIND => Incoming::ConfigReload(config_reload(&fields)?),
        Presence::KIND => Incoming::Presence(presence(&fields)?),
        KeysChanged::KIND => Incoming::KeysChanged(KeysChanged { workspace_id: workspace_id(&fields)? }),
        WorkerStopped::KIND => Incoming::WorkerStopped(WorkerStopped { worker_id: worker_id(&fields)? }),
        _ => return Err(unknown_kind(kind)),
    })
}

/// The type of a message that names none. A copy that comes back from a retry queue has the name of
/// its work queue for a routing key.
fn told_kind(routing_key: &str, fields: &Fields<'_>) -> Result<&'static str, Refusal> {
    match routing_key {
        "enrich" | "weir.enrich" => Ok(EnrichmentJob::KIND),
        "copy" | "weir.copy" => Ok(CopyJob::KIND),
        "control" | "weir.jobcontrol" if fields.has("action") => Ok(JobControl::KIND),
        "control" | "weir.jobcontrol" if fields.has("ref") => Ok(TopUp::KIND),
        "control" | "weir.jobcontrol" => Ok(CampaignActivate::KIND),
        // The fanout exchange takes any routing key.
        _ if fields.has("request_id") => Ok(ConfigReload::KIND),
        _ => Err(Refusal::unknown_type("the message has no type, and neither routing key nor fields tell it")),
    }
}

fn unknown_kind(kind: &str) -> Refusal {
    let known = KINDS.into_iter().find(|known| stem(known) == stem(kind));
    Refusal::unknown_type(match known {
        Some(known) if is_id(kind) => format!("type {kind} is another version: {known} is read here"),
        Some(known) => format!("type is another version: {known} is read here"),
        None if is_id(kind) => format!("type {kind} is not read here"),
        None => "type is not one that is read here".to_owned(),
    })
}

/// A type without its version.
fn stem(kind: &str) -> Option<&str> {
    kind.rsplit_once(".v").map(|(stem, _version)| stem)
}

fn enrichment_job(fields: &Fields<'_>) -> Result<EnrichmentJob, Refusal> {
    Ok(EnrichmentJob {
        job_id: job_id(fields)?,
        workspace_id: workspace_id(fields)?,
        campaign_id: fields.maybe_name("campaign_id")?.map(CampaignId::new),
        waterfall: fields.maybe_name("waterfall")?,
        max_spend: fields.maybe_amount("max_spend")?,
        auto_resume: fields.flag("auto_resume")?,
        leads: Leads::read(fields)?,
    })
}

fn copy_job(fields: &Fields<'_>) -> Result<CopyJob, Refusal> {
    Ok(CopyJob {
        job_id: job_id(fields)?,
        workspace_id: workspace_id(fields)?,
        campaign_id: fields.maybe_name("campaign_id")?.map(CampaignId::new),
        purpose: match fields.maybe_name("purpose")? {
            None => Purpose::default(),
            Some(word) => word.parse::<Purpose>().map_err(|()| fields.refuse("purpose", "must be live or warmup"))?,
        },
        model: fields.name("model")?,
        max_output_tokens: fields.maybe_count("max_output_tokens", OUTPUT_TOKENS_LIMIT)?.unwrap_or(USUAL_OUTPUT_TOKENS),
        instructions: fields.text("instructions", INSTRUCTIONS_LIMIT)?,
        personalize: personalize(fields)?,
        max_spend: fields.maybe_amount("max_spend")?,
        auto_resume: fields.flag("auto_resume")?,
        leads: Leads::read(fields)?,
    })
}

fn personalize(fields: &Fields<'_>) -> Result<Personalize, Refusal> {
    let Some(fields) = fields.maybe_object("personalize")? else { return Ok(Personalize::default()) };
    let pages = fields.maybe_list("urls")?.unwrap_or_default();
    if pages.len() > URLS_LIMIT {
        return Err(fields.refuse("urls", format_args!("holds more than {URLS_LIMIT}")));
    }
    let mut urls = Vec::with_capacity(pages.len());
    for (at, page) in pages.iter().enumerate() {
        let name = format!("urls[{at}]");
        let url: String = serde_json::from_str(page.get()).map_err(|_| fields.refuse(&name, "must be a text"))?;
        if url.len() > TEXT_LIMIT {
            return Err(Refusal::too_large(format!("personalize.{name} is longer than {TEXT_LIMIT} bytes")));
        }
        if let Some(problem) = page_problem(&url) {
            return Err(fields.refuse(&name, problem));
        }
        urls.push(url);
    }
    Ok(Personalize { urls })
}

fn job_control(fields: &Fields<'_>) -> Result<JobControl, Refusal> {
    Ok(JobControl {
        job_id: job_id(fields)?,
        action: match fields.name("action")?.as_str() {
            "cancel" => JobAction::Cancel,
            "resume" => JobAction::Resume,
            _ => return Err(fields.refuse("action", "must be cancel or resume")),
        },
        max_spend: fields.maybe_amount("max_spend")?,
    })
}

/// A declined recharge may leave the amount out, or say zero: nothing is booked.
fn top_up(fields: &Fields<'_>) -> Result<TopUp, Refusal> {
    let workspace_id = workspace_id(fields)?;
    let declined = fields.flag("declined")?;
    let amount = match fields.maybe_amount("amount")? {
        Some(amount) if amount.is_positive() || declined => amount,
        Some(_) => return Err(fields.refuse("amount", "must be more than zero")),
        None if declined => Usd::ZERO,
        None => return Err(fields.refuse("amount", "is missing")),
    };
    Ok(TopUp { workspace_id, amount, reference: fields.name("ref")?, declined })
}

fn campaign_activate(fields: &Fields<'_>) -> Result<CampaignActivate, Refusal> {
    Ok(CampaignActivate {
        workspace_id: workspace_id(fields)?,
        campaign_id: CampaignId::new(fields.name("campaign_id")?),
    })
}

fn config_reload(fields: &Fields<'_>) -> Result<ConfigReload, Refusal> {
    let request_id = fields.id("request_id")?;
    let from = match (fields.maybe_text("config", CONFIG_LIMIT)?, fields.maybe_name("from")?.as_deref()) {
        (Some(text), None) => ReloadFrom::Inline(text),
        (None, Some("files")) => ReloadFrom::Files,
        (None, Some(_)) => return Err(fields.refuse("from", "must be files")),
        (Some(_), Some(_)) => return Err(Refusal::invalid("config and from are both given: give one of them")),
        (None, None) => return Err(Refusal::invalid("config is missing: give config, or from")),
    };
    Ok(ConfigReload { request_id, from })
}

fn presence(fields: &Fields<'_>) -> Result<Presence, Refusal> {
    Ok(Presence {
        worker_id: worker_id(fields)?,
        at: fields.name("at")?,
        config_version: ConfigVersion::new(fields.name("config_version")?),
        hello: fields.flag("hello")?,
    })
}

fn job_id(fields: &Fields<'_>) -> Result<JobId, Refusal> {
    fields.id("job_id").map(JobId::new)
}

fn workspace_id(fields: &Fields<'_>) -> Result<WorkspaceId, Refusal> {
    fields.id("workspace_id").map(WorkspaceId::new)
}

fn worker_id(fields: &Fields<'_>) -> Result<WorkerId, Refusal> {
    fields.name("worker_id").map(WorkerId::new)
}
