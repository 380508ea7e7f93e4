//! What the group commit reads and writes, and how it is taken back.

use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Begin;
use crate::ledger::Ended;
use crate::ledger::EntryKind;
use crate::ledger::Epoch;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::ledger::Stopper;
use crate::ledger::rules::JobMoney;
use crate::ledger::rules::Settlement;
use crate::store::batch::Asker;
use crate::store::batch::Owner;
use crate::store::batch::failures_since;
use crate::store::batch::is_page_failure;
use crate::store::memory::Planted;
use crate::store::memory::tables::AttemptRow;
use crate::store::memory::tables::Campaign;
use crate::store::memory::tables::EntryRow;
use crate::store::memory::tables::HoldRow;
use crate::store::memory::tables::LeadRow;
use crate::store::memory::tables::Slice;
use crate::store::memory::tables::Tables;
use crate::store::memory::tables::after_ms;
use crate::store::memory::tables::missing;
use crate::store::rows::AccountRow;
use crate::store::rows::HoldState;
use crate::store::rows::JobRow;
use crate::store::rows::Known;
use crate::store::rows::Rows;
use crate::store::rows::SliceRow;
use crate::store::rows::heard_bit;
use crate::store::rows::id_of;
use crate::store::rows::is_reusable;

/// With [`Planted::HoldStaysOpen`], one hold in so many.
const STAYS_OPEN: i64 = 7;

/// The rows as one transaction sees them. Dropped before its commit, it leaves nothing behind.
pub(super) struct MemoryRows<'t> {
    tables: &'t mut Tables,
    planted: Option<Planted>,
    now_ms: i64,
    undo: Vec<Undo>,
    /// How many entries and happenings are to stay.
    entries: usize,
    happenings: usize,
}

/// How a row was before.
enum Undo {
    Attempt(i64, Option<Box<AttemptRow>>),
    Asking(Fingerprint, Option<i64>),
    Lead(JobKey, LeadNo, Box<LeadRow>),
    FailingKey(String),
    Campaign(WorkspaceId, String),
}

impl<'t> MemoryRows<'t> {
    pub(super) fn begin(tables: &'t mut Tables, planted: Option<Planted>) -> Self {
        let (now_ms, entries, happenings) = (tables.now_ms(), tables.entries.len(), tables.happenings.len());
        Self { tables, planted, now_ms, undo: Vec::new(), entries, happenings }
    }

    pub(super) fn commit(mut self) {
        self.undo.clear();
        self.entries = self.tables.entries.len();
        self.happenings = self.tables.happenings.len();
    }

    /// The attempt, to be changed.
    fn attempt(&mut self, id: i64) -> Result<&mut AttemptRow, LedgerError> {
        let row = self.tables.attempts.get_mut(&id).ok_or_else(|| missing("an attempt"))?;
        self.undo.push(Undo::Attempt(id, Some(Box::new(row.clone()))));
        Ok(row)
    }

    /// Who asks for a page by this attempt, while its answer is awaited.
    fn asker(&self, attempt: i64) -> Option<Asker> {
        let row = self.tables.attempts.get(&attempt).filter(|row| row.attempt.end().is_none())?;
        let Slice { lease_until, worker, .. } = self.tables.slice_of(row.job, row.lead)?;
        let owner = if worker.is_some() { Owner::Somebody } else { Owner::Nobody };
        let expires_ms = row.hold.as_ref()?.expires_ms;
        Some(Asker { attempt, began_ms: row.began_ms, expires_ms, lease_until: *lease_until, owner })
    }

    /// The last asking for a page, if it has failed and others take that.
    fn failure(&self, asked: Fingerprint, since_ms: i64) -> Option<&AttemptRow> {
        let row = self.tables.attempts.get(self.tables.askings.get(&asked)?)?;
        let is_young = row.ended_ms? >= failures_since(since_ms, self.now_ms);
        (is_young && row.attempt.outcome().is_some_and(is_page_failure)).then_some(row)
    }

    fn insert(&mut self, id: i64, row: AttemptRow) -> bool {
        if self.tables.attempts.contains_key(&id) {
            return false;
        }
        self.undo.push(Undo::Attempt(id, None));
        self.tables.attempts.insert(id, row);
        true
    }
}

impl Drop for MemoryRows<'_> {
    fn drop(&mut self) {
        self.tables.entries.truncate(self.entries);
        self.tables.happenings.truncate(self.happenings);
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Attempt(id, Some(row)) => {
                    self.tables.attempts.insert(id, *row);
                }
                Undo::Attempt(id, None) => {
                    self.tables.attempts.remove(&id);
                }
                Undo::Asking(asked, Some(attempt)) => {
                    self.tables.askings.insert(asked, attempt);
                }
                Undo::Asking(asked, None) => {
                    self.tables.askings.remove(&asked);
                }
                Undo::Lead(job, lead, row) => {
                    self.tables.leads.insert((job, lead), *row);
                }
                Undo::FailingKey(key) => {
                    self.tables.failing_keys.remove(&key);
                }
                Undo::Campaign(workspace, campaign) => {
                    self.tables.campaigns.insert((workspace, campaign), Campaign::Active);
                }
            }
        }
    }
}

impl Rows for MemoryRows<'_> {
    fn account(&mut self, id: AccountId) -> Result<AccountRow, LedgerError> {
        let mut row = self.tables.accounts.get(&id).ok_or_else(|| missing("a wallet"))?.clone();
        if self.planted == Some(Planted::HeldIgnored) {
            row.money.held = Usd::ZERO;
        }
        Ok(row)
    }

    fn job(&mut self, key: JobKey) -> Result<JobRow, LedgerError> {
        let job = self.tables.job(key)?;
        let money = JobMoney { cap: job.stored.max_spend, spent: job.spent, held: job.stored.held };
        Ok(JobRow { state: job.stored.state, money, done: job.done })
    }

    fn slice(&mut self, job: JobKey, slice: SliceNo) -> Result<SliceRow, LedgerError> {
        let slice = self.tables.slices.get(&(job, slice)).ok_or_else(|| missing("a slice"))?;
        Ok(SliceRow { epoch: slice.epoch, pending: slice.pending })
    }

    fn write_account(&mut self, id: AccountId, row: &AccountRow) -> Result<(), LedgerError> {
        let mut row = row.clone();
        if self.planted == Some(Planted::HeldIgnored) {
            row.money.held = self.tables.open_in_wallet(id);
        }
        self.tables.accounts.insert(id, row);
        Ok(())
    }

    fn write_job(&mut self, key: JobKey, row: &JobRow) -> Result<(), LedgerError> {
        let now_ms = self.now_ms;
        let job = self.tables.job_mut(key)?;
        (job.spent, job.stored.held, job.done, job.updated_ms) = (row.money.spent, row.money.held, row.done, now_ms);
        Ok(())
    }

    fn write_slice(&mut self, job: JobKey, slice: SliceNo, row: &SliceRow) -> Result<(), LedgerError> {
        let slice = self.tables.slices.get_mut(&(job, slice)).ok_or_else(|| missing("a slice"))?;
        slice.pending = row.pending;
        Ok(())
    }

    fn known(&mut self, lead: LeadKey, n: AttemptNo) -> Result<Option<Known>, LedgerError> {
        Ok(self.tables.attempts.get(&id_of(lead, n)?).map(AttemptRow::known))
    }

    fn lead_spent_and_held(&mut self, lead: LeadKey) -> Result<(Usd, Usd), LedgerError> {
        let attempts = self.tables.attempts_of(lead.job, lead.lead);
        Ok(attempts.fold((Usd::ZERO, Usd::ZERO), |(spent, held), row| {
            let open = row.open_amount().unwrap_or(Usd::ZERO);
            (spent.saturating_add(row.charged), held.saturating_add(open))
        }))
    }

    fn is_charged(&mut self, lead: LeadKey, asked: Fingerprint) -> Result<bool, LedgerError> {
        if self.planted == Some(Planted::StaleSettles) {
            return Ok(false);
        }
        let mut attempts = self.tables.attempts_of(lead.job, lead.lead);
        Ok(attempts.any(|row| row.fingerprint == asked && row.charged.is_positive()))
    }

    fn reusable(&mut self, begin: &Begin) -> Result<Option<AttemptEnd>, LedgerError> {
        let Some(since_ms) = begin.cached_since_ms else { return Ok(None) };
        let same = |row: &&AttemptRow| row.fingerprint == begin.fingerprint && row.reusable;
        let young = |row: &&AttemptRow| row.ended_ms.is_some_and(|ended_ms| ended_ms >= since_ms);
        let rows = self.tables.attempts.values().filter(same).filter(young);
        let newest = rows.max_by_key(|row| row.ended_ms).or_else(|| self.failure(begin.fingerprint, since_ms));
        Ok(newest.and_then(|row| row.attempt.end()).map(|end| {
            let (found, product) = (end.found.clone(), end.product.clone());
            let taken = AttemptEnd { found, claim: end.claim, product, ..AttemptEnd::not_asked(end.outcome) };
            AttemptEnd { source: AnswerSource::Cached, ..taken }
        }))
    }

    fn asked_by(&mut self, asked: Fingerprint) -> Result<Option<i64>, LedgerError> {
        let asker = self.tables.askings.get(&asked).and_then(|attempt| self.asker(*attempt));
        Ok(asker.filter(|asker| asker.may_answer(self.now_ms)).map(|asker| asker.attempt))
    }

    fn note_asking(&mut self, asked: Fingerprint, attempt: i64) -> Result<(), LedgerError> {
        let before = self.tables.askings.insert(asked, attempt);
        self.undo.push(Undo::Asking(asked, before));
        Ok(())
    }

    fn forget_asking(&mut self, asked: Fingerprint, attempt: i64) -> Result<(), LedgerError> {
        if self.tables.askings.get(&asked) == Some(&attempt) {
            self.tables.askings.remove(&asked);
            self.undo.push(Undo::Asking(asked, Some(attempt)));
        }
        Ok(())
    }

    fn insert_begun(&mut self, lead: LeadKey, account: AccountId, begin: &Begin) -> Result<bool, LedgerError> {
        let attempt = Attempt {
            n: begin.n,
            run: begin.run,
            step: begin.step.clone(),
            about: begin.about.clone(),
            key_source: begin.key_source,
            state: AttemptState::Begun,
        };
        let expires_ms = after_ms(self.now_ms, begin.expires_in);
        let mut row = AttemptRow::new(lead, attempt, begin.fingerprint, begin.config_version.clone(), self.now_ms);
        row.hold = Some(HoldRow { account, amount: begin.price, state: HoldState::Open, expires_ms });
        Ok(self.insert(id_of(lead, begin.n)?, row))
    }

    fn insert_unmade(&mut self, lead: LeadKey, ended: &Ended, end: &AttemptEnd) -> Result<bool, LedgerError> {
        let (attempt, version) = (ended.attempt.clone(), ended.config_version.clone());
        let mut row = AttemptRow::new(lead, attempt, ended.fingerprint, version, self.now_ms);
        row.end(end, self.now_ms);
        Ok(self.insert(id_of(lead, ended.attempt.n)?, row))
    }

    fn end_attempt(
        &mut self,
        id: i64,
        end: &AttemptEnd,
        settlement: &Settlement,
        only_open: Option<(AccountId, Usd)>,
    ) -> Result<bool, LedgerError> {
        let Some(row) = self.tables.attempts.get(&id) else { return Ok(false) };
        if let Some((account, amount)) = only_open {
            let is_open =
                |hold: &HoldRow| hold.state == HoldState::Open && hold.account == account && hold.amount == amount;
            if !row.hold.as_ref().is_some_and(is_open) || row.learned.is_some() {
                return Ok(false);
            }
        }
        let stays_open = self.planted == Some(Planted::HoldStaysOpen) && id % STAYS_OPEN == 0;
        let now_ms = self.now_ms;
        let row = self.attempt(id)?;
        if let Some(hold) = &mut row.hold
            && !stays_open
        {
            hold.state = HoldState::after(settlement);
        }
        row.charged = settlement.charged;
        row.lost = row.lost.saturating_add(settlement.lost);
        row.learned = None;
        row.reusable = is_reusable(end);
        row.end(end, now_ms);
        Ok(true)
    }

    fn keep_learned(&mut self, id: i64, end: &AttemptEnd, owed: Usd, epoch: Epoch) -> Result<(), LedgerError> {
        if self.planted == Some(Planted::LateAnswerDropped) {
            return Ok(());
        }
        let row = self.attempt(id)?;
        if row.attempt.end().is_none() && row.learned.is_none() {
            row.learned = Some((end.clone(), owed));
            row.heard |= heard_bit(epoch);
        }
        Ok(())
    }

    fn add_lost(&mut self, id: i64, lost: Usd, epoch: Epoch) -> Result<(), LedgerError> {
        if self.planted == Some(Planted::LateAnswerDropped) {
            return Ok(());
        }
        let row = self.attempt(id)?;
        row.lost = row.lost.saturating_add(lost);
        row.heard |= heard_bit(epoch);
        Ok(())
    }

    fn set_handle(&mut self, lead: LeadKey, n: AttemptNo, handle: &str) -> Result<(), LedgerError> {
        let row = self.attempt(id_of(lead, n)?)?;
        if row.attempt.end().is_none() {
            row.handle = Some(handle.to_owned());
            row.attempt.state = AttemptState::Submitted(handle.to_owned());
        }
        Ok(())
    }

    fn insert_settle(
        &mut self,
        account: AccountId,
        attempt: i64,
        charged: Usd,
        balance: Usd,
    ) -> Result<(), LedgerError> {
        self.tables.entries.push(EntryRow {
            account,
            kind: EntryKind::Settle,
            amount: charged.negated(),
            balance,
            at_ms: self.now_ms,
            attempt: Some(attempt),
            reference: None,
            note: None,
        });
        Ok(())
    }

    fn finish_lead(&mut self, lead: LeadKey, ending: &Ending) -> Result<Option<u64>, LedgerError> {
        let Some(row) = self.tables.leads.get_mut(&(lead.job, lead.lead)).filter(|row| !row.ended) else {
            return Ok(None);
        };
        self.undo.push(Undo::Lead(lead.job, lead.lead, Box::new(row.clone())));
        row.ended = true;
        row.ending = Some(ending.clone());
        row.ended_ms = Some(self.now_ms);
        Ok(Some(u64::from(row.copies)))
    }

    fn key_fails(&mut self, key: &str) -> Result<bool, LedgerError> {
        let is_new = self.tables.failing_keys.insert(key.to_owned());
        if is_new {
            self.undo.push(Undo::FailingKey(key.to_owned()));
        }
        Ok(is_new)
    }

    fn deactivate_campaigns(&mut self, workspace: &WorkspaceId, key: &str) -> Result<(), LedgerError> {
        let active = self
            .tables
            .campaigns
            .iter()
            .filter(|((owner, _), state)| owner == workspace && **state == Campaign::Active);
        let active: Vec<String> = active.map(|((_, campaign), _)| campaign.clone()).collect();
        for campaign in active {
            self.tables.campaigns.insert((workspace.clone(), campaign.clone()), Campaign::Stopped);
            self.undo.push(Undo::Campaign(workspace.clone(), campaign.clone()));
            let key = format!("{key}/{campaign}");
            self.happened(
                &key,
                &Happening::CampaignDeactivated { workspace: workspace.clone(), campaign, by: Stopper::Wallet },
            )?;
        }
        Ok(())
    }

    fn happened(&mut self, key: &str, what: &Happening) -> Result<(), LedgerError> {
        self.tables.happened(key, what);
        Ok(())
    }
}
