//! The services do what the tests that use them take for granted.

use crate::services::Config;
use crate::services::ConfigFolder;
use crate::services::Message;
use crate::services::Postgres;
use crate::services::RabbitMq;
use crate::services::Sandbox;
use crate::services::WorkerProcess;
use crate::services::eventually;
use lapin::BasicProperties;
use lapin::Connection;
use lapin::ConnectionProperties;
use lapin::options::BasicPublishOptions;
use rust_decimal::Decimal;
use serde_json::json;
use std::time::Duration;
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(30);

const MESSAGE: Message<'_> = Message {
    exchange: "",
    routing_key: "answers",
    kind: "weir.lead_result.v1",
    message_id: "m1",
    correlation_id: "c1",
    reply_to: "",
    body: br#"{"n":1}"#,
};

/// A connection as a worker has one.
async fn connect(broker: &RabbitMq, name: &str) -> Connection {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    Connection::connect(broker.url(), properties).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_one_tests_alone_can_be_cut_off_and_goes_with_its_test() {
    let (one, other) = (Postgres::fresh().await, Postgres::fresh().await);
    assert_ne!(one.url(), other.url());
    let (_client, connection) = tokio_postgres::connect(one.url(), NoTls).await.unwrap();
    let (cut, ended) = tokio::join!(one.cut_connections(), connection);
    assert!(cut >= 1);
    assert!(ended.is_err());

    let url = one.url().to_owned();
    drop(one);
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vhost_is_one_tests_alone_and_has_no_queue_of_the_test_before() {
    let (one, other) = (RabbitMq::fresh().await, RabbitMq::fresh().await);
    assert_ne!(one.url(), other.url());
    assert_eq!(one.queue_depth("weir.results").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_counted_and_drained_as_it_was_sent() {
    let broker = RabbitMq::fresh().await;
    broker.reply_queue("answers").await;
    for _ in 0..3 {
        broker.publish(MESSAGE).await;
    }
    let depth = async |n: u32| {
        eventually("so many", PATIENCE, async || broker.queue_depth("answers").await.filter(|d| *d == n)).await
    };
    depth(3).await;
    let received = broker.drain("answers", 2, PATIENCE).await;
    assert_eq!((received.len(), depth(1).await), (2, 1));
    let first = &received[0];
    assert_eq!((first.kind(), first.message_id(), first.correlation_id()), ("weir.lead_result.v1", "m1", "c1"));
    assert_eq!((first.json(), first.header("x-weir-reason")), (json!({"n": 1}), None));

    broker.delete_queue("answers").await;
    assert_eq!(broker.queue_depth("answers").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_closed_by_name() {
    let broker = RabbitMq::fresh().await;
    let (meant, spared) = (connect(&broker, "weir/publish/w-1").await, connect(&broker, "weir/publish/w-2").await);
    // It may take the broker a moment to list them.
    let closed = async || Some(broker.close_connections_of("w-1").await).filter(|closed| *closed > 0);
    assert_eq!(eventually("a connection to close", PATIENCE, closed).await, 1);
    eventually("the end of it", PATIENCE, async || (!meant.status().connected()).then_some(())).await;
    assert!(spared.status().connected());
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_an_alarm_blocks_publishers_until_it_is_cleared() {
    let broker = RabbitMq::alone().await;
    broker.reply_queue("answers").await;
    let publisher = connect(&broker, "weir/publish/w-1").await;
    let channel = publisher.create_channel().await.unwrap();

    let alarm = broker.set_alarm().await;
    // The broker blocks who publishes.
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), "answers".into(), options, b"{}", BasicProperties::default()).await.unwrap();
    eventually("the block", PATIENCE, async || publisher.status().blocked().then_some(())).await;
    alarm.clear().await;
    eventually("the end of it", PATIENCE, async || (!publisher.status().blocked()).then_some(())).await;
    broker.publish(MESSAGE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_started_looked_at_and_disturbed_from_outside() {
    let (database, broker, sandbox) = (Postgres::fresh().await, RabbitMq::fresh().await, Sandbox::start(&[]));
    let mut folder = ConfigFolder::new(Config::default(), &sandbox, &database, &broker);
    folder.set("WEIR__WORKER__DRAIN", "10s");
    folder.weir(&["migrate"]).await.done();
    folder.weir(&["wallet", "topup", "acme", "5", "--ref", "first"]).await.done();
    let mut worker = WorkerProcess::start(&folder, &[("WEIR_LOG", "info")]);
    worker.wait_ready().await;

    sandbox.fault(&json!({"provider": "leadmagic", "down": false})).await;
    let lead = |n: &str| json!({"lead_id": n, "first_name": "Ada", "last_name": n, "domain": "a.hit.test"});
    let job = json!({"job_id": "job_1", "workspace_id": "acme", "leads": [lead("One"), lead("Two")]}).to_string();
    let kind = "weir.enrichment_job.v1";
    let message = Message { exchange: "weir.jobs", routing_key: "enrich", kind, body: job.as_bytes(), ..MESSAGE };
    broker.publish(message).await;
    let results = broker.drain_results(3, PATIENCE).await;
    assert_eq!(results.iter().filter(|result| result["status"] == "verified").count(), 2, "{results:?}");
    assert_eq!(sandbox.count_of("leadmagic", "find_email"), 2);
    assert!(sandbox.calls().iter().all(|call| call.status == 200 && call.credits == Decimal::ONE));
    assert!(worker.metrics().await.contains("weir_leads_total"));

    worker.pause();
    assert!(!worker.is_ready().await, "it answers though it stands still");
    worker.wake();
    worker.wait_ready().await;
    worker.terminate();
    assert_eq!(worker.ended().await, Some(0), "{}", worker.log());

    let mut worker = WorkerProcess::start(&folder, &[]);
    worker.wait_ready().await;
    worker.kill9();
    assert_eq!(worker.ended().await, None);
}
