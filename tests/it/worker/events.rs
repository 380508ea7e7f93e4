//! What is told of wallets, campaigns and completions, and when; all of it as `weir schema` says.

use crate::services::Config;
use crate::worker::stage::EVENTS;
use crate::worker::stage::RESULTS;
use crate::worker::stage::Stage;
use crate::worker::told::COMPLETED;
use crate::worker::told::all_completed;
use crate::worker::told::amount;
use crate::worker::told::count_of;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::results;
use crate::worker::told::told;
use crate::worker::told::usd;
use crate::worker::told::with;
use serde_json::json;
use std::collections::BTreeSet;

const LOW: &str = "weir.wallet_low.v1";
const EMPTY: &str = "weir.wallet_empty.v1";
const DEACTIVATED: &str = "weir.campaign_deactivated.v1";

#[tokio::test(flavor = "multi_thread")]
async fn a_low_balance_is_told_once_each_time_it_falls_below_the_threshold() {
    let stage = Stage::new(Config::default(), &[]).await;
    stage.folder.weir(&["workspace", "set", "acme", "--low-balance", "1.00"]).await.done();
    stage.top_up("acme", "1.10").await;
    let _worker = stage.worker().await;
    stage.broker.listen(EVENTS).await;
    let mut low = Vec::new();
    // Each costs 0.328.
    for (id, money_before) in [("job-1", None), ("job-2", None), ("job-3", Some("0.7"))] {
        if let Some(money) = money_before {
            stage.top_up("acme", money).await;
        }
        stage.submit(&job(id, &[(20, "hit")])).await;
        low.push(told(&stage.until_all_is_told(&[id]).await, LOW));
    }
    assert_eq!(low.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 1], "{low:?}");
    let (first, again) = (&low[0][0], &low[2][0]);
    assert_ne!(first["event_id"], again["event_id"]);
    for event in [first, again] {
        assert_eq!((event["workspace_id"].as_str(), amount(&event["threshold"])), (Some("acme"), usd("1")));
        assert!(amount(&event["balance"]) < usd("1") && amount(&event["balance"]) > usd("0.98"), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_wallet_stops_its_campaigns_once_and_a_resumed_job_completes_again_as_another_event() {
    let stage = Stage::new(Config::default(), &[]).await;
    stage.top_up("acme", "0.05").await;
    let _worker = stage.worker().await;
    stage.broker.listen(EVENTS).await;
    for (id, campaign) in [("job-1", "campaign 1"), ("job-2", "campaign 2")] {
        stage.submit(&with(job(id, &[(10, "hit")]), "campaign_id", campaign)).await;
    }
    let first = stage.until_all_is_told(&["job-1", "job-2"]).await;
    stage.top_up("acme", "5").await;
    for id in ["job-1", "job-2"] {
        stage.folder.weir(&["jobs", "resume", id]).await.done();
    }
    let second = stage.take(EVENTS, all_completed(&["job-1", "job-2"])).await;

    let empty = told(&first, EMPTY);
    assert_eq!(empty.len(), 1, "{empty:?}");
    assert!(amount(&empty[0]["balance"]) < usd("0.0125"), "{}", empty[0]);
    // A campaign whose job came when the wallet was empty already was never active.
    let stopped = told(&first, DEACTIVATED);
    assert!((1..=2).contains(&stopped.len()), "{stopped:?}");
    assert!(stopped.iter().all(|event| event["reason"] == "wallet_empty" && event["workspace_id"] == "acme"));
    assert_eq!(count_of(&second, EMPTY) + count_of(&second, DEACTIVATED), 0);

    let completions = [told(&first, COMPLETED), told(&second, COMPLETED)].concat();
    let ids: BTreeSet<&str> = completions.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    assert_eq!((completions.len(), ids.len()), (4, 4));
    for event in told(&second, COMPLETED) {
        assert_eq!((&event["by_status"], amount(&event["cost"])), (&json!({"verified": 10}), usd("0.164")));
        assert_eq!(event["campaign_id"], event["job_id"].as_str().unwrap().replace("job-", "campaign "));
    }
    assert_eq!(stage.spent("acme").await, usd("0.328"));
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_asked_for_it_goes_on_by_itself_after_a_top_up_that_is_booked_once() {
    let stage = Stage::new(Config::default(), &[]).await;
    stage.top_up("acme", "0.05").await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.submit(&with(job("job-1", &[(10, "hit")]), "auto_resume", true)).await;
    stage.submit(&job("job-2", &[(10, "hit")])).await;
    stage.until_completed(&["job-1", "job-2"]).await;
    let declined = json!({"workspace_id": "acme", "amount": "7", "ref": "invoice-1", "declined": true});
    let paid = json!({"workspace_id": "acme", "amount": "1", "ref": "invoice-2"});
    for top_up in [&declined, &paid, &paid] {
        stage.say("weir.jobs", "control", "weir.top_up.v1", top_up).await;
    }
    let resumed = results(&stage.until_completed(&["job-1"]).await);
    assert!(resumed.iter().all(|result| result["job_id"] == "job-1" && result["status"] == "verified"), "{resumed:?}");
    assert_eq!(stage.job("job-1").await["by_status"], json!({"verified": 10}));
    let other = stage.job("job-2").await;
    assert_ne!(other["by_reason"]["wallet_empty"], json!(null), "it did not ask for it: {other}");
    stage.assert_all_end_well(&mut workers).await;
    let ledger = stage.ledger("acme").await;
    let booked: Vec<_> =
        ledger.iter().filter(|entry| entry["kind"] == "top_up").map(|entry| &entry["amount"]).collect();
    assert_eq!(booked, ["0.050000000", "1.000000000"]);
    assert_eq!(stage.balance("acme").await, usd("1.05") - stage.spent("acme").await);
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_house_key_and_an_empty_house_account_are_told_apart_from_an_empty_wallet() {
    let mut stage = Stage::new(Config { find: &["leadmagic", "prospeo"], ..Config::default() }, &[]).await;
    stage.folder.set("LEADMAGIC_API_KEY", "bad-key-of-the-house");
    stage.folder.set("PROSPEO_API_KEY", "no-credits-of-the-house");
    stage.top_up("acme", "5").await;
    let _worker = stage.worker().await;
    stage.broker.listen(EVENTS).await;
    stage.submit(&job("job-1", &[(20, "hit")])).await;
    let events = stage.until_all_is_told(&["job-1"]).await;

    assert_eq!(endings(&results(&events)), "20 failed/providers_unavailable");
    for (kind, provider) in [("weir.key_rejected.v1", "leadmagic"), ("weir.provider_out_of_credits.v1", "prospeo")] {
        let events = told(&events, kind);
        assert_eq!(events.len(), 1, "{events:?}");
        let fields = ["provider", "key_source", "workspace_id"].map(|field| events[0][field].clone());
        assert_eq!(fields, [json!(provider), json!("house"), json!(null)]);
    }
    assert_eq!(count_of(&events, EMPTY) + count_of(&events, LOW), 0);
    assert_eq!(stage.spent("acme").await, usd("0"));
    assert!(!stage.take_rest(RESULTS).await.is_empty());
    stage.assert_audit_is_clean().await;
}
