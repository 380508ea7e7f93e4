//! The auditor: a simple model beside the store, compared at every change and at the end.

use crate::domain::AnswerSource;
use crate::domain::AttemptEnd;
use crate::domain::Fingerprint;
use crate::domain::KeySource;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::Reason;
use crate::domain::Usd;
use crate::ledger::AccountId;
use crate::ledger::EntryKind;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::store::memory::AttemptRow;
use crate::store::memory::Tables;
use crate::store::memory::Watch;
use crate::worker::simulation::dice::number_of;
use crate::worker::simulation::findings::Breach;
use crate::worker::simulation::findings::Findings;
use crate::worker::simulation::findings::Rule;
use crate::worker::simulation::prices::prices_of;
use crate::worker::simulation::prices::worst_credits;
use crate::worker::simulation::question::Question;
use crate::worker::simulation::record::Call;
use crate::worker::simulation::record::CallFate;
use crate::worker::simulation::stage::Stage;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

/// Every so many changes the open holds are summed.
const SUM_HOLDS_EVERY: u32 = 16;

/// Watches the store.
pub(super) struct Auditor {
    findings: Arc<Findings>,
    book: Mutex<Book>,
}

/// What came in less what was paid, and what was paid for.
#[derive(Default)]
struct Book {
    entries: usize,
    balances: BTreeMap<AccountId, Usd>,
    paid: BTreeSet<(JobKey, LeadNo, Fingerprint)>,
    changes: u32,
}

/// What a world came to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) calls: usize,
    /// Calls whose answer died with its worker, or was not taken by the store.
    pub(super) unbooked: usize,
    /// How many leads ended why.
    pub(super) reasons: BTreeMap<Reason, u32>,
    /// Differs, if anything went differently.
    pub(super) digest: u64,
}

impl Auditor {
    pub(super) fn new(findings: Arc<Findings>) -> Self {
        Self { findings, book: Mutex::default() }
    }
}

impl Watch for Auditor {
    fn changed(&self, tables: &Tables) {
        let mut book = self.book.lock().unwrap();
        book.read(tables, &self.findings);
        book.changes += 1;
        for (id, owner, money) in tables.wallets() {
            if money.balance.is_negative() || money.held > money.balance {
                let what = format!("{owner} has {}, of which {} are held", money.balance, money.held);
                self.findings.report(Rule::G2Balance, what);
            }
            let expected = book.balances.get(&id).copied().unwrap_or(Usd::ZERO);
            if money.balance != expected {
                let what = format!("{owner} has {}, and should have {expected}", money.balance);
                self.findings.report(Rule::G2Balance, what);
            }
            if book.changes.is_multiple_of(SUM_HOLDS_EVERY) && money.held != tables.open_in_wallet(id) {
                let what = format!("of {owner} {} are held, by holds of {}", money.held, tables.open_in_wallet(id));
                self.findings.report(Rule::G3Hold, what);
            }
        }
    }

    fn refused(&self, error: &LedgerError) {
        self.findings.report(Rule::Asked, error.to_string());
    }
}

impl Book {
    /// Reads the entries that have come since.
    fn read(&mut self, tables: &Tables, findings: &Findings) {
        for entry in tables.entries_from(self.entries) {
            self.entries += 1;
            let balance = self.balances.entry(entry.account).or_insert(Usd::ZERO);
            *balance = balance.saturating_add(entry.amount);
            if *balance != entry.balance {
                findings.report(Rule::G2Balance, format!("an entry says {}, and should say {balance}", entry.balance));
            }
            let Some(row) = entry.attempt.and_then(|id| tables.attempt(id)) else { continue };
            if !self.paid.insert((row.job, row.lead, row.fingerprint)) {
                let what = format!("{} of lead {} of job {}", row.attempt.step, row.lead.0, row.job.0);
                findings.report(Rule::G4ChargedTwice, what);
            }
        }
    }
}

/// Compares everything at the end of a world.
pub(super) fn audit(stage: &Stage) -> Result<Tally, Breach> {
    stage.store.look(|tables| {
        check_books(stage, tables);
        check_endings(stage, tables);
        check_calls(stage, tables);
        check_own_keys(stage, tables);
        check_refusals(stage, tables);
        stage.findings.first().map_or_else(|| Ok(tally(stage, tables)), Err)
    })
}

fn check_books(stage: &Stage, tables: &Tables) {
    for row in tables.all_attempts().filter(|row| row.open_amount().is_some()) {
        let what = format!("the hold of attempt {} of lead {} of job {} is open", row.attempt.n, row.lead.0, row.job.0);
        stage.findings.report(Rule::G3Hold, what);
    }
    for problem in tables.problems(None) {
        stage.findings.report(Rule::G3Hold, problem);
    }
}

/// Every lead has one ending, and that ending was told, under its run.
fn check_endings(stage: &Stage, tables: &Tables) {
    for (job, lead, run, ending) in tables.endings() {
        let Some(ending) = ending.filter(|ending| ending.is_allowed()) else {
            let what = format!("lead {} of job {} has ended with {ending:?}", lead.0, job.0);
            stage.findings.report(Rule::G9Ending, what);
            continue;
        };
        let heard = stage.audience.heard_of(job, lead, run);
        if heard.as_ref() != Some(ending) {
            let what = format!(
                "lead {} of job {} has ended in run {run} with {ending:?}, and what is heard of that is {heard:?}",
                lead.0, job.0
            );
            stage.findings.report(Rule::G9Ending, what);
        }
    }
    for (job, done) in tables.all_jobs() {
        if done != job.leads || !tables.has_happened(&format!("{}/{}", job.id, job.run)) {
            let what = format!("{done} of {} leads of {} are done in run {}", job.leads, job.id, job.run);
            stage.findings.report(Rule::Progress, what);
        }
    }
}

/// Each answer is booked, or died with its worker; and nothing is asked again but for that.
fn check_calls(stage: &Stage, tables: &Tables) {
    let record = stage.record();
    let mut questions: BTreeMap<&Question, Vec<&Call>> = BTreeMap::new();
    for call in record.calls() {
        let is_open = matches!(call.fate, CallFate::Underway | CallFate::Over);
        if is_open && !stage.is_dead(&call.worker) {
            let what = format!("what {} has asked is neither booked nor lost with it: {}", call.worker, call.question);
            stage.findings.report(Rule::G5Unbooked, what);
        }
        questions.entry(&call.question).or_default().push(call);
    }
    for (question, calls) in questions {
        let leads = stage.people.iter().filter(|(_, person)| person.domain == question.person);
        let rows = leads.flat_map(|((job, lead), _)| tables.attempts_of(*job, *lead));
        let rows: Vec<&AttemptRow> = rows.filter(|row| question.is_of(row)).collect();
        let booked = rows.iter().map(|row| row.charged.saturating_add(row.lost)).fold(Usd::ZERO, Usd::saturating_add);
        let owed = owed_for(&calls);
        if owed > booked {
            let what = format!("{question}: its provider takes {owed}, of which {booked} are booked");
            stage.findings.report(Rule::G5Unbooked, what);
        }
        let undisturbed = |call: &&&Call| is_booked(call) && !stage.was_frozen(&call.worker);
        let asked = calls.iter().filter(undisturbed).count();
        let recorded = rows.iter().filter(|row| is_called(row)).count();
        let mut asking = stage.people.iter().filter(|(_, person)| person.domain == question.person);
        let was_overtaken = asking.any(|((job, _), _)| stage.was_overtaken(*job));
        if asked > recorded && !was_overtaken {
            let what = format!("{question}: asked {asked} times for {recorded} attempts, and no answer was lost");
            stage.findings.report(Rule::Repeat, what);
        }
    }
}

const fn is_booked(call: &Call) -> bool {
    matches!(call.fate, CallFate::Booked(..))
}

fn is_called(row: &AttemptRow) -> bool {
    row.attempt.end().is_some_and(|end| end.source == AnswerSource::Called)
}

/// What the house owes for these calls. The same answer brought twice is one.
fn owed_for(calls: &[&Call]) -> Usd {
    let mut ends: Vec<(&AttemptEnd, Usd)> = Vec::new();
    for call in calls.iter().filter(|call| call.key_source == KeySource::House) {
        if let CallFate::Booked(end, owed) = &call.fate
            && ends.iter().all(|(known, _)| *known != end)
        {
            ends.push((end, *owed));
        }
    }
    ends.into_iter().map(|(_, owed)| owed).fold(Usd::ZERO, Usd::saturating_add)
}

/// A customer's own key costs nothing.
fn check_own_keys(stage: &Stage, tables: &Tables) {
    for row in tables.all_attempts().filter(|row| row.attempt.key_source == KeySource::Own) {
        if row.charged.is_positive() || row.lost.is_positive() {
            let what = format!("{} by an own key: {} charged, {} lost", row.attempt.step, row.charged, row.lost);
            stage.findings.report(Rule::G7Key, what);
        }
    }
}

/// What the store refused for want of money since money last came in, the wallet still cannot pay.
fn check_refusals(stage: &Stage, tables: &Tables) {
    for row in tables.all_attempts().filter(|row| row.attempt.outcome() == Some(Outcome::Unaffordable)) {
        let Some((job, _)) = tables.all_jobs().find(|(job, _)| job.key == row.job) else { continue };
        let Some((_, _, money)) = tables.wallets().find(|(id, ..)| *id == job.account) else { continue };
        let top_ups = tables.entries_from(0).iter().filter(|entry| entry.account == job.account);
        let last = top_ups.filter(|entry| entry.kind == EntryKind::TopUp).map(|entry| entry.at_ms).max();
        if stage.is_given_up(row) || last.is_some_and(|last| row.began_ms <= last) {
            continue;
        }
        let is_search = row.attempt.step.operation == Operation::FindEmail;
        let by_profile = is_search && stage.people.get(&(row.job, row.lead)).is_some_and(|person| person.by_profile);
        let worst = worst_credits(&row.attempt.step, by_profile);
        let prices = prices_of(&stage.plan.lives, &row.attempt.step, worst);
        let price = prices.into_iter().find(|(version, _)| *version == row.config_version).map(|(_, price)| price);
        if price.is_none_or(|price| money.balance >= price) {
            let what = format!("{} of {price:?} was refused, and {} is left", row.attempt.step, money.balance);
            stage.findings.report(Rule::Refusal, what);
        }
    }
}

fn tally(stage: &Stage, tables: &Tables) -> Tally {
    let record = stage.record();
    let mut tally = Tally { calls: record.calls().len(), ..Tally::default() };
    tally.unbooked = record.calls().iter().filter(|call| call.fate != CallFate::Retryable && !is_booked(call)).count();
    for reason in tables.endings().filter_map(|(.., ending)| Some(ending?.reason)) {
        *tally.reasons.entry(reason).or_default() += 1;
    }
    for call in record.calls() {
        tally.digest = number_of(tally.digest, &format!("{call:?}"));
    }
    for entry in tables.entries_from(0) {
        tally.digest = number_of(tally.digest, &format!("{} {}", entry.at_ms, entry.balance));
    }
    tally
}
