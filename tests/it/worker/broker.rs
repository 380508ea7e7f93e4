//! A broker that takes nothing in, that closes connections, and whose queues disappear.

use crate::services::Config;
use crate::services::eventually;
use crate::worker::stage::PATIENCE;
use crate::worker::stage::RESULTS;
use crate::worker::stage::Stage;
use crate::worker::told::COMPLETED;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::metric;
use crate::worker::told::results;
use crate::worker::told::told;
use crate::worker::told::usd;
use std::time::Duration;
use tokio::time::Instant;

/// All slices of a job are in hand at once.
const CONFIG: Config<'_> = Config {
    find: &["leadmagic"],
    verify: &["millionverifier"],
    worker: "slice_size = 10\nslices_per_job = 20",
    every_provider: "",
    more: "",
};

const UNROUTABLE: &str = r#"weir_unroutable_total{type="weir.lead_result.v1""#;

async fn assert_an_alarm_loses_nothing(length: Duration) {
    let mut stage = Stage::alone(CONFIG, &["--latency", "20"]).await;
    stage.limit_finds(30);
    stage.top_up("acme", "5").await;
    let mut worker = stage.worker().await;
    stage.submit(&job("job-1", &[(100, "hit")])).await;
    stage.until_called(20).await;
    let alarm = stage.broker.set_alarm().await;
    let blocked = async || (metric(&worker.metrics().await, "weir_amqp_blocked ") > 0.0).then_some(());
    eventually("a blocked worker", PATIENCE, blocked).await;
    let until = Instant::now() + length;
    eventually("the end of the alarm", PATIENCE, async || (Instant::now() >= until).then_some(())).await;
    alarm.clear().await;

    let heard = stage.until_completed(&["job-1"]).await;
    assert_eq!(endings(&results(&heard)), "100 verified/none");
    assert_eq!((stage.spent("acme").await, stage.billed()), (usd("1.64"), usd("1.64")));
    assert_eq!(metric(&worker.metrics().await, "weir_amqp_blocked ").to_string(), "0");
    stage.assert_no_work_is_left().await;
    worker.terminate();
    assert_eq!(worker.ended().await, Some(0), "{}", worker.log());
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_an_alarm_of_the_broker_delays_results_and_loses_nothing() {
    assert_an_alarm_loses_nothing(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: ./scripts/test --run-ignored all soak"]
async fn alone_soak_a_minute_of_alarm_delays_results_and_loses_nothing() {
    assert_an_alarm_loses_nothing(Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_broker_closes_are_made_again_and_no_call_is() {
    let mut stage = Stage::new(CONFIG, &["--latency", "20"]).await;
    stage.limit_finds(10);
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await, stage.worker().await];
    stage.submit(&job("job-1", &[(150, "hit")])).await;
    for calls in [20, 60] {
        stage.until_called(calls).await;
        assert!(stage.broker.close_connections_of("weir/").await > 0);
    }
    let mut heard = stage.until_completed(&["job-1"]).await;
    assert_eq!((stage.spent("acme").await, stage.billed()), (usd("2.46"), usd("2.46")));
    assert_eq!(stage.sandbox.calls().len(), 300);
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
    heard.extend(stage.take_rest(RESULTS).await);
    assert_eq!(endings(&results(&heard)), "150 verified/none");
    assert_eq!(told(&heard, COMPLETED).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_deleted_under_a_worker_are_declared_again_and_its_job_and_the_next_are_done() {
    let mut stage = Stage::new(CONFIG, &["--latency", "20"]).await;
    stage.limit_finds(30);
    stage.top_up("acme", "5").await;
    let mut worker = stage.worker().await;
    stage.submit(&job("job-1", &[(100, "hit")])).await;
    stage.until_called(20).await;
    for queue in ["weir.slices", "weir.enrich", "weir.jobcontrol"] {
        stage.broker.delete_queue(queue).await;
    }
    // Nobody is bound to take it until they are back.
    stage.folder.write("job-2.json", job("job-2", &[(10, "hit")]).to_string());
    let submitted =
        async || (stage.folder.weir(&["submit", "enrich", "job-2.json"]).await.code == Some(0)).then_some(());
    eventually("somebody to take a job", PATIENCE, submitted).await;
    let heard = stage.until_completed(&["job-1", "job-2"]).await;
    assert_eq!(endings(&results(&heard)), "110 verified/none");
    assert_eq!((stage.spent("acme").await, stage.billed()), (usd("1.804"), usd("1.804")));
    stage.assert_no_work_is_left().await;
    worker.terminate();
    assert_eq!(worker.ended().await, Some(0), "{}", worker.log());
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_no_queue_takes_are_counted_and_kept_until_one_does() {
    let stage = Stage::new(CONFIG, &[]).await;
    stage.top_up("acme", "5").await;
    let worker = stage.worker().await;
    stage.broker.delete_queue(RESULTS).await;
    stage.submit(&job("job-1", &[(20, "hit")])).await;
    let unroutable = async || (metric(&worker.metrics().await, UNROUTABLE) >= 20.0).then_some(());
    eventually("unroutable results", PATIENCE, unroutable).await;
    let waiting = stage.job("job-1").await;
    assert_eq!((waiting["state"].as_str(), waiting["done"].as_u64()), (Some("running"), Some(20)));

    // Whoever connects declares what is missing.
    assert!(stage.broker.close_connections_of("weir/").await > 0);
    let back = async || stage.broker.queue_depth(RESULTS).await;
    eventually("the platform's queue", PATIENCE, back).await;
    let heard = stage.until_completed(&["job-1"]).await;
    assert_eq!(endings(&results(&heard)), "20 verified/none");
    assert_eq!((stage.spent("acme").await, stage.billed()), (usd("0.328"), usd("0.328")));
    stage.assert_no_work_is_left().await;
    stage.assert_audit_is_clean().await;
}
