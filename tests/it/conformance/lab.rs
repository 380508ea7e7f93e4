//! The words the promises are written in: a workspace's wallet, its jobs, and calls for their leads. What a
//! boundary comes to is told as `granted`, `charged 3; waits`, `refused capped job`, `conflict`.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use weir::domain::{Address, AnswerSource, Attempt, AttemptEnd, AttemptNo, AttemptState, ConfigVersion, Ending};
use weir::domain::{Fingerprint, JobId, KeySource, Lead, LeadId, Operation, Outcome, ProviderName, Query, Reason};
use weir::domain::{Run, Status, Step, Usd, Verdict, WaterfallName, WorkspaceId};
use weir::jobs::{LeadWork, NewJob, NewLead, StoredJob};
use weir::ledger::{Answer, Begin, Booking, Boundary, Committed, Ended, Epoch, LeadKey, LeadNo, LedgerError};
use weir::ledger::{Pending, SliceNo, Then};
use weir::store::Store;

/// No answer of a working store takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_SLICE: SliceNo = SliceNo(0);

/// A store, and the workspace `acme` that uses it.
#[derive(Clone)]
pub(crate) struct Lab {
    pub(crate) store: Arc<dyn Store>,
}

/// A job, and the claim of its first slice under which its leads are written to.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) stored: StoredJob,
    pub(crate) lead_cap: Option<Usd>,
    epoch: Epoch,
    run: Run,
}

/// A call for a lead, of the lead's own profile.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) lead: u32,
    pub(crate) n: u32,
    pub(crate) provider: &'static str,
    /// At worst, in USD.
    pub(crate) price: &'static str,
    pub(crate) key_source: KeySource,
    pub(crate) cached_since_ms: i64,
    pub(crate) expires_ms: i64,
}

/// A lead's attempt `n`: at LeadMagic, by the house key, for 3 USD. It takes nothing from the cache, and its hold
/// does not expire.
pub(crate) const fn call(lead: u32, n: u32) -> Call {
    Call {
        lead,
        n,
        provider: "leadmagic",
        price: "3",
        key_source: KeySource::House,
        cached_since_ms: i64::MAX,
        expires_ms: i64::MAX,
    }
}

pub(crate) fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

pub(crate) fn acme() -> WorkspaceId {
    WorkspaceId::new("acme")
}

pub(crate) fn new_job(workspace: WorkspaceId, id: &str) -> NewJob {
    NewJob {
        id: JobId::new(id),
        workspace,
        waterfall: WaterfallName::new("default"),
        content: Fingerprint::of("content", [Some(id)]),
        slice_size: 10_000,
    }
}

/// Unlike any lead of another number.
pub(crate) fn new_lead(n: u32) -> NewLead {
    let lead = Lead { linkedin_url: Some(profile(n)), ..Lead::default() };
    NewLead { n: LeadNo(n), id: LeadId::new(format!("lead-{n}")), lead: Some(lead) }
}

fn profile(n: u32) -> String {
    format!("https://linkedin.test/in/{n}")
}

/// Of the wallet of `acme`.
pub(crate) fn booking(amount: &str, reference: &str) -> Booking {
    Booking { workspace: acme(), amount: usd(amount), reference: reference.to_owned(), note: None }
}

impl Lab {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Puts money into the wallet; the amount is the reference too, so each amount goes in once.
    pub(crate) async fn top_up(&self, amount: &str) {
        assert!(self.store.top_up(booking(amount, amount)).await.unwrap());
    }

    /// A job of `acme` with that many leads.
    pub(crate) async fn job(&self, id: &str, leads: u32) -> Job {
        self.job_of(acme(), id, (1..=leads).map(new_lead).collect()).await
    }

    pub(crate) async fn job_of(&self, workspace: WorkspaceId, id: &str, leads: Vec<NewLead>) -> Job {
        let stored = self.store.create_job(new_job(workspace, id)).await.unwrap();
        self.store.load_leads(stored.key, leads).await.unwrap();
        self.store.seal_job(stored.key).await.unwrap();
        let unclaimed = Job { stored, lead_cap: None, epoch: Epoch(0), run: Run::FIRST };
        self.claim(&unclaimed).await.0
    }

    /// Takes the job over: the claim, and the leads it has to decide.
    pub(crate) async fn claim(&self, job: &Job) -> (Job, Vec<LeadWork>) {
        let claim = self.store.claim_slice(job.stored.key, FIRST_SLICE).await.unwrap().unwrap();
        (Job { epoch: claim.epoch, run: claim.run, ..job.clone() }, claim.leads)
    }

    pub(crate) async fn commit(&self, boundary: Boundary) -> Result<Committed, LedgerError> {
        timeout(PATIENCE, self.store.commit(boundary)).await.unwrap()
    }

    /// Commits, and tells what it came to at once.
    pub(crate) async fn tell(&self, boundary: Boundary) -> String {
        told(&self.commit(boundary).await)
    }

    /// Commits what must wait for money.
    pub(crate) async fn waits(&self, boundary: Boundary) -> Pending {
        let answer = self.commit(boundary).await;
        let Ok(Committed { answer: Answer::Wait(second), .. }) = answer else { panic!("{}", told(&answer)) };
        second
    }

    /// Tells the second answer of what waited.
    pub(crate) async fn later(&self, second: Pending) -> String {
        told(&timeout(PATIENCE, second).await.unwrap())
    }

    /// Commits, and tells what it came to in the end.
    pub(crate) async fn finally(&self, boundary: Boundary) -> String {
        match self.commit(boundary).await {
            Ok(Committed { answer: Answer::Wait(second), .. }) => self.later(second).await,
            answer => told(&answer),
        }
    }

    /// The wallet as `7, 3 held`.
    pub(crate) async fn wallet(&self) -> String {
        let wallet = self.store.balance(&acme()).await.unwrap().unwrap();
        format!("{}, {} held", short(wallet.balance), short(wallet.held))
    }

    /// A lead's attempts as `leadmagic: found, called, 3`.
    pub(crate) async fn trail(&self, job: &Job, lead: u32) -> Vec<String> {
        let trail = self.store.trail(job.stored.key, LeadNo(lead)).await.unwrap();
        trail.iter().map(|stored| told_attempt(&stored.attempt)).collect()
    }

    /// A job's results as `lead-1: verified none, 3, 1 called`.
    pub(crate) async fn results(&self, job: &Job) -> Vec<String> {
        let results = self.store.results(job.stored.key, LeadNo(0), 100).await.unwrap();
        let told = results.iter().map(|result| {
            let ending =
                result.ending.as_ref().map_or("open".to_owned(), |end| format!("{} {}", end.status, end.reason));
            format!("{}: {ending}, {}, {} called", result.id, short(result.cost), result.called)
        });
        told.collect()
    }

    pub(crate) async fn assert_sound(&self) {
        let audit = self.store.audit(None).await.unwrap();
        assert!(audit.problems.is_empty(), "{:#?}", audit.problems);
    }
}

impl Job {
    pub(crate) fn begin(&self, call: Call) -> Boundary {
        self.boundary(call.lead, Vec::new(), self.begun(call))
    }

    /// Asks for a known answer only.
    pub(crate) fn recall(&self, call: Call) -> Boundary {
        self.boundary(call.lead, Vec::new(), Then::Recall(Box::new(self.beginning(call))))
    }

    /// The call has found an address, and its provider takes `owed`.
    pub(crate) fn end(&self, call: Call, owed: &str) -> Boundary {
        self.boundary(call.lead, vec![self.ended(call, owed)], Then::Nothing)
    }

    pub(crate) fn end_and_begin(&self, call: Call, owed: &str, next: Call) -> Boundary {
        self.boundary(call.lead, vec![self.ended(call, owed)], self.begun(next))
    }

    pub(crate) fn submit(&self, call: Call, handle: &str) -> Boundary {
        self.boundary(call.lead, Vec::new(), Then::Submitted(AttemptNo::new(call.n), handle.to_owned()))
    }

    pub(crate) fn finish(&self, lead: u32, status: Status, reason: Reason) -> Boundary {
        self.boundary(lead, Vec::new(), Then::Finish(Box::new(Ending::without_address(status, reason))))
    }

    fn boundary(&self, lead: u32, ended: Vec<Ended>, then: Then) -> Boundary {
        let lead = LeadKey { job: self.stored.key, lead: LeadNo(lead), slice: FIRST_SLICE, epoch: self.epoch };
        Boundary { lead, account: self.stored.account, lead_cap: self.lead_cap, ended, then }
    }

    fn begun(&self, call: Call) -> Then {
        Then::Begin(Box::new(self.beginning(call)))
    }

    fn beginning(&self, call: Call) -> Begin {
        Begin {
            n: AttemptNo::new(call.n),
            run: self.run,
            step: call.step(),
            fingerprint: self.fingerprint(call),
            about: None,
            key_source: call.key_source,
            price: usd(call.price),
            cached_since_ms: Some(call.cached_since_ms),
            expires_ms: call.expires_ms,
            config_version: config_version(),
        }
    }

    fn ended(&self, call: Call, owed: &str) -> Ended {
        let end = AttemptEnd {
            found: Address::parse("ada@acme.test"),
            claim: Some(Verdict::Unknown),
            source: AnswerSource::Called,
            ..AttemptEnd::not_asked(Outcome::Found)
        };
        let attempt = Attempt {
            n: AttemptNo::new(call.n),
            run: self.run,
            step: call.step(),
            about: None,
            key_source: call.key_source,
            state: AttemptState::Ended(end),
        };
        let fingerprint = self.fingerprint(call);
        // Whoever took the attempt over does not know its price: both must settle alike.
        let held = (!call.lead.is_multiple_of(2)).then(|| usd(call.price));
        Ended { attempt, fingerprint, owed: usd(owed), held, config_version: config_version() }
    }

    fn fingerprint(&self, call: Call) -> Fingerprint {
        Query::ByProfile(profile(call.lead)).fingerprint(&self.stored.workspace, &call.step())
    }
}

impl Call {
    fn step(self) -> Step {
        Step::new(ProviderName::new(self.provider), Operation::FindEmail)
    }
}

fn config_version() -> ConfigVersion {
    ConfigVersion::new("0123456789ab")
}

fn told(answer: &Result<Committed, LedgerError>) -> String {
    match answer {
        Ok(Committed { charged, answer }) => {
            let charged = charged.iter().map(|charged| format!("charged {}; ", short(*charged)));
            charged.chain([told_answer(answer)]).collect()
        }
        Err(LedgerError::Conflict { .. }) => "conflict".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn told_answer(answer: &Answer) -> String {
    match answer {
        Answer::Done => "done".to_owned(),
        Answer::Granted => "granted".to_owned(),
        Answer::Cached(end) => format!("cached {}", told_outcome(end.outcome)),
        Answer::Refused(outcome) => format!("refused {}", told_outcome(*outcome)),
        Answer::Wait(_) => "waits".to_owned(),
        Answer::Cancelled => "cancelled".to_owned(),
        Answer::Fenced => "fenced".to_owned(),
    }
}

fn told_attempt(attempt: &Attempt) -> String {
    let provider = &attempt.step.provider;
    match &attempt.state {
        AttemptState::Begun => format!("{provider}: begun"),
        AttemptState::Submitted(handle) => format!("{provider}: submitted {handle}"),
        AttemptState::Ended(AttemptEnd { outcome, source, cost, .. }) => {
            format!("{provider}: {}, {}, {}", told_outcome(*outcome), source.as_str(), short(*cost))
        }
    }
}

fn told_outcome(outcome: Outcome) -> String {
    let words = [Some(outcome.as_str()), outcome.detail()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Without the zeros at the end.
pub(crate) fn short(amount: Usd) -> String {
    amount.to_decimal().normalize().to_string()
}
