//! Askings: who waits for a page that another asks for, how long that counts, and what a failure is to the others.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::Asks;
use crate::conformance::lab::Job;
use crate::conformance::lab::LAPSED;
use crate::conformance::lab::LEASE;
use crate::conformance::lab::acme;
use crate::conformance::lab::new_job;
use crate::conformance::lab::new_lead;
use std::sync::Arc;
use std::time::Duration;
use weir::domain::Outage;
use weir::domain::Outcome;
use weir::domain::Throttle;
use weir::jobs::Tenure;
use weir::ledger::Boundary;
use weir::ledger::Then;
use weir::store::Store;

const HOME: &str = "https://acme.test";
const ABOUT: &str = "https://acme.test/about";
const SECOND: Duration = Duration::from_secs(1);
const GIVEN_UP: Outcome = Outcome::Unavailable(Outage::HoldExpired);

/// A lead's attempt `n` to read the home page: it takes any earlier reading.
const fn scrape(lead: u32, n: u32) -> Call {
    Call { provider: "firecrawl", asks: Asks::Page(HOME), cached_since_ms: 0, ..call(lead, n) }
}

/// The same question, where answers are not reused.
fn unshared(mut boundary: Boundary) -> Boundary {
    if let Then::Begin(begin) | Then::Recall(begin) = &mut boundary.then {
        begin.cached_since_ms = None;
    }
    boundary
}

/// A job of `acme` whose one lead is held by that right.
async fn held(lab: &Lab, id: &str, tenure: Tenure) -> Job {
    let unclaimed = lab.sealed(new_job(acme(), id), vec![new_lead(1)]).await;
    lab.own(&unclaimed, tenure).await.0
}

/// A job whose owner died when it had begun to ask for the home page.
async fn left_asking(lab: &Lab, id: &str) -> Job {
    let dead = held(lab, id, LAPSED).await;
    assert_eq!(lab.tell(dead.begin(scrape(1, 1))).await, "granted");
    dead
}

pub(super) async fn where_answers_are_not_reused_nobody_waits(lab: Lab) {
    lab.top_up("20").await;
    let job = lab.job("copies", 4).await;
    assert_eq!(lab.tell(job.begin(scrape(1, 1))).await, "granted");
    assert_eq!(lab.tell(unshared(job.recall(scrape(2, 1)))).await, "done");
    for lead in [2, 3] {
        assert_eq!(lab.tell(unshared(job.begin(scrape(lead, 1)))).await, "granted");
    }
    assert_eq!(lab.tell(job.begin(scrape(4, 1))).await, "asked elsewhere");
    // Nor does anybody wait for those who wait for nobody.
    assert_eq!(lab.tell(job.end_as(scrape(1, 1), Outcome::ProtocolError, "0")).await, "charged 0; done");
    assert_eq!(lab.tell(job.begin(scrape(4, 1))).await, "granted");
    assert_eq!(lab.wallet().await, "20, 9 held");
}

/// Asked again, it gets its first answer; one for whom that is too old asks anew, and is waited for.
pub(super) async fn a_page_that_fails_for_one_fails_for_all_who_want_it(lab: Lab) {
    lab.top_up("20").await;
    let job = lab.job("copies", 10).await;
    for (first, page, outcome) in [(1, HOME, Outcome::BadRequest), (6, ABOUT, Outcome::Timeout)] {
        let of = |lead: u32| Call { asks: Asks::Page(page), ..scrape(lead, 1) };
        assert_eq!(lab.tell(job.begin(of(first))).await, "granted");
        assert_eq!(lab.tell(job.begin(of(first + 1))).await, "asked elsewhere");
        assert_eq!(lab.tell(job.end_as(of(first), outcome, "0")).await, "charged 0; done");
        let word = outcome.as_str();
        for boundary in [job.begin(of(first + 1)), job.begin(of(first + 1)), job.recall(of(first + 2))] {
            assert_eq!(lab.tell(boundary).await, format!("cached {word}"));
        }
        for lead in [first + 1, first + 2] {
            assert_eq!(lab.trail(&job, lead).await, [format!("firecrawl: {word}, cached, 0")]);
        }
        let anew = Call { cached_since_ms: i64::MAX, ..of(first + 3) };
        assert_eq!(lab.tell(job.begin(anew)).await, "granted");
        assert_eq!(lab.tell(job.begin(of(first + 4))).await, "asked elsewhere");
        assert_eq!(lab.tell(job.end_as(anew, Outcome::Scraped, "3")).await, "charged 3; done");
        assert_eq!(lab.tell(job.begin(of(first + 4))).await, "cached scraped");
    }
    assert_eq!(lab.wallet().await, "14, 0 held");
}

pub(super) async fn what_failed_but_for_the_page_is_asked_for_anew(lab: Lab) {
    lab.top_up("20").await;
    let job = lab.job("copies", 5).await;
    let others = [
        Outcome::KeyRejected,
        Outcome::ProtocolError,
        Outcome::Unavailable(Outage::Answered),
        Outcome::RateLimited(Throttle::TriesSpent),
    ];
    for (lead, outcome) in (1..).zip(others) {
        assert_eq!(lab.tell(job.begin(scrape(lead, 1))).await, "granted");
        assert_eq!(lab.tell(job.end_as(scrape(lead, 1), outcome, "0")).await, "charged 0; done");
    }
    assert_eq!(lab.tell(job.begin(scrape(5, 1))).await, "granted");
}

pub(super) async fn a_page_that_was_read_is_known_however_it_fails_later(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("copies", 3).await;
    assert_eq!(lab.tell(job.begin(scrape(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end_as(scrape(1, 1), Outcome::Scraped, "3")).await, "charged 3; done");
    let anew = Call { cached_since_ms: i64::MAX, ..scrape(2, 1) };
    assert_eq!(lab.tell(job.begin(anew)).await, "granted");
    assert_eq!(lab.tell(job.end_as(anew, Outcome::BadRequest, "0")).await, "charged 0; done");
    assert_eq!(lab.tell(job.begin(scrape(3, 1))).await, "cached scraped");
}

/// Under a lease until that lapses; not of what was given up or set aside.
pub(super) async fn an_asking_counts_while_its_owner_lives(lab: Lab) {
    lab.top_up("20").await;
    let others = lab.job("others", 3).await;
    let (given_up, set_aside) = (held(&lab, "1st", LEASE).await, held(&lab, "2nd", LEASE).await);
    assert_eq!(lab.tell(given_up.begin(scrape(1, 1))).await, "granted");
    assert_eq!(lab.tell(others.begin(scrape(1, 1))).await, "asked elsewhere");
    lab.store.release_slice(given_up.held()).await.unwrap();
    assert_eq!(lab.tell(set_aside.begin(scrape(1, 1))).await, "granted");
    assert_eq!(lab.tell(others.begin(scrape(1, 1))).await, "asked elsewhere");
    lab.store.set_aside_slice(set_aside.held(), "it breaks").await.unwrap();
    assert_eq!(lab.tell(others.begin(scrape(1, 1))).await, "granted");
    assert_eq!(lab.tell(others.end_as(scrape(1, 1), Outcome::ProtocolError, "0")).await, "charged 0; done");
    left_asking(&lab, "3rd").await;
    assert_eq!(lab.tell(others.begin(scrape(2, 1))).await, "granted");
    assert_eq!(lab.tell(others.begin(scrape(3, 1))).await, "asked elsewhere");
}

pub(super) async fn an_asking_counts_no_longer_than_its_hold(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("copies", 2).await;
    let short = Call { expires_in: Duration::ZERO, ..scrape(1, 1) };
    assert_eq!(lab.tell(job.begin(short)).await, "granted");
    assert_eq!(lab.tell(job.begin(scrape(2, 1))).await, "granted");
}

/// Whoever takes it up learns that another asks, and what that brought; nothing is written of it until the attempt
/// is given up.
pub(super) async fn a_page_that_another_has_by_now_is_not_called_again(lab: Lab) {
    lab.top_up("10").await;
    let dead = left_asking(&lab, "dead").await;
    let other = lab.job("other", 1).await;
    assert_eq!(lab.tell(other.begin(scrape(1, 1))).await, "granted");
    let (owner, _) = lab.own(&dead, LEASE).await;
    assert_eq!(lab.tell(owner.recall(scrape(1, 1))).await, "asked elsewhere");
    assert_eq!(lab.tell(other.end_as(scrape(1, 1), Outcome::Scraped, "3")).await, "charged 3; done");
    assert_eq!(lab.tell(owner.recall(scrape(1, 1))).await, "cached scraped");
    assert_eq!(lab.trail(&owner, 1).await, ["firecrawl: begun"]);
    assert_eq!(lab.wallet().await, "7, 3 held");

    assert_eq!(lab.tell(owner.end_as(scrape(1, 1), GIVEN_UP, "0")).await, "charged 0; done");
    assert_eq!(lab.tell(owner.begin(scrape(1, 2))).await, "cached scraped");
    assert_eq!(lab.wallet().await, "7, 0 held");
}

pub(super) async fn a_page_that_is_taken_up_is_asked_for_by_its_new_owner(lab: Lab) {
    lab.top_up("10").await;
    let dead = left_asking(&lab, "dead").await;
    let other = lab.job("other", 1).await;
    let (owner, _) = lab.own(&dead, LEASE).await;
    assert_eq!(lab.tell(owner.recall(scrape(1, 1))).await, "done");
    assert_eq!(lab.tell(unshared(owner.recall(scrape(1, 1)))).await, "done");
    assert_eq!(lab.tell(other.begin(scrape(1, 1))).await, "asked elsewhere");
    assert_eq!(lab.tell(owner.end_as(scrape(1, 1), Outcome::Scraped, "3")).await, "charged 3; done");
    assert_eq!(lab.tell(other.begin(scrape(1, 1))).await, "cached scraped");
}

/// Else others would not wait for it.
pub(super) async fn a_page_that_another_asked_for_in_vain_meanwhile_is_not_called_again_either(lab: Lab) {
    lab.top_up("10").await;
    let dead = left_asking(&lab, "dead").await;
    let other = lab.job("other", 2).await;
    assert_eq!(lab.tell(other.begin(scrape(1, 1))).await, "granted");
    assert_eq!(lab.tell(other.end_as(scrape(1, 1), Outcome::ProtocolError, "0")).await, "charged 0; done");
    let (owner, _) = lab.own(&dead, LEASE).await;
    assert_eq!(lab.tell(owner.recall(scrape(1, 1))).await, "asked elsewhere");
    assert_eq!(lab.tell(owner.end_as(scrape(1, 1), GIVEN_UP, "0")).await, "charged 0; done");
    assert_eq!(lab.tell(owner.begin(scrape(1, 2))).await, "granted");
    assert_eq!(lab.tell(other.begin(scrape(2, 1))).await, "asked elsewhere");
}

/// What takes askings minutes: `age` makes attempts begun and ended so much older. Under a lock nobody can tell whether
/// who asks still lives: that counts as long as a call may take. A failure counts for a minute.
pub(crate) async fn askings_in_time(store: Arc<dyn Store>, age: impl AsyncFn(Duration)) {
    let lab = Lab::new(store);
    lab.top_up("20").await;
    let job = lab.job("copies", 5).await;
    assert_eq!(lab.tell(job.begin(scrape(1, 1))).await, "granted");
    for (time, told) in [(SECOND * 100, "asked elsewhere"), (SECOND * 20, "granted")] {
        age(time).await;
        assert_eq!(lab.tell(job.begin(scrape(2, 1))).await, told);
    }
    assert_eq!(lab.tell(job.end_as(scrape(2, 1), Outcome::BadRequest, "0")).await, "charged 0; done");
    for (lead, time, told) in [(3, SECOND * 40, "cached bad_request"), (4, SECOND * 21, "granted")] {
        age(time).await;
        assert_eq!(lab.tell(job.begin(scrape(lead, 1))).await, told);
    }
    lab.assert_sound().await;
}

/// What a second lead is told that wants the page which a first one asks for, after `meanwhile`.
pub(crate) async fn told_to_a_second(store: Arc<dyn Store>, meanwhile: impl AsyncFn()) -> String {
    let lab = Lab::new(store);
    lab.top_up("20").await;
    let job = lab.job("copies", 2).await;
    assert_eq!(lab.tell(job.begin(scrape(1, 1))).await, "granted");
    meanwhile().await;
    lab.tell(job.begin(scrape(2, 1))).await
}
