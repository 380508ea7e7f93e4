//! How fast a wallet is spent: what its newest settlements come to.

use crate::clock;
use crate::domain::WorkspaceId;
use crate::ledger::Burn;
use crate::ledger::LedgerError;
use crate::store::sqlite::statements::before_ms;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::missing;
use crate::store::sqlite::statements::usd;
use rusqlite::Connection;

/// Entries that are looked at, the newest of all wallets: nothing leads to those of one, and a machine on its own
/// rarely has another.
const MOST: i64 = 10_000;

/// What the workspace's metered wallet has settled within [`Burn::WINDOW`].
pub(super) fn read_burn(connection: &Connection, workspace: &WorkspaceId) -> Result<Option<Burn>, LedgerError> {
    let now_ms = clock::wall_ms();
    let sql = "SELECT count(*), min(e.at), count(*) FILTER (WHERE e.paid), \
                 coalesce(-sum(e.amount) FILTER (WHERE e.paid), 0), min(e.at) FILTER (WHERE e.paid) \
               FROM (SELECT at, amount, kind = 'settle' AND account = \
                       (SELECT id FROM accounts WHERE workspace = ?1 AND bucket = 'metered') AS paid \
                     FROM entries ORDER BY seq DESC LIMIT ?2) e \
               WHERE e.at > ?3";
    let values = (workspace.as_str(), MOST, before_ms(now_ms, Burn::WINDOW));
    let (looked_at, oldest_ms, settled, spent, first_ms) = find(connection, sql, values, |row| {
        let times = (row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(4)?);
        Ok((row.get::<_, i64>(0)?, times.0, row.get::<_, i64>(2)?, usd(row, 3)?, times.1))
    })?
    .ok_or_else(|| missing("a sum"))?;
    if settled == 0 {
        return Ok(None);
    }
    let is_cut = looked_at >= MOST;
    let since_ms = if is_cut { oldest_ms } else { first_ms };
    Ok(Some(Burn::of(spent, now_ms.saturating_sub(since_ms.unwrap_or(now_ms)), is_cut)))
}
