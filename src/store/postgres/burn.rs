//! How fast a wallet is spent: what its newest settlements come to.

use crate::domain::Usd;
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
use std::time::Duration;

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
    Ok(Some(burn_of(usd(&row, 2)?, column(&row, 3)?, looked_at >= MOST)))
}

/// From the first settlement that was looked at until now. Where more lie within [`Burn::LEAST`] than are looked
/// at (`is_cut`), they come to so much more in that time.
fn burn_of(spent: Usd, over_ms: i64, is_cut: bool) -> Burn {
    let least_ms = millis(Burn::LEAST);
    if is_cut && over_ms < least_ms {
        let nanos = i128::from(spent.nanos()).saturating_mul(i128::from(least_ms)) / i128::from(over_ms.max(1));
        return Burn { spent: Usd::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX)), over: Burn::LEAST };
    }
    let over = Duration::from_millis(u64::try_from(over_ms).unwrap_or_default());
    Burn { spent, over: over.clamp(Burn::LEAST, Burn::WINDOW) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_wallet_burns_as_fast_as_what_was_looked_at_of_it() {
        let usd = |text: &str| text.parse::<Usd>().unwrap();
        for (over_ms, is_cut, per_hour) in [
            (600_000, false, "60"),
            (600_000, true, "60"),
            // Less than a minute says nothing, unless there was more.
            (3_000, false, "600"),
            (3_000, true, "12000"),
            (0, true, "36000000"),
            (-5, false, "600"),
            (7_200_000, false, "10"),
        ] {
            assert_eq!(burn_of(usd("10"), over_ms, is_cut).per_hour(), usd(per_hour), "{over_ms} {is_cut}");
        }
    }
}
