//! What is sent to the worker: jobs, control, money and configurations.

use crate::domain::CampaignId;
use crate::domain::JobId;
use crate::domain::Purpose;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::messages::events::Message;
use crate::messages::fields::NAME_LIMIT;
use crate::messages::internal::KeysChanged;
use crate::messages::internal::Presence;
use crate::messages::internal::WorkerStopped;
use crate::messages::leads::Leads;
use crate::messages::limits::AMOUNT_PATTERN;
use crate::messages::limits::CONFIG_LIMIT;
use crate::messages::limits::ID_PATTERN;
use crate::messages::limits::INSTRUCTIONS_LIMIT;
use crate::messages::limits::OUTPUT_TOKENS_LIMIT;
use crate::messages::limits::PAGE_PATTERN;
use crate::messages::limits::TEXT_LIMIT;
use crate::messages::limits::URLS_LIMIT;
use crate::messages::limits::USUAL_OUTPUT_TOKENS;
use schemars::JsonSchema;
use schemars::Schema;
use schemars::SchemaGenerator;
use schemars::json_schema;
use serde_json::Value;
use serde_json::json;
use std::fmt;

/// A message as it was read: everything in it has its form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    /// Leads to enrich.
    Enrich(EnrichmentJob),
    /// Leads to write copy for.
    Copy(CopyJob),
    /// Stop or resume a job.
    JobControl(JobControl),
    /// Money comes in, or does not.
    TopUp(TopUp),
    /// Begin a campaign.
    CampaignActivate(CampaignActivate),
    /// Another configuration.
    ConfigReload(ConfigReload),
    /// A worker lives.
    Presence(Presence),
    /// A workspace's keys or settings are others.
    KeysChanged(KeysChanged),
    /// A worker has gone.
    WorkerStopped(WorkerStopped),
}

impl Incoming {
    /// The id it is about: a job's, a top-up's, a campaign's, a request's, a workspace's, a worker's.
    pub fn id(&self) -> &str {
        match self {
            Self::Enrich(job) => job.job_id.as_str(),
            Self::Copy(job) => job.job_id.as_str(),
            Self::JobControl(control) => control.job_id.as_str(),
            Self::TopUp(top_up) => &top_up.reference,
            Self::CampaignActivate(campaign) => campaign.campaign_id.as_str(),
            Self::ConfigReload(reload) => &reload.request_id,
            Self::Presence(presence) => presence.worker_id.as_str(),
            Self::KeysChanged(changed) => changed.workspace_id.as_str(),
            Self::WorkerStopped(stopped) => stopped.worker_id.as_str(),
        }
    }
}

/// Leads to enrich.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema)]
pub struct EnrichmentJob {
    /// Unique: sent again with the same content it is the same job, with other content it is refused.
    pub job_id: JobId,
    /// The customer.
    pub workspace_id: WorkspaceId,
    /// Named in the results.
    pub campaign_id: Option<CampaignId>,
    /// A waterfall of the configuration; left out, its default.
    #[schemars(length(min = 1, max = NAME_LIMIT))]
    pub waterfall: Option<String>,
    /// USD that the job may cost at most, over all its runs.
    #[schemars(with = "Option<String>", regex(pattern = AMOUNT_PATTERN))]
    pub max_spend: Option<Usd>,
    /// Resume by itself after every top-up?
    #[schemars(default, with = "Option<bool>")]
    pub auto_resume: bool,
    /// Where its leads are.
    #[schemars(flatten)]
    pub leads: Leads,
}

impl EnrichmentJob {
    /// What makes two messages with one `job_id` the same job, as JSON: everything but the id. The order of
    /// fields, spaces, unknown fields, and how an amount is written do not count; of a list by address,
    /// the address does.
    pub fn canonical(&self) -> String {
        let head = json!({
            "workspace_id": self.workspace_id,
            "campaign_id": self.campaign_id,
            "waterfall": self.waterfall,
            "max_spend": self.max_spend,
            "auto_resume": self.auto_resume,
        });
        json!([Self::KIND, head, self.leads]).to_string()
    }
}

/// Leads to write copy for.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
pub struct CopyJob {
    /// Unique: sent again with the same content it is the same job, with other content it is refused.
    pub job_id: JobId,
    /// The customer.
    pub workspace_id: WorkspaceId,
    /// Named in the results.
    pub campaign_id: Option<CampaignId>,
    /// What it is written for.
    #[schemars(default, with = "Option<Purpose>")]
    pub purpose: Purpose,
    /// A model of the configuration.
    #[schemars(length(min = 1, max = NAME_LIMIT))]
    pub model: String,
    /// Tokens that the model may write for a lead, reasoning included.
    #[schemars(default = "usual_output_tokens", with = "Option<u32>", range(min = 1, max = OUTPUT_TOKENS_LIMIT))]
    pub max_output_tokens: u32,
    /// What the model is told; fields of the lead like `{first_name}` are filled in, each in one line of at most 200
    /// characters, and what else stands in braces stays as it is.
    #[schemars(length(min = 1, max = INSTRUCTIONS_LIMIT))]
    pub instructions: String,
    /// What is looked up for a lead before its copy is written.
    #[schemars(default, with = "Option<Personalize>")]
    pub personalize: Personalize,
    /// USD that the job may cost at most, over all its runs.
    #[schemars(with = "Option<String>", regex(pattern = AMOUNT_PATTERN))]
    pub max_spend: Option<Usd>,
    /// Resume by itself after every top-up?
    #[schemars(default, with = "Option<bool>")]
    pub auto_resume: bool,
    /// Where its leads are.
    #[schemars(flatten)]
    pub leads: Leads,
}

impl CopyJob {
    /// What makes two messages with one `job_id` the same job, as [`EnrichmentJob::canonical`] has it. A number
    /// of tokens that is left out is the usual one.
    pub fn canonical(&self) -> String {
        let head = json!({
            "workspace_id": self.workspace_id,
            "campaign_id": self.campaign_id,
            "purpose": self.purpose,
            "model": self.model,
            "max_output_tokens": self.max_output_tokens,
            "instructions": self.instructions,
            "personalize": { "urls": self.personalize.urls },
            "max_spend": self.max_spend,
            "auto_resume": self.auto_resume,
        });
        json!([Self::KIND, head, self.leads]).to_string()
    }
}

const fn usual_output_tokens() -> u32 {
    USUAL_OUTPUT_TOKENS
}

/// What is looked up for a lead before its copy is written.
#[derive(Clone, PartialEq, Eq, Default, Debug, JsonSchema)]
pub struct Personalize {
    /// Pages to read; fields of the lead like `{domain}` are filled in, percent-encoded but for the domain, and
    /// nothing else may stand in braces. A page whose address lacks one, or that cannot be had, does not stop the copy.
    #[schemars(default, with = "Option<Vec<String>>", length(max = URLS_LIMIT))]
    #[schemars(inner(length(max = TEXT_LIMIT), regex(pattern = PAGE_PATTERN)))]
    pub urls: Vec<String>,
}

/// Stop or resume a job.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema)]
pub struct JobControl {
    /// Which job.
    pub job_id: JobId,
    /// What becomes of it.
    pub action: JobAction,
    /// For `resume`: the job's new cap in USD, which may only rise.
    #[schemars(with = "Option<String>", regex(pattern = AMOUNT_PATTERN))]
    pub max_spend: Option<Usd>,
}

/// What becomes of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum JobAction {
    /// No further call is made for it.
    Cancel,
    /// A new run of every lead that ended for a reason that can have changed.
    Resume,
}

/// Money comes in, or was asked for in vain.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema)]
#[schemars(extend("if" = is_declined(), "else" = has_amount()))]
pub struct TopUp {
    /// Whose wallet.
    pub workspace_id: WorkspaceId,
    /// USD; more than zero, and only left out where the recharge is declined.
    #[schemars(with = "Option<String>", regex(pattern = AMOUNT_PATTERN))]
    pub amount: Usd,
    /// Booked once by it.
    #[schemars(rename = "ref", length(min = 1, max = NAME_LIMIT))]
    pub reference: String,
    /// Was a recharge refused? Then nothing is booked.
    #[schemars(default, with = "Option<bool>")]
    pub declined: bool,
}

fn is_declined() -> Value {
    json!({ "properties": { "declined": { "const": true } }, "required": ["declined"] })
}

fn has_amount() -> Value {
    json!({ "properties": { "amount": { "type": "string" } }, "required": ["amount"] })
}

/// Asks whether a campaign may begin: it needs a balance.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema)]
pub struct CampaignActivate {
    /// The customer.
    pub workspace_id: WorkspaceId,
    /// Which of its campaigns.
    pub campaign_id: CampaignId,
}

/// Another configuration, for every worker.
#[derive(Clone, PartialEq, Eq, Debug, JsonSchema)]
pub struct ConfigReload {
    /// Named in every worker's answer.
    #[schemars(regex(pattern = ID_PATTERN))]
    pub request_id: String,
    /// Where it is.
    #[schemars(flatten)]
    pub from: ReloadFrom,
}

/// Where a configuration is.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
pub enum ReloadFrom {
    /// The TOML text of the live half; what it leaves out takes its default.
    #[schemars(rename = "config")]
    Inline(#[schemars(length(max = CONFIG_LIMIT))] String),
    /// Each worker's own files, read again.
    #[schemars(rename = "from", schema_with = "files")]
    Files,
}

fn files(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "const": "files" })
}

impl Message for EnrichmentJob {
    const KIND: &'static str = "weir.enrichment_job.v1";
}

impl Message for CopyJob {
    const KIND: &'static str = "weir.copy_job.v1";
}

impl Message for JobControl {
    const KIND: &'static str = "weir.job_control.v1";
}

impl Message for TopUp {
    const KIND: &'static str = "weir.top_up.v1";
}

impl Message for CampaignActivate {
    const KIND: &'static str = "weir.campaign_activate.v1";
}

impl Message for ConfigReload {
    const KIND: &'static str = "weir.config_reload.v1";
}

impl fmt::Debug for CopyJob {
    /// Without what the model is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyJob").field("job_id", &self.job_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReloadFrom {
    /// Without the text: somebody may have pasted a key into it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inline(_) => "Inline(…)",
            Self::Files => "Files",
        })
    }
}
