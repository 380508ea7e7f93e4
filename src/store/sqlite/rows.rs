//! What the group commit reads and writes, in one immediate transaction.

use crate::clock;
use crate::domain::About;
use crate::domain::Address;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::Operation;
use crate::domain::ProviderName;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Balance;
use crate::ledger::Begin;
use crate::ledger::Ended;
use crate::ledger::Epoch;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::ledger::Stopper;
use crate::ledger::rules::JobMoney;
use crate::ledger::rules::Settlement;
use crate::store::batch::Asker;
use crate::store::batch::Owner;
use crate::store::batch::failures_since;
use crate::store::lock::this_process;
use crate::store::product::write_product;
use crate::store::rows::AccountRow;
use crate::store::rows::HoldState;
use crate::store::rows::JobRow;
use crate::store::rows::Known;
use crate::store::rows::Rows;
use crate::store::rows::SliceRow;
use crate::store::rows::heard_bit;
use crate::store::rows::id_of;
use crate::store::rows::ids_of_lead;
use crate::store::rows::is_reusable;
use crate::store::sqlite::attempts;
use crate::store::sqlite::happenings::insert_happening;
use crate::store::sqlite::statements::after_ms;
use crate::store::sqlite::statements::all;
use crate::store::sqlite::statements::execute;
use crate::store::sqlite::statements::find;
use crate::store::sqlite::statements::missing;
use crate::store::sqlite::statements::optional_usd;
use crate::store::sqlite::statements::usd;
use crate::store::sqlite::statements::word;
use crate::store::sqlite::store_error;
use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;

/// The rows as one transaction sees them. Dropped, it leaves nothing behind.
pub(super) struct SqliteRows<'c> {
    transaction: Transaction<'c>,
    now_ms: i64,
}

impl<'c> SqliteRows<'c> {
    pub(super) fn begin(connection: &'c mut Connection) -> Result<Self, LedgerError> {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| store_error(&error))?;
        Ok(Self { transaction, now_ms: clock::wall_ms() })
    }

    pub(super) fn commit(self) -> Result<(), LedgerError> {
        self.transaction.commit().map_err(|error| store_error(&error))
    }
}

impl Rows for SqliteRows<'_> {
    fn account(&mut self, id: AccountId) -> Result<AccountRow, LedgerError> {
        let sql = "SELECT workspace, balance, held, low_told, empty_told FROM accounts WHERE id = ?1";
        let read = |row: &Row<'_>| {
            Ok(AccountRow {
                workspace: WorkspaceId::new(row.get::<_, String>(0)?),
                money: Balance { balance: usd(row, 1)?, held: usd(row, 2)? },
                low_told: row.get(3)?,
                empty_told: row.get(4)?,
            })
        };
        find(&self.transaction, sql, [id.0], read)?.ok_or_else(|| missing("a wallet"))
    }

    fn job(&mut self, key: JobKey) -> Result<JobRow, LedgerError> {
        let sql = "SELECT state, max_spend, spent, held, done FROM jobs WHERE id = ?1";
        let read = |row: &Row<'_>| {
            let money = JobMoney { cap: optional_usd(row, 1)?, spent: usd(row, 2)?, held: usd(row, 3)? };
            Ok(JobRow { state: word(row, 0)?, money, done: row.get(4)? })
        };
        find(&self.transaction, sql, [key.0], read)?.ok_or_else(|| missing("a job"))
    }

    fn slice(&mut self, job: JobKey, slice: SliceNo) -> Result<SliceRow, LedgerError> {
        let sql = "SELECT epoch, pending FROM slices WHERE job = ?1 AND n = ?2";
        let read = |row: &Row<'_>| Ok(SliceRow { epoch: Epoch(row.get(0)?), pending: row.get(1)? });
        find(&self.transaction, sql, (job.0, slice.0), read)?.ok_or_else(|| missing("a slice"))
    }

    fn write_account(&mut self, id: AccountId, row: &AccountRow) -> Result<(), LedgerError> {
        let sql = "UPDATE accounts SET balance = ?2, held = ?3, low_told = ?4, empty_told = ?5 WHERE id = ?1";
        let Balance { balance, held } = row.money;
        execute(&self.transaction, sql, (id.0, balance.nanos(), held.nanos(), row.low_told, row.empty_told)).map(drop)
    }

    fn write_job(&mut self, key: JobKey, row: &JobRow) -> Result<(), LedgerError> {
        let sql = "UPDATE jobs SET spent = ?2, held = ?3, done = ?4, updated_at = ?5 WHERE id = ?1";
        let values = (key.0, row.money.spent.nanos(), row.money.held.nanos(), row.done, self.now_ms);
        execute(&self.transaction, sql, values).map(drop)
    }

    fn write_slice(&mut self, job: JobKey, slice: SliceNo, row: &SliceRow) -> Result<(), LedgerError> {
        let sql = "UPDATE slices SET pending = ?3 WHERE job = ?1 AND n = ?2";
        execute(&self.transaction, sql, (job.0, slice.0, row.pending)).map(drop)
    }

    fn known(&mut self, lead: LeadKey, n: AttemptNo) -> Result<Option<Known>, LedgerError> {
        attempts::find_known(&self.transaction, id_of(lead, n)?)
    }

    fn lead_spent_and_held(&mut self, lead: LeadKey) -> Result<(Usd, Usd), LedgerError> {
        let sql = "SELECT coalesce(sum(charged), 0), coalesce(sum(amount) FILTER (WHERE hold = 'open'), 0) \
                   FROM attempts WHERE id BETWEEN ?1 AND ?2";
        let ids = ids_of_lead(lead.job, lead.lead)?;
        find(&self.transaction, sql, ids, |row| Ok((usd(row, 0)?, usd(row, 1)?)))?.ok_or_else(|| missing("a sum"))
    }

    fn is_charged(&mut self, lead: LeadKey, asked: Fingerprint) -> Result<bool, LedgerError> {
        let sql = "SELECT 1 FROM attempts WHERE id BETWEEN ?1 AND ?2 AND fingerprint = ?3 AND charged > 0";
        let (first, last) = ids_of_lead(lead.job, lead.lead)?;
        Ok(find(&self.transaction, sql, (first, last, asked.as_bytes()), |_| Ok(()))?.is_some())
    }

    fn reusable(&mut self, begin: &Begin) -> Result<Option<AttemptEnd>, LedgerError> {
        let Some(since_ms) = begin.cached_since_ms else { return Ok(None) };
        let answer = attempts::find_reusable(&self.transaction, begin.fingerprint, since_ms)?;
        if answer.is_some() || begin.step.operation != Operation::Scrape {
            return Ok(answer);
        }
        attempts::find_failure(&self.transaction, begin.fingerprint, failures_since(since_ms, self.now_ms))
    }

    fn asked_by(&mut self, asked: Fingerprint) -> Result<Option<i64>, LedgerError> {
        let sql = "SELECT k.attempt, t.began_at, t.expires_at, s.lease_until, s.worker \
                   FROM askings k JOIN attempts t ON t.id = k.attempt JOIN jobs j ON j.id = t.job \
                   JOIN slices s ON s.job = t.job AND s.n = (t.lead - 1) / j.slice_size \
                   WHERE k.fingerprint = ?1 AND t.outcome IS NULL";
        let asker = find(&self.transaction, sql, [asked.as_bytes()], |row| {
            Ok(Asker {
                attempt: row.get(0)?,
                began_ms: row.get(1)?,
                expires_ms: row.get(2)?,
                lease_until: row.get(3)?,
                owner: match row.get::<_, Option<String>>(4)? {
                    None => Owner::Nobody,
                    Some(worker) if worker == this_process().as_str() => Owner::ThisProcess,
                    Some(_) => Owner::Somebody,
                },
            })
        })?;
        Ok(asker.filter(|asker| asker.may_answer(self.now_ms)).map(|asker| asker.attempt))
    }

    fn note_asking(&mut self, asked: Fingerprint, attempt: i64) -> Result<(), LedgerError> {
        let sql = "INSERT INTO askings (fingerprint, attempt) VALUES (?1, ?2) \
                   ON CONFLICT (fingerprint) DO UPDATE SET attempt = excluded.attempt";
        execute(&self.transaction, sql, (asked.as_bytes(), attempt)).map(drop)
    }

    fn forget_asking(&mut self, asked: Fingerprint, attempt: i64) -> Result<(), LedgerError> {
        let sql = "DELETE FROM askings WHERE fingerprint = ?1 AND attempt = ?2";
        execute(&self.transaction, sql, (asked.as_bytes(), attempt)).map(drop)
    }

    fn insert_begun(&mut self, lead: LeadKey, account: AccountId, begin: &Begin) -> Result<bool, LedgerError> {
        let sql = "INSERT INTO attempts (id, run, step, fingerprint, about, key_source, config, began_at, account, \
                   hold, amount, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open', ?10, ?11) \
                   ON CONFLICT DO NOTHING";
        let values = (
            id_of(lead, begin.n)?,
            begin.run.get(),
            begin.step.to_string(),
            begin.fingerprint.as_bytes(),
            begin.about.as_ref().map(About::as_str),
            begin.key_source.as_str(),
            begin.config_version.as_str(),
            self.now_ms,
            account.0,
            begin.price.nanos(),
            after_ms(self.now_ms, begin.expires_in),
        );
        Ok(execute(&self.transaction, sql, values)? > 0)
    }

    fn insert_unmade(&mut self, lead: LeadKey, ended: &Ended, end: &AttemptEnd) -> Result<bool, LedgerError> {
        let sql = "INSERT INTO attempts (id, run, step, fingerprint, about, key_source, config, began_at, ended_at, \
                   outcome, detail, found, claim, source, product) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT DO NOTHING";
        let attempt = &ended.attempt;
        let values = (
            id_of(lead, attempt.n)?,
            attempt.run.get(),
            attempt.step.to_string(),
            ended.fingerprint.as_bytes(),
            attempt.about.as_ref().map(About::as_str),
            attempt.key_source.as_str(),
            ended.config_version.as_str(),
            self.now_ms,
            end.outcome.as_str(),
            end.outcome.detail(),
            end.found.as_ref().map(Address::as_str),
            end.claim.map(Verdict::as_str),
            end.source.as_str(),
            write_product(end)?,
        );
        Ok(execute(&self.transaction, sql, values)? > 0)
    }

    fn end_attempt(
        &mut self,
        id: i64,
        end: &AttemptEnd,
        settlement: &Settlement,
        only_open: Option<(AccountId, Usd)>,
    ) -> Result<bool, LedgerError> {
        let sql = "UPDATE attempts SET hold = ?2, charged = ?3, lost = lost + ?4, outcome = ?5, detail = ?6, found = ?7, \
                   claim = ?8, source = ?9, duration_ms = ?10, ended_at = ?11, reusable = ?12, \
                   product = ?15, unsaid = ?16, learned = NULL \
                   WHERE id = ?1 AND (?13 IS NULL \
                     OR (hold = 'open' AND account = ?13 AND amount = ?14 AND learned IS NULL))";
        let (account, amount) = only_open.map(|(account, amount)| (account.0, amount.nanos())).unzip();
        let values = (
            id,
            HoldState::after(settlement).as_str(),
            settlement.charged.nanos(),
            settlement.lost.nanos(),
            end.outcome.as_str(),
            end.outcome.detail(),
            end.found.as_ref().map(Address::as_str),
            end.claim.map(Verdict::as_str),
            end.source.as_str(),
            end.duration_ms,
            self.now_ms,
            is_reusable(end),
            account,
            amount,
            write_product(end)?,
            end.unsaid,
        );
        Ok(execute(&self.transaction, sql, values)? > 0)
    }

    fn keep_learned(&mut self, id: i64, end: &AttemptEnd, owed: Usd, epoch: Epoch) -> Result<(), LedgerError> {
        let sql = "UPDATE attempts SET learned = ?2, heard = heard | ?3 \
                   WHERE id = ?1 AND outcome IS NULL AND learned IS NULL";
        let learned = attempts::write_learned(end, owed)?;
        execute(&self.transaction, sql, (id, learned, heard_bit(epoch))).map(drop)
    }

    fn add_lost(&mut self, id: i64, lost: Usd, epoch: Epoch) -> Result<(), LedgerError> {
        let sql = "UPDATE attempts SET lost = lost + ?2, heard = heard | ?3 WHERE id = ?1";
        execute(&self.transaction, sql, (id, lost.nanos(), heard_bit(epoch))).map(drop)
    }

    fn set_handle(&mut self, lead: LeadKey, n: AttemptNo, handle: &str) -> Result<(), LedgerError> {
        let sql = "UPDATE attempts SET handle = ?2 WHERE id = ?1 AND outcome IS NULL";
        execute(&self.transaction, sql, (id_of(lead, n)?, handle)).map(drop)
    }

    fn insert_settle(
        &mut self,
        account: AccountId,
        attempt: i64,
        charged: Usd,
        balance: Usd,
    ) -> Result<(), LedgerError> {
        let sql =
            "INSERT INTO entries (account, at, kind, amount, balance, attempt) VALUES (?1, ?2, 'settle', ?3, ?4, ?5)";
        let values = (account.0, self.now_ms, charged.negated().nanos(), balance.nanos(), attempt);
        execute(&self.transaction, sql, values).map(drop)
    }

    fn finish_lead(&mut self, lead: LeadKey, ending: &Ending) -> Result<Option<u64>, LedgerError> {
        let sql = "UPDATE leads SET ended = 1, status = ?3, reason = ?4, address = ?5, verdict = ?6, found_by = ?7, \
                   verified_by = ?8, ended_at = ?9 WHERE job = ?1 AND n = ?2 AND ended = 0 RETURNING copies";
        let values = (
            lead.job.0,
            lead.lead.0,
            ending.status.as_str(),
            ending.reason.as_str(),
            ending.address.as_ref().map(Address::as_str),
            ending.verdict.map(Verdict::as_str),
            ending.found_by.as_ref().map(ProviderName::as_str),
            ending.verified_by.as_ref().map(ProviderName::as_str),
            self.now_ms,
        );
        find(&self.transaction, sql, values, |row| row.get(0))
    }

    fn key_fails(&mut self, key: &str) -> Result<bool, LedgerError> {
        let sql = "INSERT INTO failing_keys (key) VALUES (?1) ON CONFLICT DO NOTHING";
        Ok(execute(&self.transaction, sql, [key])? > 0)
    }

    fn deactivate_campaigns(&mut self, workspace: &WorkspaceId, key: &str) -> Result<(), LedgerError> {
        let sql = "UPDATE campaigns SET active = 0 WHERE workspace = ?1 AND active = 1 RETURNING campaign";
        let mut campaigns = all(&self.transaction, sql, [workspace.as_str()], |row| row.get::<_, String>(0))?;
        campaigns.sort_unstable();
        for campaign in campaigns {
            let key = format!("{key}/{campaign}");
            self.happened(
                &key,
                &Happening::CampaignDeactivated { workspace: workspace.clone(), campaign, by: Stopper::Wallet },
            )?;
        }
        Ok(())
    }

    fn happened(&mut self, key: &str, what: &Happening) -> Result<(), LedgerError> {
        insert_happening(&self.transaction, key, what, self.now_ms)
    }
}
