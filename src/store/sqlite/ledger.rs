//! The ledger's trait over SQLite.

use crate::clock;
use crate::domain::JobId;
use crate::domain::LeadId;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Audit;
use crate::ledger::Balance;
use crate::ledger::Booking;
use crate::ledger::Boundary;
use crate::ledger::Burn;
use crate::ledger::Entry;
use crate::ledger::EntryKind;
use crate::ledger::JobKey;
use crate::ledger::Later;
use crate::ledger::Ledger;
use crate::ledger::LedgerError;
use crate::ledger::Pending;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::audit;
use crate::store::sqlite::burn;
use crate::store::sqlite::recharges;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::count;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::missing;
use crate::store::sqlite::statements::transact;
use crate::store::sqlite::statements::usd;
use crate::store::sqlite::statements::word;
use rusqlite::Connection;

impl Ledger for SqliteStore {
    fn commit(&self, boundary: Boundary) -> Pending {
        self.committer.commit(boundary)
    }

    fn top_up(&self, booking: Booking) -> Later<'_, bool> {
        Box::pin(
            self.write(move |connection| {
                transact(connection, |transaction| book(transaction, EntryKind::TopUp, &booking))
            }),
        )
    }

    fn adjust(&self, booking: Booking) -> Later<'_, bool> {
        Box::pin(self.write(move |connection| {
            transact(connection, |transaction| book(transaction, EntryKind::Adjust, &booking))
        }))
    }

    fn expire(&self, owned: Vec<JobKey>) -> Later<'_, u64> {
        Box::pin(self.write(move |connection| transact(connection, |transaction| expire(transaction, &owned))))
    }

    fn open_holds(&self) -> Later<'_, u64> {
        Box::pin(self.read(|connection| {
            // A hold on an own key binds no money: only its open slice tells of it.
            let sql = "SELECT count(*) FROM jobs j CROSS JOIN attempts t \
                       ON t.id BETWEEN j.id << 44 AND ((j.id + 1) << 44) - 1 \
                       WHERE (j.held > 0 OR EXISTS (SELECT 1 FROM slices s INDEXED BY slices_open \
                                             WHERE s.job = j.id AND s.open = 1)) \
                         AND +t.hold = 'open'";
            count(connection, sql, [])
        }))
    }

    fn balance(&self, workspace: &WorkspaceId) -> Later<'_, Option<Balance>> {
        let workspace = workspace.clone();
        Box::pin(self.read(move |connection| {
            find_account(connection, &workspace)?.map(|id| read_balance(connection, id)).transpose()
        }))
    }

    fn burn(&self, workspace: &WorkspaceId) -> Later<'_, Option<Burn>> {
        let workspace = workspace.clone();
        Box::pin(self.read(move |connection| burn::read_burn(connection, &workspace)))
    }

    fn entries(&self, workspace: &WorkspaceId, after: i64, limit: u32) -> Later<'_, Vec<Entry>> {
        let workspace = workspace.clone();
        Box::pin(self.read(move |connection| {
            let Some(account) = find_account(connection, &workspace)? else { return Ok(Vec::new()) };
            read_entries(connection, account, after, limit)
        }))
    }

    fn audit(&self, workspace: Option<&WorkspaceId>) -> Later<'_, Audit> {
        let workspace = workspace.cloned();
        // In the writer's turn: the audit must see one moment, not a commit half done elsewhere.
        Box::pin(
            self.write(move |connection| {
                transact(connection, |transaction| audit::audit(transaction, workspace.as_ref()))
            }),
        )
    }
}

pub(super) fn find_account(connection: &Connection, workspace: &WorkspaceId) -> Result<Option<AccountId>, LedgerError> {
    let sql = "SELECT id FROM accounts WHERE workspace = ?1 AND bucket = 'metered'";
    find(connection, sql, [workspace.as_str()], |row| Ok(AccountId(row.get(0)?)))
}

/// The workspace's metered wallet, made when it is first mentioned.
pub(super) fn open_account(connection: &Connection, workspace: &WorkspaceId) -> Result<AccountId, LedgerError> {
    let sql = "INSERT INTO accounts (workspace, bucket) VALUES (?1, 'metered') ON CONFLICT DO NOTHING";
    execute(connection, sql, [workspace.as_str()])?;
    find_account(connection, workspace)?.ok_or_else(|| missing("a new wallet"))
}

/// What is in a wallet, and what is held of it.
pub(super) fn read_balance(connection: &Connection, account: AccountId) -> Result<Balance, LedgerError> {
    let sql = "SELECT balance, held FROM accounts WHERE id = ?1";
    find(connection, sql, [account.0], |row| Ok(Balance { balance: usd(row, 0)?, held: usd(row, 1)? }))?
        .ok_or_else(|| missing("a wallet"))
}

/// Books a change of balance once by its reference. `false`: it was booked before, alike.
pub(super) fn book(connection: &Connection, kind: EntryKind, booking: &Booking) -> Result<bool, LedgerError> {
    let account = open_account(connection, &booking.workspace)?;
    let sql = "SELECT kind, amount FROM entries WHERE account = ?1 AND reference = ?2";
    let booked =
        find(connection, sql, (account.0, &booking.reference), |row| Ok((row.get::<_, String>(0)?, usd(row, 1)?)))?;
    if let Some((booked_kind, amount)) = booked {
        return if booked_kind == kind.as_str() && amount == booking.amount {
            Ok(false)
        } else {
            Err(LedgerError::Conflict { what: format!("the reference {}", booking.reference) })
        };
    }
    let wallet = read_balance(connection, account)?;
    let too_much = || LedgerError::Insufficient { available: wallet.available() };
    let balance = wallet.balance.checked_add(booking.amount).ok_or_else(too_much)?;
    if balance < wallet.held || balance.is_negative() {
        return Err(too_much());
    }
    execute(connection, "UPDATE accounts SET balance = ?2 WHERE id = ?1", (account.0, balance.nanos()))?;
    let sql = "INSERT INTO entries (account, at, kind, amount, balance, reference, note) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let amounts = (booking.amount.nanos(), balance.nanos());
    let words = (kind.as_str(), &booking.reference, &booking.note);
    execute(connection, sql, (account.0, clock::wall_ms(), words.0, amounts.0, amounts.1, words.1, words.2))?;
    if kind == EntryKind::TopUp {
        note_top_up(connection, account)?;
        recharges::answer(connection, account, booking)?;
    }
    Ok(true)
}

/// The wallet's next end is told again, and jobs that asked for it are to be resumed.
fn note_top_up(connection: &Connection, account: AccountId) -> Result<(), LedgerError> {
    execute(connection, "UPDATE accounts SET empty_told = 0 WHERE id = ?1", [account.0])?;
    let sql = "UPDATE jobs SET resume_asked = 1 WHERE account = ?1 AND auto_resume = 1 \
               AND (state = 'completed' OR state = 'running' OR state = 'queued')";
    execute(connection, sql, [account.0]).map(drop)
}

/// Gives back holds that nobody works on any more. Their attempts end as `unavailable`
/// (`hold_expired`), so that the step is tried again under a new hold. What an overtaken owner has learned
/// of one was paid for, and nobody takes it any more: the house's loss.
fn expire(connection: &Connection, owned: &[JobKey]) -> Result<u64, LedgerError> {
    let sql = "SELECT t.id, t.job, t.account, t.amount FROM jobs j \
               CROSS JOIN attempts t ON t.id BETWEEN j.id << 44 AND ((j.id + 1) << 44) - 1 \
               CROSS JOIN slices s ON s.job = j.id AND s.n = (t.lead - 1) / j.slice_size \
               WHERE (j.held > 0 OR EXISTS (SELECT 1 FROM slices o INDEXED BY slices_open \
                                     WHERE o.job = j.id AND o.open = 1)) \
                 AND +t.hold = 'open' AND t.expires_at <= ?1 AND s.lease_until <= ?1";
    let now_ms = clock::wall_ms();
    let open = all(connection, sql, [now_ms], |row| {
        Ok((row.get::<_, i64>(0)?, JobKey(row.get(1)?), AccountId(row.get(2)?), usd(row, 3)?))
    })?;
    let mut expired = 0_u64;
    for (id, job, account, amount) in open.into_iter().filter(|(_, job, ..)| !owned.contains(job)) {
        execute(
            connection,
            "UPDATE attempts SET hold = 'expired', outcome = 'unavailable', detail = 'hold_expired', \
             source = 'not_asked', ended_at = ?2, learned = NULL, \
             lost = lost + coalesce(json_extract(learned, '$.owed'), 0) WHERE id = ?1",
            (id, now_ms),
        )?;
        execute(connection, "UPDATE accounts SET held = held - ?2 WHERE id = ?1", (account.0, amount.nanos()))?;
        execute(connection, "UPDATE jobs SET held = held - ?2 WHERE id = ?1", (job.0, amount.nanos()))?;
        expired = expired.saturating_add(1);
    }
    Ok(expired)
}

fn read_entries(
    connection: &Connection,
    account: AccountId,
    after: i64,
    limit: u32,
) -> Result<Vec<Entry>, LedgerError> {
    let sql = "SELECT e.seq, e.at, e.kind, e.amount, e.balance, e.reference, j.job_id, l.lead_id, t.step, e.note \
               FROM entries e LEFT JOIN attempts t ON t.id = e.attempt \
               LEFT JOIN jobs j ON j.id = t.job LEFT JOIN leads l ON l.job = t.job AND l.n = t.lead \
               WHERE e.account = ?1 AND e.seq > ?2 ORDER BY e.seq LIMIT ?3";
    all(connection, sql, (account.0, after, limit), |row| {
        let job: Option<String> = row.get(6)?;
        let lead: Option<String> = row.get(7)?;
        let paid = match (job, lead) {
            (Some(job), Some(lead)) => Some((JobId::new(job), LeadId::new(lead), word(row, 8)?)),
            _ => None,
        };
        let (amount, balance): (Usd, Usd) = (usd(row, 3)?, usd(row, 4)?);
        Ok(Entry {
            seq: row.get(0)?,
            at_ms: row.get(1)?,
            kind: row.get(2)?,
            amount,
            balance,
            reference: row.get(5)?,
            note: row.get(9)?,
            paid,
        })
    })
}
