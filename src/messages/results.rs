//! What becomes of a job and its leads: the events that must reach a queue.

use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::CampaignId;
use crate::domain::Ending;
use crate::domain::JobId;
use crate::domain::KeySource;
use crate::domain::LeadId;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::Product;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Tokens;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::domain::WorkspaceId;
use crate::messages::events::Message;
use crate::messages::events::run_event_id;
use crate::messages::nouns::copy_reason;
use crate::messages::nouns::copy_status;
use crate::messages::nouns::lead_reason;
use crate::messages::nouns::lead_status;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How a lead ended in one run of its job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct LeadResult {
    /// The same when it is published again, new after a resume.
    pub event_id: String,
    /// When its last attempt ended; null when there was none.
    #[schemars(extend("format" = "date-time"))]
    pub at: Option<String>,
    /// Of this job.
    pub job_id: JobId,
    /// The customer.
    pub workspace_id: WorkspaceId,
    /// As the job named it.
    pub campaign_id: Option<CampaignId>,
    /// Which lead.
    pub lead_id: LeadId,
    /// How it ended.
    #[schemars(schema_with = "lead_status")]
    pub status: Status,
    /// Why it ended so.
    #[schemars(schema_with = "lead_reason")]
    pub reason: Reason,
    /// The address, if there is an acceptable one.
    pub email: Option<Address>,
    /// What is known of it.
    pub verdict: Option<Verdict>,
    /// Who found it; null when it came with the lead.
    pub found_by: Option<ProviderName>,
    /// Whose verdict it is.
    pub verified_by: Option<ProviderName>,
    /// USD, over all runs.
    pub cost: Usd,
    /// Every attempt that has ended, over all runs.
    pub trail: Vec<TrailStep>,
}

/// One attempt of a lead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct TrailStep {
    /// Who was asked for what.
    pub step: Step,
    /// Whose key.
    pub key_source: KeySource,
    /// What came of it.
    pub outcome: Outcome,
    /// Taken from an earlier attempt?
    pub cached: bool,
    /// USD that were charged.
    pub cost: Usd,
    /// From its begin to its end, in milliseconds.
    pub duration_ms: u64,
    /// Nobody said what the call took, so that it cost what was held for it; left out where that is not so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub usage_missing: bool,
}

/// Whose lead a result is about.
#[derive(Clone, Copy, Debug)]
pub struct JobHead<'a> {
    /// Its job.
    pub job_id: &'a JobId,
    /// The customer.
    pub workspace_id: &'a WorkspaceId,
    /// As the job named it.
    pub campaign_id: Option<&'a CampaignId>,
}

impl LeadResult {
    /// The result of a lead that ended in this run. `at` is the time its last attempt ended, as text.
    pub fn new<'t>(
        job: JobHead<'_>,
        lead_id: &LeadId,
        run: Run,
        ending: &Ending,
        cost: Usd,
        trail: impl Iterator<Item = &'t Attempt>,
        at: Option<String>,
    ) -> Self {
        Self {
            event_id: run_event_id(Self::KIND, job.job_id, Some(lead_id), run),
            at,
            job_id: job.job_id.clone(),
            workspace_id: job.workspace_id.clone(),
            campaign_id: job.campaign_id.cloned(),
            lead_id: lead_id.clone(),
            status: ending.status,
            reason: ending.reason,
            email: ending.address.clone(),
            verdict: ending.verdict,
            found_by: ending.found_by.clone(),
            verified_by: ending.verified_by.clone(),
            cost,
            trail: trail.filter_map(TrailStep::of).collect(),
        }
    }
}

impl TrailStep {
    /// Of an attempt that came to an end; what is under way is no part of a result.
    pub fn of(attempt: &Attempt) -> Option<Self> {
        let end = attempt.end()?;
        Some(Self {
            step: attempt.step.clone(),
            key_source: attempt.key_source,
            outcome: end.outcome,
            cached: end.source == AnswerSource::Cached,
            cost: end.cost,
            duration_ms: end.duration_ms,
            usage_missing: end.unsaid,
        })
    }
}

/// The copy that was written for a lead, or why none was.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CopyResult {
    /// The same when it is published again, new after a resume.
    pub event_id: String,
    /// When its last attempt ended; null when there was none.
    #[schemars(extend("format" = "date-time"))]
    pub at: Option<String>,
    /// Of this job.
    pub job_id: JobId,
    /// The customer.
    pub workspace_id: WorkspaceId,
    /// As the job named it.
    pub campaign_id: Option<CampaignId>,
    /// Which lead.
    pub lead_id: LeadId,
    /// How it ended.
    #[schemars(schema_with = "copy_status")]
    pub status: Status,
    /// Why it ended so.
    #[schemars(schema_with = "copy_reason")]
    pub reason: Reason,
    /// The subject line; null when there is no copy.
    pub subject: Option<String>,
    /// The text; null when there is no copy.
    pub body: Option<String>,
    /// What the model counted for its last answer; null when it gave none, or did not say.
    pub usage: Option<Usage>,
    /// USD, over all runs.
    pub cost: Usd,
    /// Every attempt that has ended, over all runs.
    pub trail: Vec<TrailStep>,
}

/// Tokens that a model counted; no token of its input stands twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Usage {
    /// Read, neither from nor into the provider's cache.
    pub input_tokens: u64,
    /// Read from its cache.
    pub cached_input_tokens: u64,
    /// Read, and written into its cache.
    pub cache_write_tokens: u64,
    /// Written, reasoning included.
    pub output_tokens: u64,
    /// As many of those written as were reasoning.
    pub reasoning_tokens: u64,
}

impl CopyResult {
    /// The result of a lead that ended in this run. `at` is the time its last attempt ended, as text.
    pub fn new<'t>(
        job: JobHead<'_>,
        lead_id: &LeadId,
        run: Run,
        ending: &Ending,
        cost: Usd,
        trail: impl Iterator<Item = &'t Attempt>,
        at: Option<String>,
    ) -> Self {
        let trail: Vec<&Attempt> = trail.collect();
        let mut writes = trail.iter().rev().filter(|attempt| attempt.step.operation == Operation::WriteCopy);
        let answer = writes.find_map(|attempt| attempt.end()).and_then(|end| end.product.as_ref());
        let (draft, tokens) = match answer {
            Some(Product::Copy { draft, tokens }) => (draft.as_deref(), *tokens),
            Some(Product::Text(_)) | None => (None, None),
        };
        Self {
            event_id: run_event_id(Self::KIND, job.job_id, Some(lead_id), run),
            at,
            job_id: job.job_id.clone(),
            workspace_id: job.workspace_id.clone(),
            campaign_id: job.campaign_id.cloned(),
            lead_id: lead_id.clone(),
            status: ending.status,
            reason: ending.reason,
            subject: draft.map(|draft| draft.subject.clone()),
            body: draft.map(|draft| draft.body.clone()),
            usage: tokens.map(Usage::from),
            cost,
            trail: trail.into_iter().filter_map(TrailStep::of).collect(),
        }
    }
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        Self {
            input_tokens: tokens.input,
            cached_input_tokens: tokens.cached_input,
            cache_write_tokens: tokens.cache_write,
            output_tokens: tokens.output,
            reasoning_tokens: tokens.reasoning,
        }
    }
}

impl fmt::Debug for CopyResult {
    /// Without what was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyResult")
            .field("job_id", &self.job_id)
            .field("lead_id", &self.lead_id)
            .finish_non_exhaustive()
    }
}

/// Every lead of a job has ended; it comes again after each resume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct JobCompleted {
    /// The same when it is published again, new after a resume.
    pub event_id: String,
    /// When the last lead ended.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Which job.
    pub job_id: JobId,
    /// The customer.
    pub workspace_id: WorkspaceId,
    /// As the job named it.
    pub campaign_id: Option<CampaignId>,
    /// Leads by how they ended; what none ended as is left out.
    pub by_status: BTreeMap<Status, u64>,
    /// Leads by why they ended so; likewise.
    pub by_reason: BTreeMap<Reason, u64>,
    /// USD, over all runs.
    pub cost: Usd,
}

impl Message for LeadResult {
    const KIND: &'static str = "weir.lead_result.v1";
}

impl Message for CopyResult {
    const KIND: &'static str = "weir.copy_result.v1";
}

impl Message for JobCompleted {
    const KIND: &'static str = "weir.job_completed.v1";
}
