//! The rows.

use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptState;
use crate::domain::ConfigVersion;
use crate::domain::Ending;
use crate::domain::Fingerprint;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::domain::ProviderName;
use crate::domain::Run;
use crate::domain::Usd;
use crate::domain::WorkerId;
use crate::domain::WorkspaceId;
use crate::jobs::StoredJob;
use crate::keys::StoredKey;
use crate::keys::WorkspaceSettings;
use crate::ledger::AccountId;
use crate::ledger::Balance;
use crate::ledger::EntryKind;
use crate::ledger::Epoch;
use crate::ledger::Happening;
use crate::ledger::JobKey;
use crate::ledger::LeadKey;
use crate::ledger::LeadNo;
use crate::ledger::LedgerError;
use crate::ledger::SliceNo;
use crate::ledger::StoredHappening;
use crate::roster::WorkerRow;
use crate::store::memory::recharges::RechargeRow;
use crate::store::rows::AccountRow;
use crate::store::rows::Hold;
use crate::store::rows::HoldState;
use crate::store::rows::Known;
use crate::store::rows::ids_of_lead;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// When every store of this kind begins, in milliseconds since 1970: later than the real clock, by which
/// workers say how old an answer may be.
const BEGINNING_MS: i64 = 4_000_000_000_000;

/// Everything there is.
pub(crate) struct Tables {
    beginning: Instant,
    pub(super) accounts: BTreeMap<AccountId, AccountRow>,
    pub(super) jobs: BTreeMap<JobKey, Job>,
    pub(super) leads: BTreeMap<(JobKey, LeadNo), LeadRow>,
    pub(super) slices: BTreeMap<(JobKey, SliceNo), Slice>,
    /// By the id that job, lead and number make.
    pub(super) attempts: BTreeMap<i64, AttemptRow>,
    /// Who asks for a page just now; one whose attempt has ended stands for nobody, but tells for a minute
    /// that the page failed.
    pub(super) askings: BTreeMap<Fingerprint, i64>,
    pub(super) entries: Vec<EntryRow>,
    pub(super) happenings: Vec<Told>,
    pub(super) last_happening: i64,
    pub(super) failing_keys: BTreeSet<String>,
    pub(super) campaigns: BTreeMap<(WorkspaceId, String), Campaign>,
    /// By command and by resume.
    pub(super) campaign_changes: u64,
    /// In the order in which they were asked for.
    pub(super) recharges: Vec<RechargeRow>,
    /// Of requests for money, in a row.
    pub(super) declines: BTreeMap<WorkspaceId, u32>,
    pub(super) workspaces: BTreeMap<WorkspaceId, WorkspaceSettings>,
    pub(super) own_keys: BTreeMap<(WorkspaceId, ProviderName), StoredKey>,
    pub(super) keys_version: u64,
    pub(super) workers: BTreeMap<WorkerId, WorkerRow>,
    /// By request, in the order in which they came.
    pub(super) configs: Vec<(String, Option<String>)>,
}

pub(super) struct Job {
    pub(super) stored: StoredJob,
    pub(super) spent: Usd,
    pub(super) done: u64,
    pub(super) load_number: u32,
    pub(super) auto_resume: bool,
    pub(super) resume_asked: bool,
    /// Leads were at work when it was resumed: once more when they have ended.
    pub(super) resume_again: bool,
    /// While it loads: once it is sealed it is cancelled.
    pub(super) cancel_asked: bool,
    pub(super) updated_ms: i64,
}

#[derive(Clone)]
pub(super) struct LeadRow {
    pub(super) id: LeadId,
    pub(super) lead: Lead,
    pub(super) fingerprint: Fingerprint,
    pub(super) copy_of: Option<LeadNo>,
    pub(super) copies: u32,
    pub(super) run: Run,
    pub(super) ended: bool,
    pub(super) ending: Option<Ending>,
    pub(super) ended_ms: Option<i64>,
}

pub(super) struct Slice {
    pub(super) epoch: Epoch,
    pub(super) pending: u32,
    pub(super) open: bool,
    pub(super) since_run: Run,
    pub(super) queued_ms: Option<i64>,
    pub(super) worker: Option<WorkerId>,
    pub(super) lease_until: i64,
    /// Why it was set aside.
    pub(super) broken: Option<String>,
}

/// Is a campaign running?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Campaign {
    Active,
    /// By a wallet that ran dry.
    Stopped,
    /// By a command: a top-up alone does not activate it.
    StoppedByCommand,
}

/// An attempt with its hold.
#[derive(Clone)]
pub(crate) struct AttemptRow {
    pub(crate) job: JobKey,
    pub(crate) lead: LeadNo,
    pub(crate) attempt: Attempt,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) config_version: ConfigVersion,
    pub(crate) began_ms: i64,
    pub(crate) charged: Usd,
    pub(crate) lost: Usd,
    pub(super) hold: Option<HoldRow>,
    pub(super) handle: Option<String>,
    pub(super) ended_ms: Option<i64>,
    pub(super) reusable: bool,
    pub(super) learned: Option<(AttemptEnd, Usd)>,
    /// The overtaken owners that were heard, a bit each.
    pub(super) heard: i64,
}

#[derive(Clone)]
pub(super) struct HoldRow {
    pub(super) account: AccountId,
    pub(super) amount: Usd,
    pub(super) state: HoldState,
    pub(super) expires_ms: i64,
}

/// A change of a balance.
pub(crate) struct EntryRow {
    pub(crate) account: AccountId,
    pub(crate) kind: EntryKind,
    pub(crate) amount: Usd,
    pub(crate) balance: Usd,
    pub(crate) at_ms: i64,
    /// What a settlement paid for.
    pub(crate) attempt: Option<i64>,
    pub(super) reference: Option<String>,
    pub(super) note: Option<String>,
}

/// A happening, and until when somebody is telling it.
pub(super) struct Told {
    pub(super) stored: StoredHappening,
    pub(super) taken_until: i64,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            beginning: Instant::now(),
            accounts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            leads: BTreeMap::new(),
            slices: BTreeMap::new(),
            attempts: BTreeMap::new(),
            askings: BTreeMap::new(),
            entries: Vec::new(),
            happenings: Vec::new(),
            last_happening: 0,
            failing_keys: BTreeSet::new(),
            campaigns: BTreeMap::new(),
            campaign_changes: 0,
            recharges: Vec::new(),
            declines: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            own_keys: BTreeMap::new(),
            keys_version: 0,
            workers: BTreeMap::new(),
            configs: Vec::new(),
        }
    }

    pub(super) fn now_ms(&self) -> i64 {
        after_ms(BEGINNING_MS, self.beginning.elapsed())
    }

    pub(super) fn job(&self, key: JobKey) -> Result<&Job, LedgerError> {
        self.jobs.get(&key).ok_or_else(|| missing("a job"))
    }

    pub(super) fn job_mut(&mut self, key: JobKey) -> Result<&mut Job, LedgerError> {
        self.jobs.get_mut(&key).ok_or_else(|| missing("a job"))
    }

    pub(super) fn account_of(&self, workspace: &WorkspaceId) -> Option<AccountId> {
        self.accounts.iter().find(|(_, row)| row.workspace == *workspace).map(|(id, _)| *id)
    }

    /// The workspace's metered wallet, made when it is first mentioned.
    pub(super) fn open_account(&mut self, workspace: &WorkspaceId) -> AccountId {
        if let Some(known) = self.account_of(workspace) {
            return known;
        }
        let id = AccountId(number(self.accounts.len()) + 1);
        let money = Balance { balance: Usd::ZERO, held: Usd::ZERO };
        let row = AccountRow { workspace: workspace.clone(), money, low_told: false, empty_told: false };
        self.accounts.insert(id, row);
        id
    }

    /// The leads of a slice that are no copies.
    pub(super) fn originals(
        &self,
        job: JobKey,
        slice: SliceNo,
    ) -> Result<impl Iterator<Item = (LeadNo, &LeadRow)>, LedgerError> {
        let size = self.job(job)?.stored.slice_size;
        let first = slice.0.saturating_mul(size).saturating_add(1);
        let last = first.saturating_add(size.saturating_sub(1));
        let range = self.leads.range((job, LeadNo(first))..=(job, LeadNo(last)));
        Ok(range.filter(|(_, lead)| lead.copy_of.is_none()).map(|((_, n), lead)| (*n, lead)))
    }

    /// The slice that a lead belongs to.
    pub(super) fn slice_of(&self, job: JobKey, lead: LeadNo) -> Option<&Slice> {
        let size = self.jobs.get(&job)?.stored.slice_size.max(1);
        self.slices.get(&(job, SliceNo(lead.0.saturating_sub(1) / size)))
    }

    /// The lead as whoever owns its slice now would write to it.
    pub(super) fn as_owner(&self, lead: LeadKey) -> LeadKey {
        let epoch = self.slices.get(&(lead.job, lead.slice)).map_or(lead.epoch, |slice| slice.epoch);
        LeadKey { epoch, ..lead }
    }

    /// Records a happening; one of the same kind and key that still waits is recorded once.
    pub(super) fn happened(&mut self, key: &str, what: &Happening) {
        let known = |told: &Told| told.stored.key == key && told.stored.what.kind() == what.kind();
        if self.happenings.iter().any(known) {
            return;
        }
        self.last_happening += 1;
        let at_ms = self.now_ms();
        let stored = StoredHappening { seq: self.last_happening, key: key.to_owned(), at_ms, what: what.clone() };
        self.happenings.push(Told { stored, taken_until: 0 });
    }

    /// All attempts of a lead, oldest first.
    pub(crate) fn attempts_of(&self, job: JobKey, lead: LeadNo) -> impl Iterator<Item = &AttemptRow> {
        let (first, last) = ids_of_lead(job, lead).unwrap();
        self.attempts.range(first..=last).map(|(_, row)| row)
    }
}

impl AttemptRow {
    /// An attempt that begins, or that ended before its call, without a hold.
    pub(super) fn new(
        lead: LeadKey,
        attempt: Attempt,
        fingerprint: Fingerprint,
        config_version: ConfigVersion,
        began_ms: i64,
    ) -> Self {
        Self {
            job: lead.job,
            lead: lead.lead,
            attempt,
            fingerprint,
            config_version,
            began_ms,
            charged: Usd::ZERO,
            lost: Usd::ZERO,
            hold: None,
            handle: None,
            ended_ms: None,
            reusable: false,
            learned: None,
            heard: 0,
        }
    }

    pub(super) fn known(&self) -> Known {
        let hold = self.hold.as_ref().map(|hold| Hold {
            account: hold.account,
            amount: hold.amount,
            state: hold.state,
            charged: self.charged,
        });
        Known {
            step: self.attempt.step.clone(),
            fingerprint: self.fingerprint,
            hold,
            end: self.attempt.end().cloned(),
            learned: self.learned.clone(),
            is_deferred: self.handle.is_some(),
            heard: self.heard,
        }
    }

    /// Ends it; the handle that was stored stays.
    pub(super) fn end(&mut self, end: &AttemptEnd, now_ms: i64) {
        let end = AttemptEnd { cost: self.charged, handle: self.handle.clone(), ..end.clone() };
        self.attempt.state = AttemptState::Ended(end);
        self.ended_ms = Some(now_ms);
    }

    pub(super) fn is_called(&self) -> bool {
        self.attempt.end().is_some_and(|end| end.source == AnswerSource::Called)
    }

    /// What its hold binds, if that is open.
    pub(crate) fn open_amount(&self) -> Option<Usd> {
        self.hold.as_ref().filter(|hold| hold.state == HoldState::Open).map(|hold| hold.amount)
    }
}

pub(super) fn after_ms(now_ms: i64, later: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(later.as_millis()).unwrap_or(i64::MAX))
}

/// A count, as the number of a row.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn missing(what: &str) -> LedgerError {
    LedgerError::Corrupt(format!("{what} is not there"))
}
