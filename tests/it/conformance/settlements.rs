//! Settlements: once, as far as wallet and caps allow, and late ones too.

use crate::conformance::Call;
use crate::conformance::Lab;
use crate::conformance::call;
use crate::conformance::lab::LEASE;
use crate::conformance::lab::usd;
use std::time::Duration;
use weir::domain::KeySource;

/// The hold of attempt 1 can be given back at once.
const SHORT: Call = Call { expires_in: Duration::ZERO, ..call(1, 1) };

pub(super) async fn a_step_settled_twice_is_charged_once(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 1), "3")).await, "charged 3; done");
    assert_eq!(lab.tell(job.end(call(1, 1), "2")).await, "charged 3; done");
    assert_eq!(lab.wallet().await, "7, 0 held");
    assert_eq!(lab.trail(&job, 1).await, ["leadmagic: found, called, 3"]);
}

pub(super) async fn what_is_not_owed_is_given_back(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 1), "0")).await, "charged 0; done");
    assert_eq!(lab.wallet().await, "10, 3 held");
    assert_eq!(lab.tell(job.end(call(2, 1), "1.5")).await, "charged 1.5; done");
    assert_eq!(lab.wallet().await, "8.5, 0 held");
}

pub(super) async fn beyond_the_hold_the_wallet_is_the_limit(lab: Lab) {
    lab.top_up("7").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 1), "5")).await, "charged 4, lost 1; done");
    assert_eq!(lab.wallet().await, "3, 3 held");
    assert_eq!(lab.tell(job.end(call(2, 1), "5")).await, "charged 3, lost 2; done");
}

pub(super) async fn beyond_the_hold_the_caps_are_the_limit(lab: Lab) {
    lab.top_up("20").await;
    let mut job = lab.job("list", 2).await;
    lab.store.set_budget(job.stored.key, usd("8")).await.unwrap();
    job.lead_cap = Some(usd("5"));
    assert_eq!(lab.tell(job.begin(call(1, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 1), "9")).await, "charged 5, lost 4; done");
    job.lead_cap = None;
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
    assert_eq!(lab.tell(job.end(call(2, 1), "9")).await, "charged 3, lost 6; done");
    assert_eq!(lab.wallet().await, "20, 0 held");
}

pub(super) async fn expiry_gives_back_only_what_is_due_and_nobodys(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(SHORT)).await, "granted");
    assert_eq!(lab.tell(job.begin(call(2, 1))).await, "granted");
    assert_eq!(lab.store.open_holds().await.unwrap(), 2);
    assert_eq!(lab.store.expire(vec![job.stored.key]).await.unwrap(), 0);
    assert_eq!(lab.wallet().await, "10, 6 held");
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 0);
    assert_eq!(lab.wallet().await, "10, 3 held");
    assert_eq!(lab.store.open_holds().await.unwrap(), 1);
}

pub(super) async fn a_hold_of_a_leased_slice_does_not_expire(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    let (job, _) = lab.own(&job, LEASE).await;
    assert_eq!(lab.tell(job.begin(SHORT)).await, "granted");
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 0);
    lab.store.release_slice(job.held()).await.unwrap();
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
    assert_eq!(lab.wallet().await, "10, 0 held");
}

pub(super) async fn an_own_keys_hold_is_counted_and_expires_too(lab: Lab) {
    let job = lab.job("list", 1).await;
    let own = Call { key_source: KeySource::Own, price: "0", ..SHORT };
    assert_eq!(lab.tell(job.begin(own)).await, "granted");
    assert_eq!(lab.store.open_holds().await.unwrap(), 1);
    assert_eq!(lab.store.expire(Vec::new()).await.unwrap(), 1);
    assert_eq!(lab.store.open_holds().await.unwrap(), 0);
}

pub(super) async fn an_expired_attempt_is_tried_again(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(SHORT)).await, "granted");
    lab.store.expire(Vec::new()).await.unwrap();
    let (job, _) = lab.claim(&job).await;
    assert_eq!(lab.tell(job.begin(call(1, 2))).await, "granted");
    assert_eq!(lab.trail(&job, 1).await, ["leadmagic: unavailable hold_expired, not_asked, 0", "leadmagic: begun"]);
}

pub(super) async fn a_late_one_charges_what_the_wallet_still_allows(lab: Lab) {
    lab.top_up("3").await;
    let job = lab.job("list", 2).await;
    assert_eq!(lab.tell(job.begin(SHORT)).await, "granted");
    lab.store.expire(Vec::new()).await.unwrap();
    assert_eq!(lab.tell(job.begin(Call { price: "2", ..call(2, 1) })).await, "granted");
    assert_eq!(lab.tell(job.end(SHORT, "3")).await, "charged 1, lost 2; done");
    assert_eq!(lab.wallet().await, "2, 2 held");
    assert_eq!(lab.trail(&job, 1).await, ["leadmagic: found, called, 1"]);
    assert_eq!(lab.tell(job.end(SHORT, "3")).await, "charged 1; done");
}

pub(super) async fn a_late_one_counts_what_the_lead_has_paid_since(lab: Lab) {
    lab.top_up("10").await;
    let mut job = lab.job("list", 1).await;
    job.lead_cap = Some(usd("4"));
    assert_eq!(lab.tell(job.begin(SHORT)).await, "granted");
    lab.store.expire(Vec::new()).await.unwrap();
    let next = Call { provider: "prospeo", ..call(1, 2) };
    assert_eq!(lab.tell(job.begin(next)).await, "granted");
    assert_eq!(lab.tell(job.end(next, "3")).await, "charged 3; done");
    assert_eq!(lab.tell(job.end(SHORT, "3")).await, "charged 1, lost 2; done");
}

pub(super) async fn a_late_one_never_charges_a_step_again(lab: Lab) {
    lab.top_up("10").await;
    let job = lab.job("list", 1).await;
    assert_eq!(lab.tell(job.begin(SHORT)).await, "granted");
    lab.store.expire(Vec::new()).await.unwrap();
    assert_eq!(lab.tell(job.begin(call(1, 2))).await, "granted");
    assert_eq!(lab.tell(job.end(call(1, 2), "3")).await, "charged 3; done");
    assert_eq!(lab.tell(job.end(SHORT, "3")).await, "charged 0, lost 3; done");
    assert_eq!(lab.wallet().await, "7, 0 held");
}
