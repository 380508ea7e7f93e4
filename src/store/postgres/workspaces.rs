//! What workspaces have settled, and their own keys, sealed.

use crate::domain::ProviderName;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::keys::StoredKey;
use crate::keys::WorkspaceChange;
use crate::keys::WorkspaceSettings;
use crate::keys::Workspaces;
use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::ledger::RechargeTerms;
use crate::ledger::TermsRefused;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::word;
use crate::store::postgres::happenings::forget_failing;
use crate::store::postgres::happenings::millis;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::count_all;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::missing;
use crate::store::postgres::ledger::transact;
use crate::store::postgres::recharges::forget_declines;
use crate::store::settling::failing_key;
use deadpool_postgres::Transaction;
use std::time::Duration;
use tokio_postgres::Row;

/// What [`read_settings`] reads.
const SETTINGS: &str = "SELECT plan, own_key_fallback, low_balance, recharge_below, recharge_amount, \
     recharge_cool_off, recharge_per_day, recharge_per_month FROM workspaces WHERE workspace = $1";

impl Workspaces for PostgresStore {
    fn workspace(&self, workspace: &WorkspaceId) -> Later<'_, Option<WorkspaceSettings>> {
        let workspace = workspace.clone();
        Box::pin(async move {
            let row = find(&self.client().await?, SETTINGS, &[&workspace.as_str()]).await?;
            row.as_ref().map(read_settings).transpose()
        })
    }

    fn set_workspace(&self, workspace: &WorkspaceId, settings: WorkspaceSettings) -> Later<'_, ()> {
        let asked = (workspace.clone(), settings);
        Box::pin(transact(self, asked, |transaction, (workspace, settings)| {
            Box::pin(set_workspace(transaction, workspace, settings))
        }))
    }

    fn change_workspace(
        &self,
        workspace: &WorkspaceId,
        change: WorkspaceChange,
    ) -> Later<'_, Result<WorkspaceSettings, TermsRefused>> {
        let asked = (workspace.clone(), change);
        Box::pin(transact(self, asked, |transaction, (workspace, change)| {
            Box::pin(change_workspace(transaction, workspace, change))
        }))
    }

    fn put_key(&self, key: StoredKey) -> Later<'_, ()> {
        Box::pin(transact(self, key, |transaction, key| Box::pin(put_key(transaction, key))))
    }

    fn remove_key(&self, workspace: &WorkspaceId, provider: &ProviderName) -> Later<'_, bool> {
        let asked = (workspace.clone(), provider.clone());
        Box::pin(transact(self, asked, |transaction, (workspace, provider)| {
            Box::pin(remove_key(transaction, workspace, provider))
        }))
    }

    fn keys(&self, workspace: &WorkspaceId) -> Later<'_, Vec<StoredKey>> {
        let workspace = workspace.clone();
        Box::pin(async move {
            let client = self.client().await?;
            let sql = "SELECT workspace, provider, key_id, sealed, last4, stored_at FROM own_keys \
                       WHERE workspace = $1 ORDER BY provider";
            let rows = all(&client, sql, &[&workspace.as_str()]).await?;
            rows.iter().map(read_key).collect()
        })
    }

    fn keys_version(&self) -> Later<'_, u64> {
        Box::pin(async move {
            let client = self.client().await?;
            count_all(&client, "SELECT value FROM counters WHERE name = 'keys'", &[]).await
        })
    }
}

fn read_settings(row: &Row) -> Result<WorkspaceSettings, LedgerError> {
    Ok(WorkspaceSettings {
        plan: word(column(row, 0)?)?,
        own_key_fallback: word(column(row, 1)?)?,
        low_balance: column::<Option<i64>>(row, 2)?.map(Usd::from_nanos),
        recharge: read_terms(row, 3)?,
    })
}

/// Reads terms from 5 columns, `first` and those behind it: `recharge_below`, `recharge_amount`,
/// `recharge_cool_off`, `recharge_per_day`, `recharge_per_month` (BIGINT, may be NULL).
pub(super) fn read_terms(row: &Row, first: usize) -> Result<Option<RechargeTerms>, LedgerError> {
    let read = |place: usize| column::<Option<i64>>(row, first.saturating_add(place));
    let read_usd = |place: usize| read(place).map(|nanos| nanos.map(Usd::from_nanos));
    let Some((below, amount)) = read_usd(0)?.zip(read_usd(1)?) else { return Ok(None) };
    let cool_off = read(2)?.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
    Ok(Some(RechargeTerms { below, amount, cool_off, per_day: read_usd(3)?, per_month: read_usd(4)? }))
}

fn read_key(row: &Row) -> Result<StoredKey, LedgerError> {
    Ok(StoredKey {
        workspace: WorkspaceId::new(column::<&str>(row, 0)?),
        provider: ProviderName::new(column::<&str>(row, 1)?),
        key_id: column(row, 2)?,
        sealed: column(row, 3)?,
        last4: column(row, 4)?,
        stored_ms: column(row, 5)?,
    })
}

async fn set_workspace(
    transaction: &Transaction<'_>,
    workspace: &WorkspaceId,
    settings: &WorkspaceSettings,
) -> Result<(), LedgerError> {
    write_settings(transaction, workspace, settings).await?;
    forget_declines(transaction, workspace).await?;
    count_change(transaction).await
}

/// Changes what is there once nobody else changes it.
async fn change_workspace(
    transaction: &Transaction<'_>,
    workspace: &WorkspaceId,
    change: &WorkspaceChange,
) -> Result<Result<WorkspaceSettings, TermsRefused>, LedgerError> {
    let known = match lock_settings(transaction, workspace).await? {
        Some(known) => known,
        None => {
            // A change that is refused creates nothing.
            if let Err(refused) = change.apply(WorkspaceSettings::new()) {
                return Ok(Err(refused));
            }
            create(transaction, workspace).await?;
            // Its own row, or the one of whoever was faster.
            lock_settings(transaction, workspace).await?.ok_or_else(|| missing("a workspace"))?
        }
    };
    let changed = change.apply(known);
    if let Ok(settings) = &changed {
        write_settings(transaction, workspace, settings).await?;
        if change.recharge.is_some() {
            forget_declines(transaction, workspace).await?;
        }
        count_change(transaction).await?;
    }
    Ok(changed)
}

/// Locks what a workspace has settled until the transaction ends.
async fn lock_settings(
    transaction: &Transaction<'_>,
    workspace: &WorkspaceId,
) -> Result<Option<WorkspaceSettings>, LedgerError> {
    let row = find(transaction, &format!("{SETTINGS} FOR NO KEY UPDATE"), &[&workspace.as_str()]).await?;
    row.as_ref().map(read_settings).transpose()
}

/// A workspace that has settled nothing, unless there is one.
async fn create(transaction: &Transaction<'_>, workspace: &WorkspaceId) -> Result<(), LedgerError> {
    let sql = "INSERT INTO workspaces (workspace, plan, own_key_fallback) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let WorkspaceSettings { plan, own_key_fallback, .. } = WorkspaceSettings::new();
    let words = (workspace.as_str(), plan.as_str(), own_key_fallback.as_str());
    execute(transaction, sql, &[&words.0, &words.1, &words.2]).await.map(drop)
}

/// In place of the earlier ones; what was declined under those still counts.
async fn write_settings(
    transaction: &Transaction<'_>,
    workspace: &WorkspaceId,
    settings: &WorkspaceSettings,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO workspaces (workspace, plan, own_key_fallback, low_balance, recharge_below, \
                 recharge_amount, recharge_cool_off, recharge_per_day, recharge_per_month) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
               ON CONFLICT (workspace) DO UPDATE SET plan = excluded.plan, \
                 own_key_fallback = excluded.own_key_fallback, low_balance = excluded.low_balance, \
                 recharge_below = excluded.recharge_below, recharge_amount = excluded.recharge_amount, \
                 recharge_cool_off = excluded.recharge_cool_off, recharge_per_day = excluded.recharge_per_day, \
                 recharge_per_month = excluded.recharge_per_month";
    let WorkspaceSettings { plan, own_key_fallback, low_balance, recharge } = settings;
    let words = (workspace.as_str(), plan.as_str(), own_key_fallback.as_str());
    let low_balance = low_balance.map(Usd::nanos);
    let (below, amount) = recharge.map(|terms| (terms.below.nanos(), terms.amount.nanos())).unzip();
    let cool_off = recharge.and_then(|terms| terms.cool_off).map(millis);
    let day = recharge.and_then(|terms| terms.per_day).map(Usd::nanos);
    let month = recharge.and_then(|terms| terms.per_month).map(Usd::nanos);
    execute(transaction, sql, &[&words.0, &words.1, &words.2, &low_balance, &below, &amount, &cool_off, &day, &month])
        .await
        .map(drop)
}

async fn put_key(transaction: &Transaction<'_>, key: &StoredKey) -> Result<(), LedgerError> {
    let sql = "INSERT INTO own_keys (workspace, provider, key_id, sealed, last4, stored_at) \
               VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (workspace, provider) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed, \
                 last4 = excluded.last4, stored_at = excluded.stored_at";
    let StoredKey { workspace, provider, key_id, sealed, last4, stored_ms } = key;
    execute(transaction, sql, &[&workspace.as_str(), &provider.as_str(), key_id, sealed, last4, stored_ms]).await?;
    forget_failing(transaction, &failing_key(Some(workspace), provider, "")).await?;
    count_change(transaction).await
}

async fn remove_key(
    transaction: &Transaction<'_>,
    workspace: &WorkspaceId,
    provider: &ProviderName,
) -> Result<bool, LedgerError> {
    let sql = "DELETE FROM own_keys WHERE workspace = $1 AND provider = $2";
    if execute(transaction, sql, &[&workspace.as_str(), &provider.as_str()]).await? == 0 {
        return Ok(false);
    }
    forget_failing(transaction, &failing_key(Some(workspace), provider, "")).await?;
    count_change(transaction).await?;
    Ok(true)
}

/// Workers look out for this. It comes last: everybody's changes meet in this row.
async fn count_change(transaction: &Transaction<'_>) -> Result<(), LedgerError> {
    let sql = "UPDATE counters SET value = value + 1 WHERE name = 'keys'";
    execute(transaction, sql, &[]).await.map(drop)
}
