//! Waiting for money that others hold.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::usd;

pub(super) async fn a_hold_is_granted_when_another_gives_its_money_back(lab: Lab) {
    lab.top_up("5").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    let second = lab.waits(job.begin(call(2, 1))).await;
    assert_eq!(lab.wallet().await, "5, 3 held");
    assert_eq!(lab.tell(job.end(call(1, 1), "2")).await, "charged 2; done");
    assert_eq!(lab.later(second).await, "granted");
    assert_eq!(lab.wallet().await, "3, 3 held");
}

pub(super) async fn a_hold_is_refused_when_the_balance_can_no_longer_pay(lab: Lab) {
    lab.top_up("5").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    let second = lab.waits(job.begin(call(2, 1))).await;
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.later(second).await, "refused unaffordable");
    assert_eq!(lab.trail(&job, 2).await, ["leadmagic: unaffordable, not_asked, 0"]);
}

/// The third could be paid at once, and first of all when money comes back; it stays third.
pub(super) async fn holds_are_served_in_order_of_arrival(lab: Lab) {
    lab.top_up("4").await;
    let job = lab.job("list", 3).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    let second = lab.waits(job.begin(call(2, 1))).await;
    let third = lab.waits(job.begin(Call { price: "1", ..call(3, 1) })).await;
    assert_eq!(lab.tell(job.end(call(1, 1), "1")).await, "charged 1; done");
    assert_eq!(lab.later(second).await, "granted");
    assert_eq!(lab.wallet().await, "3, 3 held");
    assert_eq!(lab.tell(job.end(call(2, 1), "0")).await, "charged 0; done");
    assert_eq!(lab.later(third).await, "granted");
}

pub(super) async fn a_hold_waits_for_its_jobs_cap(lab: Lab) {
    lab.top_up("20").await;
    let job = lab.job("list", 3).await;
    lab.store.set_budget(job.stored.key, usd("5")).await.unwrap();
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    let second = lab.waits(job.begin(call(2, 1))).await;
    let third = lab.waits(job.begin(call(3, 1))).await;
    assert_eq!(lab.tell(job.end(call(1, 1), "0")).await, "charged 0; done");
    assert_eq!(lab.later(second).await, "granted");
    assert_eq!(lab.tell(job.end(call(2, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.later(third).await, "refused capped job");
}

pub(super) async fn a_job_at_its_cap_holds_up_no_other_job(lab: Lab) {
    lab.top_up("20").await;
    let (capped, other) = (lab.job("capped", 3).await, lab.job("other", 1).await);
    lab.store.set_budget(capped.stored.key, usd("5")).await.unwrap();
    assert_eq!(lab.tell(capped.begin(call(1, 1))).await, "granted");
    let second = lab.waits(capped.begin(call(2, 1))).await;
    let third = lab.waits(capped.begin(Call { price: "1", ..call(3, 1) })).await;
    assert_eq!(lab.finally(other.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(capped.end(call(1, 1), "1")).await, "charged 1; done");
    assert_eq!(lab.later(second).await, "granted");
    assert_eq!(lab.later(third).await, "granted");
}

pub(super) async fn what_had_ended_is_settled_before_the_wait(lab: Lab) {
    lab.top_up("8").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
    let next = Call { provider: "prospeo", ..call(1, 2) };
    assert_eq!(lab.tell(job.end_and_begin(call(1, 1), "3", next)).await, "charged 3; waits");
    assert_eq!(lab.wallet().await, "5, 3 held");
}

pub(super) async fn a_cancelled_job_waits_for_nothing(lab: Lab) {
    lab.top_up("5").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    let second = lab.waits(job.begin(call(2, 1))).await;
    assert!(lab.store.cancel_job(job.stored.key).await.unwrap());
    assert_eq!(lab.later(second).await, "cancelled");
}

pub(super) async fn an_older_owner_waits_for_nothing(lab: Lab) {
    lab.top_up("5").await;
    let older = lab.job("list", 2).await;
    assert_eq!(lab.tell(older.begin(call(1, 1))).await, "granted");
    let second = lab.waits(older.begin(call(2, 1))).await;
    lab.claim(&older).await;
    assert_eq!(lab.later(second).await, "fenced");
}
