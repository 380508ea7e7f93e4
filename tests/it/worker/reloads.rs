//! Configurations swapped under load: whole or not at all, on every worker, and no lead suffers.

use crate::services::Config;
use crate::services::Received;
use crate::services::eventually;
use crate::worker::stage::EVENTS;
use crate::worker::stage::PATIENCE;
use crate::worker::stage::Stage;
use crate::worker::told::amount;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::results;
use crate::worker::told::usd;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;

const APPLIED: &str = "weir.config_applied.v1";
const REJECTED: &str = "weir.config_rejected.v1";

/// LeadMagic's price of a credit, and the one it is changed to.
const OLD: &str = "0.0125";
const NEW: &str = "0.025";
/// What a lead costs that is found and verified, before and after.
const OLD_COST: &str = "0.0164";
const NEW_COST: &str = "0.0289";

const RELOADS: usize = 20;
/// From this one on the price is the new one.
const DEARER: usize = 10;

/// What may not come into force, and the keys that are complained about.
const BAD: [(&str, &[&str]); 3] = [
    (
        "[wallet]\nlow_balance = \"-1\"\n[cache]\nmax_age = \"30 days\"\n\
         [providers.leadmagic]\ncredit_price = 0.0125\nmax_trys = 3\n[waterfalls.work_email]\nfind = [\"leadmagik\"]\n",
        &[
            "cache.max_age",
            "providers.leadmagic.credit_price",
            "providers.leadmagic.max_trys",
            "wallet.low_balance",
            "waterfalls.work_email.find",
        ],
    ),
    ("[broker]\nprefetch = 3\n", &["broker.prefetch"]),
    ("[providers", &[""]),
];

/// A live half with this price; `n` tells it from others.
fn live_half(price: &str, n: usize) -> String {
    let cache = format!("[cache]\nmax_age = \"{n}d\"");
    Config { worker: "leads_in_flight = 8", more: &cache, ..Config::default() }.text().replace(OLD, price)
}

/// Sends a live half, and takes the answers of two workers.
async fn reload(stage: &Stage, request: &str, config: &str) -> Vec<Received> {
    let message = json!({"request_id": request, "config": config});
    stage.say("weir.control", "", "weir.config_reload.v1", &message).await;
    let is_answer =
        |message: &Received| [APPLIED, REJECTED].contains(&message.kind()) && message.json()["request_id"] == request;
    let mut taken = stage.take(EVENTS, |taken| taken.iter().filter(|message| is_answer(message)).count() == 2).await;
    taken.retain(is_answer);
    assert_ne!(taken[0].json()["worker_id"], taken[1].json()["worker_id"]);
    taken
}

/// What two workers answer to a good one: the version that is then in force on both.
async fn assert_applied(stage: &Stage, request: &str, config: &str) -> Value {
    let answers = reload(stage, request, config).await;
    for answer in &answers {
        assert_eq!((answer.kind(), &answer.json()["errors"]), (APPLIED, &json!([])), "{request}");
    }
    let version = answers[0].json()["config_version"].clone();
    assert_eq!(answers[1].json()["config_version"], version, "{request}");
    version
}

/// What they answer to a bad one: every mistake, and the version that stays in force.
async fn assert_rejected(stage: &Stage, request: &str, (config, paths): (&str, &[&str]), in_force: &Value) {
    for answer in reload(stage, request, config).await {
        let event = answer.json();
        assert_eq!((answer.kind(), &event["config_version"]), (REJECTED, in_force), "{request}");
        let mut complaints: Vec<&str> =
            event["errors"].as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect();
        complaints.sort_unstable();
        assert_eq!(complaints, paths, "{event}");
    }
}

/// Waits until so many workers have in force what `weir config show` shows: its version.
async fn until_all_agree(stage: &Stage, workers: usize) -> Value {
    let agreed = async || {
        let shown = stage.json(&["config", "show"]).await.remove(0);
        let rows = shown["workers"].as_array().unwrap();
        let agree = rows.len() == workers && rows.iter().all(|row| row["config_version"] == shown["version"]);
        agree.then(|| shown["version"].clone())
    };
    eventually("one version everywhere", PATIENCE, agreed).await
}

/// What each lead of a job has cost.
fn costs(results: &[Value], job: &str) -> Vec<Decimal> {
    results.iter().filter(|result| result["job_id"] == job).map(|result| amount(&result["cost"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_reloads_half_of_them_bad_lose_no_lead_and_change_prices_for_later_leads_alone() {
    let config = Config { worker: "leads_in_flight = 8", ..Config::default() };
    let mut stage = Stage::new(config, &["--latency", "20"]).await;
    stage.limit_finds(40);
    stage.top_up("acme", "50").await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.broker.listen(EVENTS).await;
    let mut in_force = until_all_agree(&stage, 2).await;
    stage.submit(&job("before", &[(20, "hit")])).await;
    let mut heard = stage.until_completed(&["before"]).await;
    stage.submit(&job("during", &[(240, "hit")])).await;
    for n in 1..=RELOADS {
        let request = format!("reload-{n}");
        if n % 2 == 1 {
            assert_rejected(&stage, &request, BAD[n / 2 % BAD.len()], &in_force).await;
        } else {
            let price = if n < DEARER { OLD } else { NEW };
            let version = assert_applied(&stage, &request, &live_half(price, n)).await;
            assert_ne!(version, in_force, "{request}");
            in_force = version;
        }
    }
    stage.submit(&job("after", &[(20, "hit")])).await;
    heard.extend(stage.until_completed(&["during", "after"]).await);

    assert_eq!(until_all_agree(&stage, 2).await, in_force);
    let results = results(&heard);
    assert_eq!(endings(&results), "280 verified/none");
    assert_eq!(costs(&results, "before"), [usd(OLD_COST); 20]);
    assert_eq!(costs(&results, "after"), [usd(NEW_COST); 20]);
    let during = costs(&results, "during");
    assert!(during.iter().all(|cost| [usd(OLD_COST), usd(NEW_COST)].contains(cost)), "{during:?}");
    assert!(during.contains(&usd(OLD_COST)) && during.contains(&usd(NEW_COST)), "it was done before the price changed");
    let told: Decimal = results.iter().map(|result| amount(&result["cost"])).sum();
    assert_eq!(stage.spent("acme").await, told);
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_told_to_read_its_files_again_brings_all_of_them_to_what_the_files_say() {
    let stage = Stage::new(Config::default(), &[]).await;
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await, stage.worker().await];
    let before = until_all_agree(&stage, 2).await;
    stage.folder.write("config/weir.toml", Config::default().text().replace(OLD, NEW));
    workers[0].reread();
    assert_ne!(until_all_agree(&stage, 2).await, before);

    stage.submit(&job("after", &[(20, "hit")])).await;
    let results = results(&stage.until_completed(&["after"]).await);
    assert_eq!(costs(&results, "after"), [usd(NEW_COST); 20]);
    stage.assert_all_end_well(&mut workers).await;
}
