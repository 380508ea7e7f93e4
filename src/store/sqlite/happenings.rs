//! The outbox over SQLite: happenings as rows, and the keys that fail.

use crate::clock;
use crate::domain::ProviderName;
use crate::domain::Run;
use crate::domain::WorkspaceId;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::ledger::Outbox;
use crate::ledger::Stopper;
use crate::ledger::StoredHappening;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::statements::after_ms;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::count;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::transact;
use crate::store::sqlite::statements::unreadable;
use crate::store::sqlite::statements::usd;
use crate::store::sqlite::statements::word;
use rusqlite::Connection;
use rusqlite::Row;
use std::time::Duration;

impl Outbox for SqliteStore {
    fn take_happenings(&self, limit: u32, lease: Duration) -> Later<'_, Vec<StoredHappening>> {
        Box::pin(self.write(move |connection| transact(connection, |transaction| take(transaction, limit, lease))))
    }

    fn forget_happenings(&self, told: Vec<i64>) -> Later<'_, ()> {
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| {
                for seq in told {
                    execute(transaction, "DELETE FROM happenings WHERE seq = ?1", [seq])?;
                }
                Ok(())
            })
        }))
    }

    fn happenings(&self) -> Later<'_, u64> {
        Box::pin(self.read(|connection| count(connection, "SELECT count(*) FROM happenings", [])))
    }

    fn key_works(&self, workspace: Option<&WorkspaceId>, provider: Option<&ProviderName>) -> Later<'_, ()> {
        let (workspace, provider) = (workspace.cloned(), provider.cloned());
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| key_works(transaction, workspace.as_ref(), provider.as_ref()))
        }))
    }
}

/// Forgets that keys of this owner fail, at one provider or at all.
pub(super) fn key_works(
    connection: &Connection,
    workspace: Option<&WorkspaceId>,
    provider: Option<&ProviderName>,
) -> Result<(), LedgerError> {
    let owner = workspace.map_or("", WorkspaceId::as_str);
    let start = provider.map_or_else(|| format!("{owner}/"), |provider| format!("{owner}/{provider}/"));
    let sql = "DELETE FROM failing_keys WHERE substr(key, 1, length(?1)) = ?1";
    execute(connection, sql, [start]).map(drop)
}

/// The columns of a happening; which of them it has depends on its kind.
#[derive(Default)]
struct Columns<'h> {
    workspace: Option<&'h WorkspaceId>,
    job: Option<i64>,
    run: Option<u32>,
    campaign: Option<&'h str>,
    provider: Option<&'h ProviderName>,
    key_source: Option<&'static str>,
    balance: Option<i64>,
    threshold: Option<i64>,
    amount: Option<i64>,
    reference: Option<&'h str>,
}

impl<'h> Columns<'h> {
    fn of(what: &'h Happening) -> Self {
        match what {
            Happening::WalletLow { workspace, balance, threshold }
            | Happening::WalletEmpty { workspace, balance, threshold } => Self {
                workspace: Some(workspace),
                balance: Some(balance.nanos()),
                threshold: Some(threshold.nanos()),
                ..Self::default()
            },
            Happening::CampaignDeactivated { workspace, campaign, by } => Self {
                workspace: Some(workspace),
                campaign: Some(campaign),
                reference: Some(by.as_str()),
                ..Self::default()
            },
            Happening::CampaignActivated { workspace, campaign }
            | Happening::CampaignRefused { workspace, campaign } => {
                Self { workspace: Some(workspace), campaign: Some(campaign), ..Self::default() }
            }
            Happening::RechargeRequested { workspace, amount, reference }
            | Happening::RechargeFailed { workspace, amount, reference } => Self {
                workspace: Some(workspace),
                amount: Some(amount.nanos()),
                reference: Some(reference),
                ..Self::default()
            },
            Happening::KeyRejected { workspace, provider, key_source } => Self {
                workspace: workspace.as_ref(),
                provider: Some(provider),
                key_source: Some(key_source.as_str()),
                ..Self::default()
            },
            Happening::ProviderOutOfCredits { provider } => Self { provider: Some(provider), ..Self::default() },
            Happening::JobCompleted { workspace, job, run } => {
                Self { workspace: Some(workspace), job: Some(job.0), run: Some(run.get()), ..Self::default() }
            }
        }
    }
}

/// Records a happening; one of the same kind and key that still waits is recorded once.
pub(super) fn insert_happening(
    connection: &Connection,
    key: &str,
    what: &Happening,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO happenings (kind, key, at, workspace, job, run, campaign, provider, key_source, balance, \
               threshold, amount, reference) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
               ON CONFLICT DO NOTHING";
    let columns = Columns::of(what);
    let values = (
        what.kind(),
        key,
        now_ms,
        columns.workspace.map(WorkspaceId::as_str),
        columns.job,
        columns.run,
        columns.campaign,
        columns.provider.map(ProviderName::as_str),
        columns.key_source,
        columns.balance,
        columns.threshold,
        columns.amount,
        columns.reference,
    );
    execute(connection, sql, values).map(drop)
}

fn take(connection: &Connection, limit: u32, lease: Duration) -> Result<Vec<StoredHappening>, LedgerError> {
    let now_ms = clock::wall_ms();
    let kinds: Vec<String> = Happening::KINDS.iter().map(|kind| format!("'{kind}'")).collect();
    let sql = format!(
        "UPDATE happenings SET taken_until = ?2 WHERE seq IN \
           (SELECT seq FROM happenings WHERE taken_until < ?1 AND kind IN ({}) ORDER BY seq LIMIT ?3) \
         RETURNING seq, key, at, kind, workspace, job, run, campaign, provider, key_source, balance, threshold, \
           amount, reference",
        kinds.join(", ")
    );
    let mut taken = all(connection, &sql, (now_ms, after_ms(now_ms, lease), limit), |row| {
        Ok(StoredHappening { seq: row.get(0)?, key: row.get(1)?, at_ms: row.get(2)?, what: read(row)? })
    })?;
    taken.sort_unstable_by_key(|happening| happening.seq);
    Ok(taken)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Happening> {
    let kind: String = row.get(3)?;
    let workspace = || row.get::<_, String>(4).map(WorkspaceId::new);
    let provider = || row.get::<_, String>(8).map(ProviderName::new);
    Ok(match kind.as_str() {
        "weir.wallet_low.v1" => {
            Happening::WalletLow { workspace: workspace()?, balance: usd(row, 10)?, threshold: usd(row, 11)? }
        }
        "weir.wallet_empty.v1" => {
            Happening::WalletEmpty { workspace: workspace()?, balance: usd(row, 10)?, threshold: usd(row, 11)? }
        }
        "weir.campaign_deactivated.v1" => {
            let by = Stopper::parse(row.get::<_, Option<String>>(13)?.as_deref());
            Happening::CampaignDeactivated { workspace: workspace()?, campaign: row.get(7)?, by }
        }
        "weir.campaign_activated.v1" => Happening::CampaignActivated { workspace: workspace()?, campaign: row.get(7)? },
        "weir.campaign_refused.v1" => Happening::CampaignRefused { workspace: workspace()?, campaign: row.get(7)? },
        "weir.recharge_requested.v1" => {
            Happening::RechargeRequested { workspace: workspace()?, amount: usd(row, 12)?, reference: row.get(13)? }
        }
        "weir.recharge_failed.v1" => {
            Happening::RechargeFailed { workspace: workspace()?, amount: usd(row, 12)?, reference: row.get(13)? }
        }
        "weir.key_rejected.v1" => Happening::KeyRejected {
            workspace: row.get::<_, Option<String>>(4)?.map(WorkspaceId::new),
            provider: provider()?,
            key_source: word(row, 9)?,
        },
        "weir.provider_out_of_credits.v1" => Happening::ProviderOutOfCredits { provider: provider()? },
        "weir.job_completed.v1" => {
            Happening::JobCompleted { workspace: workspace()?, job: JobKey(row.get(5)?), run: Run::new(row.get(6)?) }
        }
        _ => return Err(unreadable(3, &kind)),
    })
}
