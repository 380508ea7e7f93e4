//! What the auditor sees of the rows.

use crate::domain::Ending;
use crate::domain::Run;
use crate::domain::Usd;
use crate::domain::WorkspaceId;
use crate::jobs::JobState;
use crate::jobs::StoredJob;
use crate::ledger::AccountId;
use crate::ledger::Balance;
use crate::ledger::JobKey;
use crate::ledger::LeadNo;
use crate::store::memory::tables::AttemptRow;
use crate::store::memory::tables::EntryRow;
use crate::store::memory::tables::Job;
use crate::store::memory::tables::Tables;

impl Tables {
    /// Every wallet: whose it is, and how it stands.
    pub(crate) fn wallets(&self) -> impl Iterator<Item = (AccountId, &WorkspaceId, Balance)> {
        self.accounts.iter().map(|(id, row)| (*id, &row.workspace, row.money))
    }

    /// The entries but for the first so many.
    pub(crate) fn entries_from(&self, first: usize) -> &[EntryRow] {
        self.entries.get(first..).unwrap_or_default()
    }

    /// Every attempt there is.
    pub(crate) fn all_attempts(&self) -> impl Iterator<Item = &AttemptRow> {
        self.attempts.values()
    }

    /// The attempt of this id.
    pub(crate) fn attempt(&self, id: i64) -> Option<&AttemptRow> {
        self.attempts.get(&id)
    }

    /// What open holds bind of a wallet.
    pub(crate) fn open_in_wallet(&self, account: AccountId) -> Usd {
        let of_wallet = |row: &&AttemptRow| row.hold.as_ref().is_some_and(|hold| hold.account == account);
        sum(self.attempts.values().filter(of_wallet).filter_map(AttemptRow::open_amount))
    }

    /// Every job, and how many of its leads have ended.
    pub(crate) fn all_jobs(&self) -> impl Iterator<Item = (&StoredJob, u64)> {
        self.jobs.values().map(|job| (&job.stored, job.done))
    }

    /// Has every job come to its end?
    pub(crate) fn is_finished(&self) -> bool {
        self.slices.values().all(|slice| !slice.open)
            && self.jobs.values().all(|job| matches!(job.stored.state, JobState::Completed | JobState::Cancelled))
    }

    /// Every lead that is no copy: its run, and how that has ended.
    pub(crate) fn endings(&self) -> impl Iterator<Item = (JobKey, LeadNo, Run, Option<&Ending>)> {
        let originals = self.leads.iter().filter(|(_, lead)| lead.copy_of.is_none());
        originals.map(|((job, n), lead)| (*job, *n, lead.run, lead.ending.as_ref().filter(|_| lead.ended)))
    }

    /// Does a happening of this key wait to be told?
    pub(crate) fn has_happened(&self, key: &str) -> bool {
        self.happenings.iter().any(|told| told.stored.key == key)
    }

    /// Everything recomputed from its parts, every difference in words; of one workspace or all.
    pub(crate) fn problems(&self, workspace: Option<&WorkspaceId>) -> Vec<String> {
        let concerns = |owner: &WorkspaceId| workspace.is_none_or(|workspace| workspace == owner);
        let wallets = self.wallets().filter(|(_, owner, _)| concerns(owner));
        let jobs = self.jobs.values().filter(|job| concerns(&job.stored.workspace));
        let of_wallets = wallets.flat_map(|(id, owner, money)| self.wallet_problems(id, owner, money));
        of_wallets.chain(jobs.flat_map(|job| self.job_problems(job))).collect()
    }

    fn wallet_problems(&self, id: AccountId, owner: &WorkspaceId, money: Balance) -> Vec<String> {
        let mut problems = Vec::new();
        let mut balance = Usd::ZERO;
        for entry in self.entries.iter().filter(|entry| entry.account == id) {
            balance = balance.saturating_add(entry.amount);
            problems.extend(difference(&format!("an entry's balance of wallet {owner}"), entry.balance, balance));
        }
        problems.extend(difference(&format!("the balance of wallet {owner}"), money.balance, balance));
        let held = self.open_in_wallet(id);
        problems.extend(difference(&format!("the held amount of wallet {owner}"), money.held, held));
        problems
    }

    fn job_problems(&self, job: &Job) -> Vec<String> {
        let id = &job.stored.id;
        let attempts: Vec<(&i64, &AttemptRow)> =
            self.attempts.iter().filter(|(_, row)| row.job == job.stored.key).collect();
        let charged = sum(attempts.iter().map(|(_, row)| row.charged));
        let open = sum(attempts.iter().filter_map(|(_, row)| row.open_amount()));
        let mut problems = Vec::new();
        problems.extend(difference(&format!("what job {id} has spent"), job.spent, charged));
        problems.extend(difference(&format!("what job {id} holds"), job.stored.held, open));
        for (attempt, row) in attempts {
            let name = format!("attempt {} of lead {} of job {id}", row.attempt.n, row.lead.0);
            if row.open_amount().is_some() != row.attempt.end().is_none() {
                problems.push(format!("the hold of {name} is open and its answer known, or the reverse"));
            }
            let settled =
                sum(self.entries.iter().filter(|entry| entry.attempt == Some(*attempt)).map(|entry| entry.amount));
            problems.extend(difference(&format!("the settlements of {name}"), settled.negated(), row.charged));
        }
        problems
    }
}

fn difference(what: &str, recorded: Usd, parts: Usd) -> Option<String> {
    (recorded != parts).then(|| format!("{what}: recorded {recorded}, recomputed {parts}"))
}

pub(super) fn sum(amounts: impl Iterator<Item = Usd>) -> Usd {
    amounts.fold(Usd::ZERO, Usd::saturating_add)
}
