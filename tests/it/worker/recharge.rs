//! Wallets that ask for money by themselves: once below their threshold, booked once, within limits, and not for ever.

use crate::services::Config;
use crate::services::Received;
use crate::services::Session;
use crate::services::eventually;
use crate::worker::stage::EVENTS;
use crate::worker::stage::PATIENCE;
use crate::worker::stage::Stage;
use crate::worker::told::amount;
use crate::worker::told::count_of;
use crate::worker::told::job;
use crate::worker::told::told;
use crate::worker::told::usd;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;

const LOW: &str = "weir.wallet_low.v1";
const REQUESTED: &str = "weir.recharge_requested.v1";
const FAILED: &str = "weir.recharge_failed.v1";
const TOP_UP: &str = "weir.top_up.v1";

const JOBS: usize = 200;

/// From now on the workspace asks for `amount` below `below`, right after an answer too.
async fn ask_below(stage: &Stage, workspace: &str, below: &str, amount: &str, more: &[&str]) {
    let terms = ["--auto-recharge-below", below, "--auto-recharge-amount", amount, "--auto-recharge-cool-off", "0s"];
    stage.set_workspace(workspace, &[&terms[..], more].concat()).await;
}

/// What a workspace has asked for, by these messages.
fn requests(messages: &[Received], workspace: &str) -> Vec<Value> {
    let mut requests = told(messages, REQUESTED);
    requests.retain(|request| request["workspace_id"] == workspace);
    requests
}

/// Hears everything until the workspace has asked once more; its request.
async fn next_request(stage: &Stage, workspace: &str) -> (Value, Vec<Received>) {
    let heard =
        stage.take(EVENTS, |taken| !requests(&taken[taken.len().saturating_sub(1)..], workspace).is_empty()).await;
    let request = requests(&heard, workspace).remove(0);
    (request, heard)
}

/// Hears everything that is told once all wallets have been looked at once more: a new workspace, and it is behind the
/// others, has asked for money by then. Workers tell what they take in any order, so nothing may wait to be told.
async fn one_more_round(stage: &Stage, newcomer: &str) -> Vec<Received> {
    ask_below(stage, newcomer, "1", "1", &[]).await;
    let asked = async || (stored(stage, newcomer).await == 1).then_some(());
    eventually("the newcomer's request", PATIENCE, asked).await;
    let session = Session::with(&stage.database).await;
    let all_is_told = async || (session.rows("happenings").await == 0).then_some(());
    eventually("an empty outbox", PATIENCE, all_is_told).await;
    stage.take_rest(EVENTS).await
}

/// How often a workspace has asked for money, by the store.
async fn stored(stage: &Stage, workspace: &str) -> usize {
    let of_wallet = "recharges r JOIN accounts a ON a.id = r.account WHERE a.workspace";
    Session::with(&stage.database).await.rows(&format!("{of_wallet} = '{workspace}'")).await
}

fn reference(request: &Value) -> &str {
    request["ref"].as_str().unwrap()
}

async fn shown(stage: &Stage, workspace: &str) -> Value {
    stage.json(&["workspace", "show", workspace]).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_jobs_at_once_ask_for_money_once_and_answers_that_race_are_booked_once() {
    let stage = Stage::new(Config::default(), &["--latency", "5"]).await;
    ask_below(&stage, "acme", "3", "5", &[]).await;
    stage.top_up("acme", "4").await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.broker.listen(EVENTS).await;
    let ids: Vec<String> = (1..=JOBS).map(|n| format!("job-{n}")).collect();
    for id in &ids {
        stage.submit(&job(id, &[(1, "hit")])).await;
    }
    let jobs: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut heard = stage.until_all_is_told(&jobs).await;
    assert_eq!(stage.spent("acme").await, usd("3.28"));
    if requests(&heard, "acme").is_empty() {
        heard.extend(next_request(&stage, "acme").await.1);
    }
    let asked = requests(&heard, "acme").remove(0);
    assert_eq!(amount(&asked["amount"]), usd("5"));
    assert_eq!(shown(&stage, "acme").await["auto_recharge_in_flight"], asked["ref"]);

    // Nobody lives who could take the answer; then it is sent in three ways while a worker starts.
    for worker in &mut workers {
        worker.kill9();
    }
    let answer = json!({"workspace_id": "acme", "amount": "5", "ref": asked["ref"]});
    stage.control(TOP_UP, &answer).await;
    let command = ["wallet", "topup", "acme", "5", "--ref", reference(&asked)];
    let (worker, one, other) = tokio::join!(stage.worker(), stage.folder.weir(&command), stage.folder.weir(&command));
    one.done();
    other.done();
    let came_in = async || worker.log().contains("a top-up came in").then_some(());
    eventually("the answer that was a message", PATIENCE, came_in).await;

    heard.extend(one_more_round(&stage, "zeta").await);
    assert_eq!(requests(&heard, "acme"), [asked]);
    assert_eq!(shown(&stage, "acme").await["auto_recharge_in_flight"], Value::Null);
    assert_eq!(stored(&stage, "acme").await, 1);
    let ledger = stage.ledger("acme").await;
    let booked: Vec<&Value> =
        ledger.iter().filter(|entry| entry["kind"] == "top_up").map(|entry| &entry["amount"]).collect();
    assert_eq!(booked, ["4.000000000", "5.000000000"]);
    assert_eq!(stage.balance("acme").await, usd("5.72"));
    stage.assert_all_end_well(&mut [worker]).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recharge_that_is_declined_three_times_has_failed_once_and_is_asked_for_no_more_until_its_terms_are_set_anew()
{
    let stage = Stage::new(Config::default(), &[]).await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.broker.listen(EVENTS).await;
    ask_below(&stage, "acme", "3", "5", &[]).await;
    let mut references = BTreeSet::new();
    let mut last = Value::Null;
    for _ in 0..3 {
        let (asked, heard) = next_request(&stage, "acme").await;
        assert_eq!(count_of(&heard, FAILED), 0);
        references.insert(reference(&asked).to_owned());
        let declined = json!({"workspace_id": "acme", "amount": "5", "ref": asked["ref"], "declined": true});
        // A decline that comes twice counts once.
        for _ in 0..2 {
            stage.control(TOP_UP, &declined).await;
        }
        last = asked["ref"].clone();
    }
    assert_eq!(references.len(), 3, "a declined request was asked again under its own ref");
    let failed = stage.take(EVENTS, |taken| count_of(taken, FAILED) == 1).await;
    let event = &told(&failed, FAILED)[0];
    assert_eq!((&event["workspace_id"], &event["ref"], amount(&event["amount"])), (&json!("acme"), &last, usd("5")));

    let heard = one_more_round(&stage, "zeta").await;
    assert_eq!((requests(&heard, "acme").len(), count_of(&heard, FAILED)), (0, 0));
    assert_eq!(stored(&stage, "acme").await, 3);
    let show = shown(&stage, "acme").await;
    assert_eq!((&show["auto_recharge_declined"], &show["auto_recharge_in_flight"]), (&json!(3), &Value::Null));
    assert_eq!(stage.balance("acme").await, usd("0"));

    // What has nothing to do with it does not turn it on.
    stage.set_workspace("acme", &["--low-balance", "1.00"]).await;
    assert!(requests(&one_more_round(&stage, "zeta-2").await, "acme").is_empty());
    assert_eq!(stored(&stage, "acme").await, 3);

    ask_below(&stage, "acme", "3", "5", &[]).await;
    let (asked, _) = next_request(&stage, "acme").await;
    assert!(!references.contains(reference(&asked)), "{asked}");
    stage.folder.weir(&["wallet", "topup", "acme", "5", "--ref", reference(&asked)]).await.done();
    assert_eq!(shown(&stage, "acme").await["auto_recharge_in_flight"], Value::Null);
    assert_eq!(stage.balance("acme").await, usd("5"));
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_asked_for_than_a_workspace_allows_within_a_day() {
    let stage = Stage::new(Config::default(), &[]).await;
    let mut workers = [stage.worker().await];
    stage.broker.listen(EVENTS).await;
    ask_below(&stage, "acme", "100", "5", &["--auto-recharge-per-day", "10"]).await;
    for _ in 0..2 {
        let (asked, _) = next_request(&stage, "acme").await;
        let answer = json!({"workspace_id": "acme", "amount": "5", "ref": asked["ref"]});
        stage.control(TOP_UP, &answer).await;
    }
    let paid = async || (stage.balance("acme").await == usd("10")).then_some(());
    eventually("the money that was asked for", PATIENCE, paid).await;
    assert!(requests(&one_more_round(&stage, "zeta").await, "acme").is_empty());
    assert_eq!(stored(&stage, "acme").await, 2);
    assert_eq!(shown(&stage, "acme").await["auto_recharge_in_flight"], Value::Null);
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_is_spent_says_how_fast_and_until_when_and_so_does_the_alarm() {
    let stage = Stage::new(Config::default(), &[]).await;
    stage.set_workspace("acme", &["--low-balance", "1.00"]).await;
    stage.top_up("acme", "1.10").await;
    let mut workers = [stage.worker().await];
    stage.broker.listen(EVENTS).await;
    let fresh = stage.json(&["wallet", "show", "acme"]).await.remove(0);
    assert_eq!((&fresh["burn_per_hour"], &fresh["runs_dry_at"]), (&Value::Null, &Value::Null));
    stage.submit(&job("job-1", &[(20, "hit")])).await;
    let low = told(&stage.until_all_is_told(&["job-1"]).await, LOW);
    let shown = stage.json(&["wallet", "show", "acme"]).await.remove(0);
    assert_eq!(low.len(), 1, "{low:?}");
    // Less than a minute counts as one: 0.328 in it are 19.68 an hour.
    for told in [&low[0], &shown] {
        let burn = amount(&told["burn_per_hour"]);
        assert!(burn > usd("0") && burn <= usd("19.68"), "{told}");
        assert!(told["runs_dry_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{told}");
    }
    stage.assert_all_end_well(&mut workers).await;
}
