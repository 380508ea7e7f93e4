//! The words the promises are written in: a workspace's wallet, its jobs, and calls for their leads.

use crate::conformance::told::short;
use crate::conformance::told::told;
use crate::conformance::told::told_attempt;
use crate::conformance::told::told_claim;
use crate::conformance::told::told_happening;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::timeout;
use weir::domain::{Address, AnswerSource, Attempt, AttemptEnd, AttemptNo, AttemptState, ConfigVersion, Dialect};
use weir::domain::{Draft, Ending, Fingerprint, JobId, KeySource, Lead, LeadId, Outcome, PageUrl, Product};
use weir::domain::{ProviderName, Query, Reason, Run, Status, Step, Tokens, Unwritten, Usd, Verdict, WaterfallName};
use weir::domain::{WorkerId, WorkspaceId, Writing};
use weir::jobs::{Claim, Claimant, Claimed, Held, JobState, LeadWork, Load, NewJob, NewLead, StoredJob, Tenure, Work};
use weir::ledger::rules::Owed;
use weir::ledger::{Answer, Begin, Booking, Boundary, Committed, Ended, Epoch, JobKey, LeadKey, LeadNo, LedgerError};
use weir::ledger::{Pending, SliceNo, Then};
use weir::store::Store;

/// No answer of a working store takes as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// No promise takes as long.
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
/// Runs as long as the promise.
pub(crate) const LEASE: Tenure = Tenure::Lease(HOUR);
/// Has lapsed when it begins.
pub(crate) const LAPSED: Tenure = Tenure::Lease(Duration::ZERO);

/// A store, and the workspace `acme` that uses it.
#[derive(Clone)]
pub(crate) struct Lab {
    pub(crate) store: Arc<dyn Store>,
}

/// A job, and the claim of one of its slices under which its leads are written to.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) stored: StoredJob,
    pub(crate) lead_cap: Option<Usd>,
    /// Zero unless a promise is about it: then nothing is ever low.
    pub(crate) low_balance: Usd,
    slice: SliceNo,
    epoch: Epoch,
    run: Run,
}

/// What a call asks for.
#[derive(Clone, Copy)]
pub(crate) enum Asks {
    /// The address of the lead's own profile.
    Address,
    /// What this page says.
    Page(&'static str),
    /// Copy for the lead.
    Copy,
}

/// A call for a lead.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) lead: u32,
    pub(crate) n: u32,
    pub(crate) provider: &'static str,
    pub(crate) asks: Asks,
    /// At worst, in USD.
    pub(crate) price: &'static str,
    pub(crate) key_source: KeySource,
    pub(crate) cached_since_ms: i64,
    pub(crate) expires_in: Duration,
    /// How long it takes, in milliseconds: calls that differ in nothing else are two.
    pub(crate) takes_ms: u64,
}

/// A lead's attempt `n` to find its address: at LeadMagic, by the house key, for 3 USD. It takes nothing from the cache, and its hold
/// does not expire.
pub(crate) const fn call(lead: u32, n: u32) -> Call {
    Call {
        lead,
        n,
        provider: "leadmagic",
        asks: Asks::Address,
        price: "3",
        key_source: KeySource::House,
        cached_since_ms: i64::MAX,
        expires_in: HOUR,
        takes_ms: 0,
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
        work: Work::Enrich(WaterfallName::new("default")),
        content: Fingerprint::of("content", [Some(id)]),
        slice_size: 10_000,
        campaign: None,
        max_spend: None,
        auto_resume: false,
        reply: None,
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

    /// A job of `acme` with that many leads in one slice, which is claimed.
    pub(crate) async fn job(&self, id: &str, leads: u32) -> Job {
        self.job_of(acme(), id, (1..=leads).map(new_lead).collect()).await
    }

    pub(crate) async fn job_of(&self, workspace: WorkspaceId, id: &str, leads: Vec<NewLead>) -> Job {
        let unclaimed = self.sealed(new_job(workspace, id), leads).await;
        self.claim(&unclaimed).await.0
    }

    /// A job of `acme` of so many slices, each of one lead and none of them claimed: slice 0 is lead 1's.
    pub(crate) async fn sliced(&self, id: &str, slices: u32) -> Job {
        let new = NewJob { slice_size: 1, ..new_job(acme(), id) };
        self.sealed(new, (1..=slices).map(new_lead).collect()).await
    }

    /// Creates a job and stores its leads. Nobody has claimed its first slice.
    pub(crate) async fn sealed(&self, new: NewJob, leads: Vec<NewLead>) -> Job {
        let stored = self.store.create_job(new).await.unwrap();
        self.load(stored.key, leads).await;
        Job::of(stored)
    }

    pub(crate) async fn load(&self, job: JobKey, leads: Vec<NewLead>) -> Load {
        let load = self.store.begin_load(job).await.unwrap().unwrap();
        self.store.load_leads(load, leads).await.unwrap();
        self.store.seal_job(load).await.unwrap();
        load
    }

    /// Takes the job's slice over, whoever has it: the claim, and the leads it has to decide.
    pub(crate) async fn claim(&self, job: &Job) -> (Job, Vec<LeadWork>) {
        let (job, claim) = self.own(job, Tenure::Lock).await;
        (job, claim.leads)
    }

    /// Claims the job's slice, which nobody must have.
    pub(crate) async fn own(&self, job: &Job, tenure: Tenure) -> (Job, Claim) {
        match self.try_to_claim(job, tenure).await {
            Claimed::Taken(claim) => (Job { epoch: claim.epoch, run: claim.run, ..job.clone() }, *claim),
            refused @ (Claimed::Leased | Claimed::Closed) => panic!("{}", told_claim(&refused)),
        }
    }

    /// Tells what a claim comes to: `taken`, `leased`, `closed`.
    pub(crate) async fn tell_claim(&self, job: &Job, tenure: Tenure) -> &'static str {
        told_claim(&self.try_to_claim(job, tenure).await)
    }

    async fn try_to_claim(&self, job: &Job, tenure: Tenure) -> Claimed {
        let claimant = Claimant { worker: WorkerId::new("worker-1"), tenure };
        self.store.claim_slice(job.stored.key, job.slice, &claimant).await.unwrap()
    }

    pub(crate) async fn state(&self, job: &Job) -> JobState {
        self.store.read_job(job.stored.key).await.unwrap().unwrap().state
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

    /// What has happened since this was last asked, as `wallet_low acme: 4 below 5`.
    pub(crate) async fn happenings(&self) -> Vec<String> {
        let taken = self.store.take_happenings(100, HOUR).await.unwrap();
        taken.iter().map(told_happening).collect()
    }

    /// Slices that are stranded, at most `per_job` at a time; asks until there have been `count`, which takes the
    /// store's clock a millisecond.
    pub(crate) async fn stranded(&self, per_job: u32, count: usize) -> Vec<u32> {
        let mut stranded = BTreeSet::new();
        let asking = async {
            while stranded.len() < count {
                let found = self.store.stranded_slices(Duration::ZERO, per_job).await.unwrap();
                stranded.extend(found.into_iter().map(|(_, slice)| slice.0));
                yield_now().await;
            }
        };
        timeout(PATIENCE, asking).await.unwrap();
        stranded.into_iter().collect()
    }

    pub(crate) async fn assert_sound(&self) {
        let audit = self.store.audit(None).await.unwrap();
        assert!(audit.problems.is_empty(), "{:#?}", audit.problems);
    }
}

impl Job {
    /// Nobody has claimed its first slice.
    pub(crate) fn of(stored: StoredJob) -> Self {
        let (slice, epoch, run) = (SliceNo(0), Epoch(0), Run::FIRST);
        Self { stored, lead_cap: None, low_balance: Usd::ZERO, slice, epoch, run }
    }

    /// The same job, with another of its slices in view.
    pub(crate) fn at(&self, slice: u32) -> Self {
        Self { slice: SliceNo(slice), ..self.clone() }
    }

    /// The claim under which it is written to.
    pub(crate) fn held(&self) -> Held {
        Held { job: self.stored.key, slice: self.slice, epoch: self.epoch }
    }

    pub(crate) fn begin(&self, call: Call) -> Boundary {
        self.boundary(call.lead, Vec::new(), self.begun(call))
    }

    /// Asks for a known answer only.
    pub(crate) fn recall(&self, call: Call) -> Boundary {
        self.boundary(call.lead, Vec::new(), Then::Recall(Box::new(self.beginning(call))))
    }

    /// The call has found an address, and its provider takes `owed`.
    pub(crate) fn end(&self, call: Call, owed: &str) -> Boundary {
        self.end_as(call, Outcome::Found, owed)
    }

    pub(crate) fn end_as(&self, call: Call, outcome: Outcome, owed: &str) -> Boundary {
        self.boundary(call.lead, vec![self.ended(call, outcome, owed)], Then::Nothing)
    }

    pub(crate) fn end_and_begin(&self, call: Call, owed: &str, next: Call) -> Boundary {
        self.boundary(call.lead, vec![self.ended(call, Outcome::Found, owed)], self.begun(next))
    }

    pub(crate) fn submit(&self, call: Call, handle: &str) -> Boundary {
        self.boundary(call.lead, Vec::new(), Then::Submitted(AttemptNo::new(call.n), handle.to_owned()))
    }

    pub(crate) fn finish(&self, lead: u32, status: Status, reason: Reason) -> Boundary {
        self.boundary(lead, Vec::new(), Then::Finish(Box::new(Ending::without_address(status, reason))))
    }

    fn boundary(&self, lead: u32, ended: Vec<Ended>, then: Then) -> Boundary {
        let lead = LeadKey { job: self.stored.key, lead: LeadNo(lead), slice: self.slice, epoch: self.epoch };
        let Self { stored, lead_cap, low_balance, .. } = self;
        Boundary { lead, account: stored.account, lead_cap: *lead_cap, low_balance: *low_balance, ended, then }
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
            about: call.query().about(),
            key_source: call.key_source,
            price: usd(call.price),
            cached_since_ms: Some(call.cached_since_ms),
            expires_in: call.expires_in,
            config_version: config_version(),
        }
    }

    fn ended(&self, call: Call, outcome: Outcome, owed: &str) -> Ended {
        let attempt = Attempt {
            n: AttemptNo::new(call.n),
            run: self.run,
            step: call.step(),
            about: call.query().about(),
            key_source: call.key_source,
            state: AttemptState::Ended(AttemptEnd { duration_ms: call.takes_ms, ..end_of(outcome) }),
        };
        let fingerprint = self.fingerprint(call);
        // Whoever took the attempt over does not know its price: both must settle alike.
        let held = (!call.lead.is_multiple_of(2)).then(|| usd(call.price));
        Ended { attempt, fingerprint, owed: Owed::Amount(usd(owed)), held, config_version: config_version() }
    }

    fn fingerprint(&self, call: Call) -> Fingerprint {
        call.query().fingerprint(&self.stored.workspace, &call.step())
    }
}

impl Call {
    fn step(self) -> Step {
        Step::new(ProviderName::new(self.provider), self.query().operation())
    }

    fn query(self) -> Query {
        match self.asks {
            Asks::Address => Query::ByProfile(profile(self.lead)),
            Asks::Page(url) => Query::Scrape(PageUrl::parse(url).unwrap()),
            Asks::Copy => Query::Write(Arc::new(Writing {
                model: "gpt-5.4-mini".to_owned(),
                max_output_tokens: 400,
                instructions: "Write.".to_owned(),
                lead: Lead { linkedin_url: Some(profile(self.lead)), ..Lead::default() },
                pages: Vec::new(),
                dialect: Dialect::default(),
            })),
        }
    }
}

/// How a call of that outcome ended; its answer is an address when it found one, the page's text, or copy.
pub(crate) fn end_of(outcome: Outcome) -> AttemptEnd {
    let found = if outcome == Outcome::Found { Address::parse("ada@acme.test") } else { None };
    let claim = found.is_some().then_some(Verdict::Unknown);
    let product = brought(outcome);
    AttemptEnd { found, claim, product, source: AnswerSource::Called, ..AttemptEnd::not_asked(outcome) }
}

/// A model that refused has counted; one that was cut off has not said what it consumed.
fn brought(outcome: Outcome) -> Option<Product> {
    let tokens = Tokens { input: 900, cached_input: 100, cache_write: 10, output: 80, reasoning: 20 };
    let draft = Draft { subject: "Anvils".to_owned(), body: "Dear \"Ada\",\n…".to_owned() };
    if outcome == Outcome::Scraped {
        Some(Product::Text("# Acme\nWe make \"anvils\".".into()))
    } else if outcome == Outcome::Written {
        Some(Product::Copy { draft: Some(Arc::new(draft)), tokens: Some(tokens) })
    } else if outcome == Outcome::Unwritten(Unwritten::Refused) {
        Some(Product::Copy { draft: None, tokens: Some(tokens) })
    } else if outcome == Outcome::Unwritten(Unwritten::Truncated) {
        Some(Product::Copy { draft: None, tokens: None })
    } else {
        None
    }
}

pub(crate) fn config_version() -> ConfigVersion {
    ConfigVersion::new("0123456789ab")
}
