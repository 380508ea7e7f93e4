//! What the first round trip of the group commit has to read, so that its boundaries can be decided.

use crate::domain::AnswerSource;
use crate::domain::AttemptNo;
use crate::domain::Fingerprint;
use crate::domain::KeySource;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::ledger::AccountId;
use crate::ledger::Begin;
use crate::ledger::Boundary;
use crate::ledger::Ended;
use crate::ledger::Happening;
use crate::ledger::LedgerError;
use crate::ledger::Then;
use crate::store::postgres::attempts::IDS;
use crate::store::postgres::ledger::int;
use crate::store::settling::failing_key;
use std::collections::BTreeSet;
use std::collections::HashMap;

/// What a batch needs to be decided.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) accounts: BTreeSet<i64>,
    pub(super) jobs: BTreeSet<i64>,
    pub(super) slices: BTreeSet<(i64, i32)>,
    pub(super) attempts: Vec<i64>,
    /// Leads whose sums count, by the first and last id of their attempts.
    pub(super) trails: BTreeSet<(i64, i64)>,
    /// Pages that are to be asked for: whoever does already, or has in vain.
    pub(super) askings: BTreeSet<Fingerprint>,
    /// Questions whose answers may be reused, and since when.
    pub(super) answers: HashMap<Fingerprint, i64>,
    pub(super) leads: BTreeSet<(i64, i32)>,
    /// Keys that have just failed: whose wallet (`None`: the house's key), and the rest of its name.
    pub(super) failing: BTreeSet<(Option<i64>, String)>,
}

impl Wanted {
    pub(super) fn of(boundaries: &[&Boundary]) -> Result<Self, LedgerError> {
        let mut wanted = Self::default();
        for boundary in boundaries {
            wanted.add(boundary)?;
        }
        Ok(wanted)
    }

    fn add(&mut self, boundary: &Boundary) -> Result<(), LedgerError> {
        let lead = boundary.lead;
        self.accounts.insert(boundary.account.0);
        self.jobs.insert(lead.job.0);
        self.slices.insert((lead.job.0, int(lead.slice.0)));
        for ended in &boundary.ended {
            self.attempts.push(IDS.id_of(lead, ended.attempt.n)?);
            self.add_failing(boundary.account, ended);
        }
        match &boundary.then {
            Then::Nothing => {}
            Then::Recall(begin) | Then::Begin(begin) => self.add_begin(boundary, begin)?,
            Then::Submitted(n, _) => self.attempts.push(IDS.id_of(lead, *n)?),
            Then::Finish(_) => {
                self.leads.insert((lead.job.0, int(lead.lead.0)));
            }
        }
        Ok(())
    }

    fn add_begin(&mut self, boundary: &Boundary, begin: &Begin) -> Result<(), LedgerError> {
        let lead = boundary.lead;
        self.attempts.push(IDS.id_of(lead, begin.n)?);
        // A lead's first attempt has spent nothing yet.
        if boundary.lead_cap.is_some() && begin.n != AttemptNo::FIRST {
            self.trails.insert(IDS.ids_of_lead(lead.job, lead.lead)?);
        }
        if let Some(since_ms) = begin.cached_since_ms {
            if begin.step.operation == Operation::Scrape {
                self.askings.insert(begin.fingerprint);
            }
            let since = self.answers.entry(begin.fingerprint).or_insert(since_ms);
            *since = since_ms.min(*since);
        }
        Ok(())
    }

    fn add_failing(&mut self, account: AccountId, ended: &Ended) {
        let Some(end) = ended.attempt.end().filter(|end| end.source == AnswerSource::Called) else { return };
        let is_empty = end.outcome == Outcome::ProviderOutOfCredits;
        if !is_empty && end.outcome != Outcome::KeyRejected {
            return;
        }
        let provider = ended.attempt.step.provider.clone();
        let key_source = ended.attempt.key_source;
        let (payer, what) = match key_source {
            KeySource::Own => (Some(account.0), Happening::KeyRejected { workspace: None, provider, key_source }),
            KeySource::House if is_empty => (None, Happening::ProviderOutOfCredits { provider }),
            KeySource::House => (None, Happening::KeyRejected { workspace: None, provider, key_source }),
        };
        let key = failing_key(None, &ended.attempt.step.provider, what.kind());
        self.failing.insert((payer, key));
    }
}
