//! SIGTERM under load, and what a worker says of itself over HTTP.

use crate::services::Config;
use crate::worker::stage::Stage;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::results;
use crate::worker::told::usd;

const IN_FLIGHT: usize = 8;
const CONFIG: Config<'_> = Config {
    find: &["leadmagic"],
    verify: &["millionverifier"],
    worker: "leads_in_flight = 8\nslice_size = 10",
    every_provider: "",
    more: "",
};

/// What CONTRACTS §5 names.
const METRICS: [&str; 12] = [
    "weir_attempts_total{",
    "weir_spend_usd_total{",
    "weir_house_loss_usd_total{",
    "weir_calls_repeated_total{",
    "weir_holds_open ",
    "weir_leads_total{",
    "weir_lead_seconds_count",
    "weir_call_seconds_count{",
    "weir_ledger_batch_size_count",
    "weir_ledger_commit_seconds_count",
    "weir_config_version_info{",
    "weir_dead_letters_total{",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_asked_to_end_makes_no_new_call_settles_those_in_flight_and_leaves_the_rest_to_the_next() {
    let stage = Stage::new(CONFIG, &["--latency", "300"]).await;
    stage.top_up("acme", "5").await;
    let mut first = stage.worker().await;
    stage.submit(&job("job-1", &[(60, "hit")])).await;
    stage.until_called(24).await;
    let calls = stage.sandbox.calls().len();
    first.terminate();
    assert_eq!(first.ended().await, Some(0), "{}", first.log());
    let drained = stage.sandbox.calls().len();
    assert!(drained <= calls + IN_FLIGHT, "it went on calling: {calls} calls, then {drained}");
    assert_eq!(stage.spent("acme").await, stage.billed(), "a call that ended was not settled");
    stage.assert_audit_is_clean().await;

    let mut second = stage.worker().await;
    let heard = results(&stage.until_completed(&["job-1"]).await);
    assert_eq!(endings(&heard), "60 verified/none");
    assert_eq!((stage.spent("acme").await, stage.billed()), (usd("0.984"), usd("0.984")));
    assert_eq!(stage.sandbox.calls().len(), 120, "a call was made again");
    second.terminate();
    assert_eq!(second.ended().await, Some(0), "{}", second.log());
    stage.assert_no_work_is_left().await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_that_it_lives_that_it_takes_work_and_what_it_has_done() {
    let stage = Stage::new(CONFIG, &[]).await;
    stage.top_up("acme", "5").await;
    let worker = stage.worker().await;
    stage.submit(&job("job-1", &[(5, "hit"), (5, "miss")])).await;
    stage.until_completed(&["job-1"]).await;
    for path in ["/healthz", "/readyz"] {
        let answer = worker.get(path).await;
        assert_eq!(answer.map(|(status, _)| status), Some(200), "{path}");
    }
    let metrics = worker.metrics().await;
    for name in METRICS {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "no {name} in: {metrics}");
    }
    for sample in [
        r#"weir_leads_total{status="verified",reason="none"} 5"#,
        r#"weir_leads_total{status="not_found",reason="none"} 5"#,
        r#"weir_spend_usd_total{provider="leadmagic"} 0.062500000"#,
        r#"weir_spend_usd_total{provider="millionverifier"} 0.019500000"#,
        r#"weir_calls_repeated_total{provider="leadmagic"} 0"#,
    ] {
        assert!(metrics.lines().any(|line| line == sample), "no {sample} in: {metrics}");
    }
}
