//! Holds: bound once, whole, and only for whoever may.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use weir::domain::KeySource;
use weir::domain::Reason;
use weir::domain::Status;
use weir::ledger::Pending;

pub(super) async fn one_asked_for_again_gives_its_first_answer_and_price(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.begin(Call { price: "5", ..call(1, 1) })).await, "granted");
    assert_eq!(lab.wallet().await, "10, 3 held");
    assert_eq!(lab.trail(&job, 1).await, ["leadmagic: begun"]);
}

pub(super) async fn other_content_is_a_conflict_and_the_rest_of_its_batch_commits(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 3).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    let calls = [call(2, 1), Call { provider: "prospeo", ..call(1, 1) }, call(3, 1)];
    let together: Vec<Pending> = calls.into_iter().map(|call| lab.store.commit(job.begin(call))).collect();
    let mut answers = Vec::new();
    for answer in together {
        answers.push(lab.later(answer).await);
    }
    assert_eq!(answers, ["granted", "conflict", "granted"]);
    assert_eq!(lab.wallet().await, "10, 9 held");
}

pub(super) async fn a_boundary_is_committed_whole_or_not_at_all(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");

    let same_id = Call { provider: "prospeo", ..call(1, 1) };
    assert_eq!(lab.tell(job.end_and_begin(call(1, 1), "3", same_id)).await, "conflict");
    assert_eq!(lab.wallet().await, "10, 3 held");
    assert_eq!(lab.trail(&job, 1).await, ["leadmagic: begun"]);

    let next = Call { provider: "prospeo", ..call(1, 2) };
    assert_eq!(lab.tell(job.end_and_begin(call(1, 1), "3", next)).await, "charged 3; granted");
    assert_eq!(lab.wallet().await, "7, 3 held");
    assert_eq!(lab.trail(&job, 1).await, ["leadmagic: found, called, 3", "prospeo: begun"]);
}

pub(super) async fn a_refused_one_is_an_ended_attempt_and_binds_nothing(lab: Lab) {
    lab.top_up("2").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "refused unaffordable");
    assert_eq!(lab.wallet().await, "2, 0 held");
    assert_eq!(lab.trail(&job, 1).await, ["leadmagic: unaffordable, not_asked, 0"]);
}

pub(super) async fn a_refusal_stands_when_it_is_asked_for_again(lab: Lab) {
    lab.top_up("2").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "refused unaffordable");
    lab.top_up("10").await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "refused unaffordable");
    assert_eq!(lab.tell(job.begin(call(1, 2))).await, "granted");
}

pub(super) async fn an_own_key_binds_no_money(lab: Lab) {
    let job = lab.job("list", 1).await;
    let own = Call { key_source: KeySource::Own, price: "0", ..call(1, 1) };
    assert_eq!(lab.tell(job.begin(own)).await, "granted");
    assert_eq!(lab.tell(job.end(own, "0")).await, "charged 0; done");
    assert_eq!(lab.wallet().await, "0, 0 held");
    assert_eq!(lab.trail(&job, 1).await, ["leadmagic: found, called, 0"]);
}

pub(super) async fn a_cancelled_job_begins_nothing_and_still_settles(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert!(lab.store.cancel_job(job.stored.key).await.unwrap());
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "cancelled");
    assert!(lab.trail(&job, 2).await.is_empty());
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.tell(job.finish(1, Status::Unverified, Reason::Cancelled)).await, "done");
}

pub(super) async fn an_older_owner_writes_nothing(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 2).await;
    assert_eq!(lab.tell(older.begin(call(1, 1))).await, "granted");
    let (newer, _) = lab.claim(&older).await;

    assert_eq!(lab.tell(older.end(call(1, 1), "3")).await, "fenced");
    assert_eq!(lab.tell(older.begin(call(2, 1))).await, "fenced");
    assert_eq!(lab.tell(older.submit(call(1, 1), "h-1")).await, "fenced");
    assert_eq!(lab.tell(older.finish(2, Status::Failed, Reason::Deadline)).await, "fenced");
    assert_eq!(lab.wallet().await, "10, 3 held");
    assert_eq!(lab.trail(&older, 1).await, ["leadmagic: begun"]);
    assert_eq!(lab.results(&older).await, ["lead-1: open, 0, 0 called", "lead-2: open, 0, 0 called"]);

    assert_eq!(lab.tell(newer.end(call(1, 1), "3")).await, "charged 3; done");
}
