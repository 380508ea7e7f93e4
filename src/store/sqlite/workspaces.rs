//! The workspaces' trait over SQLite.

use crate::domain::ProviderName;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::keys::StoredKey;
use crate::keys::WorkspaceSettings;
use crate::keys::Workspaces;
use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::ledger::RechargeTerms;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::happenings::key_works;
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
        Box::pin(self.read(move |connection| {
            let sql = "SELECT plan, own_key_fallback, low_balance, recharge_below, recharge_amount, \
                         recharge_cool_off, recharge_per_day, recharge_per_month FROM workspaces WHERE workspace = ?1";
            find(connection, sql, [workspace.as_str()], read_settings)
        }))
    }

    fn set_workspace(&self, workspace: &WorkspaceId, settings: WorkspaceSettings) -> Later<'_, ()> {
        let workspace = workspace.clone();
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| {
                write_settings(transaction, &workspace, &settings)?;
                grow_version(transaction)
            })
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

fn read_settings(row: &Row<'_>) -> rusqlite::Result<WorkspaceSettings> {
    Ok(WorkspaceSettings {
        plan: word(row, 0)?,
        own_key_fallback: word(row, 1)?,
        low_balance: optional_usd(row, 2)?,
        recharge: read_terms(row, 3)?,
    })
}

/// Reads terms from 5 columns, `first` and those behind it: `recharge_below`, `recharge_amount`,
/// `recharge_cool_off`, `recharge_per_day`, `recharge_per_month`. Limits that nobody has set are the usual ones.
pub(super) fn read_terms(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<RechargeTerms>> {
    let amount = |place: usize| optional_usd(row, first.saturating_add(place));
    let Some((below, asked)) = amount(0)?.zip(amount(1)?) else { return Ok(None) };
    let usual = RechargeTerms::usual(below, asked);
    let cool_off_ms = row.get::<_, Option<i64>>(first.saturating_add(2))?;
    let cool_off = cool_off_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default()));
    Ok(Some(RechargeTerms {
        cool_off: cool_off.unwrap_or(usual.cool_off),
        per_day: amount(3)?.unwrap_or(usual.per_day),
        per_month: amount(4)?.unwrap_or(usual.per_month),
        ..usual
    }))
}

/// In place of the earlier ones, and what was declined under those is forgotten.
fn write_settings(
    connection: &Connection,
    workspace: &WorkspaceId,
    settings: &WorkspaceSettings,
) -> Result<(), LedgerError> {
    let sql = "INSERT OR REPLACE INTO workspaces (workspace, plan, own_key_fallback, low_balance, recharge_below, \
                 recharge_amount, recharge_cool_off, recharge_per_day, recharge_per_month, recharge_declines) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)";
    let terms = settings.recharge;
    let values = (
        workspace.as_str(),
        settings.plan.as_str(),
        settings.own_key_fallback.as_str(),
        settings.low_balance.map(Usd::nanos),
        terms.map(|terms| terms.below.nanos()),
        terms.map(|terms| terms.amount.nanos()),
        terms.map(|terms| after_ms(0, terms.cool_off)),
        terms.map(|terms| terms.per_day.nanos()),
        terms.map(|terms| terms.per_month.nanos()),
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
