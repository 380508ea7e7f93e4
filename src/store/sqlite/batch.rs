//! One transaction of the group commit: wallets, jobs and slices are read once, every boundary is
//! decided in order by the pure rules, and what changed is written back once.

use crate::clock;
use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::Ending;
use crate::domain::KeySource;
use crate::domain::Usd;
use crate::jobs::JobState;
use crate::ledger::AccountId;
use crate::ledger::Answer;
use crate::ledger::Balance;
use crate::ledger::Begin;
use crate::ledger::Boundary;
use crate::ledger::Committed;
use crate::ledger::Ended;
use crate::ledger::Epoch;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::ledger::Then;
use crate::ledger::rules::Decision;
use crate::ledger::rules::LeadMoney;
use crate::ledger::rules::Obstacle;
use crate::ledger::rules::Settlement;
use crate::ledger::rules::decide_hold;
use crate::ledger::rules::settle;
use crate::ledger::rules::settle_within;
use crate::store::sqlite::attempts;
use crate::store::sqlite::attempts::HoldState;
use crate::store::sqlite::attempts::KnownState;
use crate::store::sqlite::rows;
use crate::store::sqlite::rows::JobRow;
use crate::store::sqlite::rows::SliceRow;
use rusqlite::Transaction;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;

/// A boundary that was applied, not yet committed.
pub(super) enum Applied {
    Answered(Committed),
    /// What had ended is settled; the begin waits for money.
    Waits(Vec<Usd>),
}

/// A begin that was decided.
pub(super) enum Begun {
    Answered(Answer),
    Waits(Obstacle),
}

/// A row that was read, and perhaps changed.
struct Loaded<T> {
    row: T,
    changed: bool,
}

pub(super) struct Batch<'a> {
    transaction: &'a Transaction<'a>,
    now_ms: i64,
    accounts: HashMap<AccountId, Loaded<Balance>>,
    jobs: HashMap<JobKey, Loaded<JobRow>>,
    slices: HashMap<(JobKey, SliceNo), Loaded<SliceRow>>,
    /// Wallets for which a hold of this batch began to wait: later ones wait behind it.
    poor: HashSet<AccountId>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(transaction: &'a Transaction<'a>) -> Self {
        Self {
            transaction,
            now_ms: clock::wall_ms(),
            accounts: HashMap::new(),
            jobs: HashMap::new(),
            slices: HashMap::new(),
            poor: HashSet::new(),
        }
    }

    /// Applies a boundary; `queued` says that others already wait for its wallet.
    pub(super) fn apply(&mut self, boundary: &Boundary, queued: bool) -> Result<Applied, LedgerError> {
        if self.epoch(boundary.lead)? != boundary.lead.epoch {
            return Ok(Applied::Answered(Committed { charged: Vec::new(), answer: Answer::Fenced }));
        }
        let mut charged = Vec::with_capacity(boundary.ended.len());
        for ended in &boundary.ended {
            charged.push(self.end(boundary, ended)?);
        }
        let answer = match &boundary.then {
            Then::Nothing => Answer::Done,
            Then::Recall(begin) => self.recall(boundary, begin)?.unwrap_or(Answer::Done),
            Then::Begin(_) => {
                let behind = (queued || self.poor.contains(&boundary.account)).then_some(Obstacle::Wallet);
                match self.begin(boundary, behind)? {
                    Begun::Answered(answer) => answer,
                    Begun::Waits(_) => {
                        self.poor.insert(boundary.account);
                        return Ok(Applied::Waits(charged));
                    }
                }
            }
            Then::Submitted(n, handle) => {
                attempts::set_handle(self.transaction, boundary.lead, *n, handle)?;
                Answer::Done
            }
            Then::Finish(ending) => {
                self.finish(boundary.lead, ending)?;
                Answer::Done
            }
        };
        Ok(Applied::Answered(Committed { charged, answer }))
    }

    /// Decides the boundary's begin; `behind` says what those wait for who stand before it.
    pub(super) fn begin(&mut self, boundary: &Boundary, behind: Option<Obstacle>) -> Result<Begun, LedgerError> {
        let Then::Begin(begin) = &boundary.then else { return Ok(Begun::Answered(Answer::Done)) };
        if self.epoch(boundary.lead)? != boundary.lead.epoch {
            return Ok(Begun::Answered(Answer::Fenced));
        }
        if let Some(known) = self.recall(boundary, begin)? {
            return Ok(Begun::Answered(known));
        }
        self.decide(boundary, begin, behind)
    }

    /// What needs no hold: the job is cancelled, or the answer is known and recorded as the attempt's.
    fn recall(&mut self, boundary: &Boundary, begin: &Begin) -> Result<Option<Answer>, LedgerError> {
        if self.job(boundary.lead.job)?.row.state == JobState::Cancelled {
            return Ok(Some(self.first_answer(boundary, begin)?.unwrap_or(Answer::Cancelled)));
        }
        let Some(end) = attempts::find_reusable(self.transaction, begin)? else { return Ok(None) };
        if self.record_unmade(boundary.lead, begin, &end)? {
            return Ok(Some(Answer::Cached(end)));
        }
        Ok(Some(self.first_answer(boundary, begin)?.unwrap_or(Answer::Cached(end))))
    }

    fn first_answer_or(&self, boundary: &Boundary, begin: &Begin, new: Begun) -> Result<Begun, LedgerError> {
        Ok(self.first_answer(boundary, begin)?.map_or(new, Begun::Answered))
    }

    /// What the same begin was answered before, if it was: asked again, it gets its first answer.
    fn first_answer(&self, boundary: &Boundary, begin: &Begin) -> Result<Option<Answer>, LedgerError> {
        let Some(known) = attempts::find_known(self.transaction, boundary.lead, begin.n)? else { return Ok(None) };
        let same = known.step == begin.step
            && known.fingerprint == begin.fingerprint
            && known.account.is_none_or(|account| account == boundary.account);
        match known.state {
            KnownState::Open if same => Ok(Some(Answer::Granted)),
            KnownState::Unmade(end) if same && end.source == AnswerSource::Cached => Ok(Some(Answer::Cached(end))),
            KnownState::Unmade(end) if same => Ok(Some(Answer::Refused(end.outcome))),
            KnownState::Open | KnownState::Unmade(_) | KnownState::Made => {
                Err(LedgerError::Conflict { what: format!("the id of attempt {}", begin.n) })
            }
        }
    }

    fn decide(&mut self, boundary: &Boundary, begin: &Begin, behind: Option<Obstacle>) -> Result<Begun, LedgerError> {
        let wallet = self.account(boundary.account)?.row;
        let job = self.job(boundary.lead.job)?.row.money;
        // A lead's first attempt has spent nothing yet.
        let lead = if begin.n == AttemptNo::FIRST {
            LeadMoney { cap: boundary.lead_cap, spent: Usd::ZERO, held: Usd::ZERO }
        } else {
            self.lead_money(boundary)?
        };
        let binds_money = begin.price.is_positive();
        let decision = decide_hold(begin.price, wallet, job, lead);
        if let (Decision::Grant, Some(obstacle), true) = (decision, behind, binds_money) {
            return self.first_answer_or(boundary, begin, Begun::Waits(obstacle));
        }
        match decision {
            Decision::Wait(obstacle) => self.first_answer_or(boundary, begin, Begun::Waits(obstacle)),
            Decision::Refuse(outcome) => {
                let recorded = self.record_unmade(boundary.lead, begin, &AttemptEnd::not_asked(outcome))?;
                let refused = Begun::Answered(Answer::Refused(outcome));
                if recorded { Ok(refused) } else { self.first_answer_or(boundary, begin, refused) }
            }
            Decision::Grant => {
                let granted = Begun::Answered(Answer::Granted);
                if !attempts::insert_begun(self.transaction, boundary.lead, boundary.account, begin, self.now_ms)? {
                    return self.first_answer_or(boundary, begin, granted);
                }
                if binds_money {
                    let account = self.account(boundary.account)?;
                    account.row.held = add(account.row.held, begin.price)?;
                    account.changed = true;
                    let job = self.job(boundary.lead.job)?;
                    job.row.money.held = add(job.row.money.held, begin.price)?;
                    job.changed = true;
                }
                Ok(granted)
            }
        }
    }

    /// Records an attempt whose call is not made: its answer is known, or its hold refused. `false` when
    /// the attempt is there already.
    fn record_unmade(&self, lead: LeadKey, begin: &Begin, end: &AttemptEnd) -> Result<bool, LedgerError> {
        let ended = Ended {
            attempt: Attempt {
                n: begin.n,
                run: begin.run,
                step: begin.step.clone(),
                about: begin.about.clone(),
                key_source: begin.key_source,
                state: AttemptState::Ended(end.clone()),
            },
            fingerprint: begin.fingerprint,
            owed: Usd::ZERO,
            held: None,
            config_version: begin.config_version.clone(),
        };
        attempts::insert_ended(self.transaction, lead, &ended, end, self.now_ms)
    }

    /// Ends an attempt: settles or voids its hold, or records that nobody was asked. Done again, it
    /// gives the first result.
    fn end(&mut self, boundary: &Boundary, ended: &Ended) -> Result<Usd, LedgerError> {
        let Some(end) = ended.attempt.end() else {
            return Err(LedgerError::Conflict { what: format!("attempt {}, which has not ended,", ended.attempt.n) });
        };
        if ended.attempt.key_source == KeySource::Own && ended.owed.is_positive() {
            return Err(LedgerError::Corrupt(format!(
                "attempt {} owes money for the customer's own key",
                ended.attempt.n
            )));
        }
        let lead = boundary.lead;
        let id = attempts::id_of(lead, ended.attempt.n)?;
        // The usual case, in one statement: an open hold that covers what is owed.
        let within = ended.held.and_then(|held| Some((held, settle_within(ended.owed, held)?)));
        if let Some((held, settlement)) = within
            && attempts::end_attempt(
                self.transaction,
                id,
                end,
                &settlement,
                Some((boundary.account, held)),
                self.now_ms,
            )?
        {
            self.book(boundary.account, lead, id, &settlement)?;
            return Ok(settlement.charged);
        }
        let Some(known) = attempts::find_hold(self.transaction, lead, ended.attempt.n)? else {
            if ended.owed.is_positive() {
                return Err(LedgerError::Corrupt(format!("attempt {} owes money without a hold", ended.attempt.n)));
            }
            attempts::insert_ended(self.transaction, lead, ended, end, self.now_ms)?;
            return Ok(Usd::ZERO);
        };
        let Some(hold) = known else { return Ok(Usd::ZERO) };
        let still_held = match hold.state {
            HoldState::Settled | HoldState::Voided => return Ok(hold.charged),
            HoldState::Open => hold.amount,
            HoldState::Expired => Usd::ZERO,
        };
        let wallet = self.account(hold.account)?.row;
        let job_money = self.job(lead.job)?.row.money;
        let already_charged =
            hold.state == HoldState::Expired && attempts::is_charged(self.transaction, lead, ended.fingerprint)?;
        let settlement = if already_charged {
            // A later attempt has been paid for the same step: this answer is the house's loss.
            Settlement { charged: Usd::ZERO, released: Usd::ZERO, lost: ended.owed }
        } else {
            settle(ended.owed, still_held, wallet, job_money, self.lead_money(boundary)?)
        };
        self.book(hold.account, lead, id, &settlement)?;
        attempts::end_attempt(self.transaction, id, end, &settlement, None, self.now_ms)?;
        Ok(settlement.charged)
    }

    /// Moves the money of a settlement, in the wallet and under the job's cap.
    fn book(
        &mut self,
        account_id: AccountId,
        lead: LeadKey,
        attempt: i64,
        settlement: &Settlement,
    ) -> Result<(), LedgerError> {
        let Settlement { charged, released, lost: _ } = *settlement;
        if !charged.is_positive() && !released.is_positive() {
            return Ok(());
        }
        let account = self.account(account_id)?;
        account.row.held = subtract(account.row.held, released)?;
        account.row.balance = subtract(account.row.balance, charged)?;
        account.changed = true;
        let balance = account.row.balance;
        let job = self.job(lead.job)?;
        job.row.money.held = subtract(job.row.money.held, released)?;
        job.row.money.spent = add(job.row.money.spent, charged)?;
        job.changed = true;
        if charged.is_positive() {
            rows::insert_settle(self.transaction, account_id, attempt, charged, balance, self.now_ms)?;
        }
        Ok(())
    }

    fn finish(&mut self, lead: LeadKey, ending: &Ending) -> Result<(), LedgerError> {
        if let Some(copies) = rows::finish_lead(self.transaction, lead, ending)? {
            let job = self.job(lead.job)?;
            job.row.done = job.row.done.saturating_add(1).saturating_add(copies);
            job.changed = true;
            let slice = self.slice(lead)?;
            slice.row.pending = slice.row.pending.saturating_sub(1);
            slice.changed = true;
        }
        Ok(())
    }

    /// Writes back what changed.
    pub(super) fn flush(self) -> Result<(), LedgerError> {
        for (id, account) in self.accounts.iter().filter(|(_, account)| account.changed) {
            rows::write_account(self.transaction, *id, account.row)?;
        }
        for (key, job) in self.jobs.iter().filter(|(_, job)| job.changed) {
            rows::write_job(self.transaction, *key, &job.row, self.now_ms)?;
        }
        for ((job, slice), loaded) in self.slices.iter().filter(|(_, slice)| slice.changed) {
            rows::write_slice(self.transaction, *job, *slice, &loaded.row)?;
        }
        Ok(())
    }

    fn account(&mut self, id: AccountId) -> Result<&mut Loaded<Balance>, LedgerError> {
        match self.accounts.entry(id) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let row = rows::read_account(self.transaction, id)?;
                Ok(new.insert(Loaded { row, changed: false }))
            }
        }
    }

    fn job(&mut self, key: JobKey) -> Result<&mut Loaded<JobRow>, LedgerError> {
        match self.jobs.entry(key) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let row = rows::read_job(self.transaction, key)?;
                Ok(new.insert(Loaded { row, changed: false }))
            }
        }
    }

    fn slice(&mut self, lead: LeadKey) -> Result<&mut Loaded<SliceRow>, LedgerError> {
        match self.slices.entry((lead.job, lead.slice)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let row = rows::read_slice(self.transaction, lead.job, lead.slice)?;
                Ok(new.insert(Loaded { row, changed: false }))
            }
        }
    }

    fn epoch(&mut self, lead: LeadKey) -> Result<Epoch, LedgerError> {
        Ok(self.slice(lead)?.row.epoch)
    }

    /// Without a cap nobody asks what the lead has spent.
    fn lead_money(&self, boundary: &Boundary) -> Result<LeadMoney, LedgerError> {
        let cap = boundary.lead_cap;
        let (spent, held) = match cap {
            None => (Usd::ZERO, Usd::ZERO),
            Some(_) => rows::lead_spent_and_held(self.transaction, boundary.lead)?,
        };
        Ok(LeadMoney { cap, spent, held })
    }
}

fn add(a: Usd, b: Usd) -> Result<Usd, LedgerError> {
    a.checked_add(b).ok_or_else(|| LedgerError::Corrupt("an amount beyond 64 bits".to_owned()))
}

fn subtract(a: Usd, b: Usd) -> Result<Usd, LedgerError> {
    a.checked_sub(b).ok_or_else(|| LedgerError::Corrupt("an amount beyond 64 bits".to_owned()))
}
