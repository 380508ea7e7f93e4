//! What is owed when nobody says it: what was held, whatever the same call costs by now.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::Job;
use crate::conformance::lab::end_of;
use crate::conformance::lab::usd;
use std::time::Duration;
use weir::domain::Attempt;
use weir::domain::AttemptEnd;
use weir::domain::AttemptNo;
use weir::domain::AttemptState;
use weir::domain::Outage;
use weir::domain::Outcome;
use weir::jobs::Learned;
use weir::ledger::Boundary;
use weir::ledger::LeadNo;
use weir::ledger::rules::Owed;

/// Prices of today, of a call for which 3 USD were held: a dearer one and a cheaper one, each by a settler that
/// claims to know the hold (an odd lead's) and by one that does not.
const TODAY: [(u32, &str); 4] = [(1, "5"), (2, "5"), (3, "1"), (4, "1")];

/// The hold of attempt 1 can be given back at once.
const SHORT: Call = Call { expires_in: Duration::ZERO, ..call(1, 1) };

/// The end of an attempt whose provider does not say what it took.
fn unsaid() -> AttemptEnd {
    AttemptEnd { unsaid: true, ..end_of(Outcome::Found) }
}

/// The call has found an address, and its provider does not say what it takes.
fn end_unsaid(job: &Job, call: Call) -> Boundary {
    let mut boundary = job.end(call, "0");
    boundary.ended[0].owed = Owed::Held;
    boundary.ended[0].attempt.state = AttemptState::Ended(unsaid());
    boundary
}

/// Nobody calls any more for what an earlier owner began.
fn drop_begun(job: &Job, call: Call) -> Boundary {
    let mut boundary = job.end(call, "0");
    let given_up = AttemptEnd::not_asked(Outcome::Unavailable(Outage::HoldExpired));
    boundary.ended[0].owed = Owed::ByHouse;
    boundary.ended[0].held = None;
    boundary.ended[0].attempt.state = AttemptState::Ended(given_up);
    boundary
}

/// Does each attempt of the lead say that nobody has said what it took?
async fn marks(lab: &Lab, job: &Job, lead: u32) -> Vec<bool> {
    let trail = lab.store.trail(job.stored.key, LeadNo(lead)).await.unwrap();
    trail.iter().filter_map(|stored| stored.attempt.end()).map(|end| end.unsaid).collect()
}

pub(super) async fn its_own_owner_pays_what_was_held(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 2).await;
    for lead in [1, 2] {
        assert_eq!(lab.tell(job.begin(call(lead, 1))).await, "granted");
        assert_eq!(lab.tell(end_unsaid(&job, call(lead, 1))).await, "charged 3; done");
        assert_eq!(lab.tell(end_unsaid(&job, call(lead, 1))).await, "charged 3; done");
    }
    assert_eq!(lab.wallet().await, "4, 0 held");
}

pub(super) async fn an_attempt_that_was_taken_up_costs_its_hold_whatever_the_price_is_today(lab: Lab) {
    lab.top_up("100").await;
    let older = lab.job("list", 4).await;
    for (lead, _) in TODAY {
        assert_eq!(lab.tell(older.begin(call(lead, 1))).await, "granted");
    }
    let (newer, _) = lab.claim(&older).await;
    for (lead, price) in TODAY {
        let today = Call { price, ..call(lead, 1) };
        assert_eq!(lab.tell(end_unsaid(&newer, today)).await, "charged 3; done", "{price} today");
        assert_eq!(lab.trail(&newer, lead).await, ["leadmagic: found, called, 3"]);
    }
    assert_eq!(lab.wallet().await, "88, 0 held");
}

/// A lead cap lets it pass, since that much was held: only what comes on top is asked of caps and wallet.
pub(super) async fn what_was_held_is_paid_at_a_cap_and_from_the_last_cent(lab: Lab) {
    lab.top_up("3").await;
    let mut older = lab.job("list", 2).await;
    older.lead_cap = Some(usd("3"));
    let even = call(2, 1);
    assert_eq!(lab.tell(older.begin(even)).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.tell(end_unsaid(&newer, Call { price: "5", ..even })).await, "charged 3; done");
    assert_eq!(lab.wallet().await, "0, 0 held");
}

/// As any late amount: as far as the wallet still allows, and never for a step that was paid since.
pub(super) async fn what_was_held_is_owed_also_when_it_has_been_given_back(lab: Lab) {
    lab.top_up("4").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(SHORT)).await, "granted");
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
    assert_eq!(lab.tell(end_unsaid(&job, Call { price: "5", ..SHORT })).await, "charged 1, lost 2; done");
    assert_eq!(lab.wallet().await, "3, 3 held");
}

pub(super) async fn what_was_held_is_the_houses_loss_where_the_step_was_paid_since(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(SHORT)).await, "granted");
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
    assert_eq!(lab.tell(job.begin(call(1, 2))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 2), "2")).await, "charged 2; done");
    assert_eq!(lab.tell(end_unsaid(&job, SHORT)).await, "charged 0, lost 3; done");
}

/// With its mark, and in dollars: its hold is what its successor finds.
pub(super) async fn what_an_overtaken_owner_was_not_told_is_handed_on_as_what_was_held(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 2).await;
    for lead in [1, 2] {
        assert_eq!(lab.tell(older.begin(call(lead, 1))).await, "granted");
    }
    let (newer, _) = lab.claim(&older).await;
    for lead in [1, 2] {
        assert_eq!(lab.tell(end_unsaid(&older, Call { price: "5", ..call(lead, 1) })).await, "fenced");
    }
    let (newest, work) = lab.claim(&newer).await;
    let learned = Learned { n: AttemptNo::FIRST, end: unsaid(), owed: usd("3") };
    for (lead, work) in [1, 2].into_iter().zip(work) {
        assert_eq!(work.learned, std::slice::from_ref(&learned));
        let mut taken = newest.end(call(lead, 1), "3");
        taken.ended[0].held = None;
        taken.ended[0].attempt.state = AttemptState::Ended(unsaid());
        assert_eq!(lab.tell(taken).await, "charged 3; done");
        assert_eq!(marks(&lab, &newest, lead).await, [true]);
    }
    assert_eq!(lab.wallet().await, "4, 0 held");
}

/// As the house's loss, when the hold expires.
pub(super) async fn what_was_not_told_of_an_expired_hold_is_counted_once(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 1).await;
    assert_eq!(lab.tell(older.begin(SHORT)).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.tell(end_unsaid(&older, SHORT)).await, "fenced");
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
    assert_eq!(lab.tell(newer.end_as(SHORT, Outcome::NotFound, "2")).await, "charged 2; done");
    assert_eq!(lab.wallet().await, "8, 0 held");
}

/// For whoever asks, and for whoever takes the lead over.
pub(super) async fn that_nobody_said_it_stands_in_the_trail(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(end_unsaid(&job, call(1, 1))).await, "charged 3; done");
    let next = Call { provider: "prospeo", ..call(1, 2) };
    assert_eq!(lab.tell(job.begin(next)).await, "granted");
    assert_eq!(lab.tell(job.end(next, "3")).await, "charged 3; done");
    assert_eq!(marks(&lab, &job, 1).await, [true, false]);
    let (_, work) = lab.claim(&job).await;
    let marked = work[0].attempts.iter().filter_map(Attempt::end).map(|end| end.unsaid);
    assert_eq!(marked.collect::<Vec<_>>(), [true, false]);
}

/// An earlier owner may have called: as much as was held is the house's possible loss, told once.
pub(super) async fn what_is_begun_and_dropped_costs_the_customer_nothing_and_the_house_perhaps_its_hold(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 1).await;
    assert_eq!(lab.tell(older.begin(call(1, 1))).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    let today = Call { price: "5", ..call(1, 1) };
    assert_eq!(lab.tell(drop_begun(&newer, today)).await, "charged 0, lost 3; done");
    assert_eq!(lab.tell(drop_begun(&newer, today)).await, "charged 0; done");
    assert_eq!(lab.trail(&newer, 1).await, ["leadmagic: unavailable hold_expired, not_asked, 0"]);
    assert_eq!(lab.wallet().await, "10, 0 held");
}

/// What an overtaken owner has left says what was lost: nobody has to guess.
pub(super) async fn what_is_dropped_and_was_learned_has_cost_what_was_learned(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 1).await;
    assert_eq!(lab.tell(older.begin(call(1, 1))).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.tell(older.end(call(1, 1), "2")).await, "fenced");
    assert_eq!(lab.tell(drop_begun(&newer, call(1, 1))).await, "charged 0, lost 2; done");
    assert_eq!(lab.wallet().await, "10, 0 held");
}
