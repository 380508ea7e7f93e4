//! Campaigns in memory.

use crate::domain::CampaignId;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::Activation;
use crate::jobs::Campaigns;
use crate::jobs::Resumer;
use crate::jobs::StoredCampaign;
use crate::jobs::StoredJob;
use crate::jobs::can_pay;
use crate::ledger::Happening;
use crate::ledger::Later;
use crate::ledger::Stopper;
use crate::store::memory::MemoryStore;
use crate::store::memory::tables::Campaign;
use crate::store::memory::tables::Tables;

impl Campaigns for MemoryStore {
    fn campaigns(&self, workspace: &WorkspaceId) -> Later<'_, Vec<StoredCampaign>> {
        let workspace = workspace.clone();
        self.run(move |tables| {
            let of_workspace = tables.campaigns.iter().filter(|((owner, _), _)| *owner == workspace);
            let stored = of_workspace.map(|((owner, campaign), state)| StoredCampaign {
                workspace: owner.clone(),
                id: CampaignId::new(campaign.as_str()),
                active: *state == Campaign::Active,
                jobs: jobs_of(tables, owner, campaign),
            });
            Ok(stored.collect())
        })
    }

    fn activate_campaign(
        &self,
        workspace: &WorkspaceId,
        campaign: &CampaignId,
        answer: Option<&str>,
    ) -> Later<'_, Activation> {
        let (workspace, campaign, answer) =
            (workspace.clone(), campaign.as_str().to_owned(), answer.map(str::to_owned));
        self.run(move |tables| {
            let (balance, ran_dry) = wallet(tables, &workspace);
            let is_active = can_pay(balance, ran_dry);
            if is_active {
                tables.campaigns.insert((workspace.clone(), campaign.clone()), Campaign::Active);
            }
            if let Some(answer) = answer {
                let key = format!("asked/{workspace}/{campaign}/{answer}");
                let what = if is_active {
                    Happening::CampaignActivated { workspace, campaign }
                } else {
                    Happening::CampaignRefused { workspace, campaign }
                };
                tables.happened(&key, &what);
            }
            Ok(if is_active { Activation::Active } else { Activation::Refused { balance } })
        })
    }

    fn deactivate_campaign(&self, workspace: &WorkspaceId, campaign: &CampaignId) -> Later<'_, bool> {
        let (workspace, campaign) = (workspace.clone(), campaign.as_str().to_owned());
        self.run(move |tables| {
            let place = (workspace.clone(), campaign.clone());
            let known = tables.campaigns.get_mut(&place);
            let was = known.map(|state| std::mem::replace(state, Campaign::StoppedByCommand));
            let was_active = was == Some(Campaign::Active);
            if was_active {
                tables.campaign_changes += 1;
                let key = format!("stopped/{workspace}/{campaign}/{}", tables.campaign_changes);
                tables.happened(&key, &Happening::CampaignDeactivated { workspace, campaign, by: Stopper::Command });
            }
            Ok(was_active)
        })
    }
}

fn jobs_of(tables: &Tables, workspace: &WorkspaceId, campaign: &str) -> u64 {
    let named = |job: &StoredJob| job.campaign.as_ref().is_some_and(|named| named.as_str() == campaign);
    let jobs = tables.jobs.values().filter(|job| job.stored.workspace == *workspace && named(&job.stored));
    u64::try_from(jobs.count()).unwrap()
}

/// What is in a workspace's wallet, and has it run dry?
fn wallet(tables: &Tables, workspace: &WorkspaceId) -> (Usd, bool) {
    let row = tables.account_of(workspace).and_then(|account| tables.accounts.get(&account));
    row.map_or((Usd::ZERO, false), |row| (row.money.balance, row.empty_told))
}

/// May that one activate a campaign of this state?
fn may_activate(state: Campaign, by: Resumer) -> bool {
    match state {
        Campaign::Active => false,
        Campaign::Stopped => true,
        Campaign::StoppedByCommand => by == Resumer::Command,
    }
}

/// Activates the campaign of a job that is resumed, if the wallet can pay.
pub(super) fn activate_for(tables: &mut Tables, job: &StoredJob, by: Resumer) {
    let (balance, ran_dry) = wallet(tables, &job.workspace);
    let Some(campaign) = job.campaign.as_ref().filter(|_| can_pay(balance, ran_dry)) else { return };
    let state = tables.campaigns.get_mut(&(job.workspace.clone(), campaign.as_str().to_owned()));
    if let Some(state) = state.filter(|state| may_activate(**state, by)) {
        *state = Campaign::Active;
        tables.campaign_changes += 1;
        let key = format!("resumed/{}/{}/{}", job.id, job.run, tables.campaign_changes);
        let (workspace, campaign) = (job.workspace.clone(), campaign.as_str().to_owned());
        tables.happened(&key, &Happening::CampaignActivated { workspace, campaign });
    }
}
