//! Requests for money: one of a wallet at a time, answered by a top-up of its reference, or declined.

use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Asking;
use crate::ledger::Booking;
use crate::ledger::DAYS_A_MONTH;
use crate::ledger::Declined;
use crate::ledger::Happening;
use crate::ledger::Later;
use crate::ledger::LedgerError;
use crate::ledger::MOST_DECLINES;
use crate::ledger::RechargeHistory;
use crate::ledger::Recharges;
use crate::ledger::StoredRecharge;
use crate::ledger::decide_recharge;
use crate::ledger::recharge_reference;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::attempts::column;
use crate::store::postgres::attempts::usd;
use crate::store::postgres::attempts::word;
use crate::store::postgres::happenings::insert_happening;
use crate::store::postgres::happenings::millis;
use crate::store::postgres::ledger::all;
use crate::store::postgres::ledger::execute;
use crate::store::postgres::ledger::find;
use crate::store::postgres::ledger::find_account;
use crate::store::postgres::ledger::lock_account;
use crate::store::postgres::ledger::missing;
use crate::store::postgres::ledger::number;
use crate::store::postgres::ledger::open_account;
use crate::store::postgres::ledger::transact;
use crate::store::postgres::workspaces::read_terms;
use deadpool_postgres::GenericClient;
use deadpool_postgres::Transaction;
use std::time::Duration;
use tokio_postgres::Row;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = DAY.saturating_mul(DAYS_A_MONTH);

/// Wallets that may ask, with all that decides whether they do. What was asked before is summed for these few alone:
/// every worker looks each second, and nearly all wallets are full. What is in flight counts against the limits, and
/// what was paid, from then on. `$1` is a day, `$2` a month; `only` is one more condition on a workspace `w`.
fn wallets(only: &str) -> String {
    format!(
        "WITH clock AS MATERIALIZED (SELECT now_ms() AS now), \
           low AS MATERIALIZED (SELECT w.*, a.id AS account, coalesce(a.balance, 0) AS balance, f.told_at, \
               coalesce(f.amount, 0) AS in_flight \
             FROM workspaces w \
               LEFT JOIN accounts a ON a.workspace = w.workspace AND a.bucket = 'metered' \
               LEFT JOIN recharges f ON f.account = a.id AND f.state = 'asked' \
             WHERE w.recharge_below IS NOT NULL AND w.recharge_amount IS NOT NULL {only} \
               AND (f.account IS NOT NULL OR coalesce(a.balance, 0) < w.recharge_below)) \
         SELECT l.workspace, l.recharge_below, l.recharge_amount, l.recharge_cool_off, l.recharge_per_day, \
           l.recharge_per_month, l.recharge_declines, l.balance, clock.now - l.told_at, \
           clock.now - h.answered_at, l.in_flight + h.in_a_day, l.in_flight + h.in_a_month \
         FROM clock CROSS JOIN low l CROSS JOIN LATERAL (SELECT \
             (SELECT max(answered_at) FROM recharges WHERE account = l.account) AS answered_at, \
             coalesce(sum(r.amount) FILTER (WHERE r.answered_at > clock.now - $1::int8), 0)::int8 AS in_a_day, \
             coalesce(sum(r.amount), 0)::int8 AS in_a_month \
           FROM recharges r \
           WHERE r.account = l.account AND r.state = 'paid' AND r.answered_at > clock.now - $2::int8) h \
         ORDER BY l.workspace"
    )
}

impl Recharges for PostgresStore {
    fn ask_recharges(&self) -> Later<'_, u64> {
        Box::pin(async move {
            let due = read_due(&self.client().await?, None).await?;
            let mut asked = 0_u64;
            let mut failed: Option<LedgerError> = None;
            for wallet in due {
                // One that cannot be written to keeps no other from asking.
                match transact(self, wallet.workspace, |transaction, owner| Box::pin(ask(transaction, owner))).await {
                    Ok(is_asked) => asked = asked.saturating_add(u64::from(is_asked)),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            failed.map_or(Ok(asked), Err)
        })
    }

    fn decline_recharge(&self, workspace: &WorkspaceId, reference: &str) -> Later<'_, Declined> {
        let asked = (workspace.clone(), reference.to_owned());
        Box::pin(transact(self, asked, |transaction, (workspace, reference)| {
            Box::pin(decline(transaction, workspace, reference))
        }))
    }

    fn recharges(&self, workspace: &WorkspaceId, limit: u32) -> Later<'_, Vec<StoredRecharge>> {
        let workspace = workspace.clone();
        Box::pin(async move { read_recharges(&self.client().await?, &workspace, limit).await })
    }

    fn recharge_declines(&self, workspace: &WorkspaceId) -> Later<'_, u32> {
        let workspace = workspace.clone();
        Box::pin(async move {
            let sql = "SELECT recharge_declines FROM workspaces WHERE workspace = $1";
            let row = find(&self.client().await?, sql, &[&workspace.as_str()]).await?;
            row.map_or(Ok(0), |row| number(&row, 0))
        })
    }
}

/// A wallet that asks for money now.
struct Due {
    workspace: WorkspaceId,
    /// How much, unless it asks again.
    amount: Usd,
    asking: Asking,
}

/// Those that ask now, of one workspace or all.
async fn read_due(client: &impl GenericClient, only: Option<&WorkspaceId>) -> Result<Vec<Due>, LedgerError> {
    let (day, month) = (millis(DAY), millis(MONTH));
    let rows = match only {
        None => all(client, &wallets(""), &[&day, &month]).await?,
        Some(workspace) => all(client, &wallets("AND w.workspace = $3"), &[&day, &month, &workspace.as_str()]).await?,
    };
    let mut due = Vec::new();
    for row in &rows {
        due.extend(read_wallet(row)?);
    }
    Ok(due)
}

/// `None`: it asks for nothing now.
fn read_wallet(row: &Row) -> Result<Option<Due>, LedgerError> {
    let Some(terms) = read_terms(row, 1)? else { return Ok(None) };
    let history = RechargeHistory {
        in_flight: ago(row, 8)?,
        answered: ago(row, 9)?,
        in_a_day: usd(row, 10)?,
        in_a_month: usd(row, 11)?,
        declines: number(row, 6)?,
    };
    Ok(match decide_recharge(terms, history, usd(row, 7)?) {
        Asking::Nothing => None,
        asking @ (Asking::Ask | Asking::AskAgain) => {
            Some(Due { workspace: WorkspaceId::new(column::<&str>(row, 0)?), amount: terms.amount, asking })
        }
    })
}

/// Reads how long ago something was; a clock that was set back has not gone on since.
fn ago(row: &Row, at: usize) -> Result<Option<Duration>, LedgerError> {
    let since = column::<Option<i64>>(row, at)?;
    Ok(since.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default())))
}

/// Asks for one wallet, if it still has to be.
async fn ask(transaction: &Transaction<'_>, workspace: &WorkspaceId) -> Result<bool, LedgerError> {
    let account = open_account(transaction, workspace).await?;
    lock_account(transaction, account).await?;
    // Looked at again under the lock: another worker may have asked, or money have come in.
    let Some(due) = read_due(transaction, Some(workspace)).await?.pop() else { return Ok(false) };
    let asked = match due.asking {
        Asking::Nothing => None,
        Asking::Ask => insert(transaction, account, &due).await?,
        Asking::AskAgain => touch(transaction, account).await?,
    };
    let Some((reference, amount)) = asked else { return Ok(false) };
    let key = format!("{workspace}/{reference}");
    let what = Happening::RechargeRequested { workspace: due.workspace, amount, reference };
    insert_happening(transaction, &key, &what).await?;
    Ok(true)
}

/// Begins a request; `None`: one is in flight.
async fn insert(
    transaction: &Transaction<'_>,
    account: AccountId,
    due: &Due,
) -> Result<Option<(String, Usd)>, LedgerError> {
    let sql = "SELECT count(*) + 1, now_ms() FROM recharges WHERE account = $1";
    let row = find(transaction, sql, &[&account.0]).await?.ok_or_else(|| missing("a count"))?;
    let (n, now_ms): (i64, i64) = (column(&row, 0)?, column(&row, 1)?);
    let reference = recharge_reference(&due.workspace, n, now_ms);
    let sql = "INSERT INTO recharges (account, reference, n, amount, state, asked_at, told_at) \
               VALUES ($1, $2, $3, $4, 'asked', $5, $5) ON CONFLICT DO NOTHING";
    let inserted = execute(transaction, sql, &[&account.0, &reference, &n, &due.amount.nanos(), &now_ms]).await?;
    Ok((inserted > 0).then_some((reference, due.amount)))
}

/// The request in flight is asked once more.
async fn touch(transaction: &Transaction<'_>, account: AccountId) -> Result<Option<(String, Usd)>, LedgerError> {
    let sql = "UPDATE recharges SET told_at = now_ms() WHERE account = $1 AND state = 'asked' \
               RETURNING reference, amount";
    let Some(row) = find(transaction, sql, &[&account.0]).await? else { return Ok(None) };
    Ok(Some((column(&row, 0)?, usd(&row, 1)?)))
}

/// A top-up of a locked wallet answers the request of its reference, one that was declined before too: money is
/// money.
pub(super) async fn answer(
    transaction: &Transaction<'_>,
    account: AccountId,
    booking: &Booking,
) -> Result<(), LedgerError> {
    let sql = "UPDATE recharges SET state = 'paid', answered_at = now_ms() WHERE account = $1 AND reference = $2";
    if execute(transaction, sql, &[&account.0, &booking.reference]).await? > 0 {
        forget_declines(transaction, &booking.workspace).await?;
    }
    Ok(())
}

/// The next decline is the first in a row.
pub(super) async fn forget_declines(transaction: &Transaction<'_>, workspace: &WorkspaceId) -> Result<(), LedgerError> {
    let sql = "UPDATE workspaces SET recharge_declines = 0 WHERE workspace = $1";
    execute(transaction, sql, &[&workspace.as_str()]).await.map(drop)
}

async fn decline(
    transaction: &Transaction<'_>,
    workspace: &WorkspaceId,
    reference: &str,
) -> Result<Declined, LedgerError> {
    let Some(account) = find_account(transaction, workspace).await? else { return Ok(Declined::NotInFlight) };
    lock_account(transaction, account).await?;
    let sql = "UPDATE recharges SET state = 'declined', answered_at = now_ms() \
               WHERE account = $1 AND reference = $2 AND state = 'asked' RETURNING amount";
    let Some(row) = find(transaction, sql, &[&account.0, &reference]).await? else { return Ok(Declined::NotInFlight) };
    let amount = usd(&row, 0)?;
    let sql = "UPDATE workspaces SET recharge_declines = recharge_declines + 1 WHERE workspace = $1 \
               RETURNING recharge_declines";
    let row = find(transaction, sql, &[&workspace.as_str()]).await?.ok_or_else(|| missing("a workspace"))?;
    if number(&row, 0)? < MOST_DECLINES {
        return Ok(Declined::Counted);
    }
    let (owner, key) = (workspace.clone(), format!("{workspace}/{reference}"));
    let what = Happening::RechargeFailed { workspace: owner, amount, reference: reference.to_owned() };
    insert_happening(transaction, &key, &what).await?;
    Ok(Declined::TurnedOff)
}

async fn read_recharges(
    client: &impl GenericClient,
    workspace: &WorkspaceId,
    limit: u32,
) -> Result<Vec<StoredRecharge>, LedgerError> {
    let sql = "SELECT r.reference, r.amount, r.state, r.asked_at FROM accounts a JOIN recharges r ON r.account = a.id \
               WHERE a.workspace = $1 AND a.bucket = 'metered' ORDER BY r.n DESC LIMIT $2";
    let mut recharges = Vec::new();
    for row in all(client, sql, &[&workspace.as_str(), &i64::from(limit)]).await? {
        recharges.push(StoredRecharge {
            workspace: workspace.clone(),
            reference: column(&row, 0)?,
            amount: usd(&row, 1)?,
            state: word(column(&row, 2)?)?,
            asked_ms: column(&row, 3)?,
        });
    }
    Ok(recharges)
}
