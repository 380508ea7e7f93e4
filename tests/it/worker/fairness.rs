//! Large jobs and small ones, and a large one that is not wanted any more.

use crate::services::Config;
use crate::worker::stage::Stage;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::results;
use crate::worker::told::with;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_ten_leads_ends_long_before_one_of_thousands_that_began_earlier() {
    let mut stage = Stage::new(Config::default(), &["--latency", "5"]).await;
    stage.limit_finds(200);
    stage.top_up("acme", "5").await;
    stage.top_up("beta", "5").await;
    let _worker = stage.worker().await;
    stage.submit(&job("large", &[(5_000, "miss")])).await;
    stage.until_called(100).await;
    stage.submit(&with(job("small", &[(10, "hit")]), "workspace_id", "beta")).await;
    let heard = results(&stage.until_completed(&["small"]).await);

    let small = heard.iter().filter(|result| result["job_id"] == "small");
    assert_eq!(endings(small), "10 verified/none");
    let large = stage.job("large").await;
    assert_eq!(large["state"], "running");
    assert!(large["done"].as_u64().unwrap() < 2_500, "the small job had to wait: {large}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_stops_calling_and_gives_every_lead_its_result() {
    let mut stage = Stage::new(Config::default(), &["--latency", "5"]).await;
    stage.limit_finds(100);
    stage.top_up("acme", "25").await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.submit(&job("large", &[(1_000, "hit"), (1_000, "miss")])).await;
    stage.until_called(200).await;
    stage.folder.weir(&["jobs", "cancel", "large"]).await.done();
    let calls = stage.sandbox.calls().len();
    let heard = results(&stage.until_completed(&["large"]).await);

    let stopped = stage.sandbox.calls().len();
    assert!(stopped <= calls + 100, "it went on calling: {calls} calls, then {stopped}");
    assert_eq!(heard.len(), 2_000);
    for result in &heard {
        let ending = (result["status"].as_str().unwrap(), result["reason"].as_str().unwrap());
        let allowed =
            [("verified", "none"), ("not_found", "none"), ("unverified", "cancelled"), ("skipped", "cancelled")];
        assert!(allowed.contains(&ending), "{result}");
    }
    assert!(heard.iter().any(|result| result["reason"] == "cancelled"), "all was done already");
    let shown = stage.job("large").await;
    assert_eq!((&shown["state"], &shown["done"]), (&json!("cancelled"), &json!(2_000)));

    // What is called from here on is called for another job.
    stage.submit(&job("small", &[(5, "miss")])).await;
    stage.until_completed(&["small"]).await;
    assert_eq!(stage.sandbox.calls().len(), stopped + 5);
    assert_eq!(stage.spent("acme").await, stage.billed());
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}
