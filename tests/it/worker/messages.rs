//! Messages that cannot be done, that come twice, and that want an answer.

use crate::services::Config;
use crate::services::Message;
use crate::services::Received;
use crate::services::eventually;
use crate::worker::stage::PATIENCE;
use crate::worker::stage::RESULTS;
use crate::worker::stage::Stage;
use crate::worker::told::COMPLETED;
use crate::worker::told::all_completed;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::metric;
use crate::worker::told::results;
use crate::worker::told::told;
use crate::worker::told::with;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

const JOB: &str = "weir.enrichment_job.v1";
const CONTROL: &str = "weir.job_control.v1";
const DEAD: &str = "weir.dead";

/// The longest body that is taken.
const LONGEST: usize = 16 << 20;

/// A message, and why it is refused.
struct Bad {
    routing_key: &'static str,
    kind: &'static str,
    body: String,
    reason: &'static str,
    /// What the detail must name.
    named: &'static str,
}

/// After a job `known` of three found leads.
fn bad_messages() -> Vec<Bad> {
    let job_of = |field: &str, value: Value| with(job("new", &[(1, "hit")]), field, value).to_string();
    let lead = json!({"lead_id": "1", "email": "ada@acme.test"});
    let from = |address: &str| json!({"job_id": "new", "workspace_id": "acme", "leads_from": address}).to_string();
    let known = |field: &str, value: Value| with(job("known", &[(3, "hit")]), field, value).to_string();
    let too_long = format!(r#"{{"job_id":"new","filler":"{}"}}"#, "x".repeat(LONGEST));
    let cases = [
        (JOB, "{\"job_id\":".to_owned(), "not_json", "JSON"),
        (JOB, "[1]".to_owned(), "not_json", "JSON"),
        ("weir.enrichment_job.v2", job_of("job_id", json!("new")), "unknown_type", JOB),
        ("weir.lead_result.v1", job_of("job_id", json!("new")), "unknown_type", "weir.lead_result.v1"),
        (CONTROL, json!({"job_id": "known", "action": "cancel"}).to_string(), "unknown_type", "weir.enrich"),
        (JOB, too_long, "too_large", "16 MiB"),
        (JOB, job_of("waterfall", json!("x".repeat(5_000))), "too_large", "waterfall"),
        (JOB, job_of("job_id", json!("two words")), "invalid", "job_id"),
        (JOB, job_of("workspace_id", Value::Null), "invalid", "workspace_id"),
        (JOB, job_of("max_spend", json!(5)), "invalid", "max_spend"),
        (JOB, job_of("leads", json!([])), "invalid", "leads"),
        (JOB, job_of("leads", json!([lead, lead])), "invalid", "leads[1].lead_id"),
        (JOB, job_of("waterfall", json!("phones")), "unknown_waterfall", "phones"),
        (JOB, from("file:///etc/hosts"), "source_refused", "leads_from"),
        (JOB, known("max_spend", json!("3")), "conflict", "known"),
        (JOB, known("workspace_id", json!("beta")), "conflict", "another workspace"),
    ];
    let of_enrich = cases.map(|(kind, body, reason, named)| Bad { routing_key: "enrich", kind, body, reason, named });
    let resume = json!({"job_id": "known", "action": "resume", "max_spend": "3"}).to_string();
    let of_control = Bad { routing_key: "control", kind: CONTROL, body: resume, reason: "invalid", named: "max_spend" };
    of_enrich.into_iter().chain([of_control]).collect()
}

async fn publish(stage: &Stage, bad: &Bad, message_id: &str) {
    let Bad { routing_key, kind, body, .. } = bad;
    let message =
        Message { exchange: "weir.jobs", routing_key, kind, message_id, body: body.as_bytes(), ..Message::default() };
    stage.broker.publish(message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_lies_in_weir_dead_with_its_reason_and_what_comes_twice_is_done_once() {
    let stage = Stage::new(Config::default(), &[]).await;
    stage.top_up("acme", "5").await;
    let worker = stage.worker().await;
    let known = job("known", &[(3, "hit")]);
    stage.submit(&known).await;
    let mut heard = stage.until_completed(&["known"]).await;

    let bad = bad_messages();
    for (n, bad) in bad.iter().enumerate() {
        publish(&stage, bad, &format!("m-{n}")).await;
    }
    let dead = stage.broker.drain(DEAD, bad.len(), PATIENCE).await;
    let dead: BTreeMap<&str, &Received> = dead.iter().map(|message| (message.message_id(), message)).collect();
    for (n, bad) in bad.iter().enumerate() {
        let message = dead[format!("m-{n}").as_str()];
        let (reason, detail) = (message.header("x-weir-reason").unwrap(), message.header("x-weir-detail").unwrap());
        assert_eq!((reason.as_str(), message.kind()), (bad.reason, bad.kind), "{detail}");
        assert!(detail.contains(bad.named), "no {} in: {detail}", bad.named);
        assert!(!detail.contains("acme"), "it names what may be another's: {detail}");
        assert!(message.body == bad.body.as_bytes(), "{detail}: it is not what was sent");
    }
    let sum = metric(&worker.metrics().await, "weir_dead_letters_total{");
    assert_eq!(sum.to_string(), bad.len().to_string());

    // The same in another order and with what nobody knows, and a good one behind it.
    let again = json!({"more": 1, "leads": known["leads"], "workspace_id": "acme", "job_id": "known"});
    stage.submit(&again).await;
    stage.submit(&job("good", &[(2, "hit")])).await;
    heard.extend(stage.until_completed(&["good"]).await);
    heard.extend(stage.take_rest(RESULTS).await);
    assert_eq!(endings(&results(&heard)), "5 verified/none");
    assert_eq!((heard.len(), told(&heard, COMPLETED).len()), (5 + 2, 2));
    assert_eq!(stage.sandbox.calls().len(), 10);
    assert_eq!(stage.json(&["jobs", "list"]).await.len(), 2);
    stage.assert_no_work_is_left().await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_overtakes_its_job_stops_it_all_the_same() {
    let mut stage = Stage::new(Config::default(), &[]).await;
    stage.limit_finds(5);
    stage.top_up("acme", "5").await;
    let worker = stage.worker().await;
    stage.control(CONTROL, &json!({"job_id": "late", "action": "cancel"})).await;
    let waits = async || worker.log().contains("job_id names no job").then_some(());
    eventually("a cancel that waits for its job", PATIENCE, waits).await;

    stage.submit(&job("late", &[(200, "hit")])).await;
    let heard = results(&stage.until_completed(&["late"]).await);
    assert_eq!(heard.len(), 200);
    assert!(heard.iter().any(|result| result["reason"] == "cancelled"), "{}", endings(&heard));
    assert_eq!(stage.job("late").await["state"], "cancelled");
    stage.assert_no_work_is_left().await;
    stage.assert_audit_is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_wants_an_answer_gets_every_result_and_the_completion_under_its_correlation_id() {
    let stage = Stage::new(Config::default(), &[]).await;
    stage.top_up("acme", "5").await;
    let _worker = stage.worker().await;
    stage.broker.reply_queue("answers").await;
    let body = job("job-1", &[(3, "hit"), (2, "miss")]).to_string();
    let message = Message {
        exchange: "weir.jobs",
        routing_key: "enrich",
        kind: JOB,
        message_id: "m-1",
        correlation_id: "c-1",
        reply_to: "answers",
        body: body.as_bytes(),
    };
    stage.broker.publish(message).await;
    let answers = stage.take("answers", all_completed(&["job-1"])).await;
    assert!(answers.iter().all(|answer| answer.correlation_id() == "c-1"));
    let heard = stage.until_completed(&["job-1"]).await;
    assert_eq!(endings(&results(&answers)), "2 not_found/none, 3 verified/none");
    assert_eq!(results(&answers), results(&heard));
    assert_eq!(told(&answers, COMPLETED), told(&heard, COMPLETED));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_message_is_listed_sent_again_once_it_can_be_done_and_dropped_if_it_never_can() {
    let stage = Stage::new(Config::default(), &[]).await;
    stage.top_up("acme", "5").await;
    let worker = stage.worker().await;
    let early = with(job("early", &[(3, "hit")]), "waterfall", "phones").to_string();
    let early = Bad { routing_key: "enrich", kind: JOB, body: early, reason: "unknown_waterfall", named: "" };
    let broken = Bad { routing_key: "enrich", kind: JOB, body: "{".to_owned(), reason: "not_json", named: "" };
    publish(&stage, &early, "m-early").await;
    publish(&stage, &broken, "m-broken").await;
    let both = async || Some(stage.json(&["dead", "list"]).await).filter(|listed| listed.len() == 2);
    let listed = eventually("two dead messages", PATIENCE, both).await;
    let place_of = |listed: &[Value], id: &str| {
        let letter = listed.iter().find(|letter| letter["message_id"] == id).unwrap();
        (letter["n"].to_string(), letter["reason"].as_str().unwrap().to_owned(), letter["queue"].clone())
    };
    let (place, reason, queue) = place_of(&listed, "m-early");
    assert_eq!((reason.as_str(), queue), ("unknown_waterfall", json!("weir.enrich")));

    let phones = "[waterfalls.phones]\nfind = [\"leadmagic\"]\nverify = [\"millionverifier\"]";
    stage.folder.write("config/weir.toml", Config { more: phones, ..Config::default() }.text());
    worker.reread();
    let wanted = stage.json(&["config", "show"]).await.remove(0)["version"].clone();
    let in_force = format!("weir_config_version_info{{version={wanted}}}");
    let swapped = async || worker.metrics().await.contains(&in_force).then_some(());
    eventually("the new waterfall", PATIENCE, swapped).await;
    stage.folder.weir(&["dead", "replay", &place]).await.done();
    assert_eq!(endings(&results(&stage.until_completed(&["early"]).await)), "3 verified/none");

    let listed = stage.json(&["dead", "list"]).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let (place, reason, _) = place_of(&listed, "m-broken");
    assert_eq!(reason, "not_json");
    stage.folder.weir(&["dead", "drop", &place]).await.done();
    assert!(stage.json(&["dead", "list"]).await.is_empty());
    let gone = stage.folder.weir(&["dead", "replay", "1"]).await;
    assert_eq!((gone.code, gone.err.contains("weir.dead")), (Some(2), true), "{}{}", gone.out, gone.err);
    stage.assert_no_work_is_left().await;
}
