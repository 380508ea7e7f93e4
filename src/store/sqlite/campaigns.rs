//! Campaigns over SQLite: activated by who can pay, deactivated by command or by a wallet that ran dry.

use crate::clock;
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
use crate::ledger::LedgerError;
use crate::ledger::Stopper;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::happenings::insert_happening;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::transact;
use crate::store::sqlite::statements::usd;
use rusqlite::Connection;

impl Campaigns for SqliteStore {
    fn campaigns(&self, workspace: &WorkspaceId) -> Later<'_, Vec<StoredCampaign>> {
        let workspace = workspace.clone();
        Box::pin(self.read(move |connection| read_campaigns(connection, &workspace)))
    }

    fn activate_campaign(
        &self,
        workspace: &WorkspaceId,
        campaign: &CampaignId,
        answer: Option<&str>,
    ) -> Later<'_, Activation> {
        let (workspace, campaign, answer) = (workspace.clone(), campaign.clone(), answer.map(str::to_owned));
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| activate(transaction, &workspace, &campaign, answer.as_deref()))
        }))
    }

    fn deactivate_campaign(&self, workspace: &WorkspaceId, campaign: &CampaignId) -> Later<'_, bool> {
        let (workspace, campaign) = (workspace.clone(), campaign.clone());
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| deactivate(transaction, &workspace, &campaign))
        }))
    }
}

fn read_campaigns(connection: &Connection, workspace: &WorkspaceId) -> Result<Vec<StoredCampaign>, LedgerError> {
    let sql = "SELECT c.campaign, c.active, coalesce(j.jobs, 0) FROM campaigns c \
               LEFT JOIN (SELECT campaign, count(*) AS jobs FROM jobs WHERE workspace = ?1 GROUP BY campaign) j \
                 ON j.campaign = c.campaign \
               WHERE c.workspace = ?1 ORDER BY c.campaign";
    all(connection, sql, [workspace.as_str()], |row| {
        let id = CampaignId::new(row.get::<_, String>(0)?);
        Ok(StoredCampaign { workspace: workspace.clone(), id, active: row.get(1)?, jobs: row.get(2)? })
    })
}

/// What is in a workspace's wallet, and has it run dry?
fn read_wallet(connection: &Connection, workspace: &WorkspaceId) -> Result<(Usd, bool), LedgerError> {
    let sql = "SELECT balance, empty_told FROM accounts WHERE workspace = ?1 AND bucket = 'metered'";
    let wallet = find(connection, sql, [workspace.as_str()], |row| Ok((usd(row, 0)?, row.get(1)?)))?;
    Ok(wallet.unwrap_or((Usd::ZERO, false)))
}

fn activate(
    connection: &Connection,
    workspace: &WorkspaceId,
    campaign: &CampaignId,
    answer: Option<&str>,
) -> Result<Activation, LedgerError> {
    let (balance, ran_dry) = read_wallet(connection, workspace)?;
    let is_active = can_pay(balance, ran_dry);
    if is_active {
        let sql = "INSERT INTO campaigns (workspace, campaign) VALUES (?1, ?2) \
                   ON CONFLICT (workspace, campaign) DO UPDATE SET active = 1, by_command = 0";
        execute(connection, sql, (workspace.as_str(), campaign.as_str()))?;
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
        insert_happening(connection, &key, &what, clock::wall_ms())?;
    }
    Ok(if is_active { Activation::Active } else { Activation::Refused { balance } })
}

fn deactivate(connection: &Connection, workspace: &WorkspaceId, campaign: &CampaignId) -> Result<bool, LedgerError> {
    let names = (workspace.as_str(), campaign.as_str());
    let sql = "UPDATE campaigns SET by_command = 1 WHERE workspace = ?1 AND campaign = ?2";
    execute(connection, sql, names)?;
    let sql = "UPDATE campaigns SET active = 0, changes = changes + 1 \
               WHERE workspace = ?1 AND campaign = ?2 AND active = 1 RETURNING changes";
    let stopped = find(connection, sql, names, |row| row.get::<_, i64>(0))?;
    let Some(changes) = stopped else { return Ok(false) };
    let key = format!("stopped/{workspace}/{campaign}/{changes}");
    let (workspace, campaign) = (workspace.clone(), campaign.as_str().to_owned());
    let what = Happening::CampaignDeactivated { workspace, campaign, by: Stopper::Command };
    insert_happening(connection, &key, &what, clock::wall_ms())?;
    Ok(true)
}

/// Activates the campaign of a job that is resumed, if the wallet can pay.
pub(super) fn activate_for(connection: &Connection, job: &StoredJob, by: Resumer) -> Result<(), LedgerError> {
    let Some(campaign) = &job.campaign else { return Ok(()) };
    let (balance, ran_dry) = read_wallet(connection, &job.workspace)?;
    if !can_pay(balance, ran_dry) {
        return Ok(());
    }
    let sql = "UPDATE campaigns SET active = 1, by_command = 0, changes = changes + 1 \
               WHERE workspace = ?1 AND campaign = ?2 AND active = 0 AND (?3 OR by_command = 0) RETURNING changes";
    let params = (job.workspace.as_str(), campaign.as_str(), by == Resumer::Command);
    let started = find(connection, sql, params, |row| row.get::<_, i64>(0))?;
    let Some(changes) = started else { return Ok(()) };
    let key = format!("resumed/{}/{}/{changes}", job.id, job.run);
    let (workspace, campaign) = (job.workspace.clone(), campaign.as_str().to_owned());
    insert_happening(connection, &key, &Happening::CampaignActivated { workspace, campaign }, clock::wall_ms())
}
