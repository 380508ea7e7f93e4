//! The rows of one transaction of the group commit, in memory: what its first round trip has read, and what was
//! decided since, which is seen at once and written by the second.

use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::ledger::AccountId;
use crate::ledger::Begin;
use crate::ledger::Boundary;
use crate::ledger::Ended;
use crate::ledger::Epoch;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::ledger::rules::Settlement;
use crate::store::batch::add;
use crate::store::batch::failures_since;
use crate::store::batch::is_page_failure;
use crate::store::postgres::attempts::IDS;
use crate::store::postgres::attempts::Stored;
use crate::store::postgres::attempts::taken;
use crate::store::postgres::attempts::write_learned;
use crate::store::postgres::ledger::missing;
use crate::store::product::write_product;
use crate::store::rows::AccountRow;
use crate::store::rows::IdForm;
use crate::store::rows::JobRow;
use crate::store::rows::Known;
use crate::store::rows::Rows;
use crate::store::rows::SliceRow;
use crate::store::rows::heard_bit;
use crate::store::rows::is_reusable;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

/// What an attempt has cost, for the sums of its lead.
pub(super) struct Paid {
    pub(super) id: i64,
    pub(super) asked: Fingerprint,
    pub(super) amount: Usd,
    pub(super) charged: Usd,
    pub(super) is_open: bool,
}

/// The newest answer to a question, as another lead takes it.
pub(super) struct Reusable {
    pub(super) ended_ms: i64,
    pub(super) end: AttemptEnd,
}

/// A lead that is about to end.
pub(super) struct Undecided {
    pub(super) copies: u64,
    pub(super) ended: bool,
}

/// A begun attempt with its open hold.
pub(super) struct Begun {
    pub(super) id: i64,
    pub(super) account: AccountId,
    pub(super) begin: Begin,
}

/// An attempt that ended without a hold.
pub(super) struct Unmade {
    pub(super) id: i64,
    pub(super) ended: Ended,
    pub(super) end: AttemptEnd,
    /// As its column takes it.
    pub(super) product: Option<String>,
}

/// An attempt that ended with its hold.
pub(super) struct Settled {
    pub(super) id: i64,
    pub(super) end: AttemptEnd,
    /// As its column takes it.
    pub(super) product: Option<String>,
    pub(super) settlement: Settlement,
}

/// What a settlement took from a wallet.
pub(super) struct Taken {
    pub(super) account: AccountId,
    pub(super) attempt: i64,
    /// What the attempt asked: charged once a lead.
    pub(super) asked: Fingerprint,
    pub(super) charged: Usd,
    pub(super) balance: Usd,
}

/// What was decided and is not sent yet. No row stands twice in one of these.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) accounts: Vec<(AccountId, AccountRow)>,
    pub(super) jobs: Vec<(JobKey, JobRow)>,
    pub(super) slices: Vec<(JobKey, SliceNo, SliceRow)>,
    pub(super) begun: Vec<Begun>,
    pub(super) unmade: Vec<Unmade>,
    pub(super) handles: BTreeMap<i64, String>,
    /// What overtaken owners had learned, and who: see `heard` in the schema.
    pub(super) learned: BTreeMap<i64, (String, i64)>,
    pub(super) ended: Vec<Settled>,
    /// What they spent in vain, and who.
    pub(super) lost: BTreeMap<i64, (Usd, i64)>,
    /// Attempts that ask no more, with what they asked.
    pub(super) forgotten: Vec<(Fingerprint, i64)>,
    /// Who asks for a page from now on.
    pub(super) asked: BTreeMap<Fingerprint, i64>,
    pub(super) entries: Vec<Taken>,
    pub(super) leads: Vec<(LeadKey, Ending)>,
    /// Workspaces whose campaigns stop, and the key of this time.
    pub(super) dry: Vec<(WorkspaceId, String)>,
    pub(super) happenings: Vec<(String, Happening)>,
}

/// What the transaction has read, and what it writes.
#[derive(Default)]
pub(super) struct Prefetched {
    /// The database's own clock.
    pub(super) now_ms: i64,
    pub(super) accounts: HashMap<AccountId, AccountRow>,
    pub(super) jobs: HashMap<JobKey, JobRow>,
    pub(super) slices: HashMap<(JobKey, SliceNo), SliceRow>,
    pub(super) attempts: HashMap<i64, Stored>,
    /// All attempts of some leads, by the first id that the lead's can have.
    pub(super) trails: BTreeMap<i64, Vec<Paid>>,
    /// By question; `None` where there is no answer.
    pub(super) answers: HashMap<Fingerprint, Option<Reusable>>,
    /// Who asks for a page just now.
    pub(super) askings: HashMap<Fingerprint, i64>,
    /// How pages have failed for whoever asked last.
    pub(super) failures: HashMap<Fingerprint, Reusable>,
    pub(super) leads: HashMap<(JobKey, LeadNo), Undecided>,
    pub(super) failing: HashSet<String>,
    pub(super) writes: Writes,
    /// Did a settlement give money back? Then others may be granted theirs.
    pub(super) freed: bool,
}

impl Prefetched {
    /// The leads, by first and last id, whose other attempts decide what an ended one may cost: its hold has
    /// expired, or more is owed than it holds.
    pub(super) fn unclear(&self, boundaries: &[&Boundary]) -> Result<BTreeSet<(i64, i64)>, LedgerError> {
        let mut unclear = BTreeSet::new();
        for boundary in boundaries {
            for ended in &boundary.ended {
                let Some(stored) = self.attempts.get(&IDS.id_of(boundary.lead, ended.attempt.n)?) else { continue };
                if stored.needs_trail(boundary.account, ended)? {
                    unclear.insert(IDS.ids_of_lead(boundary.lead.job, boundary.lead.lead)?);
                }
            }
        }
        unclear.retain(|(first, _)| !self.trails.contains_key(first));
        Ok(unclear)
    }

    fn trail(&self, lead: LeadKey) -> Result<&[Paid], LedgerError> {
        let (first, _) = IDS.ids_of_lead(lead.job, lead.lead)?;
        // A batch that fails so is split; alone, a boundary has all that it needs.
        self.trails.get(&first).map(Vec::as_slice).ok_or_else(|| missing("the trail of a lead of this batch"))
    }

    /// Adds an attempt, as the transaction sees it from now on.
    fn insert(&mut self, lead: LeadKey, id: i64, stored: Stored, paid: Paid) -> Result<(), LedgerError> {
        self.attempts.insert(id, stored);
        if let Some(trail) = self.trails.get_mut(&IDS.ids_of_lead(lead.job, lead.lead)?.0) {
            trail.push(paid);
        }
        Ok(())
    }
}

impl Rows for Prefetched {
    const IDS: IdForm = IDS;

    fn is_at_hand(&self, lead: LeadKey) -> bool {
        self.jobs.contains_key(&lead.job) && self.slices.contains_key(&(lead.job, lead.slice))
    }

    fn account(&mut self, id: AccountId) -> Result<AccountRow, LedgerError> {
        self.accounts.get(&id).cloned().ok_or_else(|| missing("a wallet"))
    }

    fn job(&mut self, key: JobKey) -> Result<JobRow, LedgerError> {
        self.jobs.get(&key).cloned().ok_or_else(|| missing("a job"))
    }

    fn slice(&mut self, job: JobKey, slice: SliceNo) -> Result<SliceRow, LedgerError> {
        self.slices.get(&(job, slice)).cloned().ok_or_else(|| missing("a slice"))
    }

    fn write_account(&mut self, id: AccountId, row: &AccountRow) -> Result<(), LedgerError> {
        self.writes.accounts.push((id, row.clone()));
        Ok(())
    }

    fn write_job(&mut self, key: JobKey, row: &JobRow) -> Result<(), LedgerError> {
        self.writes.jobs.push((key, row.clone()));
        Ok(())
    }

    fn write_slice(&mut self, job: JobKey, slice: SliceNo, row: &SliceRow) -> Result<(), LedgerError> {
        self.writes.slices.push((job, slice, row.clone()));
        Ok(())
    }

    fn known(&mut self, lead: LeadKey, n: AttemptNo) -> Result<Option<Known>, LedgerError> {
        let id = IDS.id_of(lead, n)?;
        let Some(stored) = self.attempts.get(&id) else { return Ok(None) };
        let known = stored.known()?;
        let is_deferred = known.is_deferred || self.writes.handles.contains_key(&id);
        Ok(Some(Known { is_deferred, ..known }))
    }

    fn lead_spent_and_held(&mut self, lead: LeadKey) -> Result<(Usd, Usd), LedgerError> {
        let (mut spent, mut held) = (Usd::ZERO, Usd::ZERO);
        for paid in self.trail(lead)? {
            spent = add(spent, paid.charged)?;
            if paid.is_open {
                held = add(held, paid.amount)?;
            }
        }
        Ok((spent, held))
    }

    fn is_charged(&mut self, lead: LeadKey, asked: Fingerprint) -> Result<bool, LedgerError> {
        Ok(self.trail(lead)?.iter().any(|paid| paid.asked == asked && paid.charged.is_positive()))
    }

    fn reusable(&mut self, begin: &Begin) -> Result<Option<AttemptEnd>, LedgerError> {
        let Some(since_ms) = begin.cached_since_ms else { return Ok(None) };
        let newest = self.answers.get(&begin.fingerprint).and_then(Option::as_ref);
        let answer = newest.filter(|answer| answer.ended_ms >= since_ms);
        let failed_since = failures_since(since_ms, self.now_ms);
        let failure = || self.failures.get(&begin.fingerprint).filter(|failure| failure.ended_ms >= failed_since);
        Ok(answer.or_else(failure).map(|known| known.end.clone()))
    }

    fn asked_by(&mut self, asked: Fingerprint) -> Result<Option<i64>, LedgerError> {
        Ok(self.askings.get(&asked).copied())
    }

    fn note_asking(&mut self, asked: Fingerprint, attempt: i64) -> Result<(), LedgerError> {
        self.askings.insert(asked, attempt);
        self.writes.asked.insert(asked, attempt);
        Ok(())
    }

    fn forget_asking(&mut self, asked: Fingerprint, attempt: i64) -> Result<(), LedgerError> {
        if self.askings.get(&asked) == Some(&attempt) {
            self.askings.remove(&asked);
        }
        if self.writes.asked.get(&asked) == Some(&attempt) {
            self.writes.asked.remove(&asked);
        } else {
            self.writes.forgotten.push((asked, attempt));
        }
        Ok(())
    }

    fn insert_begun(&mut self, lead: LeadKey, account: AccountId, begin: &Begin) -> Result<bool, LedgerError> {
        let id = IDS.id_of(lead, begin.n)?;
        if self.attempts.contains_key(&id) {
            return Ok(false);
        }
        let amount = begin.price;
        let stored = Stored::begun(account, begin);
        let paid = Paid { id, asked: begin.fingerprint, amount, charged: Usd::ZERO, is_open: true };
        self.insert(lead, id, stored, paid)?;
        self.writes.begun.push(Begun { id, account, begin: begin.clone() });
        Ok(true)
    }

    fn insert_unmade(&mut self, lead: LeadKey, ended: &Ended, end: &AttemptEnd) -> Result<bool, LedgerError> {
        let id = IDS.id_of(lead, ended.attempt.n)?;
        if self.attempts.contains_key(&id) {
            return Ok(false);
        }
        let stored = Stored::unmade(ended, end);
        let nothing = Usd::ZERO;
        let paid = Paid { id, asked: ended.fingerprint, amount: nothing, charged: nothing, is_open: false };
        self.insert(lead, id, stored, paid)?;
        let product = write_product(end)?;
        self.writes.unmade.push(Unmade { id, ended: ended.clone(), end: end.clone(), product });
        Ok(true)
    }

    fn end_attempt(
        &mut self,
        id: i64,
        end: &AttemptEnd,
        settlement: &Settlement,
        only_open: Option<(AccountId, Usd)>,
    ) -> Result<bool, LedgerError> {
        let Some(stored) = self.attempts.get_mut(&id) else { return Ok(false) };
        if let Some((account, amount)) = only_open
            && !stored.is_open(account, amount)?
        {
            return Ok(false);
        }
        stored.end_with(end, settlement);
        if is_reusable(end)
            && !self.answers.is_empty()
            && let Some(answer) = self.answers.get_mut(&stored.fingerprint()?)
        {
            *answer = Some(Reusable { ended_ms: self.now_ms, end: taken(end) });
        }
        if is_page_failure(end.outcome) && !self.askings.is_empty() {
            let asked = stored.fingerprint()?;
            if self.askings.get(&asked) == Some(&id) {
                self.askings.remove(&asked);
                self.failures.insert(asked, Reusable { ended_ms: self.now_ms, end: taken(end) });
            }
        }
        let trail = self.trails.range_mut(..=id).next_back();
        if let Some(paid) = trail.and_then(|(_, trail)| trail.iter_mut().find(|paid| paid.id == id)) {
            paid.charged = settlement.charged;
            paid.is_open = false;
        }
        self.freed |= settlement.released.is_positive();
        let product = write_product(end)?;
        self.writes.ended.push(Settled { id, end: end.clone(), product, settlement: *settlement });
        Ok(true)
    }

    fn keep_learned(&mut self, id: i64, end: &AttemptEnd, owed: Usd, epoch: Epoch) -> Result<(), LedgerError> {
        let stored = self.attempts.get_mut(&id).ok_or_else(|| missing("an attempt"))?;
        stored.keep_learned(end, owed);
        stored.hear(epoch);
        self.writes.learned.insert(id, (write_learned(end, owed)?, heard_bit(epoch)));
        Ok(())
    }

    fn add_lost(&mut self, id: i64, lost: Usd, epoch: Epoch) -> Result<(), LedgerError> {
        let stored = self.attempts.get_mut(&id).ok_or_else(|| missing("an attempt"))?;
        stored.hear(epoch);
        let (total, heard) = self.writes.lost.entry(id).or_insert((Usd::ZERO, 0));
        *total = add(*total, lost)?;
        *heard |= heard_bit(epoch);
        Ok(())
    }

    fn set_handle(&mut self, lead: LeadKey, n: AttemptNo, handle: &str) -> Result<(), LedgerError> {
        let id = IDS.id_of(lead, n)?;
        if let Some(stored) = self.attempts.get(&id)
            && stored.is_awaited()?
        {
            self.writes.handles.insert(id, handle.to_owned());
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
        let asked = self.attempts.get(&attempt).ok_or_else(|| missing("an attempt of this batch"))?.fingerprint()?;
        self.writes.entries.push(Taken { account, attempt, asked, charged, balance });
        Ok(())
    }

    fn finish_lead(&mut self, lead: LeadKey, ending: &Ending) -> Result<Option<u64>, LedgerError> {
        let undecided = self.leads.get_mut(&(lead.job, lead.lead)).ok_or_else(|| missing("a lead"))?;
        if undecided.ended {
            return Ok(None);
        }
        undecided.ended = true;
        self.writes.leads.push((lead, ending.clone()));
        Ok(Some(undecided.copies))
    }

    fn key_fails(&mut self, key: &str) -> Result<bool, LedgerError> {
        Ok(self.failing.insert(key.to_owned()))
    }

    fn deactivate_campaigns(&mut self, workspace: &WorkspaceId, key: &str) -> Result<(), LedgerError> {
        self.writes.dry.push((workspace.clone(), key.to_owned()));
        Ok(())
    }

    fn happened(&mut self, key: &str, what: &Happening) -> Result<(), LedgerError> {
        self.writes.happenings.push((key.to_owned(), what.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AnswerSource;
    use crate::domain::Attempt;
    use crate::domain::AttemptState;
    use crate::domain::ConfigVersion;
    use crate::domain::KeySource;
    use crate::domain::Operation;
    use crate::domain::Outcome;
    use crate::domain::Product;
    use crate::domain::ProviderName;
    use crate::domain::Reason;
    use crate::domain::Run;
    use crate::domain::Status;
    use crate::domain::Step;
    use crate::ledger::rules::Owed;
    use crate::ledger::rules::settle_within;
    use crate::store::batch::Batch;
    use crate::store::rows::HoldState;
    use std::time::Duration;

    const WALLET: AccountId = AccountId(7);
    const LEAD: LeadKey = LeadKey { job: JobKey(1), lead: LeadNo(2), slice: SliceNo(0), epoch: Epoch(1) };
    const PRICE: Usd = Usd::from_nanos(10);

    fn begin(n: u32) -> Begin {
        Begin {
            n: AttemptNo::new(n),
            run: Run::FIRST,
            step: Step::new(ProviderName::new("findymail"), Operation::FindEmail),
            fingerprint: Fingerprint::from_bytes([9; 16]),
            about: None,
            key_source: KeySource::House,
            price: PRICE,
            cached_since_ms: Some(100),
            expires_in: Duration::from_mins(15),
            config_version: ConfigVersion::new("c"),
        }
    }

    fn called() -> AttemptEnd {
        AttemptEnd { source: AnswerSource::Called, ..AttemptEnd::not_asked(Outcome::NotFound) }
    }

    /// What an overtaken owner brings.
    fn found() -> Ended {
        let Begin { n, run, step, fingerprint, about, key_source, config_version, .. } = begin(1);
        let end = AttemptEnd { outcome: Outcome::Found, ..called() };
        let attempt = Attempt { n, run, step, about, key_source, state: AttemptState::Ended(end) };
        Ended { attempt, fingerprint, owed: Owed::Amount(PRICE), held: Some(PRICE), config_version }
    }

    #[test]
    fn a_begun_attempt_is_known_and_ends_once() {
        let mut rows = Prefetched::default();
        assert!(rows.insert_begun(LEAD, WALLET, &begin(1)).unwrap());
        assert!(!rows.insert_begun(LEAD, WALLET, &begin(1)).unwrap());
        let id = IDS.id_of(LEAD, AttemptNo::new(1)).unwrap();
        let settlement = settle_within(PRICE, PRICE).unwrap();
        assert!(!rows.end_attempt(id, &called(), &settlement, Some((AccountId(8), PRICE))).unwrap());
        assert!(!rows.end_attempt(id, &called(), &settlement, Some((WALLET, Usd::ZERO))).unwrap());
        assert!(!rows.freed);
        assert!(rows.end_attempt(id, &called(), &settlement, Some((WALLET, PRICE))).unwrap());
        assert!(!rows.end_attempt(id, &called(), &settlement, Some((WALLET, PRICE))).unwrap());
        let known = rows.known(LEAD, AttemptNo::new(1)).unwrap().unwrap();
        assert_eq!(known.hold.map(|hold| (hold.state, hold.charged)), Some((HoldState::Settled, PRICE)));
        assert_eq!(known.end, Some(AttemptEnd { cost: PRICE, ..called() }));
        assert!(rows.freed);
        assert_eq!((rows.writes.begun.len(), rows.writes.ended.len()), (1, 1));
    }

    #[test]
    fn an_answer_of_the_same_batch_serves_whoever_asked_for_it() {
        let mut rows = Prefetched { now_ms: 100, ..Prefetched::default() };
        rows.answers.insert(begin(1).fingerprint, None);
        assert_eq!(rows.reusable(&begin(1)).unwrap(), None);
        rows.insert_begun(LEAD, WALLET, &begin(1)).unwrap();
        let id = IDS.id_of(LEAD, AttemptNo::new(1)).unwrap();
        rows.end_attempt(id, &called(), &settle_within(PRICE, PRICE).unwrap(), None).unwrap();
        assert_eq!(rows.reusable(&begin(2)).unwrap(), Some(taken(&called())));
        let too_old = Begin { cached_since_ms: Some(101), ..begin(2) };
        assert_eq!(rows.reusable(&too_old).unwrap(), None);
        let not_wanted = Begin { cached_since_ms: None, ..begin(2) };
        assert_eq!(rows.reusable(&not_wanted).unwrap(), None);
    }

    #[test]
    fn a_page_is_asked_by_the_last_to_begin_until_that_one_ends() {
        let mut rows = Prefetched::default();
        let page = begin(1).fingerprint;
        rows.askings.insert(page, 4);
        assert_eq!(rows.asked_by(page).unwrap(), Some(4));
        rows.forget_asking(page, 5).unwrap();
        assert_eq!(rows.asked_by(page).unwrap(), Some(4));
        rows.forget_asking(page, 4).unwrap();
        assert_eq!(rows.asked_by(page).unwrap(), None);
        rows.note_asking(page, 6).unwrap();
        assert_eq!(rows.asked_by(page).unwrap(), Some(6));
        assert_eq!(rows.writes.asked.get(&page), Some(&6));
        // What was not written yet is not deleted either.
        rows.forget_asking(page, 6).unwrap();
        assert_eq!(rows.asked_by(page).unwrap(), None);
        assert!(rows.writes.asked.is_empty());
        assert_eq!(rows.writes.forgotten, [(page, 5), (page, 4)]);
    }

    #[test]
    fn a_page_that_failed_for_whoever_asked_fails_for_the_others_of_the_batch() {
        let mut rows = Prefetched { now_ms: 100, ..Prefetched::default() };
        for (n, outcome) in [(1, Outcome::BadRequest), (2, Outcome::ProtocolError)] {
            rows.insert_begun(LEAD, WALLET, &begin(n)).unwrap();
            let id = IDS.id_of(LEAD, AttemptNo::new(n)).unwrap();
            rows.failures.clear();
            rows.note_asking(begin(n).fingerprint, id).unwrap();
            let failed = AttemptEnd { outcome, ..called() };
            rows.end_attempt(id, &failed, &settle_within(Usd::ZERO, PRICE).unwrap(), None).unwrap();
            let known = rows.reusable(&begin(3)).unwrap();
            assert_eq!(known, (n == 1).then(|| taken(&failed)), "{outcome:?}");
        }
        assert_eq!(rows.asked_by(begin(1).fingerprint).unwrap(), Some(IDS.id_of(LEAD, AttemptNo::new(2)).unwrap()));
    }

    #[test]
    fn what_was_read_counts_before_a_later_failure_and_that_for_a_minute() {
        let mut rows = Prefetched { now_ms: 100_000, ..Prefetched::default() };
        let failed = taken(&AttemptEnd { outcome: Outcome::Timeout, ..called() });
        for (ended_ms, expected) in [(39_999, None), (40_000, Some(&failed))] {
            rows.failures.insert(begin(1).fingerprint, Reusable { ended_ms, end: failed.clone() });
            assert_eq!(rows.reusable(&begin(1)).unwrap().as_ref(), expected);
        }
        rows.answers.insert(begin(1).fingerprint, Some(Reusable { ended_ms: 200, end: taken(&called()) }));
        assert_eq!(rows.reusable(&begin(1)).unwrap(), Some(taken(&called())));
        let young = Begin { cached_since_ms: Some(201), ..begin(1) };
        assert_eq!(rows.reusable(&young).unwrap(), Some(failed));
    }

    #[test]
    fn a_page_of_the_same_batch_is_taken_with_its_text() {
        let mut rows = Prefetched::default();
        rows.answers.insert(begin(1).fingerprint, None);
        rows.insert_begun(LEAD, WALLET, &begin(1)).unwrap();
        let id = IDS.id_of(LEAD, AttemptNo::FIRST).unwrap();
        let text = Some(Product::Text("# Acme".into()));
        let scraped = AttemptEnd { outcome: Outcome::Scraped, product: text.clone(), ..called() };
        rows.end_attempt(id, &scraped, &settle_within(PRICE, PRICE).unwrap(), None).unwrap();
        let any_age = Begin { cached_since_ms: Some(0), ..begin(2) };
        let taken = rows.reusable(&any_age).unwrap().unwrap();
        assert_eq!((taken.product, taken.source), (text, AnswerSource::Cached));
        let written: Vec<Option<&str>> = rows.writes.ended.iter().map(|ended| ended.product.as_deref()).collect();
        assert_eq!(written, [Some("{\"text\":\"# Acme\"}")]);
    }

    #[test]
    fn the_sums_of_a_lead_see_what_was_just_written() {
        let mut rows = Prefetched::default();
        assert!(rows.lead_spent_and_held(LEAD).is_err());
        rows.trails.insert(IDS.ids_of_lead(LEAD.job, LEAD.lead).unwrap().0, Vec::new());
        rows.insert_begun(LEAD, WALLET, &begin(1)).unwrap();
        assert_eq!(rows.lead_spent_and_held(LEAD).unwrap(), (Usd::ZERO, PRICE));
        assert!(!rows.is_charged(LEAD, begin(1).fingerprint).unwrap());
        let id = IDS.id_of(LEAD, AttemptNo::new(1)).unwrap();
        rows.end_attempt(id, &called(), &settle_within(PRICE, PRICE).unwrap(), None).unwrap();
        rows.insert_begun(LEAD, WALLET, &begin(2)).unwrap();
        assert_eq!(rows.lead_spent_and_held(LEAD).unwrap(), (PRICE, PRICE));
        assert!(rows.is_charged(LEAD, begin(1).fingerprint).unwrap());
    }

    #[test]
    fn a_lead_ends_once_and_a_key_fails_once() {
        let mut rows = Prefetched::default();
        let ending = Ending::without_address(Status::NotFound, Reason::None);
        assert!(rows.finish_lead(LEAD, &ending).is_err());
        rows.leads.insert((LEAD.job, LEAD.lead), Undecided { copies: 3, ended: false });
        assert_eq!(rows.finish_lead(LEAD, &ending).unwrap(), Some(3));
        assert_eq!(rows.finish_lead(LEAD, &ending).unwrap(), None);
        assert!(rows.key_fails("acme/findymail/x").unwrap());
        assert!(!rows.key_fails("acme/findymail/x").unwrap());
    }

    #[test]
    fn what_each_overtaken_owner_spent_counts_once() {
        let mut rows = Prefetched::default();
        rows.insert_begun(LEAD, WALLET, &begin(1)).unwrap();
        let id = IDS.id_of(LEAD, AttemptNo::FIRST).unwrap();
        rows.end_attempt(id, &called(), &settle_within(PRICE, PRICE).unwrap(), None).unwrap();
        let mut batch = Batch::new(rows);
        for epoch in [2, 3, 2] {
            batch.learn(LeadKey { epoch: Epoch(epoch), ..LEAD }, &found()).unwrap();
        }
        let lost = (Usd::from_nanos(20), heard_bit(Epoch(2)) | heard_bit(Epoch(3)));
        assert_eq!(batch.rows.writes.lost.into_iter().collect::<Vec<_>>(), [(id, lost)]);
        assert!(batch.rows.writes.learned.is_empty());
    }

    #[test]
    fn what_was_learned_is_not_counted_too_when_it_is_told_again() {
        let mut rows = Prefetched::default();
        rows.insert_begun(LEAD, WALLET, &begin(1)).unwrap();
        let id = IDS.id_of(LEAD, AttemptNo::FIRST).unwrap();
        let mut batch = Batch::new(rows);
        batch.learn(LEAD, &found()).unwrap();
        batch.rows.end_attempt(id, &called(), &settle_within(PRICE, PRICE).unwrap(), None).unwrap();
        batch.learn(LEAD, &found()).unwrap();
        assert!(batch.rows.writes.lost.is_empty());
        assert_eq!(batch.rows.writes.learned.len(), 1);
    }

    #[test]
    fn a_handle_is_kept_only_while_the_answer_is_awaited() {
        let mut rows = Prefetched::default();
        rows.set_handle(LEAD, AttemptNo::new(1), "h").unwrap();
        assert!(rows.writes.handles.is_empty());
        rows.insert_begun(LEAD, WALLET, &begin(1)).unwrap();
        rows.set_handle(LEAD, AttemptNo::new(1), "h").unwrap();
        assert_eq!(rows.writes.handles.len(), 1);
        let id = IDS.id_of(LEAD, AttemptNo::new(1)).unwrap();
        rows.end_attempt(id, &called(), &settle_within(Usd::ZERO, PRICE).unwrap(), None).unwrap();
        rows.writes.handles.clear();
        rows.set_handle(LEAD, AttemptNo::new(1), "h").unwrap();
        assert!(rows.writes.handles.is_empty());
    }
}
