//! The rows that the group commit reads and writes, and what it asks of a store about them.

use crate::domain::AnswerSource;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::Step;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::JobState;
use crate::ledger::AccountId;
use crate::ledger::Balance;
use crate::ledger::Begin;
use crate::ledger::Ended;
use crate::ledger::Epoch;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::ledger::rules::JobMoney;
use crate::ledger::rules::Settlement;
use std::str::FromStr;

/// What the group commit reads and changes of a wallet.
#[derive(Clone, Debug)]
pub(super) struct AccountRow {
    pub(super) workspace: WorkspaceId,
    pub(super) money: Balance,
    /// Has somebody been told that the balance is low, since it last was not?
    pub(super) low_told: bool,
    /// Has somebody been told that it is empty, since the last top-up?
    pub(super) empty_told: bool,
}

/// What the group commit reads and changes of a job.
#[derive(Clone, Debug)]
pub(super) struct JobRow {
    pub(super) state: JobState,
    pub(super) money: JobMoney,
    pub(super) done: u64,
}

/// What the group commit reads and changes of a slice.
#[derive(Clone, Debug)]
pub(super) struct SliceRow {
    pub(super) epoch: Epoch,
    pub(super) pending: u32,
}

/// How a hold stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HoldState {
    Open,
    Settled,
    Voided,
    Expired,
}

impl HoldState {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Settled => "settled",
            Self::Voided => "voided",
            Self::Expired => "expired",
        }
    }

    /// How a hold stands after this settlement.
    pub(super) const fn after(settlement: &Settlement) -> Self {
        if settlement.charged.is_positive() || settlement.lost.is_positive() { Self::Settled } else { Self::Voided }
    }
}

impl FromStr for HoldState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Open, Self::Settled, Self::Voided, Self::Expired]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(())
    }
}

/// The hold of an attempt.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) account: AccountId,
    pub(super) amount: Usd,
    pub(super) state: HoldState,
    pub(super) charged: Usd,
}

/// An attempt that is in the store already.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) step: Step,
    pub(super) fingerprint: Fingerprint,
    /// `None`: it ended without a hold, refused or with a known answer.
    pub(super) hold: Option<Hold>,
    /// `None` while its answer is awaited.
    pub(super) end: Option<AttemptEnd>,
    /// What an overtaken owner had learned, and what that cost.
    pub(super) learned: Option<(AttemptEnd, Usd)>,
    /// Is its answer, or was it, to be read under a handle?
    pub(super) is_deferred: bool,
    /// The overtaken owners that have been heard, a bit each: see [`heard_bit`].
    pub(super) heard: i64,
}

impl Known {
    /// Is it the same answer? What it cost is the ledger's part. One that is read under a handle is the same
    /// whoever reads it, and whenever; of two calls, each with an answer like the other's, both cost.
    pub(super) fn is_same_answer(&self, one: &AttemptEnd, other: &AttemptEnd) -> bool {
        let is_alike = one.outcome == other.outcome
            && one.found == other.found
            && one.claim == other.claim
            && one.product == other.product;
        is_alike && (self.is_deferred || (one.source == other.source && one.duration_ms == other.duration_ms))
    }

    /// Has the owner of that epoch been heard, as one that was overtaken? What it brings counts once, also
    /// when its batch is run again.
    pub(super) const fn has_heard(&self, epoch: Epoch) -> bool {
        self.heard & heard_bit(epoch) != 0
    }
}

/// The bit that stands for an overtaken owner. No attempt outlives so many of them.
pub(super) const fn heard_bit(epoch: Epoch) -> i64 {
    1 << (epoch.0 % 63)
}

/// How a store packs (job, lead, number) into an attempt's id, in bits. More of anything is refused,
/// never wrapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdForm {
    pub(super) job: u32,
    pub(super) lead: u32,
    pub(super) n: u32,
}

/// The embedded store's first and last id of a lead's attempts.
pub(super) fn ids_of_lead(job: JobKey, lead: LeadNo) -> Result<(i64, i64), LedgerError> {
    IdForm::EMBEDDED.ids_of_lead(job, lead)
}

/// The embedded store's id of an attempt.
pub(super) fn id_of(lead: LeadKey, n: AttemptNo) -> Result<i64, LedgerError> {
    IdForm::EMBEDDED.id_of(lead, n)
}

impl IdForm {
    /// The embedded store's, as it was first released.
    pub(super) const EMBEDDED: Self = Self { job: 19, lead: 30, n: 14 };
    /// The shared store's: many more jobs, of at most sixteen million leads.
    pub(super) const SHARED: Self = Self { job: 27, lead: 24, n: 12 };

    /// The highest number that a lead can have.
    pub(super) const fn most_leads(self) -> u32 {
        (1 << self.lead) - 1
    }

    /// The first and last id that attempts of a lead can have.
    pub(super) fn ids_of_lead(self, job: JobKey, lead: LeadNo) -> Result<(i64, i64), LedgerError> {
        let lead = i64::from(lead.0);
        if job.0 >= 1 << self.job || lead >= 1 << self.lead {
            return Err(LedgerError::Corrupt(format!("job {} or lead {lead} is beyond what an id can hold", job.0)));
        }
        let first = (job.0 << self.lead | lead) << self.n;
        Ok((first, first | ((1 << self.n) - 1)))
    }

    /// The id of an attempt, and so of its hold.
    pub(super) fn id_of(self, lead: LeadKey, n: AttemptNo) -> Result<i64, LedgerError> {
        let (first, last) = self.ids_of_lead(lead.job, lead.lead)?;
        let id = first | i64::from(n.get());
        if n.get() >= 1 << self.n || id > last {
            return Err(LedgerError::Corrupt(format!("lead {} has been tried too often", lead.lead.0)));
        }
        Ok(id)
    }
}

/// May this end's answer serve the whole workspace?
pub(super) fn is_reusable(end: &AttemptEnd) -> bool {
    end.source == AnswerSource::Called && end.outcome.is_cacheable()
}

/// What one transaction of the group commit asks of a store. Reads see what the same transaction has
/// written before.
pub(super) trait Rows {
    /// How the store packs an attempt's id.
    const IDS: IdForm = IdForm::EMBEDDED;

    /// Are the rows of the lead's job and slice at hand? They are not while somebody else has locked them for longer
    /// than a batch takes: what is about them has its turn later.
    fn is_at_hand(&self, _lead: LeadKey) -> bool {
        true
    }

    fn account(&mut self, id: AccountId) -> Result<AccountRow, LedgerError>;
    fn job(&mut self, key: JobKey) -> Result<JobRow, LedgerError>;
    fn slice(&mut self, job: JobKey, slice: SliceNo) -> Result<SliceRow, LedgerError>;
    fn write_account(&mut self, id: AccountId, row: &AccountRow) -> Result<(), LedgerError>;
    fn write_job(&mut self, key: JobKey, row: &JobRow) -> Result<(), LedgerError>;
    fn write_slice(&mut self, job: JobKey, slice: SliceNo, row: &SliceRow) -> Result<(), LedgerError>;

    /// The attempt of this id, if there is one.
    fn known(&mut self, lead: LeadKey, n: AttemptNo) -> Result<Option<Known>, LedgerError>;
    /// What the lead has been charged in this job, and what its open holds bind.
    fn lead_spent_and_held(&mut self, lead: LeadKey) -> Result<(Usd, Usd), LedgerError>;
    /// Has any attempt of the lead been charged for this question?
    fn is_charged(&mut self, lead: LeadKey, asked: Fingerprint) -> Result<bool, LedgerError>;
    /// The workspace's newest answer to the same question, if it is not too old; or, for a minute, how the page has
    /// failed.
    fn reusable(&mut self, begin: &Begin) -> Result<Option<AttemptEnd>, LedgerError>;

    /// The attempt that asks this just now: noted here, not ended, and its owner may live.
    fn asked_by(&mut self, asked: Fingerprint) -> Result<Option<i64>, LedgerError>;
    /// Notes that this attempt, which has just begun, asks this.
    fn note_asking(&mut self, asked: Fingerprint, attempt: i64) -> Result<(), LedgerError>;
    /// This attempt asks it no more; if another does by now, that stays noted.
    fn forget_asking(&mut self, asked: Fingerprint, attempt: i64) -> Result<(), LedgerError>;

    /// Records a begun attempt with its open hold; `false` when the attempt is there already.
    fn insert_begun(&mut self, lead: LeadKey, account: AccountId, begin: &Begin) -> Result<bool, LedgerError>;
    /// Records an attempt that ended without a hold; `false` when the attempt is there already.
    fn insert_unmade(&mut self, lead: LeadKey, ended: &Ended, end: &AttemptEnd) -> Result<bool, LedgerError>;
    /// Ends an attempt and its hold. With `only_open` only if the hold is open on that wallet and for
    /// that amount, and no overtaken owner has left an answer; `false` when it was not.
    fn end_attempt(
        &mut self,
        id: i64,
        end: &AttemptEnd,
        settlement: &Settlement,
        only_open: Option<(AccountId, Usd)>,
    ) -> Result<bool, LedgerError>;
    /// Keeps what the overtaken owner of that epoch learned of an attempt whose answer is still awaited, and
    /// that it was heard.
    fn keep_learned(&mut self, id: i64, end: &AttemptEnd, owed: Usd, epoch: Epoch) -> Result<(), LedgerError>;
    /// Adds what the overtaken owner of that epoch spent on an attempt to what the house has lost, and that
    /// it was heard.
    fn add_lost(&mut self, id: i64, lost: Usd, epoch: Epoch) -> Result<(), LedgerError>;
    fn set_handle(&mut self, lead: LeadKey, n: AttemptNo, handle: &str) -> Result<(), LedgerError>;
    fn insert_settle(
        &mut self,
        account: AccountId,
        attempt: i64,
        charged: Usd,
        balance: Usd,
    ) -> Result<(), LedgerError>;
    /// Writes the lead's ending, once per run; says how many copies ended with it, or `None` when this
    /// run had decided it before.
    fn finish_lead(&mut self, lead: LeadKey, ending: &Ending) -> Result<Option<u64>, LedgerError>;

    /// Notes that a key does not work; `false` when that was known.
    fn key_fails(&mut self, key: &str) -> Result<bool, LedgerError>;
    /// Deactivates the active campaigns of a workspace, a happening each; `key` tells this time from
    /// others.
    fn deactivate_campaigns(&mut self, workspace: &WorkspaceId, key: &str) -> Result<(), LedgerError>;
    /// Records a happening; one of the same key is recorded once.
    fn happened(&mut self, key: &str, what: &Happening) -> Result<(), LedgerError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Operation;
    use crate::domain::Outcome;
    use crate::domain::Product;
    use crate::domain::ProviderName;

    fn known(is_deferred: bool) -> Known {
        let step = Step::new(ProviderName::new("icypeas"), Operation::FindEmail);
        let fingerprint = Fingerprint::from_bytes([0; 16]);
        Known { step, fingerprint, hold: None, end: None, learned: None, is_deferred, heard: heard_bit(Epoch(4)) }
    }

    fn called(outcome: Outcome, duration_ms: u64, handle: Option<&str>) -> AttemptEnd {
        let handle = handle.map(str::to_owned);
        AttemptEnd { source: AnswerSource::Called, duration_ms, handle, ..AttemptEnd::not_asked(outcome) }
    }

    #[test]
    fn an_answer_under_a_handle_is_one_and_two_calls_are_two() {
        let (first, later) = (called(Outcome::NotFound, 10, Some("h-1")), called(Outcome::NotFound, 20, None));
        assert!(known(true).is_same_answer(&first, &later));
        assert!(!known(true).is_same_answer(&first, &called(Outcome::Timeout, 10, Some("h-1"))));
        assert!(!known(false).is_same_answer(&first, &later));
        let paid = AttemptEnd { cost: Usd::from_nanos(1), ..later.clone() };
        assert!(known(false).is_same_answer(&later, &paid));
    }

    #[test]
    fn answers_that_brought_other_texts_are_two() {
        let scraped =
            |text: &str| AttemptEnd { product: Some(Product::Text(text.into())), ..called(Outcome::Scraped, 10, None) };
        for is_deferred in [false, true] {
            assert!(known(is_deferred).is_same_answer(&scraped("a"), &scraped("a")));
            assert!(!known(is_deferred).is_same_answer(&scraped("a"), &scraped("b")));
        }
    }

    #[test]
    fn an_owner_is_heard_by_its_epoch() {
        assert!(known(false).has_heard(Epoch(4)));
        assert!(!known(false).has_heard(Epoch(3)));
        assert!((0..63).all(|epoch| heard_bit(Epoch(epoch)) > 0));
    }

    #[test]
    fn an_id_holds_so_many_leads() {
        assert_eq!((IdForm::SHARED.most_leads(), IdForm::EMBEDDED.most_leads()), (16_777_215, 1_073_741_823));
        for form in [IdForm::SHARED, IdForm::EMBEDDED] {
            assert!(form.ids_of_lead(JobKey(1), LeadNo(form.most_leads())).is_ok());
            assert!(form.ids_of_lead(JobKey(1), LeadNo(form.most_leads() + 1)).is_err());
        }
    }
}
