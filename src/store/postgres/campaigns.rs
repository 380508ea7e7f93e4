//! Campaigns: activated by who can pay, deactivated by command or by a wallet that ran dry.

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
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::ledger::Stopper;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::usd;
use crate::store::postgres::happenings::insert_happening;
use crate::store::postgres::job_rows::find_row;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::count;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::transact;
use deadpool_postgres::GenericClient;
use deadpool_postgres::Transaction;

impl Campaigns for PostgresStore {
    fn campaigns(&self, workspace: &WorkspaceId) -> Later<'_, Vec<StoredCampaign>> {
        let workspace = workspace.clone();
        Box::pin(async move { read_campaigns(&self.client().await?, &workspace).await })
    }

    fn activate_campaign(
        &self,
        workspace: &WorkspaceId,
        campaign: &CampaignId,
        answer: Option<&str>,
    ) -> Later<'_, Activation> {
        let asked = (workspace.clone(), campaign.clone(), answer.map(str::to_owned));
        Box::pin(transact(self, asked, |transaction, (workspace, campaign, answer)| {
            Box::pin(activate(transaction, workspace, campaign, answer.as_deref()))
        }))
    }

    fn deactivate_campaign(&self, workspace: &WorkspaceId, campaign: &CampaignId) -> Later<'_, bool> {
        let asked = (workspace.clone(), campaign.clone());
        Box::pin(transact(self, asked, |transaction, (workspace, campaign)| {
            Box::pin(deactivate(transaction, workspace, campaign))
        }))
    }
}

async fn read_campaigns(
    client: &impl GenericClient,
    workspace: &WorkspaceId,
) -> Result<Vec<StoredCampaign>, LedgerError> {
    let sql = "SELECT c.campaign, c.active, coalesce(j.jobs, 0) FROM campaigns c \
               LEFT JOIN (SELECT campaign, count(*) AS jobs FROM jobs WHERE workspace = $1 GROUP BY campaign) j \
                 ON j.campaign = c.campaign \
               WHERE c.workspace = $1 ORDER BY c.campaign COLLATE \"C\"";
    let mut campaigns = Vec::new();
    for row in all(client, sql, &[&workspace.as_str()]).await? {
        campaigns.push(StoredCampaign {
            workspace: workspace.clone(),
            id: CampaignId::new(column::<&str>(&row, 0)?),
            active: column(&row, 1)?,
            jobs: count(&row, 2)?,
        });
    }
    Ok(campaigns)
}

/// Locks a workspace's wallet: what is in it, and has it run dry? From here on it cannot run dry behind our back.
async fn lock_wallet(transaction: &Transaction<'_>, workspace: &WorkspaceId) -> Result<(Usd, bool), LedgerError> {
    let sql = "SELECT balance, empty_told FROM accounts WHERE workspace = $1 AND bucket = 'metered' FOR NO KEY UPDATE";
    match find(transaction, sql, &[&workspace.as_str()]).await? {
        Some(row) => Ok((usd(&row, 0)?, column(&row, 1)?)),
        None => Ok((Usd::ZERO, false)),
    }
}

async fn activate(
    transaction: &Transaction<'_>,
    workspace: &WorkspaceId,
    campaign: &CampaignId,
    answer: Option<&str>,
) -> Result<Activation, LedgerError> {
    let (balance, ran_dry) = lock_wallet(transaction, workspace).await?;
    let is_active = can_pay(balance, ran_dry);
    if is_active {
        let sql = "INSERT INTO campaigns (workspace, campaign) VALUES ($1, $2) \
                   ON CONFLICT (workspace, campaign) DO UPDATE SET active = true, by_command = false WHERE NOT campaigns.active";
        execute(transaction, sql, &[&workspace.as_str(), &campaign.as_str()]).await?;
    }
    if let Some(answer) = answer {
        // A sender numbers its own messages only.
        let key = format!("asked/{workspace}/{campaign}/{answer}");
        let (workspace, campaign) = (workspace.clone(), campaign.as_str().to_owned());
        let what = if is_active {
            Happening::CampaignActivated { workspace, campaign }
        } else {
            Happening::CampaignRefused { workspace, campaign }
        };
        insert_happening(transaction, &key, &what).await?;
    }
    Ok(if is_active { Activation::Active } else { Activation::Refused { balance } })
}

/// Needs no lock of the wallet: whoever stops it first tells it, a wallet that runs dry or a command.
async fn deactivate(
    transaction: &Transaction<'_>,
    workspace: &WorkspaceId,
    campaign: &CampaignId,
) -> Result<bool, LedgerError> {
    let names = (workspace.as_str(), campaign.as_str());
    let sql = "UPDATE campaigns SET by_command = true WHERE workspace = $1 AND campaign = $2";
    execute(transaction, sql, &[&names.0, &names.1]).await?;
    let sql = "UPDATE campaigns SET active = false, changes = changes + 1 \
               WHERE workspace = $1 AND campaign = $2 AND active RETURNING changes";
    let Some(row) = find(transaction, sql, &[&names.0, &names.1]).await? else {
        return Ok(false);
    };
    let key = format!("stopped/{workspace}/{campaign}/{}", column::<i64>(&row, 0)?);
    let (workspace, campaign) = (workspace.clone(), campaign.as_str().to_owned());
    let what = Happening::CampaignDeactivated { workspace, campaign, by: Stopper::Command };
    insert_happening(transaction, &key, &what).await?;
    Ok(true)
}

/// Is the campaign of a job that is to be resumed inactive, and could its wallet pay?
pub(super) async fn is_to_be_activated(
    transaction: &Transaction<'_>,
    job: &StoredJob,
    by: Resumer,
) -> Result<bool, LedgerError> {
    let Some(campaign) = &job.campaign else { return Ok(false) };
    let sql = "SELECT a.balance, a.empty_told FROM campaigns c JOIN accounts a ON a.id = $3 \
               WHERE c.workspace = $1 AND c.campaign = $2 AND NOT c.active AND ($4 OR NOT c.by_command)";
    let (workspace, campaign, is_command) = (job.workspace.as_str(), campaign.as_str(), by == Resumer::Command);
    match find(transaction, sql, &[&workspace, &campaign, &job.account.0, &is_command]).await? {
        Some(row) => Ok(can_pay(usd(&row, 0)?, column(&row, 1)?)),
        None => Ok(false),
    }
}

/// Activates the campaign of a job that is about to be resumed, if the wallet can pay.
pub(super) async fn activate_for(transaction: &Transaction<'_>, key: JobKey, by: Resumer) -> Result<(), LedgerError> {
    let Some(job) = find_row(transaction, key).await? else { return Ok(()) };
    let Some(campaign) = &job.campaign else { return Ok(()) };
    let (balance, ran_dry) = lock_wallet(transaction, &job.workspace).await?;
    if !can_pay(balance, ran_dry) {
        return Ok(());
    }
    let sql = "UPDATE campaigns SET active = true, by_command = false, changes = changes + 1 \
               WHERE workspace = $1 AND campaign = $2 AND NOT active AND ($3 OR NOT by_command) RETURNING changes";
    let params = (job.workspace.as_str(), campaign.as_str(), by == Resumer::Command);
    let Some(row) = find(transaction, sql, &[&params.0, &params.1, &params.2]).await? else {
        return Ok(());
    };
    let key = format!("resumed/{}/{}/{}", job.id, job.run, column::<i64>(&row, 0)?);
    let what = Happening::CampaignActivated { workspace: job.workspace, campaign: campaign.as_str().to_owned() };
    insert_happening(transaction, &key, &what).await
}
