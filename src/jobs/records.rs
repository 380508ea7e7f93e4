//! What the store keeps of jobs and leads, as it hands it out and takes it in.

use crate::domain::Attempt;
use crate::domain::Brief;
use crate::domain::CampaignId;
use crate::domain::ConfigVersion;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::JobId;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Status;
use crate::domain::Usd;
use crate::domain::WaterfallName;
use crate::domain::WorkspaceId;
use crate::jobs::Learned;
use crate::ledger::AccountId;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobState {
    /// Its leads are being stored; nothing has been paid.
    Loading,
    /// Its leads are stored.
    Queued,
    /// A worker has begun.
    Running,
    /// Every lead has ended; what can be resumed may be.
    Completed,
    /// Stopped by command.
    Cancelled,
}

impl JobState {
    /// The contract's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for JobState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "loading" => Ok(Self::Loading),
            "queued" => Ok(Self::Queued),
            "running" => Ok(Self::Running),
            "completed" => Ok(Self::Completed),
            "cancelled" => Ok(Self::Cancelled),
            _ => Err(()),
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is done for the leads of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// An address is found and verified, by this waterfall.
    Enrich(WaterfallName),
    /// Copy is written.
    Copy(Arc<Brief>),
}

impl Work {
    /// The contract's word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Enrich(_) => "enrich",
            Self::Copy(_) => "copy",
        }
    }

    /// What it is done by: the waterfall's name, or the model's.
    pub fn name(&self) -> &str {
        match self {
            Self::Enrich(waterfall) => waterfall.as_str(),
            Self::Copy(brief) => &brief.model,
        }
    }

    /// The waterfall, if it is one.
    pub const fn waterfall(&self) -> Option<&WaterfallName> {
        match self {
            Self::Enrich(waterfall) => Some(waterfall),
            Self::Copy(_) => None,
        }
    }

    /// What copy is asked for, if it is.
    pub const fn brief(&self) -> Option<&Arc<Brief>> {
        match self {
            Self::Enrich(_) => None,
            Self::Copy(brief) => Some(brief),
        }
    }
}

/// A job to create.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id, unique in the store.
    pub id: JobId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// What is to be done.
    pub work: Work,
    /// What makes it the same job when it is sent again.
    pub content: Fingerprint,
    /// Leads a slice.
    pub slice_size: u32,
    /// The campaign it belongs to.
    pub campaign: Option<CampaignId>,
    /// Its cap, where it came with one.
    pub max_spend: Option<Usd>,
    /// Is it resumed by itself after every top-up?
    pub auto_resume: bool,
    /// Where its results go besides.
    pub reply: Option<Reply>,
}

/// Where a sender wants the results too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The queue.
    pub to: String,
    /// Copied from the message that brought the job.
    pub correlation_id: Option<String>,
}

/// A job as stored.
#[derive(Clone, Debug)]
pub struct StoredJob {
    /// Its row.
    pub key: JobKey,
    /// Its id.
    pub id: JobId,
    /// Whose.
    pub workspace: WorkspaceId,
    /// The wallet that pays.
    pub account: AccountId,
    /// What is to be done.
    pub work: Work,
    /// What makes it the same job.
    pub content: Fingerprint,
    /// Where it stands.
    pub state: JobState,
    /// The run at work, or the last one.
    pub run: Run,
    /// Its cap, if it has one.
    pub max_spend: Option<Usd>,
    /// What its budgets have put into the wallet.
    pub funded: Usd,
    /// What its open holds bind.
    pub held: Usd,
    /// How many leads it has, copies included.
    pub leads: u64,
    /// Leads a slice.
    pub slice_size: u32,
    /// The campaign it belongs to.
    pub campaign: Option<CampaignId>,
    /// Where its results go besides.
    pub reply: Option<Reply>,
}

/// A lead to store.
#[derive(Clone, Debug)]
pub struct NewLead {
    /// Its row number.
    pub n: LeadNo,
    /// Its id, unique in the job.
    pub id: LeadId,
    /// What is known of it; `None` for a row that cannot be used (`skipped` / `invalid_input`).
    pub lead: Option<Lead>,
}

/// A lead to work on.
#[derive(Clone, Debug)]
pub struct LeadWork {
    /// Which.
    pub n: LeadNo,
    /// Its id, for logs.
    pub id: LeadId,
    /// What is known of it.
    pub lead: Lead,
    /// All that has happened to it, in this and earlier runs.
    pub attempts: Vec<Attempt>,
    /// How many identical leads will copy its result.
    pub copies: u32,
    /// What overtaken owners had learned of its begun attempts.
    pub learned: Vec<Learned>,
}

/// How far a job has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Leads in all, copies included.
    pub leads: u64,
    /// Ended, copies included.
    pub done: u64,
    /// How many ended how.
    pub by_status: Vec<(Status, u64)>,
    /// How many ended why.
    pub by_reason: Vec<(Reason, u64)>,
    /// What the job has cost, over all runs.
    pub cost: Option<Usd>,
}

/// The result of one lead.
#[derive(Clone, Debug)]
pub struct LeadResult {
    /// Its row number.
    pub n: LeadNo,
    /// Its id.
    pub id: LeadId,
    /// How it ended; `None` when it has not yet.
    pub ending: Option<Ending>,
    /// When it ended, wall-clock milliseconds; a copy with its original. `None` too where an earlier
    /// version has not noted it.
    pub ended_ms: Option<i64>,
    /// What it cost; nothing for a copy.
    pub cost: Usd,
    /// How many of its attempts called a provider; none for a copy.
    pub called: u32,
    /// The run that decided it, or works on it.
    pub run: Run,
    /// The identical lead whose result this is.
    pub copy_of: Option<LeadNo>,
}

/// An attempt with what only the store knows of it.
#[derive(Clone, Debug)]
pub struct StoredAttempt {
    /// The attempt.
    pub attempt: Attempt,
    /// When it began, wall-clock milliseconds.
    pub began_ms: i64,
    /// The configuration it ran under.
    pub config_version: ConfigVersion,
    /// What it holds of the wallet, or held.
    pub held: Option<Usd>,
}
