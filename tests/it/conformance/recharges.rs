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
use weir::keys::OwnKeyFallback;
use weir::keys::WorkspaceChange;
use weir::keys::WorkspacePlan;
use weir::keys::WorkspaceSettings;
use weir::ledger::Declined;
use weir::ledger::MOST_DECLINES;
use weir::ledger::RechargeChange;
use weir::ledger::RechargeState;
use weir::ledger::RechargeTerms;
use weir::ledger::StoredRecharge;
use weir::ledger::TermsRefused;
use weir::store::Store;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Of a wallet that is never full enough: 25 USD, and at once again.
fn terms() -> RechargeTerms {
    RechargeTerms { cool_off: Some(Duration::ZERO), ..RechargeTerms::usual(usd("1000"), usd("25")) }
}

async fn agree(lab: &Lab, recharge: Option<RechargeTerms>) {
    let settings = WorkspaceSettings { recharge, ..WorkspaceSettings::new() };
    lab.store.set_workspace(&acme(), settings).await.unwrap();
}

/// Of threshold and amount.
fn set(below: Option<&str>, amount: Option<&str>) -> RechargeChange {
    let (below, amount) = (below.map(usd), amount.map(usd));
    RechargeChange::Set { below, amount, cool_off: None, per_day: None, per_month: None }
}

fn of_recharge(change: RechargeChange) -> WorkspaceChange {
    WorkspaceChange { recharge: Some(change), ..WorkspaceChange::default() }
}

async fn change(lab: &Lab, change: WorkspaceChange) -> Result<WorkspaceSettings, TermsRefused> {
    lab.store.change_workspace(&acme(), change).await.unwrap()
}

/// Declined in a row.
async fn declines(lab: &Lab) -> u32 {
    lab.store.recharge_declines(&acme()).await.unwrap()
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
    assert_eq!(declines(&lab).await, 0);
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

    // What has nothing to do with it does not turn it on.
    let unlimited = WorkspaceChange { plan: Some(WorkspacePlan::Unlimited), ..WorkspaceChange::default() };
    assert_eq!(change(&lab, unlimited).await.unwrap().recharge, Some(terms()));
    assert_eq!((ask(&lab).await, declines(&lab).await), (0, MOST_DECLINES));
    // The same terms, agreed to anew.
    assert_eq!(change(&lab, of_recharge(set(None, Some("25")))).await.unwrap().recharge, Some(terms()));
    assert_eq!(declines(&lab).await, 0);
    assert_eq!((ask_in_vain(&lab).await, declines(&lab).await), (Declined::Counted, 1));
    agree(&lab, Some(terms())).await;
    assert_eq!(declines(&lab).await, 0);
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
    assert_eq!(declines(&lab).await, 0);
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
    let slow = RechargeTerms { cool_off: Some(HOUR), ..terms() };
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
    let up_to =
        |day: &str, month: &str| RechargeTerms { per_day: Some(usd(day)), per_month: Some(usd(month)), ..terms() };
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

pub(super) async fn of_many_changes_at_once_none_is_lost(lab: Lab) {
    let settled = WorkspaceSettings {
        plan: WorkspacePlan::Unlimited,
        own_key_fallback: OwnKeyFallback::House,
        low_balance: Some(usd("7.5")),
        recharge: Some(RechargeTerms::usual(usd("5"), usd("25"))),
    };
    let nothing = WorkspaceChange::default;
    for n in 0..16 {
        let workspace = WorkspaceId::new(format!("globex-{n}"));
        let mut changes = JoinSet::new();
        for change in [
            WorkspaceChange { plan: Some(settled.plan), ..nothing() },
            WorkspaceChange { own_key_fallback: Some(settled.own_key_fallback), ..nothing() },
            WorkspaceChange { low_balance: settled.low_balance, ..nothing() },
            of_recharge(set(Some("5"), Some("25"))),
        ] {
            let (store, workspace) = (Arc::clone(&lab.store), workspace.clone());
            changes.spawn(async move { store.change_workspace(&workspace, change).await.unwrap().unwrap() });
        }
        let answers = changes.join_all().await;
        assert!(answers.contains(&settled), "the last of them has made it all: {answers:?}");
        assert_eq!(lab.store.workspace(&workspace).await.unwrap(), Some(settled.clone()));
    }
}

pub(super) async fn a_change_leaves_the_rest_alone_and_a_refused_one_everything(lab: Lab) {
    let version = lab.store.keys_version().await.unwrap();
    assert_eq!(change(&lab, of_recharge(set(Some("5"), None))).await, Err(TermsRefused::Incomplete));
    assert_eq!(lab.store.workspace(&acme()).await.unwrap(), None);
    assert_eq!(lab.store.keys_version().await.unwrap(), version);

    // As much as is usual for the first amount, but said.
    let per_day = RechargeChange::Set {
        below: Some(usd("5")),
        amount: Some(usd("20")),
        cool_off: None,
        per_day: Some(usd("200")),
        per_month: None,
    };
    let said = RechargeTerms { per_day: Some(usd("200")), ..RechargeTerms::usual(usd("5"), usd("20")) };
    assert_eq!(change(&lab, of_recharge(per_day)).await.unwrap().recharge, Some(said));
    assert!(lab.store.keys_version().await.unwrap() > version);
    let more = RechargeTerms { amount: usd("50"), ..said };
    assert_eq!(change(&lab, of_recharge(set(None, Some("50")))).await.unwrap().recharge, Some(more));
    let refused = TermsRefused::PerDay(RechargeTerms { amount: usd("201"), ..said });
    let too_much = WorkspaceChange { low_balance: Some(usd("1")), ..of_recharge(set(None, Some("201"))) };
    assert_eq!(change(&lab, too_much).await, Err(refused));
    let settled = WorkspaceSettings { recharge: Some(more), ..WorkspaceSettings::new() };
    assert_eq!(lab.store.workspace(&acme()).await.unwrap(), Some(settled));

    let off = WorkspaceChange { low_balance: Some(usd("1")), ..of_recharge(RechargeChange::Off) };
    let settled = WorkspaceSettings { low_balance: Some(usd("1")), ..WorkspaceSettings::new() };
    assert_eq!(change(&lab, off).await, Ok(settled.clone()));
    assert_eq!(lab.store.workspace(&acme()).await.unwrap(), Some(settled));
}

/// What takes requests days: `age` makes all that has been asked and answered so much older.
pub(crate) async fn requests_in_time(store: Arc<dyn Store>, age: impl AsyncFn(Duration)) {
    let lab = Lab::new(store);
    agree(&lab, Some(RechargeTerms { cool_off: Some(HOUR), ..terms() })).await;
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
    agree(&lab, Some(RechargeTerms { per_day: Some(usd("50")), per_month: Some(usd("75")), ..terms() })).await;
    for (days, asked) in [(0, 0), (1, 1), (1, 0), (30, 1)] {
        age(DAY * days).await;
        assert_eq!(ask(&lab).await, asked, "{days} days later");
        if asked > 0 {
            pay(&lab).await;
        }
    }
    an_answer_that_comes_late_counts_from_then_on(&lab, age).await;
    lab.assert_sound().await;
}

async fn an_answer_that_comes_late_counts_from_then_on(lab: &Lab, age: impl AsyncFn(Duration)) {
    age(DAY * 30).await;
    agree(lab, Some(RechargeTerms { per_day: Some(usd("25")), ..terms() })).await;
    assert_eq!(ask(lab).await, 1);
    age(DAY - MINUTE).await;
    // The same request.
    assert_eq!(ask(lab).await, 1);
    pay(lab).await;
    for (time, asked) in [(MINUTE * 2, 0), (DAY - MINUTE * 3, 0), (MINUTE, 1)] {
        age(time).await;
        assert_eq!(ask(lab).await, asked, "{time:?} later");
    }
}
