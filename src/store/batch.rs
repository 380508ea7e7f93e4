//! One transaction of the group commit: wallets, jobs and slices are read once, every boundary is
//! decided in order by the pure rules, and what changed is written back once.

use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::Ending;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::Usd;
use crate::jobs::JobState;
use crate::ledger::AccountId;
use crate::ledger::Answer;
use crate::ledger::Begin;
use crate::ledger::Boundary;
use crate::ledger::Charged;
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
use crate::ledger::rules::decide_hold;
use crate::store::rows::AccountRow;
use crate::store::rows::JobRow;
use crate::store::rows::Rows;
use crate::store::rows::SliceRow;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;

/// A boundary that was applied, not yet committed.
pub(super) enum Applied {
    Answered(Committed),
    /// What had ended is settled; the begin waits for money.
    Waits(Vec<Charged>),
}

/// A begin that was decided.
pub(super) enum Begun {
    Answered(Answer),
    Waits(Obstacle),
}

/// A row that was read, and perhaps changed.
pub(super) struct Loaded<T> {
    pub(super) row: T,
    pub(super) changed: bool,
}

pub(super) struct Batch<R> {
    pub(super) rows: R,
    accounts: HashMap<AccountId, Loaded<AccountRow>>,
    jobs: HashMap<JobKey, Loaded<JobRow>>,
    slices: HashMap<(JobKey, SliceNo), Loaded<SliceRow>>,
    /// Wallets for which a hold of this batch began to wait: later ones wait behind it.
    poor: HashSet<AccountId>,
}

impl<R: Rows> Batch<R> {
    pub(super) fn new(rows: R) -> Self {
        Self { rows, accounts: HashMap::new(), jobs: HashMap::new(), slices: HashMap::new(), poor: HashSet::new() }
    }

    /// Applies a boundary; `queued` says that others already wait for its wallet.
    pub(super) fn apply(&mut self, boundary: &Boundary, queued: bool) -> Result<Applied, LedgerError> {
        if self.epoch(boundary.lead)? != boundary.lead.epoch {
            for ended in &boundary.ended {
                self.learn(boundary.lead, ended)?;
            }
            return Ok(Applied::Answered(Committed { charged: Vec::new(), answer: Answer::Fenced }));
        }
        let mut charged = Vec::with_capacity(boundary.ended.len());
        for ended in &boundary.ended {
            charged.push(self.end(boundary, ended)?);
        }
        let answer = match &boundary.then {
            Then::Nothing => Answer::Done,
            Then::Recall(begin) => match self.recall(boundary, begin)? {
                Some(known) => known,
                None if self.is_asked_elsewhere(boundary.lead, begin)? => {
                    self.first_answer(boundary, begin)?.unwrap_or(Answer::AskedElsewhere)
                }
                None => Answer::Done,
            },
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
                self.rows.set_handle(boundary.lead, *n, handle)?;
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
        if self.is_asked_elsewhere(boundary.lead, begin)? {
            return self.first_answer_or(boundary, begin, Begun::Answered(Answer::AskedElsewhere));
        }
        self.decide(boundary, begin, behind)
    }

    /// Does another attempt ask for the same page just now? Its answer will serve this one too.
    fn is_asked_elsewhere(&mut self, lead: LeadKey, begin: &Begin) -> Result<bool, LedgerError> {
        if begin.step.operation != Operation::Scrape {
            return Ok(false);
        }
        let id = R::IDS.id_of(lead, begin.n)?;
        Ok(self.rows.asked_by(begin.fingerprint)?.is_some_and(|asker| asker != id))
    }

    /// What needs no hold: the job is cancelled, or the answer is known and recorded as the attempt's.
    fn recall(&mut self, boundary: &Boundary, begin: &Begin) -> Result<Option<Answer>, LedgerError> {
        if self.job(boundary.lead.job)?.row.state == JobState::Cancelled {
            return Ok(Some(self.first_answer(boundary, begin)?.unwrap_or(Answer::Cancelled)));
        }
        let Some(end) = self.rows.reusable(begin)? else { return Ok(None) };
        if self.record_unmade(boundary.lead, begin, &end)? {
            return Ok(Some(Answer::Cached(end)));
        }
        Ok(Some(self.first_answer(boundary, begin)?.unwrap_or(Answer::Cached(end))))
    }

    fn first_answer_or(&mut self, boundary: &Boundary, begin: &Begin, new: Begun) -> Result<Begun, LedgerError> {
        Ok(self.first_answer(boundary, begin)?.map_or(new, Begun::Answered))
    }

    /// What the same begin was answered before, if it was: asked again, it gets its first answer.
    fn first_answer(&mut self, boundary: &Boundary, begin: &Begin) -> Result<Option<Answer>, LedgerError> {
        let Some(known) = self.rows.known(boundary.lead, begin.n)? else { return Ok(None) };
        let same = known.step == begin.step
            && known.fingerprint == begin.fingerprint
            && known.hold.as_ref().is_none_or(|hold| hold.account == boundary.account);
        match (known.hold, known.end) {
            (_, None) if same => Ok(Some(Answer::Granted)),
            (None, Some(end)) if same && end.source == AnswerSource::Cached => Ok(Some(Answer::Cached(end))),
            (None, Some(end)) if same => Ok(Some(Answer::Refused(end.outcome))),
            (_, None) | (Some(_) | None, Some(_)) => {
                Err(LedgerError::Conflict { what: format!("the id of attempt {}", begin.n) })
            }
        }
    }

    fn decide(&mut self, boundary: &Boundary, begin: &Begin, behind: Option<Obstacle>) -> Result<Begun, LedgerError> {
        let wallet = self.account(boundary.account)?.row.money;
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
                if !recorded {
                    return self.first_answer_or(boundary, begin, refused);
                }
                if outcome == Outcome::Unaffordable {
                    self.ran_dry(boundary, begin.n)?;
                }
                Ok(refused)
            }
            Decision::Grant => {
                let granted = Begun::Answered(Answer::Granted);
                if !self.rows.insert_begun(boundary.lead, boundary.account, begin)? {
                    return self.first_answer_or(boundary, begin, granted);
                }
                if begin.step.operation == Operation::Scrape {
                    self.rows.note_asking(begin.fingerprint, R::IDS.id_of(boundary.lead, begin.n)?)?;
                }
                if binds_money {
                    let account = self.account(boundary.account)?;
                    account.row.money.held = add(account.row.money.held, begin.price)?;
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
    fn record_unmade(&mut self, lead: LeadKey, begin: &Begin, end: &AttemptEnd) -> Result<bool, LedgerError> {
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
        self.rows.insert_unmade(lead, &ended, end)
    }

    fn finish(&mut self, lead: LeadKey, ending: &Ending) -> Result<(), LedgerError> {
        if let Some(copies) = self.rows.finish_lead(lead, ending)? {
            let job = self.job(lead.job)?;
            job.row.done = job.row.done.saturating_add(1).saturating_add(copies);
            job.changed = true;
            let slice = self.slice(lead)?;
            slice.row.pending = slice.row.pending.saturating_sub(1);
            slice.changed = true;
        }
        Ok(())
    }

    /// Writes back what changed, and hands the rows back.
    pub(super) fn flush(mut self) -> Result<R, LedgerError> {
        for (id, account) in self.accounts.iter().filter(|(_, account)| account.changed) {
            self.rows.write_account(*id, &account.row)?;
        }
        for (key, job) in self.jobs.iter().filter(|(_, job)| job.changed) {
            self.rows.write_job(*key, &job.row)?;
        }
        for ((job, slice), loaded) in self.slices.iter().filter(|(_, slice)| slice.changed) {
            self.rows.write_slice(*job, *slice, &loaded.row)?;
        }
        Ok(self.rows)
    }

    pub(super) fn account(&mut self, id: AccountId) -> Result<&mut Loaded<AccountRow>, LedgerError> {
        match self.accounts.entry(id) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(Loaded { row: self.rows.account(id)?, changed: false })),
        }
    }

    pub(super) fn job(&mut self, key: JobKey) -> Result<&mut Loaded<JobRow>, LedgerError> {
        match self.jobs.entry(key) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(Loaded { row: self.rows.job(key)?, changed: false })),
        }
    }

    fn slice(&mut self, lead: LeadKey) -> Result<&mut Loaded<SliceRow>, LedgerError> {
        match self.slices.entry((lead.job, lead.slice)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let row = self.rows.slice(lead.job, lead.slice)?;
                Ok(new.insert(Loaded { row, changed: false }))
            }
        }
    }

    fn epoch(&mut self, lead: LeadKey) -> Result<Epoch, LedgerError> {
        Ok(self.slice(lead)?.row.epoch)
    }

    /// Without a cap nobody asks what the lead has spent.
    pub(super) fn lead_money(&mut self, boundary: &Boundary) -> Result<LeadMoney, LedgerError> {
        let cap = boundary.lead_cap;
        let (spent, held) = match cap {
            None => (Usd::ZERO, Usd::ZERO),
            Some(_) => self.rows.lead_spent_and_held(boundary.lead)?,
        };
        Ok(LeadMoney { cap, spent, held })
    }
}

pub(super) fn add(a: Usd, b: Usd) -> Result<Usd, LedgerError> {
    a.checked_add(b).ok_or_else(|| LedgerError::Corrupt("an amount beyond 64 bits".to_owned()))
}

pub(super) fn subtract(a: Usd, b: Usd) -> Result<Usd, LedgerError> {
    a.checked_sub(b).ok_or_else(|| LedgerError::Corrupt("an amount beyond 64 bits".to_owned()))
}
