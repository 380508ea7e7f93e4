//! Requests for money over SQLite: one of a wallet at a time, answered by a top-up of its reference, or declined.

use crate::clock;
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
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::happenings::insert_happening;
use crate::store::sqlite::ledger::find_account;
use crate::store::sqlite::ledger::open_account;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::before_ms;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::missing;
use crate::store::sqlite::statements::transact;
use crate::store::sqlite::statements::usd;
use crate::store::sqlite::statements::word;
use crate::store::sqlite::workspaces::read_terms;
use rusqlite::Connection;
use rusqlite::Row;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MONTH: Duration = DAY.saturating_mul(DAYS_A_MONTH);

impl Recharges for SqliteStore {
    fn ask_recharges(&self) -> Later<'_, u64> {
        Box::pin(async move {
            // Asked every second, and mostly in vain: the writer need not be kept from its work for that.
            if self.read(|connection| read_due(connection, clock::wall_ms())).await?.is_empty() {
                return Ok(0);
            }
            self.write(|connection| transact(connection, |transaction| ask(transaction))).await
        })
    }

    fn decline_recharge(&self, workspace: &WorkspaceId, reference: &str) -> Later<'_, Declined> {
        let (workspace, reference) = (workspace.clone(), reference.to_owned());
        Box::pin(
            self.write(move |connection| {
                transact(connection, |transaction| decline(transaction, &workspace, &reference))
            }),
        )
    }

    fn recharges(&self, workspace: &WorkspaceId, limit: u32) -> Later<'_, Vec<StoredRecharge>> {
        let workspace = workspace.clone();
        Box::pin(self.read(move |connection| read_recharges(connection, &workspace, limit)))
    }

    fn recharge_declines(&self, workspace: &WorkspaceId) -> Later<'_, u32> {
        let workspace = workspace.clone();
        Box::pin(self.read(move |connection| {
            let sql = "SELECT recharge_declines FROM workspaces WHERE workspace = ?1";
            let declines = find(connection, sql, [workspace.as_str()], |row| row.get::<_, u32>(0))?;
            Ok(declines.unwrap_or_default())
        }))
    }
}

/// A wallet that asks for money now.
struct Due {
    workspace: WorkspaceId,
    /// How much, unless it asks again.
    amount: Usd,
    asking: Asking,
}

/// Those that ask now. What is in flight counts against the limits, and what was paid, from then on.
fn read_due(connection: &Connection, now_ms: i64) -> Result<Vec<Due>, LedgerError> {
    let sql = "SELECT w.workspace, w.recharge_below, w.recharge_amount, w.recharge_cool_off, w.recharge_per_day, \
                 w.recharge_per_month, w.recharge_declines, coalesce(a.balance, 0), ?1 - f.told_at, \
                 ?1 - (SELECT max(answered_at) FROM recharges WHERE account = a.id), \
                 coalesce(f.amount, 0) + (SELECT coalesce(sum(amount), 0) FROM recharges \
                    WHERE account = a.id AND answered_at > ?2 AND state = 'paid'), \
                 coalesce(f.amount, 0) + (SELECT coalesce(sum(amount), 0) FROM recharges \
                    WHERE account = a.id AND answered_at > ?3 AND state = 'paid') \
               FROM workspaces w LEFT JOIN accounts a ON a.workspace = w.workspace AND a.bucket = 'metered' \
                 LEFT JOIN recharges f ON f.account = a.id AND f.state = 'asked' \
               WHERE w.recharge_below IS NOT NULL AND w.recharge_amount IS NOT NULL \
                 AND (f.account IS NOT NULL OR coalesce(a.balance, 0) < w.recharge_below) \
               ORDER BY w.workspace";
    let since = (now_ms, before_ms(now_ms, DAY), before_ms(now_ms, MONTH));
    let wallets = all(connection, sql, since, read_wallet)?;
    Ok(wallets.into_iter().flatten().collect())
}

/// `None`: it asks for nothing now.
fn read_wallet(row: &Row<'_>) -> rusqlite::Result<Option<Due>> {
    let Some(terms) = read_terms(row, 1)? else { return Ok(None) };
    let history = RechargeHistory {
        in_flight: ago(row, 8)?,
        answered: ago(row, 9)?,
        in_a_day: usd(row, 10)?,
        in_a_month: usd(row, 11)?,
        declines: row.get(6)?,
    };
    Ok(match decide_recharge(terms, history, usd(row, 7)?) {
        Asking::Nothing => None,
        asking @ (Asking::Ask | Asking::AskAgain) => {
            let workspace = WorkspaceId::new(row.get::<_, String>(0)?);
            Some(Due { workspace, amount: terms.amount, asking })
        }
    })
}

/// Reads how long ago something was; a clock that was set back has not gone on since.
fn ago(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Duration>> {
    let since = row.get::<_, Option<i64>>(column)?;
    Ok(since.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or_default())))
}

/// Asks for every wallet that is due; says for how many.
fn ask(connection: &Connection) -> Result<u64, LedgerError> {
    let now_ms = clock::wall_ms();
    let mut asked = 0_u64;
    // Looked at again in the writer's turn: another process may have asked, or money have come in.
    for due in read_due(connection, now_ms)? {
        let account = open_account(connection, &due.workspace)?;
        let request = match due.asking {
            Asking::Nothing => None,
            Asking::Ask => insert(connection, account, &due, now_ms)?,
            Asking::AskAgain => touch(connection, account, now_ms)?,
        };
        let Some((reference, amount)) = request else { continue };
        let key = format!("{}/{reference}", due.workspace);
        let what = Happening::RechargeRequested { workspace: due.workspace, amount, reference };
        insert_happening(connection, &key, &what, now_ms)?;
        asked = asked.saturating_add(1);
    }
    Ok(asked)
}

/// Begins a request; `None`: one is in flight.
fn insert(
    connection: &Connection,
    account: AccountId,
    due: &Due,
    now_ms: i64,
) -> Result<Option<(String, Usd)>, LedgerError> {
    let sql = "SELECT count(*) + 1 FROM recharges WHERE account = ?1";
    let n: i64 = find(connection, sql, [account.0], |row| row.get(0))?.ok_or_else(|| missing("a count"))?;
    let reference = recharge_reference(&due.workspace, n, now_ms);
    let sql = "INSERT INTO recharges (account, reference, n, amount, state, asked_at, told_at) \
               VALUES (?1, ?2, ?3, ?4, 'asked', ?5, ?5) ON CONFLICT DO NOTHING";
    let inserted = execute(connection, sql, (account.0, &reference, n, due.amount.nanos(), now_ms))?;
    Ok((inserted > 0).then_some((reference, due.amount)))
}

/// The request in flight is asked once more.
fn touch(connection: &Connection, account: AccountId, now_ms: i64) -> Result<Option<(String, Usd)>, LedgerError> {
    let sql = "UPDATE recharges SET told_at = ?2 WHERE account = ?1 AND state = 'asked' RETURNING reference, amount";
    find(connection, sql, (account.0, now_ms), |row| Ok((row.get(0)?, usd(row, 1)?)))
}

/// A top-up answers the request of its reference, one that was declined before too: money is money.
pub(super) fn answer(connection: &Connection, account: AccountId, booking: &Booking) -> Result<(), LedgerError> {
    let sql = "UPDATE recharges SET state = 'paid', answered_at = ?3 WHERE account = ?1 AND reference = ?2";
    if execute(connection, sql, (account.0, &booking.reference, clock::wall_ms()))? > 0 {
        forget_declines(connection, &booking.workspace)?;
    }
    Ok(())
}

/// The next decline is the first in a row.
pub(super) fn forget_declines(connection: &Connection, workspace: &WorkspaceId) -> Result<(), LedgerError> {
    let sql = "UPDATE workspaces SET recharge_declines = 0 WHERE workspace = ?1";
    execute(connection, sql, [workspace.as_str()]).map(drop)
}

fn decline(connection: &Connection, workspace: &WorkspaceId, reference: &str) -> Result<Declined, LedgerError> {
    let Some(account) = find_account(connection, workspace)? else { return Ok(Declined::NotInFlight) };
    let now_ms = clock::wall_ms();
    let sql = "UPDATE recharges SET state = 'declined', answered_at = ?3 \
               WHERE account = ?1 AND reference = ?2 AND state = 'asked' RETURNING amount";
    let declined = find(connection, sql, (account.0, reference, now_ms), |row| usd(row, 0))?;
    let Some(amount) = declined else { return Ok(Declined::NotInFlight) };
    let sql = "UPDATE workspaces SET recharge_declines = recharge_declines + 1 WHERE workspace = ?1 \
               RETURNING recharge_declines";
    let declines: Option<u32> = find(connection, sql, [workspace.as_str()], |row| row.get(0))?;
    if declines.ok_or_else(|| missing("a workspace"))? < MOST_DECLINES {
        return Ok(Declined::Counted);
    }
    let (owner, key) = (workspace.clone(), format!("{workspace}/{reference}"));
    let what = Happening::RechargeFailed { workspace: owner, amount, reference: reference.to_owned() };
    insert_happening(connection, &key, &what, now_ms)?;
    Ok(Declined::TurnedOff)
}

fn read_recharges(
    connection: &Connection,
    workspace: &WorkspaceId,
    limit: u32,
) -> Result<Vec<StoredRecharge>, LedgerError> {
    let sql = "SELECT r.reference, r.amount, r.state, r.asked_at FROM accounts a JOIN recharges r ON r.account = a.id \
               WHERE a.workspace = ?1 AND a.bucket = 'metered' ORDER BY r.n DESC LIMIT ?2";
    all(connection, sql, (workspace.as_str(), limit), |row| {
        Ok(StoredRecharge {
            workspace: workspace.clone(),
            reference: row.get(0)?,
            amount: usd(row, 1)?,
            state: word(row, 2)?,
            asked_ms: row.get(3)?,
        })
    })
}
