//! Answers that the workspace has paid for before.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::new_lead;
use weir::domain::KeySource;
use weir::domain::WorkspaceId;

/// Takes any earlier answer.
const ANY_AGE: Call = Call { cached_since_ms: 0, ..call(1, 1) };

pub(super) async fn an_answer_is_taken_within_its_age_and_not_beyond_it(lab: Lab) {
    lab.top_up("10").await;
    let (first, second, third) = (lab.job("1st", 1).await, lab.job("2nd", 1).await, lab.job("3rd", 1).await);
    assert_eq!(lab.tell(first.begin(ANY_AGE)).await, "granted");
    assert_eq!(lab.tell(first.end(ANY_AGE, "3")).await, "charged 3; done");

    assert_eq!(lab.tell(second.begin(ANY_AGE)).await, "cached found");
    assert_eq!(lab.trail(&second, 1).await, ["leadmagic: found, cached, 0"]);
    assert_eq!(lab.tell(second.begin(ANY_AGE)).await, "cached found");
    assert_eq!(lab.wallet().await, "7, 0 held");

    // It ended before this limit, as everything did.
    assert_eq!(lab.tell(third.begin(Call { cached_since_ms: i64::MAX, ..ANY_AGE })).await, "granted");
}

pub(super) async fn a_known_answer_is_recalled_without_a_hold_and_an_unknown_one_leaves_no_trace(lab: Lab) {
    lab.top_up("10").await;
    let (first, second) = (lab.job("1st", 1).await, lab.job("2nd", 1).await);
    assert_eq!(lab.tell(first.recall(ANY_AGE)).await, "done");
    assert!(lab.trail(&first, 1).await.is_empty());
    assert_eq!(lab.tell(first.begin(ANY_AGE)).await, "granted");
    assert_eq!(lab.tell(first.end(ANY_AGE, "3")).await, "charged 3; done");

    assert_eq!(lab.tell(second.recall(ANY_AGE)).await, "cached found");
    assert_eq!(lab.tell(second.recall(ANY_AGE)).await, "cached found");
    assert_eq!(lab.trail(&second, 1).await, ["leadmagic: found, cached, 0"]);
    assert_eq!(lab.wallet().await, "7, 0 held");
}

pub(super) async fn an_answer_does_not_cross_workspaces(lab: Lab) {
    lab.top_up("10").await;
    let ours = lab.job("ours", 1).await;
    let theirs = lab.job_of(WorkspaceId::new("globex"), "theirs", vec![new_lead(1)]).await;
    assert_eq!(lab.tell(ours.begin(ANY_AGE)).await, "granted");
    assert_eq!(lab.tell(ours.end(ANY_AGE, "3")).await, "charged 3; done");
    let own_key = Call { key_source: KeySource::Own, price: "0", ..ANY_AGE };
    assert_eq!(lab.tell(theirs.begin(own_key)).await, "granted");
}
