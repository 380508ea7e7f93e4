use super::*;
use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::Attempt;
use crate::domain::AttemptEnd;
use crate::domain::AttemptNo;
use crate::domain::AttemptState;
use crate::domain::CampaignId;
use crate::domain::ConfigVersion;
use crate::domain::Draft;
use crate::domain::Ending;
use crate::domain::JobId;
use crate::domain::KeySource;
use crate::domain::LeadId;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::Product;
use crate::domain::ProviderName;
use crate::domain::Purpose;
use crate::domain::Reason;
use crate::domain::Run;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Tokens;
use crate::domain::Unwritten;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::domain::WorkerId;
use crate::domain::WorkspaceId;
use crate::queue::DeadReason;
use expect_test::Expect;
use expect_test::expect;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;

/// The messages that CONTRACTS §4 shows, as they stand there, and what is said there without a block.
const DOCUMENTED: [(&str, &str, &str); 12] = [
    (
        EnrichmentJob::KIND,
        "enrich",
        r#"{"job_id":"job_1","workspace_id":"acme","campaign_id":"cmp_1","waterfall":"work_email","max_spend":"25.00",
 "leads":[{"lead_id":"1","first_name":"Ada","last_name":"Sample","full_name":null,"company":"Acme","domain":"acme.test",
           "linkedin_url":null,"email":null}]}"#,
    ),
    (
        EnrichmentJob::KIND,
        "weir.enrich",
        r#"{"job_id":"job_1","workspace_id":"acme","auto_resume":true,"leads_from":"s3://lists/a.csv","sender":{"x":[1]}}"#,
    ),
    (
        CopyJob::KIND,
        "copy",
        r#"{"job_id":"copy_1","workspace_id":"acme","campaign_id":"cmp_1","purpose":"live","model":"gpt-5.4-mini","max_output_tokens":400,
 "instructions":"Write a first-touch e-mail.","personalize":{"urls":["https://{domain}"]},
 "leads":[{"lead_id":"1","first_name":"Ada","company":"Acme","domain":"acme.test","email":"ada@acme.test"}]}"#,
    ),
    (
        CopyJob::KIND,
        "weir.copy",
        r#"{"job_id":"copy_2","workspace_id":"acme","purpose":"warmup","model":"gpt-5.4-mini","instructions":"{ \"tone\": {tone} }",
 "max_spend":"5.00","auto_resume":true,"leads_from":"s3://lists/a.csv","sender":{"x":[1]}}"#,
    ),
    (JobControl::KIND, "control", r#"{"job_id":"job_1","action":"cancel","max_spend":null}"#),
    (JobControl::KIND, "weir.jobcontrol", r#"{"job_id":"job_1","action":"resume","max_spend":"50"}"#),
    (TopUp::KIND, "control", r#"{"workspace_id":"acme","amount":"25.00","ref":"inv_7","declined":false}"#),
    (TopUp::KIND, "control", r#"{"workspace_id":"acme","amount":"0","ref":"inv_7","declined":true}"#),
    (CampaignActivate::KIND, "control", r#"{"workspace_id":"acme","campaign_id":"cmp_1"}"#),
    (ConfigReload::KIND, "", r#"{"request_id":"r1","config":"[wallet]\nlow_balance = \"5.00\"\n"}"#),
    (ConfigReload::KIND, "", r#"{"request_id":"r1","from":"files"}"#),
    (ConfigReload::KIND, "any", r#"{"request_id":"r1","from":"files","config":null}"#),
];

fn told(kind: Option<&str>, routing_key: &str, body: &[u8]) -> String {
    match read(kind, routing_key, body) {
        Ok(message) => format!("{message:?}"),
        Err(refusal) => refusal.to_string(),
    }
}

fn check(told: impl IntoIterator<Item = String>, expected: &Expect) {
    expected.assert_eq(&told.into_iter().map(|line| line + "\n").collect::<String>());
}

/// The object with some of its fields changed.
fn with(mut object: Value, changed: &Value) -> Value {
    for (name, value) in changed.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

fn enrichment_job(changed: &Value) -> Value {
    with(
        json!({ "job_id": "job_1", "workspace_id": "acme", "leads": [{ "lead_id": "1", "company": "Acme" }] }),
        changed,
    )
}

fn copy_job(changed: &Value) -> Value {
    let job = json!({ "job_id": "copy_1", "workspace_id": "acme", "model": "gpt-5.4-mini", "max_output_tokens": 400,
        "instructions": "Write.", "leads": [{ "lead_id": "1" }] });
    with(job, changed)
}

fn problems(kind: &str, message: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(&schemas()[kind]).unwrap();
    validator.iter_errors(message).map(|error| error.to_string()).collect()
}

#[test]
fn documented_messages_are_read_with_their_type_and_without() {
    let lines = DOCUMENTED.iter().map(|(kind, routing_key, body)| {
        let line = told(Some(kind), "", body.as_bytes());
        assert_eq!(told(None, routing_key, body.as_bytes()), line);
        assert_eq!(told(Some(""), routing_key, body.as_bytes()), line);
        line
    });
    check(
        lines,
        &expect![[r#"
            Enrich(EnrichmentJob { job_id: job_1, workspace_id: acme, campaign_id: Some(cmp_1), waterfall: Some("work_email"), max_spend: Some(25.000000000), auto_resume: false, leads: Inline(1 leads) })
            Enrich(EnrichmentJob { job_id: job_1, workspace_id: acme, campaign_id: None, waterfall: None, max_spend: None, auto_resume: true, leads: From(…) })
            Copy(CopyJob { job_id: copy_1, .. })
            Copy(CopyJob { job_id: copy_2, .. })
            JobControl(JobControl { job_id: job_1, action: Cancel, max_spend: None })
            JobControl(JobControl { job_id: job_1, action: Resume, max_spend: Some(50.000000000) })
            TopUp(TopUp { workspace_id: acme, amount: 25.000000000, reference: "inv_7", declined: false })
            TopUp(TopUp { workspace_id: acme, amount: 0.000000000, reference: "inv_7", declined: true })
            CampaignActivate(CampaignActivate { workspace_id: acme, campaign_id: cmp_1 })
            ConfigReload(ConfigReload { request_id: "r1", from: Inline(…) })
            ConfigReload(ConfigReload { request_id: "r1", from: Files })
            ConfigReload(ConfigReload { request_id: "r1", from: Files })
        "#]],
    );
}

#[test]
fn documented_messages_keep_their_schema() {
    for (kind, _, body) in DOCUMENTED {
        assert_eq!(problems(kind, &serde_json::from_str(body).unwrap()), Vec::<String>::new(), "{body}");
    }
}

#[test]
fn every_text_of_a_lead_is_read() {
    let lead = json!({ "lead_id": "1", "first_name": "a", "last_name": "b", "full_name": "c", "company": " d ",
        "domain": "", "linkedin_url": "f", "email": "n/a" });
    let job = enrichment_job(&json!({ "leads": [lead, { "lead_id": "2" }] })).to_string();
    let Ok(Incoming::Enrich(job)) = read(None, "enrich", job.as_bytes()) else { panic!("{job}") };
    let Leads::Inline(leads) = job.leads else { panic!("they stand in the message") };
    let absent = json!({ "lead_id": "2", "first_name": null, "last_name": null, "full_name": null, "company": null,
        "domain": null, "linkedin_url": null, "email": null });
    assert_eq!(json!(leads), json!([lead, absent]));
}

/// What, changed in an enrichment job, makes it a bad one.
fn bad_changes() -> Vec<Value> {
    let long = "x".repeat(4_097);
    let many: Vec<Value> = (0..=LEADS_LIMIT).map(|n| json!({ "lead_id": n.to_string() })).collect();
    vec![
        json!({ "job_id": null }),
        json!({ "job_id": "two words" }),
        json!({ "job_id": 7 }),
        json!({ "workspace_id": "" }),
        json!({ "campaign_id": " " }),
        json!({ "campaign_id": "x".repeat(1_025) }),
        json!({ "waterfall": "x".repeat(1_025) }),
        json!({ "max_spend": 25.0 }),
        json!({ "max_spend": "ada@acme.test" }),
        json!({ "max_spend": "0.0000000001" }),
        json!({ "max_spend": "-1" }),
        json!({ "max_spend": "-0" }),
        json!({ "max_spend": "99999999999" }),
        json!({ "auto_resume": "yes" }),
        json!({ "leads": null }),
        json!({ "leads": [] }),
        json!({ "leads": {} }),
        json!({ "leads": many }),
        json!({ "leads_from": "file:///lists/a.csv" }),
        json!({ "leads": null, "leads_from": "a.csv" }),
        json!({ "leads": null, "leads_from": "http://10.0.0.1/a.csv" }),
        json!({ "leads": null, "leads_from": format!("https://a/{long}") }),
        json!({ "leads": [{ "lead_id": "1" }, "ada@acme.test"] }),
        json!({ "leads": [{ "email": "ada@acme.test" }] }),
        json!({ "leads": [{ "lead_id": "x".repeat(1_025) }] }),
        json!({ "leads": [{ "lead_id": "1", "email": 5 }] }),
        json!({ "leads": [{ "lead_id": "1", "company": long }] }),
        json!({ "leads": [{ "lead_id": "1", "company": "Acme\0" }] }),
        json!({ "leads": [{ "lead_id": "x" }, { "lead_id": "y" }, { "lead_id": "x" }] }),
        json!({ "leads": [{ "lead_id": "ada@acme.test" }, { "lead_id": "ada@acme.test" }] }),
    ]
}

#[test]
fn what_is_wrong_with_an_enrichment_job_names_the_field_and_no_value() {
    let lines = bad_changes().into_iter().map(|changed| {
        let job = enrichment_job(&changed);
        told(Some(EnrichmentJob::KIND), "", job.to_string().as_bytes())
    });
    check(
        lines,
        &expect![[r#"
            invalid: job_id is missing
            invalid: job_id must be 1 to 64 letters, digits, `_`, `.`, `:` or `-`
            invalid: job_id must be a text
            invalid: workspace_id must be 1 to 64 letters, digits, `_`, `.`, `:` or `-`
            invalid: campaign_id is empty
            too_large: campaign_id is longer than 1024 bytes
            too_large: waterfall is longer than 1024 bytes
            invalid: max_spend must be a text like "12.50", never a number
            invalid: max_spend is not a decimal amount like "12.50"
            invalid: max_spend has more than nine digits after the point
            invalid: max_spend is below zero
            invalid: max_spend is below zero
            invalid: max_spend is larger than can be counted
            invalid: auto_resume must be true or false
            invalid: leads is missing: give leads or leads_from
            invalid: leads is empty
            invalid: leads must be a list
            invalid: leads holds 20001, and at most 20000 fit into a message: send a longer list by leads_from
            invalid: leads and leads_from are both given: give one of them
            invalid: leads_from must begin with file://, https:// or s3://
            source_refused: leads_from must begin with file://, https:// or s3://
            too_large: leads_from is longer than 4096 bytes
            invalid: leads[1] must be an object
            invalid: leads[0].lead_id is missing
            too_large: leads[0].lead_id is longer than 1024 bytes
            invalid: leads[0].email must be a text
            too_large: leads[0].company is longer than 4096 bytes
            invalid: leads[0].company holds a NUL character
            invalid: leads[2].lead_id "x" is used before
            invalid: leads[1].lead_id is used before
        "#]],
    );
}

#[test]
fn what_is_wrong_with_the_other_messages_names_the_field() {
    let workspace = || json!({ "workspace_id": "acme", "ref": "r" });
    let reload = || json!({ "request_id": "r1" });
    let messages = [
        (CopyJob::KIND, copy_job(&json!({ "purpose": "spam" }))),
        (CopyJob::KIND, copy_job(&json!({ "model": null }))),
        (CopyJob::KIND, copy_job(&json!({ "max_output_tokens": 0 }))),
        (CopyJob::KIND, copy_job(&json!({ "max_output_tokens": "400" }))),
        (CopyJob::KIND, copy_job(&json!({ "instructions": "x".repeat(32_769) }))),
        (CopyJob::KIND, copy_job(&json!({ "instructions": null }))),
        (CopyJob::KIND, copy_job(&json!({ "max_spend": 5 }))),
        (CopyJob::KIND, copy_job(&json!({ "auto_resume": 1 }))),
        (CopyJob::KIND, copy_job(&json!({ "personalize": { "urls": ["https://{domain}/{team}"] } }))),
        (CopyJob::KIND, copy_job(&json!({ "personalize": [] }))),
        (CopyJob::KIND, copy_job(&json!({ "personalize": { "urls": ["https://{domain}", "ftp://x"] } }))),
        (CopyJob::KIND, copy_job(&json!({ "personalize": { "urls": vec!["https://x"; 11] } }))),
        (JobControl::KIND, json!({ "job_id": "job_1" })),
        (JobControl::KIND, json!({ "job_id": "job_1", "action": "stop" })),
        (TopUp::KIND, with(workspace(), &json!({ "amount": "0" }))),
        (TopUp::KIND, with(workspace(), &json!({ "amount": 25 }))),
        (TopUp::KIND, workspace()),
        (TopUp::KIND, json!({ "workspace_id": "acme", "amount": "1" })),
        (TopUp::KIND, json!({ "workspace_id": "acme", "amount": "1", "ref": "x".repeat(1_025) })),
        (CampaignActivate::KIND, workspace()),
        (ConfigReload::KIND, reload()),
        (ConfigReload::KIND, with(reload(), &json!({ "from": "store" }))),
        (ConfigReload::KIND, with(reload(), &json!({ "from": "files", "config": "" }))),
        (ConfigReload::KIND, json!({ "request_id": "r 1", "from": "files" })),
        (Presence::KIND, json!({ "worker_id": "w" })),
        (KeysChanged::KIND, json!({})),
        (WorkerStopped::KIND, json!({})),
    ];
    let lines = messages.iter().map(|(kind, message)| told(Some(kind), "", message.to_string().as_bytes()));
    check(
        lines,
        &expect![[r#"
            invalid: purpose must be live or warmup
            invalid: model is missing
            invalid: max_output_tokens must be a whole number from 1 to 1000000
            invalid: max_output_tokens must be a whole number from 1 to 1000000
            too_large: instructions is longer than 32768 bytes
            invalid: instructions is missing
            invalid: max_spend must be a text like "12.50", never a number
            invalid: auto_resume must be true or false
            invalid: personalize.urls[0] names {team}, which no lead has: there are lead_id, first_name, last_name, full_name, company, domain, linkedin_url, email
            invalid: personalize must be an object
            invalid: personalize.urls[1] must be an address that begins with https:// or http://
            invalid: personalize.urls holds more than 10
            invalid: action is missing
            invalid: action must be cancel or resume
            invalid: amount must be more than zero
            invalid: amount must be a text like "12.50", never a number
            invalid: amount is missing
            invalid: ref is missing
            too_large: ref is longer than 1024 bytes
            invalid: campaign_id is missing
            invalid: config is missing: give config, or from
            invalid: from must be files
            invalid: config and from are both given: give one of them
            invalid: request_id must be 1 to 64 letters, digits, `_`, `.`, `:` or `-`
            invalid: at is missing
            invalid: workspace_id is missing
            invalid: worker_id is missing
        "#]],
    );
}

#[test]
fn the_body_is_looked_at_before_the_type_and_the_type_before_the_fields() {
    let no_job = b"{}".as_slice();
    check(
        [
            told(Some("weir.unknown.v1"), "", &vec![b' '; BODY_LIMIT + 1]),
            told(Some("weir.unknown.v1"), "", b"\xff"),
            told(Some("weir.unknown.v1"), "", no_job),
            told(Some("weir.enrichment_job.v2"), "enrich", no_job),
            told(Some("weir.lead_result.v1"), "enrich", no_job),
            told(Some("ada@acme.test"), "enrich", no_job),
            told(None, "", no_job),
            told(None, "enrich", no_job),
        ],
        &expect![[r#"
            too_large: the body is larger than 16 MiB
            not_json: the body is not UTF-8
            unknown_type: type weir.unknown.v1 is not read here
            unknown_type: type weir.enrichment_job.v2 is another version: weir.enrichment_job.v1 is read here
            unknown_type: type weir.lead_result.v1 is not read here
            unknown_type: type is not one that is read here
            unknown_type: the message has no type, and neither routing key nor fields tell it
            invalid: job_id is missing
        "#]],
    );
}

#[test]
fn what_is_no_json_object_is_told_by_its_place_and_never_quoted() {
    for body in ["", "null", "[]", "\"ada@acme.test\"", "ada@acme.test", "{\"job_id\":\"ada@acme.test\",}", "{} {}"] {
        let refusal = read(None, "enrich", body.as_bytes()).unwrap_err();
        assert_eq!(refusal.reason, DeadReason::NotJson, "{body}");
        assert!(refusal.detail.starts_with("the body is not a JSON object (line 1, column "), "{refusal}");
        assert!(!refusal.detail.contains("ada"), "{refusal}");
    }
}

#[test]
fn unknown_fields_are_passed_over_whatever_they_hold() {
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(r#"{{"workspace_id":"acme","x":{nested},"campaign_id":"cmp_1","job_id":7}}"#);
    assert!(matches!(read(None, "control", body.as_bytes()), Ok(Incoming::CampaignActivate(_))));
}

#[test]
fn a_job_is_the_same_however_it_is_written() {
    let canonical = |text: &str| match read(None, "enrich", text.as_bytes()) {
        Ok(Incoming::Enrich(job)) => job.canonical(),
        other => panic!("{other:?}"),
    };
    let one = canonical(r#"{"job_id":"a","workspace_id":"acme","max_spend":"25","leads":[{"lead_id":"1"}]}"#);
    expect![[r#"["weir.enrichment_job.v1",{"workspace_id":"acme","campaign_id":null,"waterfall":null,"max_spend":"25.000000000","auto_resume":false},{"leads":[{"lead_id":"1","first_name":null,"last_name":null,"full_name":null,"company":null,"domain":null,"linkedin_url":null,"email":null}]}]"#]]
    .assert_eq(&one);
    let same = r#" {"leads": [{"email": null, "lead_id": "\u0031", "x": 1}], "auto_resume": false,
        "max_spend": "25.00", "job_id": "b", "workspace_id": "acme"}"#;
    assert_eq!(canonical(same), one);
    for other in [
        r#"{"job_id":"a","workspace_id":"other","max_spend":"25","leads":[{"lead_id":"1"}]}"#,
        r#"{"job_id":"a","workspace_id":"acme","max_spend":"26","leads":[{"lead_id":"1"}]}"#,
        r#"{"job_id":"a","workspace_id":"acme","max_spend":"25","leads":[{"lead_id":"2"}]}"#,
        r#"{"job_id":"a","workspace_id":"acme","max_spend":"25","leads":[{"lead_id":"1","company":"Acme"}]}"#,
        r#"{"job_id":"a","workspace_id":"acme","max_spend":"25","leads_from":"file:///a.csv"}"#,
    ] {
        assert_ne!(canonical(other), one);
    }
}

#[test]
fn a_copy_job_is_the_same_however_it_is_written() {
    let read_job = |message: &Value| match read(None, "copy", message.to_string().as_bytes()) {
        Ok(Incoming::Copy(job)) => job,
        other => panic!("{other:?}"),
    };
    let canonical = |changed: Value| read_job(&copy_job(&changed)).canonical();
    let one = canonical(json!({}));
    expect![[r#"["weir.copy_job.v1",{"workspace_id":"acme","campaign_id":null,"purpose":"live","model":"gpt-5.4-mini","max_output_tokens":400,"instructions":"Write.","personalize":{"urls":[]},"max_spend":null,"auto_resume":false},{"leads":[{"lead_id":"1","first_name":null,"last_name":null,"full_name":null,"company":null,"domain":null,"linkedin_url":null,"email":null}]}]"#]]
    .assert_eq(&one);
    for same in [
        json!({ "job_id": "copy_2" }),
        json!({ "max_output_tokens": null }),
        json!({ "purpose": "live", "personalize": {}, "auto_resume": false, "max_spend": null, "sender": 7 }),
    ] {
        assert_eq!(canonical(same.clone()), one, "{same}");
    }
    let changes = [
        json!({ "workspace_id": "other" }),
        json!({ "campaign_id": "cmp_1" }),
        json!({ "purpose": "warmup" }),
        json!({ "model": "gpt-5.4" }),
        json!({ "max_output_tokens": 401 }),
        json!({ "instructions": "Write" }),
        json!({ "personalize": { "urls": ["https://{domain}"] } }),
        json!({ "max_spend": "5" }),
        json!({ "auto_resume": true }),
        json!({ "leads": [{ "lead_id": "2" }] }),
    ];
    for other in changes {
        assert_ne!(canonical(other.clone()), one, "{other}");
    }
    let job = read_job(&copy_job(&json!({ "max_output_tokens": null, "max_spend": "5", "auto_resume": true })));
    assert_eq!((job.max_output_tokens, job.purpose), (USUAL_OUTPUT_TOKENS, Purpose::Live));
    assert_eq!((job.max_spend, job.auto_resume), (Some(usd("5")), true));
}

#[test]
fn what_workers_tell_each_other_is_read_as_it_was_written() {
    fn body<M: Message + Serialize>(message: &M) -> (&'static str, Vec<u8>) {
        (M::KIND, message.to_json().to_string().into_bytes())
    }
    let config_version = ConfigVersion::new("0123456789ab");
    let presence =
        Presence { worker_id: WorkerId::new("w1"), at: "2027-01-15T08:00:00Z".to_owned(), config_version, hello: true };
    let changed = KeysChanged { workspace_id: WorkspaceId::new("acme") };
    let stopped = WorkerStopped { worker_id: WorkerId::new("w1") };
    for ((kind, body), message) in [
        (body(&presence), Incoming::Presence(presence.clone())),
        (body(&changed), Incoming::KeysChanged(changed.clone())),
        (body(&stopped), Incoming::WorkerStopped(stopped.clone())),
    ] {
        assert_eq!(read(Some(kind), "", &body), Ok(message));
    }
}

fn attempt(n: u32, provider: &str, operation: Operation, state: AttemptState) -> Attempt {
    let step = Step::new(ProviderName::new(provider), operation);
    Attempt { n: AttemptNo::new(n), run: Run::FIRST, step, about: None, key_source: KeySource::House, state }
}

fn ended(outcome: Outcome, source: AnswerSource, nanos: i64, duration_ms: u64) -> AttemptState {
    let cost = Usd::from_nanos(nanos);
    AttemptState::Ended(AttemptEnd { source, cost, duration_ms, ..AttemptEnd::not_asked(outcome) })
}

/// The end of a call that brought this besides its outcome.
fn brought(outcome: Outcome, product: Product, nanos: i64) -> AttemptState {
    let unsaid = matches!(product, Product::Copy { tokens: None, .. });
    let (source, cost) = (AnswerSource::Called, Usd::from_nanos(nanos));
    let product = Some(product);
    AttemptState::Ended(AttemptEnd {
        source,
        product,
        cost,
        unsaid,
        duration_ms: 900,
        ..AttemptEnd::not_asked(outcome)
    })
}

fn answer(draft: bool, tokens: Option<Tokens>) -> Product {
    let text = || Arc::new(Draft { subject: "Hello".to_owned(), body: "Hello Ada".to_owned() });
    Product::Copy { draft: draft.then(text), tokens }
}

/// A result whose last attempts were these.
fn copy_of(ending: &Ending, trail: &[Attempt]) -> CopyResult {
    let (job_id, workspace_id, campaign_id) = (JobId::new("copy_1"), workspace_id(), CampaignId::new("cmp_1"));
    let job = JobHead { job_id: &job_id, workspace_id: &workspace_id, campaign_id: Some(&campaign_id) };
    let costs = trail.iter().filter_map(|attempt| Some(attempt.end()?.cost));
    let cost = costs.fold(Usd::ZERO, Usd::saturating_add);
    CopyResult::new(job, &LeadId::new("1"), Run::FIRST, ending, cost, trail.iter(), Some(at()))
}

const TOKENS: Tokens = Tokens { input: 900, cached_input: 64, cache_write: 32, output: 120, reasoning: 40 };

/// A page read, a model that did not answer, then one that did; the page's reading is told once more.
fn copy_result() -> CopyResult {
    let trail = [
        attempt(1, "firecrawl", Operation::Scrape, brought(Outcome::Scraped, Product::Text("Acme".into()), 5_000_000)),
        attempt(2, "openai", Operation::WriteCopy, ended(Outcome::Timeout, AnswerSource::Called, 0, 30_000)),
        attempt(3, "openai", Operation::WriteCopy, brought(Outcome::Written, answer(true, Some(TOKENS)), 1_244_000)),
        attempt(4, "firecrawl", Operation::Scrape, brought(Outcome::Scraped, Product::Text("Acme".into()), 0)),
    ];
    copy_of(&Ending::without_address(Status::Written, Reason::None), &trail)
}

fn lead_result() -> LeadResult {
    let ending = Ending {
        status: Status::Verified,
        reason: Reason::None,
        address: Address::parse("ada@acme.test"),
        verdict: Some(Verdict::Valid),
        found_by: Some(ProviderName::new("leadmagic")),
        verified_by: Some(ProviderName::new("zerobounce")),
    };
    let found = ended(Outcome::Found, AnswerSource::Called, 12_500_000, 412);
    let valid = ended(Outcome::Judged(Verdict::Valid), AnswerSource::Cached, 0, 0);
    let trail = [
        attempt(1, "leadmagic", Operation::FindEmail, found),
        attempt(2, "zerobounce", Operation::VerifyEmail, valid),
        attempt(3, "prospeo", Operation::FindEmail, AttemptState::Begun),
    ];
    let job = JobHead { job_id: &JobId::new("job_1"), workspace_id: &WorkspaceId::new("acme"), campaign_id: None };
    let at = Some("2027-01-15T08:00:00.002Z".to_owned());
    LeadResult::new(job, &LeadId::new("1"), Run::FIRST, &ending, Usd::from_nanos(12_500_000), trail.iter(), at)
}

#[test]
fn a_lead_result_has_exactly_the_fields_of_the_contract() {
    expect![[r#"{"event_id":"6e423960e503e5008f4e3ed3e202d73a","at":"2027-01-15T08:00:00.002Z","job_id":"job_1","workspace_id":"acme","campaign_id":null,"lead_id":"1","status":"verified","reason":"none","email":"ada@acme.test","verdict":"valid","found_by":"leadmagic","verified_by":"zerobounce","cost":"0.012500000","trail":[{"step":"leadmagic.find_email","key_source":"house","outcome":"found","cached":false,"cost":"0.012500000","duration_ms":412},{"step":"zerobounce.verify_email","key_source":"house","outcome":"valid","cached":true,"cost":"0.000000000","duration_ms":0}]}"#]]
    .assert_eq(&lead_result().to_json().to_string());
}

#[test]
fn a_copy_result_has_exactly_the_fields_of_the_contract() {
    expect![[r#"{"event_id":"4c9ecb844c2df6d5316adf673ef2bc94","at":"2027-01-15T08:00:00.000Z","job_id":"copy_1","workspace_id":"acme","campaign_id":"cmp_1","lead_id":"1","status":"written","reason":"none","subject":"Hello","body":"Hello Ada","usage":{"input_tokens":900,"cached_input_tokens":64,"cache_write_tokens":32,"output_tokens":120,"reasoning_tokens":40},"cost":"0.006244000","trail":[{"step":"firecrawl.scrape","key_source":"house","outcome":"scraped","cached":false,"cost":"0.005000000","duration_ms":900},{"step":"openai.write_copy","key_source":"house","outcome":"timeout","cached":false,"cost":"0.000000000","duration_ms":30000},{"step":"openai.write_copy","key_source":"house","outcome":"written","cached":false,"cost":"0.001244000","duration_ms":900},{"step":"firecrawl.scrape","key_source":"house","outcome":"scraped","cached":false,"cost":"0.000000000","duration_ms":900}]}"#]]
    .assert_eq(&copy_result().to_json().to_string());
}

#[test]
fn a_copy_result_tells_the_last_answer_and_flags_one_without_usage() {
    let write = |n, state| attempt(n, "openai", Operation::WriteCopy, state);
    let refused = Outcome::Unwritten(Unwritten::Refused);
    let (no_answer, counted) = (|| ended(Outcome::Timeout, AnswerSource::Called, 0, 9), Some(TOKENS));
    // Is there a text, are there tokens, and which steps lack them?
    for (name, trail, told) in [
        ("nothing tried", vec![], (false, false, vec![])),
        ("counted", vec![write(1, brought(Outcome::Written, answer(true, counted), 7))], (true, true, vec![false])),
        ("not counted", vec![write(1, brought(Outcome::Written, answer(true, None), 7))], (true, false, vec![true])),
        ("refused", vec![write(1, brought(refused, answer(false, counted), 7))], (false, true, vec![false])),
        ("refused, not counted", vec![write(1, brought(refused, answer(false, None), 7))], (false, false, vec![true])),
        ("no answer", vec![write(1, no_answer())], (false, false, vec![false])),
        (
            "an answer after none",
            vec![write(1, no_answer()), write(2, brought(Outcome::Written, answer(true, None), 7))],
            (true, false, vec![false, true]),
        ),
        (
            "under way again",
            vec![write(1, brought(Outcome::Written, answer(true, counted), 7)), write(2, AttemptState::Begun)],
            (true, true, vec![false]),
        ),
    ] {
        let result = copy_of(&Ending::without_address(Status::Failed, Reason::Deadline), &trail);
        let missing: Vec<bool> = result.trail.iter().map(|step| step.usage_missing).collect();
        assert_eq!((result.body.is_some(), result.usage.is_some(), missing), told, "{name}");
        assert_eq!(result.subject.is_some(), result.body.is_some(), "{name}");
        assert_eq!(problems(CopyResult::KIND, &result.to_json()), Vec::<String>::new(), "{name}");
        let flags = result.to_json().to_string().matches(r#""usage_missing":true"#).count();
        assert_eq!(flags, result.trail.iter().filter(|step| step.usage_missing).count(), "{name}");
    }
}

#[test]
fn a_result_does_not_show_a_person_in_a_log() {
    assert!(!format!("{:?}", lead_result()).contains("ada"));
    assert_eq!(format!("{:?}", copy_result()), "CopyResult { job_id: copy_1, lead_id: 1, .. }");
}

fn of<M: Message + Serialize + JsonSchema>(event: &M) -> (&'static str, Value) {
    (M::KIND, event.to_json())
}

fn event_id() -> String {
    "e1".to_owned()
}

fn at() -> String {
    "2027-01-15T08:00:00.000Z".to_owned()
}

fn workspace_id() -> WorkspaceId {
    WorkspaceId::new("acme")
}

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

/// One of each event, in the order of `weir schema`.
fn events() -> Vec<(&'static str, Value)> {
    [job_events(), wallet_events(), campaign_events(), key_events(), config_events()].concat()
}

fn job_events() -> Vec<(&'static str, Value)> {
    let completed = JobCompleted {
        event_id: event_id(),
        at: at(),
        job_id: JobId::new("job_1"),
        workspace_id: workspace_id(),
        campaign_id: None,
        by_status: [(Status::Skipped, 1), (Status::Verified, 2)].into(),
        by_reason: [(Reason::WalletEmpty, 1), (Reason::None, 2)].into(),
        cost: usd("0.0205"),
    };
    vec![of(&lead_result()), of(&copy_result()), of(&completed)]
}

fn wallet_events() -> Vec<(&'static str, Value)> {
    let (balance, threshold, amount) = (usd("9.5"), usd("10"), usd("25"));
    let reference = || "rch_1".to_owned();
    let low = WalletLow {
        event_id: event_id(),
        at: at(),
        workspace_id: workspace_id(),
        balance,
        threshold,
        burn_per_hour: Some(usd("1.5")),
        runs_dry_at: Some("2027-01-15T14:20:00.000Z".to_owned()),
    };
    let empty = WalletEmpty {
        event_id: event_id(),
        at: at(),
        workspace_id: workspace_id(),
        balance,
        threshold,
        burn_per_hour: None,
        runs_dry_at: None,
    };
    let requested = RechargeRequested {
        event_id: event_id(),
        at: at(),
        workspace_id: workspace_id(),
        amount,
        reference: reference(),
    };
    let failed =
        RechargeFailed { event_id: event_id(), at: at(), workspace_id: workspace_id(), amount, reference: reference() };
    vec![of(&low), of(&empty), of(&requested), of(&failed)]
}

fn campaign_events() -> Vec<(&'static str, Value)> {
    let (campaign_id, reason) = (|| CampaignId::new("cmp_1"), Reason::WalletEmpty);
    let deactivated = CampaignDeactivated {
        event_id: event_id(),
        at: at(),
        workspace_id: workspace_id(),
        campaign_id: campaign_id(),
        reason,
    };
    let activated =
        CampaignActivated { event_id: event_id(), at: at(), workspace_id: workspace_id(), campaign_id: campaign_id() };
    let refused = CampaignRefused {
        event_id: event_id(),
        at: at(),
        workspace_id: workspace_id(),
        campaign_id: campaign_id(),
        reason,
    };
    vec![of(&deactivated), of(&activated), of(&refused)]
}

fn key_events() -> Vec<(&'static str, Value)> {
    let rejected = KeyRejected {
        event_id: event_id(),
        at: at(),
        workspace_id: Some(workspace_id()),
        provider: ProviderName::new("prospeo"),
        key_source: KeySource::Own,
    };
    let out_of_credits = ProviderOutOfCredits {
        event_id: event_id(),
        at: at(),
        workspace_id: None,
        provider: ProviderName::new("prospeo"),
        key_source: KeySource::House,
    };
    vec![of(&rejected), of(&out_of_credits)]
}

fn config_events() -> Vec<(&'static str, Value)> {
    let mistake = ConfigMistake {
        path: "providers.leadmagic.credit_price".to_owned(),
        message: "the message's config, line 3: must be a price in quotes".to_owned(),
    };
    let applied = ConfigApplied {
        event_id: event_id(),
        at: at(),
        workspace_id: None,
        request_id: "r1".to_owned(),
        worker_id: WorkerId::new("w1"),
        config_version: ConfigVersion::new("0123456789ab"),
        errors: Vec::new(),
    };
    let rejected = ConfigRejected {
        event_id: event_id(),
        at: at(),
        workspace_id: None,
        request_id: "r1".to_owned(),
        worker_id: WorkerId::new("w1"),
        config_version: ConfigVersion::new("0123456789ab"),
        errors: vec![mistake],
    };
    vec![of(&applied), of(&rejected)]
}

#[test]
fn every_event_is_written_in_the_order_of_the_contract() {
    let lines = events().into_iter().skip(2).map(|(kind, event)| format!("{} {event}", routing_key(kind)));
    check(
        lines,
        &expect![[r#"
            job_completed {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","job_id":"job_1","workspace_id":"acme","campaign_id":null,"by_status":{"verified":2,"skipped":1},"by_reason":{"none":2,"wallet_empty":1},"cost":"0.020500000"}
            wallet_low {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","balance":"9.500000000","threshold":"10.000000000","burn_per_hour":"1.500000000","runs_dry_at":"2027-01-15T14:20:00.000Z"}
            wallet_empty {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","balance":"9.500000000","threshold":"10.000000000","burn_per_hour":null,"runs_dry_at":null}
            recharge_requested {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","amount":"25.000000000","ref":"rch_1"}
            recharge_failed {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","amount":"25.000000000","ref":"rch_1"}
            campaign_deactivated {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","campaign_id":"cmp_1","reason":"wallet_empty"}
            campaign_activated {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","campaign_id":"cmp_1"}
            campaign_refused {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","campaign_id":"cmp_1","reason":"wallet_empty"}
            key_rejected {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":"acme","provider":"prospeo","key_source":"own"}
            provider_out_of_credits {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":null,"provider":"prospeo","key_source":"house"}
            config_applied {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":null,"request_id":"r1","worker_id":"w1","config_version":"0123456789ab","errors":[]}
            config_rejected {"event_id":"e1","at":"2027-01-15T08:00:00.000Z","workspace_id":null,"request_id":"r1","worker_id":"w1","config_version":"0123456789ab","errors":[{"path":"providers.leadmagic.credit_price","message":"the message's config, line 3: must be a price in quotes"}]}
        "#]],
    );
}

#[test]
fn every_event_keeps_its_schema_and_every_schema_has_its_event() {
    let events = events();
    for (kind, event) in &events {
        assert_eq!(problems(kind, event), Vec::<String>::new(), "{kind}");
        for field in event.as_object().unwrap().keys() {
            let mut less = event.clone();
            less.as_object_mut().unwrap().remove(field);
            assert_ne!(problems(kind, &less), Vec::<String>::new(), "{kind} without {field}");
        }
    }
    let schemas = schemas();
    let of_events = schemas.keys().skip(schemas.len() - events.len());
    assert_eq!(of_events.collect::<Vec<_>>(), events.iter().map(|(kind, _)| *kind).collect::<Vec<_>>());
}

#[test]
fn three_events_must_reach_a_queue() {
    let must = events().into_iter().map(|(kind, _)| kind).filter(|kind| must_be_routed(kind));
    assert_eq!(must.collect::<Vec<_>>(), [LeadResult::KIND, CopyResult::KIND, JobCompleted::KIND]);
}

#[test]
fn a_schema_is_complete_in_itself() {
    for (kind, schema) in schemas() {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{kind}");
        assert_eq!(schema["title"], kind);
        assert!(!schema.to_string().contains("$ref"), "{kind}");
        assert!(jsonschema::draft202012::meta::is_valid(&schema), "{kind}");
    }
}

#[test]
fn a_schema_allows_what_reading_takes() {
    let longest = || json!("x".repeat(1_024));
    let nothing = json!({ "campaign_id": null, "waterfall": null, "max_spend": null, "auto_resume": null,
        "leads_from": null });
    let bare = json!({ "campaign_id": null, "purpose": null, "max_output_tokens": null, "personalize": null,
        "max_spend": null, "auto_resume": null });
    let lead = json!({ "lead_id": longest(), "first_name": null, "last_name": null, "full_name": null,
        "company": null, "domain": "", "linkedin_url": null, "email": "n/a" });
    let top_up = |changed: Value| (TopUp::KIND, with(json!({ "workspace_id": "acme", "ref": "r" }), &changed));
    let reload = |changed: Value| (ConfigReload::KIND, with(json!({ "request_id": "r1" }), &changed));
    for (kind, message) in [
        (EnrichmentJob::KIND, enrichment_job(&nothing)),
        (EnrichmentJob::KIND, enrichment_job(&json!({ "campaign_id": longest(), "max_spend": "+0.000000001" }))),
        (EnrichmentJob::KIND, enrichment_job(&json!({ "leads": [lead] }))),
        (EnrichmentJob::KIND, enrichment_job(&json!({ "leads": null, "leads_from": "https://a/b.csv" }))),
        (CopyJob::KIND, copy_job(&bare)),
        (CopyJob::KIND, copy_job(&json!({ "personalize": {} }))),
        (CopyJob::KIND, copy_job(&json!({ "personalize": { "urls": null } }))),
        (CopyJob::KIND, copy_job(&json!({ "personalize": { "urls": [] }, "max_output_tokens": 1_000_000 }))),
        (JobControl::KIND, json!({ "job_id": "job_1", "action": "resume", "max_spend": null })),
        top_up(json!({ "amount": "25", "declined": null })),
        top_up(json!({ "amount": "25", "declined": false, "ref": longest() })),
        top_up(json!({ "declined": true })),
        top_up(json!({ "declined": true, "amount": null })),
        top_up(json!({ "declined": true, "amount": "0" })),
        (CampaignActivate::KIND, json!({ "workspace_id": "acme", "campaign_id": longest() })),
        reload(json!({ "config": "", "from": null })),
        reload(json!({ "config": null, "from": "files" })),
    ] {
        let taken = read(Some(kind), "", message.to_string().as_bytes());
        assert!(taken.is_ok(), "{taken:?} for {message}");
        assert_eq!(problems(kind, &message), Vec::<String>::new(), "{message}");
    }
}

#[test]
fn a_schema_refuses_what_reading_refuses() {
    let job = |changed: Value| (EnrichmentJob::KIND, enrichment_job(&changed));
    for (kind, message) in [
        job(json!({ "job_id": "two words" })),
        job(json!({ "max_spend": 25 })),
        job(json!({ "max_spend": "1,5" })),
        job(json!({ "leads": [] })),
        job(json!({ "leads": null })),
        job(json!({ "leads": [{ "company": "Acme" }] })),
        job(json!({ "leads_from": "file:///lists/a.csv" })),
        job(json!({ "leads": null, "leads_from": "http://10.0.0.1/a.csv" })),
        (CopyJob::KIND, copy_job(&json!({ "purpose": "spam" }))),
        (CopyJob::KIND, copy_job(&json!({ "max_output_tokens": 0 }))),
        (CopyJob::KIND, copy_job(&json!({ "max_spend": 5 }))),
        (CopyJob::KIND, copy_job(&json!({ "auto_resume": "yes" }))),
        (CopyJob::KIND, copy_job(&json!({ "personalize": { "urls": ["ftp://x"] } }))),
        (JobControl::KIND, json!({ "job_id": "job_1", "action": "stop" })),
        (TopUp::KIND, json!({ "workspace_id": "acme", "amount": 25, "ref": "r" })),
        (TopUp::KIND, json!({ "workspace_id": "acme", "amount": null, "ref": "r" })),
        (TopUp::KIND, json!({ "workspace_id": "acme", "ref": "r", "declined": false })),
        (TopUp::KIND, json!({ "workspace_id": "acme", "amount": "1", "ref": "x".repeat(1_025) })),
        (CampaignActivate::KIND, json!({ "workspace_id": "acme" })),
        (CampaignActivate::KIND, json!({ "workspace_id": "acme", "campaign_id": "x".repeat(1_025) })),
        (ConfigReload::KIND, json!({ "request_id": "r1" })),
        (ConfigReload::KIND, json!({ "request_id": "r1", "from": "files", "config": "" })),
        (ConfigReload::KIND, json!({ "request_id": "r1", "from": "store" })),
    ] {
        assert!(read(Some(kind), "", message.to_string().as_bytes()).is_err(), "{message}");
        assert_ne!(problems(kind, &message), Vec::<String>::new(), "{message}");
    }
    assert_eq!(problems(EnrichmentJob::KIND, &enrichment_job(&json!({ "sender": 7 }))), Vec::<String>::new());
}

#[test]
fn the_closed_words_of_a_result_are_closed_in_its_schema() {
    for changed in [
        json!({ "status": "done" }),
        json!({ "status": "written" }),
        json!({ "reason": "bored" }),
        json!({ "reason": "refused" }),
        json!({ "reason": "truncated" }),
        json!({ "verdict": "good" }),
        json!({ "cost": "0.01" }),
        json!({ "trail": [{ "step": "leadmagic.find_email", "key_source": "house", "outcome": "lost", "cached": false,
            "cost": "0.000000000", "duration_ms": 0 }] }),
    ] {
        let result = with(lead_result().to_json(), &changed);
        assert_eq!(problems(LeadResult::KIND, &result).len(), 1, "{changed}");
    }
}

#[test]
fn how_a_lead_may_end_is_what_the_schema_of_its_result_says() {
    let pairs = Status::ALL.iter().flat_map(|status| Reason::ALL.iter().map(move |reason| (*status, *reason)));
    let allowed: Vec<(Status, Reason)> =
        pairs.filter(|&(status, reason)| Ending::without_address(status, reason).is_allowed()).collect();
    assert!(allowed.len() > 25, "{}", allowed.len());
    for (status, reason) in allowed {
        let ending = json!({ "status": status, "reason": reason });
        let keeps = |kind: &str, result: Value| problems(kind, &with(result, &ending)).is_empty();
        let of_copy = status == Status::Written || [Reason::Refused, Reason::Truncated].contains(&reason);
        assert_eq!(keeps(LeadResult::KIND, lead_result().to_json()), !of_copy, "{status} {reason}");
        let of_both = [Status::Skipped, Status::Failed].contains(&status);
        assert_eq!(keeps(CopyResult::KIND, copy_result().to_json()), of_copy || of_both, "{status} {reason}");
    }
}
