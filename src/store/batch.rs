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
use crate::ledger::rules::Owed;
use crate::ledger::rules::decide_hold;
use crate::store::rows::AccountRow;
use crate::store::rows::JobRow;
use crate::store::rows::Rows;
use crate::store::rows::SliceRow;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;

/// A page's failure is taken by whoever wants the page within this time. Else those who wait for it would ask one
/// after the other, each as long as a call takes.
const FAILURE_SERVES_MS: i64 = 60_000;
/// Under a lock nobody can tell whether another process lives: its call takes hardly longer than this.
const LOCKED_CALL_MS: i64 = 120_000;

/// An attempt that was noted as asking for a page and has not ended.
pub(super) struct Asker {
    pub(super) attempt: i64,
    pub(super) began_ms: i64,
    /// When its hold may be given back.
    pub(super) expires_ms: i64,
    /// Until when its slice is leased; 0 under a lock, and where nobody has it.
    pub(super) lease_until: i64,
    pub(super) owner: Owner,
}

/// Who has a slice, as far as it is written down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    Somebody,
    /// The one that asks for this: it lives.
    ThisProcess,
}

impl Asker {
    /// May its answer still come? From an owner that is dead none does.
    pub(super) const fn may_answer(&self, now_ms: i64) -> bool {
        let may_live = match self.owner {
            Owner::Nobody => false,
            Owner::ThisProcess => true,
            Owner::Somebody if self.lease_until == 0 => now_ms.saturating_sub(self.began_ms) < LOCKED_CALL_MS,
            Owner::Somebody => self.lease_until > now_ms,
        };
        may_live && self.expires_ms > now_ms
    }
}

/// A page is asked for by one at a time where answers are reused; else nobody is served by another's.
fn is_asked_once(begin: &Begin) -> bool {
    begin.step.operation == Operation::Scrape && begin.cached_since_ms.is_some()
}

/// Would a page fail like this for everybody? Its attempt stays noted as the one that asked. Other failures are of
/// the key, or end with the next try.
pub(super) const fn is_page_failure(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::BadRequest | Outcome::Timeout)
}

/// From when on a page's failure is taken, where answers are from `since_ms` on.
pub(super) fn failures_since(since_ms: i64, now_ms: i64) -> i64 {
    since_ms.max(now_ms.saturating_sub(FAILURE_SERVES_MS))
}

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
            Then::Recall(begin) if self.is_page_taken_up(boundary.lead, begin)? => {
                self.recall_page(boundary.lead, begin)?
            }
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
        if !is_asked_once(begin) {
            return Ok(false);
        }
        let id = R::IDS.id_of(lead, begin.n)?;
        Ok(self.rows.asked_by(begin.fingerprint)?.is_some_and(|asker| asker != id))
    }

    /// Is it about a page that an earlier owner has begun to ask for?
    fn is_page_taken_up(&mut self, lead: LeadKey, begin: &Begin) -> Result<bool, LedgerError> {
        let is_page = begin.step.operation == Operation::Scrape;
        Ok(is_page && self.rows.known(lead, begin.n)?.is_some_and(|known| known.hold.is_some()))
    }

    /// Is what an earlier owner has begun still to be called? While nobody worked on it, another lead may have got
    /// the page; or it counts no more as the one that asks, so that another does, or may begin to. Nothing is
    /// written.
    fn recall_page(&mut self, lead: LeadKey, begin: &Begin) -> Result<Answer, LedgerError> {
        if let Some(end) = self.rows.reusable(begin)? {
            return Ok(Answer::Cached(end));
        }
        let id = R::IDS.id_of(lead, begin.n)?;
        let is_asking = !is_asked_once(begin) || self.rows.asked_by(begin.fingerprint)? == Some(id);
        Ok(if is_asking { Answer::Done } else { Answer::AskedElsewhere })
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
                if is_asked_once(begin) {
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
            owed: Owed::NOTHING,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Begun at 1,000 under a lease that has been renewed since.
    const LEASED: Asker =
        Asker { attempt: 1, began_ms: 1_000, expires_ms: 900_000, lease_until: 200_000, owner: Owner::Somebody };

    #[test]
    fn an_answer_may_come_while_the_owner_may_live() {
        let locked = Asker { lease_until: 0, ..LEASED };
        let nobodys = Asker { owner: Owner::Nobody, ..locked };
        let ours = Asker { owner: Owner::ThisProcess, ..locked };
        let expired = Asker { expires_ms: 30_000, ..LEASED };
        for (asker, now_ms, expected) in [
            (&LEASED, 199_999, true),
            // The lease has lapsed, however short the call.
            (&LEASED, 200_000, false),
            (&locked, 120_999, true),
            (&locked, 121_000, false),
            (&nobodys, 1_001, false),
            // However long its calls wait.
            (&ours, 899_999, true),
            (&ours, 900_000, false),
            (&expired, 29_999, true),
            (&expired, 30_000, false),
        ] {
            assert_eq!(asker.may_answer(now_ms), expected, "{} at {now_ms}", asker.lease_until);
        }
    }

    #[test]
    fn a_failure_is_taken_for_a_minute_and_no_longer_than_an_answer() {
        assert_eq!(failures_since(0, 100_000), 40_000);
        assert_eq!(failures_since(50_000, 100_000), 50_000);
        assert_eq!(failures_since(i64::MIN, i64::MIN), i64::MIN);
    }
}
