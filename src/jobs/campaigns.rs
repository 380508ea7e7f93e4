//! Campaigns: whether one is active. The flag stops nothing by itself (DESIGN §3.3); it tells the platform.

use crate::domain::CampaignId;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::Later;

/// A campaign as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredCampaign {
    /// Whose.
    pub workspace: WorkspaceId,
    /// Which.
    pub id: CampaignId,
    /// Is it active?
    pub active: bool,
    /// How many jobs name it.
    pub jobs: u64,
}

/// What became of an activation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// It is active; it may have been before.
    Active,
    /// The wallet cannot pay: nothing is in it, or a step was refused since the last top-up.
    Refused {
        /// What is in it.
        balance: Usd,
    },
}

/// Who resumes a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resumer {
    /// Somebody, by a command or a message: the job's campaign goes on whatever stopped it.
    Command,
    /// A top-up: the campaign goes on unless a command stopped it.
    TopUp,
}

/// What the store keeps of campaigns. Each call is one transaction.
pub trait Campaigns: Send + Sync {
    /// The campaigns of a workspace, by name.
    fn campaigns(&self, workspace: &WorkspaceId) -> Later<'_, Vec<StoredCampaign>>;

    /// Activates a campaign, a new one too, if the wallet can pay (see [`can_pay`]). With `answer`, what became
    /// of it is a happening of the same commit under that key: asked again with the same key, it is told
    /// again as the same event.
    fn activate_campaign(
        &self,
        workspace: &WorkspaceId,
        campaign: &CampaignId,
        answer: Option<&str>,
    ) -> Later<'_, Activation>;

    /// Deactivates a campaign, a happening if it was active; `false` when it was not, or is unknown.
    fn deactivate_campaign(&self, workspace: &WorkspaceId, campaign: &CampaignId) -> Later<'_, bool>;
}

/// Can a wallet pay for a campaign? Not when nothing is in it, and not while a step has been refused since the
/// last top-up: what is left then pays for no more than odd ends.
pub const fn can_pay(balance: Usd, ran_dry: bool) -> bool {
    balance.is_positive() && !ran_dry
}
