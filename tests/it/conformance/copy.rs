//! Copy: jobs with a brief, what attempts brought, and pages that are asked for once at a time.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::Asks;
use crate::conformance::lab::Job;
use crate::conformance::lab::acme;
use crate::conformance::lab::end_of;
use crate::conformance::lab::new_job;
use crate::conformance::lab::new_lead;
use crate::conformance::lab::usd;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use weir::domain::About;
use weir::domain::Attempt;
use weir::domain::AttemptEnd;
use weir::domain::AttemptNo;
use weir::domain::AttemptState;
use weir::domain::Brief;
use weir::domain::KeySource;
use weir::domain::Outcome;
use weir::domain::PageUrl;
use weir::domain::Product;
use weir::domain::Purpose;
use weir::domain::Reason;
use weir::domain::Status;
use weir::domain::Unwritten;
use weir::domain::WorkspaceId;
use weir::jobs::JobState;
use weir::jobs::Learned;
use weir::jobs::NewJob;
use weir::jobs::NewLead;
use weir::jobs::Work;
use weir::ledger::Answer;
use weir::ledger::Boundary;
use weir::ledger::Committed;
use weir::ledger::LeadNo;
use weir::store::Store;

const HOME: &str = "https://acme.test";
const REFUSED: Outcome = Outcome::Unwritten(Unwritten::Refused);
const TRUNCATED: Outcome = Outcome::Unwritten(Unwritten::Truncated);

/// A lead's attempt `n` to read the home page: it takes any earlier reading.
const fn scrape(lead: u32, n: u32) -> Call {
    Call { provider: "firecrawl", asks: Asks::Page(HOME), cached_since_ms: 0, ..call(lead, n) }
}

/// A lead's attempt `n` to have copy written.
const fn write(lead: u32, n: u32) -> Call {
    Call { provider: "openai", asks: Asks::Copy, ..call(lead, n) }
}

fn copy_job(id: &str) -> NewJob {
    let brief = Brief {
        purpose: Purpose::Warmup,
        model: "gpt-5.4-mini".to_owned(),
        max_output_tokens: 400,
        instructions: "Write to {first_name}, \"briefly\".".to_owned(),
        pages: vec!["https://{domain}".to_owned(), "https://{domain}/about".to_owned()],
    };
    NewJob { work: Work::Copy(Arc::new(brief)), ..new_job(acme(), id) }
}

/// What the attempts of a trail brought.
fn products<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> Vec<Option<Product>> {
    attempts.into_iter().map(|attempt| attempt.end().and_then(|end| end.product.clone())).collect()
}

async fn attempts(lab: &Lab, job: &Job, lead: u32) -> Vec<Attempt> {
    let trail = lab.store.trail(job.stored.key, LeadNo(lead)).await.unwrap();
    trail.into_iter().map(|stored| stored.attempt).collect()
}

/// The same end, with another text.
fn reading_other_words(mut boundary: Boundary) -> Boundary {
    let product = Some(Product::Text("Nothing here.".into()));
    boundary.ended[0].attempt.state = AttemptState::Ended(AttemptEnd { product, ..end_of(Outcome::Scraped) });
    boundary
}

pub(super) async fn a_copy_job_is_found_as_it_was_created(lab: Lab) {
    let new = copy_job("copies");
    let created = lab.store.create_job(new.clone()).await.unwrap();
    assert_eq!((&created.work, created.work.kind()), (&new.work, "copy"));
    lab.load(created.key, vec![new_lead(1)]).await;
    lab.job("list", 1).await;

    let found = lab.store.find_job(&new.id).await.unwrap().unwrap();
    assert_eq!((found.state, &found.work), (JobState::Queued, &new.work));
    assert_eq!(lab.store.read_job(created.key).await.unwrap().unwrap().work, new.work);
    let kinds: Vec<&str> = lab.store.list_jobs().await.unwrap().iter().map(|job| job.work.kind()).collect();
    assert_eq!(kinds, ["copy", "enrich"]);
}

/// Also when they come in two batches.
pub(super) async fn each_of_identical_leads_is_written_for(lab: Lab) {
    let alike = |n: u32| NewLead { lead: new_lead(1).lead, ..new_lead(n) };
    let unusable = NewLead { lead: None, ..new_lead(4) };
    let stored = lab.store.create_job(copy_job("copies")).await.unwrap();
    let load = lab.store.begin_load(stored.key).await.unwrap().unwrap();
    lab.store.load_leads(load, vec![new_lead(1), alike(2)]).await.unwrap();
    lab.store.load_leads(load, vec![alike(3), unusable]).await.unwrap();
    lab.store.seal_job(load).await.unwrap();

    let (job, work) = lab.claim(&Job::of(stored)).await;
    let to_do: Vec<(u32, u32)> = work.iter().map(|lead| (lead.n.0, lead.copies)).collect();
    assert_eq!(to_do, [(1, 0), (2, 0), (3, 0)]);
    assert!(lab.store.copies(job.stored.key, LeadNo(1)).await.unwrap().is_empty());
    assert_eq!(lab.tell(job.finish(2, Status::Written, Reason::None)).await, "done");
    assert_eq!(lab.store.progress(job.stored.key).await.unwrap().done, 2);
    let told = [
        "lead-1: open, 0, 0 called",
        "lead-2: written none, 0, 0 called",
        "lead-3: open, 0, 0 called",
        "lead-4: skipped invalid_input, 0, 0 called",
    ];
    assert_eq!(lab.results(&job).await, told);
}

/// For whoever asks, and for whoever takes the lead over.
pub(super) async fn what_an_attempt_brought_stands_in_its_trail(lab: Lab) {
    lab.top_up("20").await;
    let job = lab.job("copies", 1).await;
    let calls = [
        (scrape(1, 1), Outcome::Scraped),
        (scrape(1, 2), Outcome::Timeout),
        (write(1, 3), REFUSED),
        (write(1, 4), TRUNCATED),
        (write(1, 5), Outcome::Written),
    ];
    for (call, outcome) in calls {
        let anew = Call { cached_since_ms: i64::MAX, price: "1", ..call };
        assert_eq!(lab.tell(job.begin(anew)).await, "granted");
        assert_eq!(lab.tell(job.end_as(anew, outcome, "0")).await, "charged 0; done");
    }
    let brought: Vec<Option<Product>> = calls.iter().map(|(_, outcome)| end_of(*outcome).product).collect();
    let trail = attempts(&lab, &job, 1).await;
    assert_eq!(products(&trail), brought);
    let page = PageUrl::parse(HOME).map(About::Page);
    let about: Vec<Option<About>> = trail.iter().map(|attempt| attempt.about.clone()).collect();
    assert_eq!(about, [page.clone(), page, None, None, None]);
    let (_, work) = lab.claim(&job).await;
    assert_eq!(work[0].attempts, trail);
}

/// Asked again, also when the answer has become too old by then, it gets its first answer.
pub(super) async fn a_page_that_is_known_is_taken_with_its_text(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("copies", 3).await;
    assert_eq!(lab.tell(job.begin(scrape(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end_as(scrape(1, 1), Outcome::Scraped, "3")).await, "charged 3; done");
    let text = end_of(Outcome::Scraped).product;
    let too_old = Call { cached_since_ms: i64::MAX, ..scrape(2, 1) };
    for boundary in [job.begin(scrape(2, 1)), job.begin(scrape(2, 1)), job.begin(too_old), job.recall(scrape(3, 1))] {
        let committed = lab.commit(boundary).await;
        let Ok(Committed { answer: Answer::Cached(end), .. }) = committed else { panic!("{committed:?}") };
        assert_eq!((end.outcome, end.product), (Outcome::Scraped, text.clone()));
    }
    let (job, work) = lab.claim(&job).await;
    for (lead, work) in (1..).zip(work) {
        assert_eq!(products(&attempts(&lab, &job, lead).await), std::slice::from_ref(&text));
        assert_eq!(products(&work.attempts), std::slice::from_ref(&text));
    }
    assert_eq!(lab.trail(&job, 2).await, ["firecrawl: scraped, cached, 0"]);
    assert_eq!(lab.wallet().await, "7, 0 held");
}

/// Until then it is being asked: nobody else asks.
pub(super) async fn what_an_overtaken_owner_read_is_handed_to_its_successor(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("copies", 2).await;
    assert_eq!(lab.tell(older.begin(scrape(1, 1))).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.tell(older.end_as(scrape(1, 1), Outcome::Scraped, "3")).await, "fenced");
    assert_eq!(lab.tell(newer.begin(scrape(2, 1))).await, "asked elsewhere");

    let (newest, work) = lab.claim(&newer).await;
    let learned = Learned { n: AttemptNo::FIRST, end: end_of(Outcome::Scraped), owed: usd("3") };
    assert_eq!(work[0].learned, [learned]);
    assert_eq!(lab.tell(newest.end_as(scrape(1, 1), Outcome::Scraped, "3")).await, "charged 3; done");
    assert_eq!(lab.tell(newest.begin(scrape(2, 1))).await, "cached scraped");
    assert_eq!(lab.wallet().await, "7, 0 held");
}

pub(super) async fn two_readings_that_differ_cost_both(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("copies", 1).await;
    assert_eq!(lab.tell(older.begin(scrape(1, 1))).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.tell(older.end_as(scrape(1, 1), Outcome::Scraped, "3")).await, "fenced");
    let other = reading_other_words(newer.end_as(scrape(1, 1), Outcome::Scraped, "3"));
    assert_eq!(lab.tell(other).await, "charged 3, lost 3; done");
    assert_eq!(lab.wallet().await, "7, 0 held");
}

pub(super) async fn a_page_is_asked_for_once_at_a_time(lab: Lab) {
    lab.top_up("10").await;
    let (first, second) = (lab.job("1st", 2).await, lab.job("2nd", 1).await);
    assert_eq!(lab.tell(first.begin(scrape(1, 1))).await, "granted");
    for other in [first.begin(scrape(2, 1)), second.begin(scrape(1, 1))] {
        assert_eq!(lab.tell(other).await, "asked elsewhere");
    }
    assert_eq!(lab.tell(second.recall(scrape(1, 1))).await, "asked elsewhere");
    // Its own begin, which comes again, is no other.
    assert_eq!(lab.tell(first.begin(scrape(1, 1))).await, "granted");
    let about = Call { asks: Asks::Page("https://acme.test/about"), ..scrape(2, 1) };
    assert_eq!(lab.tell(first.begin(about)).await, "granted");
    assert!(lab.trail(&second, 1).await.is_empty());
    assert_eq!(lab.wallet().await, "10, 6 held");

    assert_eq!(lab.tell(first.end_as(scrape(1, 1), Outcome::Scraped, "3")).await, "charged 3; done");
    assert_eq!(lab.tell(second.begin(scrape(1, 1))).await, "cached scraped");
    assert_eq!(lab.tell(first.end_as(about, Outcome::Scraped, "3")).await, "charged 3; done");
    assert_eq!(lab.tell(first.begin(scrape(2, 2))).await, "cached scraped");
    assert_eq!(lab.wallet().await, "4, 0 held");
}

pub(super) async fn of_many_who_want_a_page_at_once_one_asks(lab: Lab) {
    race_for_a_page(&[Arc::clone(&lab.store), lab.store]).await;
}

/// Runs one job a store, all of whose leads want the same page at once; the stores share one database.
pub(crate) async fn race_for_a_page(stores: &[Arc<dyn Store>]) {
    const LEADS: u32 = 40;
    let labs: Vec<Lab> = stores.iter().cloned().map(Lab::new).collect();
    labs[0].top_up("1000").await;
    let mut running = JoinSet::new();
    for (n, lab) in labs.iter().enumerate() {
        let job = lab.job(&format!("copies-{n}"), LEADS).await;
        for lead in 1..=LEADS {
            let (lab, job) = (lab.clone(), job.clone());
            running.spawn(async move { lab.tell(job.begin(scrape(lead, 1))).await });
        }
    }
    let mut told = running.join_all().await;
    told.sort_unstable();
    let granted = told.pop();
    assert_eq!(granted.as_deref(), Some("granted"));
    assert!(told.iter().all(|answer| answer == "asked elsewhere"), "{told:?}");
    assert_eq!(labs[0].wallet().await, "1000, 3 held");
}

pub(super) async fn a_page_that_could_not_be_had_is_asked_for_by_the_next(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("copies", 2).await;
    assert_eq!(lab.tell(job.begin(scrape(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end_as(scrape(1, 1), Outcome::ProtocolError, "0")).await, "charged 0; done");
    assert_eq!(lab.tell(job.begin(scrape(2, 1))).await, "granted");
    // It is the other's now, also when the first one ends once more.
    assert_eq!(lab.tell(job.end_as(scrape(1, 1), Outcome::ProtocolError, "0")).await, "charged 0; done");
    assert_eq!(lab.tell(job.begin(scrape(1, 2))).await, "asked elsewhere");
}

pub(super) async fn an_asking_that_expired_holds_up_nobody(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("copies", 3).await;
    let short = Call { expires_in: Duration::ZERO, ..scrape(1, 1) };
    assert_eq!(lab.tell(job.begin(short)).await, "granted");
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
    assert_eq!(lab.tell(job.begin(scrape(2, 1))).await, "granted");
    // What comes late takes nothing from whoever asks by now.
    assert_eq!(lab.tell(job.end_as(short, Outcome::Timeout, "0")).await, "charged 0; done");
    assert_eq!(lab.tell(job.begin(scrape(3, 1))).await, "asked elsewhere");
}

pub(super) async fn a_refused_asking_holds_up_nobody(lab: Lab) {
    lab.top_up("2").await;
    let job = lab.job("copies", 2).await;
    assert_eq!(lab.tell(job.begin(scrape(1, 1))).await, "refused unaffordable");
    let cheaper = Call { price: "2", ..scrape(2, 1) };
    assert_eq!(lab.tell(job.begin(cheaper)).await, "granted");
    // It was refused before anybody asked: that stands.
    assert_eq!(lab.tell(job.begin(scrape(1, 1))).await, "refused unaffordable");
}

pub(super) async fn of_those_who_wait_for_money_one_asks(lab: Lab) {
    lab.top_up("5").await;
    let job = lab.job("copies", 3).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    let second = lab.waits(job.begin(scrape(2, 1))).await;
    let third = lab.waits(job.begin(scrape(3, 1))).await;
    assert_eq!(lab.tell(job.end(call(1, 1), "0")).await, "charged 0; done");
    assert_eq!(lab.later(second).await, "granted");
    assert_eq!(lab.later(third).await, "asked elsewhere");
    assert!(lab.trail(&job, 3).await.is_empty());
    assert_eq!(lab.wallet().await, "5, 3 held");
}

pub(super) async fn an_own_key_asks_once_too(lab: Lab) {
    let job = lab.job("copies", 3).await;
    let own = |lead| Call { key_source: KeySource::Own, price: "0", ..scrape(lead, 1) };
    assert_eq!(lab.tell(job.begin(own(1))).await, "granted");
    assert_eq!(lab.tell(job.begin(own(2))).await, "asked elsewhere");
    assert_eq!(lab.tell(job.end_as(own(1), Outcome::KeyRejected, "0")).await, "charged 0; done");
    assert_eq!(lab.tell(job.begin(own(2))).await, "granted");
    assert_eq!(lab.tell(job.begin(own(3))).await, "asked elsewhere");
    assert_eq!(lab.tell(job.end_as(own(2), Outcome::Scraped, "0")).await, "charged 0; done");
    assert_eq!(lab.tell(job.begin(own(3))).await, "cached scraped");
}

pub(super) async fn workspaces_ask_each_for_themselves(lab: Lab) {
    let ours = lab.job("ours", 1).await;
    let theirs = lab.job_of(WorkspaceId::new("globex"), "theirs", vec![new_lead(1)]).await;
    let own_key = Call { key_source: KeySource::Own, price: "0", ..scrape(1, 1) };
    assert_eq!(lab.tell(ours.begin(own_key)).await, "granted");
    assert_eq!(lab.tell(theirs.begin(own_key)).await, "granted");
}
