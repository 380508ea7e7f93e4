//! How fast a wallet is spent: what its newest settlements come to.

use crate::domain::WorkspaceId;
use crate::ledger::Burn;
use crate::ledger::LedgerError;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::usd;
use crate::store::postgres::happenings::millis;
use crate::store::postgres::ledger::count;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::missing;
use deadpool_postgres::GenericClient;

/// Entries that are looked at, the newest of a wallet: a hot one has millions in an hour.
const MOST: i64 = 10_000;

/// What the workspace's metered wallet has settled within [`Burn::WINDOW`].
pub(super) async fn read_burn(
    client: &impl GenericClient,
    workspace: &WorkspaceId,
) -> Result<Option<Burn>, LedgerError> {
    // The window is not asked for inside: a wallet at rest would be read to its first entry.
    let sql = "WITH clock AS MATERIALIZED (SELECT now_ms() AS now) \
               SELECT count(*), count(*) FILTER (WHERE e.kind = 'settle'), \
                 coalesce(-sum(e.amount) FILTER (WHERE e.kind = 'settle'), 0)::int8, \
                 coalesce(max(clock.now - e.at) FILTER (WHERE e.kind = 'settle'), 0)::int8 \
               FROM clock CROSS JOIN accounts a CROSS JOIN LATERAL (SELECT kind, amount, at FROM entries \
                 WHERE account = a.id ORDER BY seq DESC LIMIT $2::int8) e \
               WHERE a.workspace = $1 AND a.bucket = 'metered' AND e.at > clock.now - $3::int8";
    let window = millis(Burn::WINDOW);
    let row = find(client, sql, &[&workspace.as_str(), &MOST, &window]).await?.ok_or_else(|| missing("a sum"))?;
    let (looked_at, settled): (i64, u64) = (column(&row, 0)?, count(&row, 1)?);
    if settled == 0 {
        return Ok(None);
    }
    Ok(Some(Burn::of(usd(&row, 2)?, column(&row, 3)?, looked_at >= MOST)))
}
