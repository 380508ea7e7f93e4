//! Owners that were overtaken: what they learned is not lost, and the customer pays no call twice.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::end_of;
use crate::conformance::lab::usd;
use std::time::Duration;
use weir::domain::AttemptNo;
use weir::domain::Outcome;
use weir::jobs::Learned;

/// One whose settler knows its hold, and one whose settler does not.
const LEADS: [u32; 2] = [1, 2];

pub(super) async fn what_an_overtaken_owner_learned_is_handed_to_its_successor(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 2).await;
    for lead in LEADS {
        assert_eq!(lab.tell(older.begin(call(lead, 1))).await, "granted");
    }
    let (newer, work) = lab.claim(&older).await;
    assert!(work.iter().all(|lead| lead.learned.is_empty()));
    for lead in LEADS {
        assert_eq!(lab.tell(older.end(call(lead, 1), "3")).await, "fenced");
        assert_eq!(lab.trail(&newer, lead).await, ["leadmagic: begun"]);
    }
    assert_eq!(lab.wallet().await, "10, 6 held");

    let (newest, work) = lab.claim(&newer).await;
    let learned = Learned { n: AttemptNo::FIRST, end: end_of(Outcome::Found), owed: usd("3") };
    for (lead, work) in LEADS.into_iter().zip(work) {
        assert_eq!(work.learned, std::slice::from_ref(&learned));
        assert_eq!(lab.tell(newest.end(call(lead, 1), "3")).await, "charged 3; done");
        assert_eq!(lab.trail(&newest, lead).await, ["leadmagic: found, called, 3"]);
    }
    assert_eq!(lab.wallet().await, "4, 0 held");
}

pub(super) async fn of_two_calls_the_customer_pays_the_successors_and_the_house_the_other(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 2).await;
    for lead in LEADS {
        assert_eq!(lab.tell(older.begin(call(lead, 1))).await, "granted");
    }
    let (newer, _) = lab.claim(&older).await;
    for lead in LEADS {
        assert_eq!(lab.tell(older.end(call(lead, 1), "3")).await, "fenced");
        let other_answer = || newer.end_as(call(lead, 1), Outcome::NotFound, "2");
        assert_eq!(lab.tell(other_answer()).await, "charged 2, lost 3; done");
        assert_eq!(lab.tell(other_answer()).await, "charged 2; done");
        assert_eq!(lab.trail(&newer, lead).await, ["leadmagic: not_found, called, 2"]);
    }
    assert_eq!(lab.wallet().await, "6, 0 held");
}

pub(super) async fn what_comes_after_the_successors_answer_costs_the_customer_nothing(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 1).await;
    assert_eq!(lab.tell(older.begin(call(1, 1))).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.tell(newer.end(call(1, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.tell(older.end_as(call(1, 1), Outcome::NotFound, "2")).await, "fenced");
    assert_eq!(lab.tell(older.end(call(1, 1), "3")).await, "fenced");
    let (newest, work) = lab.claim(&newer).await;
    assert!(work[0].learned.is_empty());
    assert_eq!(lab.trail(&newest, 1).await, ["leadmagic: found, called, 3"]);
    assert_eq!(lab.wallet().await, "7, 0 held");
}

/// An attempt that nobody began is not made one by whoever has lost the slice.
pub(super) async fn an_overtaken_owner_records_no_attempt_of_its_own(lab: Lab) {
    let older = lab.job("list", 1).await;
    lab.claim(&older).await;
    assert_eq!(lab.tell(older.end(call(1, 1), "0")).await, "fenced");
    assert!(lab.trail(&older, 1).await.is_empty());
}

/// Its successor asks itself; what the owner has spent is the house's loss, and nobody else's.
pub(super) async fn that_an_overtaken_owner_gave_up_is_no_answer(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 2).await;
    for lead in LEADS {
        assert_eq!(lab.tell(older.begin(call(lead, 1))).await, "granted");
    }
    let (newer, _) = lab.claim(&older).await;
    for lead in LEADS {
        assert_eq!(lab.tell(older.end_as(call(lead, 1), Outcome::Timeout, "2")).await, "fenced");
    }
    let (newest, work) = lab.claim(&newer).await;
    assert!(work.iter().all(|lead| lead.learned.is_empty()));
    for lead in LEADS {
        assert_eq!(lab.tell(newest.end(call(lead, 1), "3")).await, "charged 3; done");
    }
    assert_eq!(lab.wallet().await, "4, 0 held");
}

pub(super) async fn two_calls_cost_both_however_alike_their_answers(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 1).await;
    assert_eq!(lab.tell(older.begin(call(1, 1))).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.tell(older.end(call(1, 1), "3")).await, "fenced");
    let second = Call { takes_ms: 20, ..call(1, 1) };
    assert_eq!(lab.tell(newer.end(second, "3")).await, "charged 3, lost 3; done");
    assert_eq!(lab.wallet().await, "7, 0 held");
}

pub(super) async fn an_answer_under_a_handle_is_one_whoever_reads_it(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 1).await;
    assert_eq!(lab.tell(older.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(older.submit(call(1, 1), "h-1")).await, "done");
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.tell(older.end(call(1, 1), "3")).await, "fenced");
    let read_later = Call { takes_ms: 20, ..call(1, 1) };
    assert_eq!(lab.tell(newer.end(read_later, "3")).await, "charged 3; done");
    assert_eq!(lab.wallet().await, "7, 0 held");
}

/// As the house's loss, when the hold expires: whoever settles it later is not told of it again.
pub(super) async fn what_was_learned_of_an_expired_hold_is_counted_once(lab: Lab) {
    lab.top_up("10").await;
    let older = lab.job("list", 1).await;
    let short = Call { expires_in: Duration::ZERO, ..call(1, 1) };
    assert_eq!(lab.tell(older.begin(short)).await, "granted");
    let (newer, _) = lab.claim(&older).await;
    assert_eq!(lab.tell(older.end(short, "3")).await, "fenced");
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
    assert_eq!(lab.tell(newer.end_as(short, Outcome::NotFound, "2")).await, "charged 2; done");
    assert_eq!(lab.wallet().await, "8, 0 held");
}
