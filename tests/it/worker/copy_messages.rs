//! Copy jobs that cannot be done, and one that comes twice.

use crate::services::Config;
use crate::services::GPT;
use crate::services::Message;
use crate::services::Received;
use crate::worker::stage::PATIENCE;
use crate::worker::stage::RESULTS;
use crate::worker::stage::Stage;
use crate::worker::told::COMPLETED;
use crate::worker::told::endings;
use crate::worker::told::job;
use crate::worker::told::told;
use crate::worker::told::with;
use crate::worker::written::COPY_JOB;
use crate::worker::written::MOST_OUTPUT;
use crate::worker::written::copies;
use crate::worker::written::of;
use crate::worker::written::warm_up;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// Bytes of the longest instructions.
const LONGEST: usize = 32 << 10;

/// A message, and why it is refused.
struct Bad {
    routing_key: &'static str,
    kind: &'static str,
    body: String,
    reason: &'static str,
    /// What the detail must name.
    named: &'static str,
}

fn known() -> Value {
    warm_up("known", GPT, &[(3, "hit")])
}

/// After the job [`known`].
fn bad_messages() -> Vec<Bad> {
    let new = || warm_up("new", GPT, &[(1, "hit")]);
    let job_of = |field: &str, value: Value| with(new(), field, value).to_string();
    let pages = |urls: Value| job_of("personalize", json!({"urls": urls}));
    let from = with(with(new(), "leads", Value::Null), "leads_from", "file:///etc/hosts").to_string();
    let enrichment = job("new", &[(1, "hit")]).to_string();
    let of_copy = [
        (COPY_JOB, "{\"job_id\":".to_owned(), "not_json", "JSON"),
        ("weir.copy_job.v2", new().to_string(), "unknown_type", COPY_JOB),
        ("weir.enrichment_job.v1", enrichment, "unknown_type", "weir.copy"),
        (COPY_JOB, job_of("model", json!("gpt-2")), "unknown_model", "gpt-2"),
        (COPY_JOB, job_of("model", Value::Null), "invalid", "model"),
        (COPY_JOB, job_of("instructions", Value::Null), "invalid", "instructions"),
        (COPY_JOB, job_of("instructions", json!(" ")), "invalid", "instructions"),
        (COPY_JOB, job_of("instructions", json!("x".repeat(LONGEST + 1))), "too_large", "instructions"),
        (COPY_JOB, job_of("purpose", json!("cold")), "invalid", "purpose"),
        (COPY_JOB, job_of("max_output_tokens", json!(0)), "invalid", "max_output_tokens"),
        (COPY_JOB, job_of("max_output_tokens", json!("400")), "invalid", "max_output_tokens"),
        (COPY_JOB, job_of("max_spend", json!(5)), "invalid", "max_spend"),
        (COPY_JOB, job_of("personalize", json!([])), "invalid", "personalize"),
        (COPY_JOB, pages(json!(["https://{domain}", "https://{team}"])), "invalid", "personalize.urls[1]"),
        (COPY_JOB, pages(json!(["ftp://{domain}"])), "invalid", "personalize.urls[0]"),
        (COPY_JOB, pages(json!(vec!["https://{domain}"; 11])), "invalid", "personalize.urls"),
        (COPY_JOB, job_of("leads", json!([])), "invalid", "leads"),
        (COPY_JOB, from, "source_refused", "leads_from"),
        (COPY_JOB, with(known(), "instructions", "Write another one.").to_string(), "conflict", "known"),
        (COPY_JOB, with(known(), "purpose", "live").to_string(), "conflict", "known"),
        (COPY_JOB, of(known(), "beta").to_string(), "conflict", "another workspace"),
    ];
    let bad = |routing_key| {
        move |(kind, body, reason, named): (&'static str, String, _, _)| Bad { routing_key, kind, body, reason, named }
    };
    let of_enrich = [
        (COPY_JOB, new().to_string(), "unknown_type", "weir.enrich"),
        ("weir.enrichment_job.v1", job("known", &[(3, "hit")]).to_string(), "conflict", "known"),
    ];
    of_copy.into_iter().map(bad("copy")).chain(of_enrich.into_iter().map(bad("enrich"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_job_that_cannot_be_done_lies_in_weir_dead_with_its_reason_and_one_that_comes_twice_is_done_once() {
    let stage = Stage::new(Config::default(), &[]).await;
    stage.top_up("acme", "5").await;
    let mut workers = [stage.worker().await];
    stage.submit_copy(&known()).await;
    let mut heard = stage.until_completed(&["known"]).await;

    let bad = bad_messages();
    for (n, Bad { routing_key, kind, body, .. }) in bad.iter().enumerate() {
        let (message_id, body) = (format!("m-{n}"), body.as_bytes());
        let message_id = message_id.as_str();
        let message = Message { exchange: "weir.jobs", routing_key, kind, message_id, body, ..Message::default() };
        stage.broker.publish(message).await;
    }
    let dead = stage.broker.drain("weir.dead", bad.len(), PATIENCE).await;
    let dead: BTreeMap<&str, &Received> = dead.iter().map(|message| (message.message_id(), message)).collect();
    for (n, bad) in bad.iter().enumerate() {
        let message = dead[format!("m-{n}").as_str()];
        let (reason, detail) = (message.header("x-weir-reason").unwrap(), message.header("x-weir-detail").unwrap());
        assert_eq!((reason.as_str(), message.kind()), (bad.reason, bad.kind), "{detail}");
        assert!(detail.contains(bad.named), "no {} in: {detail}", bad.named);
        assert!(!detail.contains("acme") && !detail.contains("mops"), "it tells what may be another's: {detail}");
        assert!(message.body == bad.body.as_bytes(), "{detail}: it is not what was sent");
    }

    // The same in another order, with what nobody knows and with the usual number said; and a good one behind it.
    let first = known();
    stage
        .submit_copy(&json!({
            "more": 1,
            "leads": first["leads"],
            "max_output_tokens": MOST_OUTPUT,
            "instructions": first["instructions"],
            "model": GPT,
            "purpose": "warmup",
            "workspace_id": "acme",
            "job_id": "known",
        }))
        .await;
    stage.submit_copy(&warm_up("good", GPT, &[(2, "hit")])).await;
    heard.extend(stage.until_completed(&["good"]).await);
    heard.extend(stage.take_rest(RESULTS).await);
    assert_eq!(endings(&copies(&heard)), "5 written/none");
    assert_eq!((heard.len(), told(&heard, COMPLETED).len()), (5 + 2, 2));
    assert_eq!(stage.sandbox.calls().len(), 5);
    assert_eq!(stage.json(&["jobs", "list"]).await.len(), 2);
    stage.assert_all_end_well(&mut workers).await;
    stage.assert_audit_is_clean().await;
}
