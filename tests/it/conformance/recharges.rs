//! Requests for money: one at a time, answered once, and no more than their owner allows.

use crate::conformance::Lab;
use crate::conformance::lab::HOUR;
use crate::conformance::lab::acme;
use crate::conformance::lab::booking;
use crate::conformance::lab::usd;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use weir::domain::WorkspaceId;
use weir::keys::WorkspaceSettings;
use weir::ledger::Declined;
use weir::ledger::RechargeState;
use weir::ledger::RechargeTerms;
use weir::ledger::StoredRecharge;
use weir::store::Store;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Of a wallet that is never full enough: 25 USD, and at once again.
fn terms() -> RechargeTerms {
    RechargeTerms { cool_off: Duration::ZERO, ..RechargeTerms::usual(usd("1000"), usd("25")) }
}

async fn agree(lab: &Lab, recharge: Option<RechargeTerms>) {
    let settings = WorkspaceSettings { recharge, ..WorkspaceSettings::new() };
    lab.store.set_workspace(&acme(), settings).await.unwrap();
}

/// How many wallets ask now.
async fn ask(lab: &Lab) -> u64 {
    lab.store.ask_recharges().await.unwrap()
}

async fn newest(lab: &Lab) -> StoredRecharge {
    lab.store.recharges(&acme(), 1).await.unwrap().remove(0)
}

async fn pay(lab: &Lab) {
    let reference = newest(lab).await.reference;
    assert!(lab.store.top_up(booking("25", &reference)).await.unwrap());
}

async fn decline(lab: &Lab, reference: &str) -> Declined {
    lab.store.decline_recharge(&acme(), reference).await.unwrap()
}

/// The next request is asked for, and declined.
async fn ask_in_vain(lab: &Lab) -> Declined {
    assert_eq!(ask(lab).await, 1);
    decline(lab, &newest(lab).await.reference).await
}

pub(super) async fn of_many_who_ask_at_once_one_does(lab: Lab) {
    agree(&lab, Some(terms())).await;
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&lab.store);
        asking.spawn(async move { store.ask_recharges().await.unwrap() });
    }
    assert_eq!(asking.join_all().await.into_iter().sum::<u64>(), 1);
    assert_eq!(ask(&lab).await, 0);
    assert_eq!(lab.wallet().await, "0, 0 held");
    let told = lab.store.take_happenings(10, HOUR).await.unwrap();
    let asked = newest(&lab).await;
    assert_eq!((told.len(), told[0].key.as_str()), (1, format!("acme/{}", asked.reference).as_str()));
    assert_eq!((asked.workspace, asked.amount, asked.state), (acme(), usd("25"), RechargeState::Asked));
    assert!(asked.asked_ms > 0 && asked.reference.starts_with("recharge_"), "{}", asked.reference);
    assert_eq!(lab.store.recharges(&acme(), 10).await.unwrap().len(), 1);
}

pub(super) async fn a_wallet_asks_below_its_threshold_alone(lab: Lab) {
    lab.top_up("10").await;
    assert_eq!(ask(&lab).await, 0);
    let below_ten = RechargeTerms { below: usd("10"), ..terms() };
    agree(&lab, Some(below_ten)).await;
    lab.store.set_workspace(&WorkspaceId::new("globex"), WorkspaceSettings::new()).await.unwrap();
    assert_eq!(ask(&lab).await, 0);
    assert!(lab.store.recharges(&acme(), 10).await.unwrap().is_empty());
    assert!(lab.store.adjust(booking("-0.000000001", "correction")).await.unwrap());
    assert_eq!(ask(&lab).await, 1);
    assert_eq!(lab.happenings().await, ["recharge_requested acme: 25"]);

    pay(&lab).await;
    assert_eq!(ask(&lab).await, 0);
    assert!(lab.store.adjust(booking("-30", "another")).await.unwrap());
    agree(&lab, None).await;
    assert_eq!(ask(&lab).await, 0);
    agree(&lab, Some(below_ten)).await;
    assert_eq!(ask(&lab).await, 1);
}

pub(super) async fn a_request_is_paid_once_by_its_own_reference(lab: Lab) {
    agree(&lab, Some(terms())).await;
    assert_eq!(ask(&lab).await, 1);
    let asked = newest(&lab).await;
    lab.top_up("5").await;
    assert_eq!(newest(&lab).await, asked);
    assert_eq!(ask(&lab).await, 0);

    let mut answers = JoinSet::new();
    for _ in 0..4 {
        let (store, answer) = (Arc::clone(&lab.store), booking("25", &asked.reference));
        answers.spawn(async move { store.top_up(answer).await.unwrap() });
    }
    assert_eq!(answers.join_all().await.into_iter().filter(|booked| *booked).count(), 1);
    assert_eq!(lab.wallet().await, "30, 0 held");
    assert_eq!(newest(&lab).await, StoredRecharge { state: RechargeState::Paid, ..asked.clone() });
    assert_eq!(decline(&lab, &asked.reference).await, Declined::NotInFlight);
    assert_eq!(newest(&lab).await.state, RechargeState::Paid);

    assert_eq!(ask(&lab).await, 1);
    assert_ne!(newest(&lab).await.reference, asked.reference);
    let listed = lab.store.recharges(&acme(), 10).await.unwrap();
    let states: Vec<RechargeState> = listed.iter().map(|request| request.state).collect();
    assert_eq!(states, [RechargeState::Asked, RechargeState::Paid]);
}

pub(super) async fn three_declines_in_a_row_turn_the_asking_off(lab: Lab) {
    agree(&lab, Some(terms())).await;
    assert_eq!(decline(&lab, "unheard of").await, Declined::NotInFlight);
    assert_eq!(ask_in_vain(&lab).await, Declined::Counted);
    assert_eq!(ask_in_vain(&lab).await, Declined::Counted);
    let last = ask_in_vain(&lab).await;
    let reference = newest(&lab).await.reference;
    assert_eq!((last, newest(&lab).await.state), (Declined::TurnedOff, RechargeState::Declined));
    assert_eq!(decline(&lab, &reference).await, Declined::NotInFlight);
    assert_eq!(ask(&lab).await, 0);
    let asked = "recharge_requested acme: 25";
    assert_eq!(lab.happenings().await, [asked, asked, asked, "recharge_failed acme: 25"]);

    // The same terms, agreed to anew.
    agree(&lab, Some(terms())).await;
    assert_eq!(ask_in_vain(&lab).await, Declined::Counted);
    let nobody = WorkspaceId::new("globex");
    assert_eq!(lab.store.decline_recharge(&nobody, &reference).await.unwrap(), Declined::NotInFlight);
}

pub(super) async fn money_after_all_turns_the_asking_on(lab: Lab) {
    agree(&lab, Some(terms())).await;
    for _ in 0..2 {
        assert_eq!(ask_in_vain(&lab).await, Declined::Counted);
    }
    assert_eq!(ask(&lab).await, 1);
    pay(&lab).await;
    for expected in [Declined::Counted, Declined::Counted, Declined::TurnedOff] {
        assert_eq!(ask_in_vain(&lab).await, expected);
    }
    // Money by another reference says nothing of requests.
    lab.top_up("5").await;
    assert_eq!(ask(&lab).await, 0);
    pay(&lab).await;
    assert_eq!(newest(&lab).await.state, RechargeState::Paid);
    assert_eq!(ask(&lab).await, 1);
}

pub(super) async fn the_next_request_waits_for_the_cool_off(lab: Lab) {
    let slow = RechargeTerms { cool_off: HOUR, ..terms() };
    agree(&lab, Some(slow)).await;
    assert_eq!(ask(&lab).await, 1);
    pay(&lab).await;
    assert_eq!(ask(&lab).await, 0);
    agree(&lab, Some(terms())).await;
    assert_eq!(ask_in_vain(&lab).await, Declined::Counted);
    agree(&lab, Some(slow)).await;
    assert_eq!(ask(&lab).await, 0);
}

pub(super) async fn no_more_is_asked_for_than_a_day_and_a_month_allow(lab: Lab) {
    let up_to = |day: &str, month: &str| RechargeTerms { per_day: usd(day), per_month: usd(month), ..terms() };
    agree(&lab, Some(up_to("50", "1000"))).await;
    // What was declined does not count.
    assert_eq!(ask_in_vain(&lab).await, Declined::Counted);
    for _ in 0..2 {
        assert_eq!(ask(&lab).await, 1);
        pay(&lab).await;
    }
    assert_eq!(ask(&lab).await, 0);
    agree(&lab, Some(up_to("1000", "74.999999999"))).await;
    assert_eq!(ask(&lab).await, 0);
    agree(&lab, Some(up_to("75", "75"))).await;
    assert_eq!(ask(&lab).await, 1);
}

/// What takes requests days: `age` makes all that has been asked and answered so much older.
pub(crate) async fn requests_in_time(store: Arc<dyn Store>, age: impl AsyncFn(Duration)) {
    let lab = Lab::new(store);
    agree(&lab, Some(RechargeTerms { cool_off: HOUR, ..terms() })).await;
    assert_eq!(ask(&lab).await, 1);
    let first = lab.store.take_happenings(10, HOUR).await.unwrap();
    age(MINUTE * 15).await;
    assert_eq!(ask(&lab).await, 1);
    // Nobody has told the first asking yet: it will do.
    assert_eq!(lab.store.happenings().await.unwrap(), 1);
    lab.store.forget_happenings(vec![first[0].seq]).await.unwrap();
    for (time, asked) in [(14, 0), (1, 1), (0, 0)] {
        age(MINUTE * time).await;
        assert_eq!(ask(&lab).await, asked, "{time} minutes later");
    }
    let again = lab.store.take_happenings(10, HOUR).await.unwrap();
    assert_eq!((again.len(), &again[0].key, &again[0].what), (1, &first[0].key, &first[0].what));
    assert_eq!(lab.store.recharges(&acme(), 10).await.unwrap().len(), 1);

    pay(&lab).await;
    for (time, asked) in [(59, 0), (1, 1)] {
        age(MINUTE * time).await;
        assert_eq!(ask(&lab).await, asked, "{time} minutes later");
    }
    pay(&lab).await;
    agree(&lab, Some(RechargeTerms { per_day: usd("50"), per_month: usd("75"), ..terms() })).await;
    for (days, asked) in [(0, 0), (1, 1), (1, 0), (30, 1)] {
        age(DAY * days).await;
        assert_eq!(ask(&lab).await, asked, "{days} days later");
        if asked > 0 {
            pay(&lab).await;
        }
    }
    lab.assert_sound().await;
}
