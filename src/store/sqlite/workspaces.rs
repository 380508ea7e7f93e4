//! The workspaces' trait over SQLite.

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
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::happenings::key_works;
use crate::store::sqlite::recharges::forget_declines;
use crate::store::sqlite::statements::after_ms;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::count;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::optional_usd;
use crate::store::sqlite::statements::transact;
use crate::store::sqlite::statements::word;
use rusqlite::Connection;
use rusqlite::Row;
use std::time::Duration;

impl Workspaces for SqliteStore {
    fn workspace(&self, workspace: &WorkspaceId) -> Later<'_, Option<WorkspaceSettings>> {
        let workspace = workspace.clone();
        Box::pin(self.read(move |connection| find_settings(connection, &workspace)))
    }

    fn set_workspace(&self, workspace: &WorkspaceId, settings: WorkspaceSettings) -> Later<'_, ()> {
        let workspace = workspace.clone();
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| {
                write_settings(transaction, &workspace, &settings)?;
                forget_declines(transaction, &workspace)?;
                grow_version(transaction)
            })
        }))
    }

    fn change_workspace(
        &self,
        workspace: &WorkspaceId,
        change: WorkspaceChange,
    ) -> Later<'_, Result<WorkspaceSettings, TermsRefused>> {
        let workspace = workspace.clone();
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| change_workspace(transaction, &workspace, &change))
        }))
    }

    fn put_key(&self, key: StoredKey) -> Later<'_, ()> {
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| {
                write_key(transaction, &key)?;
                key_works(transaction, Some(&key.workspace), Some(&key.provider))?;
                grow_version(transaction)
            })
        }))
    }

    fn remove_key(&self, workspace: &WorkspaceId, provider: &ProviderName) -> Later<'_, bool> {
        let (workspace, provider) = (workspace.clone(), provider.clone());
        Box::pin(self.write(move |connection| {
            let sql = "DELETE FROM own_keys WHERE workspace = ?1 AND provider = ?2";
            transact(connection, |transaction| {
                if execute(transaction, sql, (workspace.as_str(), provider.as_str()))? == 0 {
                    return Ok(false);
                }
                key_works(transaction, Some(&workspace), Some(&provider))?;
                grow_version(transaction)?;
                Ok(true)
            })
        }))
    }

    fn keys(&self, workspace: &WorkspaceId) -> Later<'_, Vec<StoredKey>> {
        let workspace = workspace.clone();
        Box::pin(self.read(move |connection| {
            let sql = "SELECT workspace, provider, key_id, sealed, last4, stored_at FROM own_keys \
                       WHERE workspace = ?1 ORDER BY provider";
            all(connection, sql, [workspace.as_str()], read_key)
        }))
    }

    fn keys_version(&self) -> Later<'_, u64> {
        Box::pin(self.read(keys_version))
    }
}

/// Counts the changes of workspaces and keys.
pub(super) fn keys_version(connection: &Connection) -> Result<u64, LedgerError> {
    count(connection, "SELECT value FROM counters WHERE name = 'keys'", [])
}

fn grow_version(connection: &Connection) -> Result<(), LedgerError> {
    execute(connection, "UPDATE counters SET value = value + 1 WHERE name = 'keys'", []).map(drop)
}

fn find_settings(connection: &Connection, workspace: &WorkspaceId) -> Result<Option<WorkspaceSettings>, LedgerError> {
    let sql = "SELECT plan, own_key_fallback, low_balance, recharge_below, recharge_amount, recharge_cool_off, \
                 recharge_per_day, recharge_per_month FROM workspaces WHERE workspace = ?1";
    find(connection, sql, [workspace.as_str()], read_settings)
}

fn read_settings(row: &Row<'_>) -> rusqlite::Result<WorkspaceSettings> {
    Ok(WorkspaceSettings {
        plan: word(row, 0)?,
        own_key_fallback: word(row, 1)?,
        low_balance: optional_usd(row, 2)?,
        recharge: read_terms(row, 3)?,
    })
}

/// Reads terms from 5 columns, `first` and those behind it: `recharge_below`, `recharge_amount`,
/// `recharge_cool_off`, `recharge_per_day`, `recharge_per_month`.
pub(super) fn read_terms(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<RechargeTerms>> {
    let read = |place: usize| optional_usd(row, first.saturating_add(place));
    let Some((below, amount)) = read(0)?.zip(read(1)?) else { return Ok(None) };
    let cool_off_ms = row.get::<_, Option<i64>>(first.saturating_add(2))?;
    let cool_off = cool_off_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
    Ok(Some(RechargeTerms { below, amount, cool_off, per_day: read(3)?, per_month: read(4)? }))
}

/// Changes what is there now: the transaction has the store to itself.
fn change_workspace(
    connection: &Connection,
    workspace: &WorkspaceId,
    change: &WorkspaceChange,
) -> Result<Result<WorkspaceSettings, TermsRefused>, LedgerError> {
    let changed = change.apply(find_settings(connection, workspace)?.unwrap_or_default());
    if let Ok(settings) = &changed {
        write_settings(connection, workspace, settings)?;
        if change.recharge.is_some() {
            forget_declines(connection, workspace)?;
        }
        grow_version(connection)?;
    }
    Ok(changed)
}

/// In place of the earlier ones; what was declined under those still counts.
fn write_settings(
    connection: &Connection,
    workspace: &WorkspaceId,
    settings: &WorkspaceSettings,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO workspaces (workspace, plan, own_key_fallback, low_balance, recharge_below, \
                 recharge_amount, recharge_cool_off, recharge_per_day, recharge_per_month) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
               ON CONFLICT (workspace) DO UPDATE SET plan = excluded.plan, \
                 own_key_fallback = excluded.own_key_fallback, low_balance = excluded.low_balance, \
                 recharge_below = excluded.recharge_below, recharge_amount = excluded.recharge_amount, \
                 recharge_cool_off = excluded.recharge_cool_off, recharge_per_day = excluded.recharge_per_day, \
                 recharge_per_month = excluded.recharge_per_month";
    let terms = settings.recharge;
    let values = (
        workspace.as_str(),
        settings.plan.as_str(),
        settings.own_key_fallback.as_str(),
        settings.low_balance.map(Usd::nanos),
        terms.map(|terms| terms.below.nanos()),
        terms.map(|terms| terms.amount.nanos()),
        terms.and_then(|terms| terms.cool_off).map(|cool_off| after_ms(0, cool_off)),
        terms.and_then(|terms| terms.per_day).map(Usd::nanos),
        terms.and_then(|terms| terms.per_month).map(Usd::nanos),
    );
    execute(connection, sql, values).map(drop)
}

fn read_key(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    Ok(StoredKey {
        workspace: WorkspaceId::new(row.get::<_, String>(0)?),
        provider: ProviderName::new(row.get::<_, String>(1)?),
        key_id: row.get(2)?,
        sealed: row.get(3)?,
        last4: row.get(4)?,
        stored_ms: row.get(5)?,
    })
}

fn write_key(connection: &Connection, key: &StoredKey) -> Result<(), LedgerError> {
    let sql = "INSERT OR REPLACE INTO own_keys (workspace, provider, key_id, sealed, last4, stored_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (workspace, provider) = (key.workspace.as_str(), key.provider.as_str());
    execute(connection, sql, (workspace, provider, &key.key_id, &key.sealed, &key.last4, key.stored_ms)).map(drop)
}
