//! One small wallet, many jobs, two workers: never overspent, and a top-up pays for the rest alone.

use crate::services::Config;
use crate::worker::stage::EVENTS;
use crate::worker::stage::Stage;
use crate::worker::told::COMPLETED;
use crate::worker::told::count_of;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::price;
use crate::worker::told::results;
use crate::worker::told::told;
use crate::worker::told::usd;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;

/// Prospeo is asked about those whom LeadMagic does not know: held money comes back.
const CONFIG: Config<'_> = Config {
    find: &["leadmagic", "prospeo"],
    verify: &["millionverifier"],
    worker: "slice_size = 10",
    every_provider: "",
    more: "",
};

const JOBS: [&str; 8] = ["job-1", "job-2", "job-3", "job-4", "job-5", "job-6", "job-7", "job-8"];
const SCENES: [(usize, &str); 2] = [(15, "hit"), (10, "only-prospeo")];
/// All of it, undisturbed: 120 times 0.0164 and 80 times 0.0237.
const COST: &str = "3.864";
const CALLS: usize = 200 + 80 + 200;
/// What pays for a part of it.
const WALLET: &str = "1.5";

/// The least price of a step that could not be paid.
fn cheapest_refused(results: &[Value]) -> Decimal {
    let attempts = results.iter().flat_map(|result| result["trail"].as_array().unwrap());
    let refused = attempts.filter(|attempt| attempt["outcome"] == "unaffordable");
    let prices = refused.map(|attempt| price(attempt["step"].as_str().unwrap().split('.').next().unwrap()));
    prices.min().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_eight_jobs_race_for_is_never_overspent_and_a_top_up_pays_for_the_rest_alone() {
    let stage = Stage::new(CONFIG, &["--latency", "5"]).await;
    stage.top_up("acme", WALLET).await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.broker.listen(EVENTS).await;
    for id in JOBS {
        stage.submit(&job(id, &SCENES)).await;
    }
    let first = results(&stage.until_completed(&JOBS).await);

    let (billed, balance) = (stage.billed(), stage.balance("acme").await);
    assert!(billed <= usd(WALLET), "{billed} were billed");
    assert_eq!((stage.spent("acme").await, balance), (billed, usd(WALLET) - billed));
    let cheapest = cheapest_refused(&first);
    assert!(balance < cheapest, "{balance} were left, and a step of {cheapest} was refused");
    assert_eq!(first.len(), 200);
    for result in &first {
        let allowed = [("verified", "none"), ("unverified", "wallet_empty"), ("skipped", "wallet_empty")];
        let ending = (result["status"].as_str().unwrap(), result["reason"].as_str().unwrap());
        assert!(allowed.contains(&ending), "{result}");
    }
    stage.assert_audit_is_clean().await;

    stage.top_up("acme", "10").await;
    let is_unpaid = |id: &&str| first.iter().any(|result| result["job_id"] == *id && result["reason"] != "none");
    let unpaid: Vec<&str> = JOBS.into_iter().filter(is_unpaid).collect();
    for id in &unpaid {
        stage.folder.weir(&["jobs", "resume", id]).await.done();
    }
    let second = results(&stage.until_completed(&unpaid).await);
    let once_more = first.iter().filter(|result| result["reason"] != "none").count();
    assert_eq!(endings(&second), format!("{once_more} verified/none"));
    for id in JOBS {
        assert_eq!(stage.job(id).await["by_status"], json!({"verified": 25}), "{id}");
    }
    assert_eq!((stage.spent("acme").await, stage.billed()), (usd(COST), usd(COST)));
    assert_eq!(stage.sandbox.calls().len(), CALLS, "a step was paid that had been paid");

    let completions = JOBS.len() + unpaid.len();
    let events = stage.take(EVENTS, |taken| count_of(taken, COMPLETED) == completions).await;
    assert_eq!(told(&events, "weir.wallet_empty.v1").len(), 1);
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}
