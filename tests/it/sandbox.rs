//! The sandbox, proved from outside: by ZeroBounce's own client, and over plain HTTP.
#![expect(clippy::disallowed_methods, reason = "a test's server ends with the test's runtime")]

use reqwest::Client;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::future::pending;
use weir::sandbox::Meter;
use weir::sandbox::Options;
use weir::sandbox::Sandbox;
use zero_bounce::ZeroBounce;
use zero_bounce::utility::ZBError;

/// The vendor's test addresses, all `@example.com`, with status and sub-status.
const ZEROBOUNCE_SAMPLES: &[(&str, &str, &str)] = &[
    ("valid", "valid", ""),
    ("invalid", "invalid", "mailbox_not_found"),
    ("disposable", "do_not_mail", "disposable"),
    ("toxic", "do_not_mail", "toxic"),
    ("donotmail", "do_not_mail", "role_based"),
    ("role_based", "do_not_mail", "role_based"),
    ("role_based_catch_all", "do_not_mail", "role_based_catch_all"),
    ("global_suppression", "do_not_mail", "global_suppression"),
    ("possible_trap", "do_not_mail", "possible_trap"),
    ("spamtrap", "spamtrap", ""),
    ("abuse", "abuse", ""),
    ("unknown", "unknown", "mail_server_temporary_error"),
    ("catch_all", "catch-all", ""),
    ("antispam_system", "unknown", "antispam_system"),
    ("exception_occurred", "unknown", "exception_occurred"),
    ("failed_smtp_connection", "unknown", "failed_smtp_connection"),
    ("forcible_disconnect", "unknown", "forcible_disconnect"),
    ("greylisted", "unknown", "greylisted"),
    ("mail_server_did_not_respond", "unknown", "mail_server_did_not_respond"),
    ("mail_server_temporary_error", "unknown", "mail_server_temporary_error"),
    ("timeout_exceeded", "unknown", "timeout_exceeded"),
    ("does_not_accept_mail", "invalid", "does_not_accept_mail"),
    ("failed_syntax_check", "invalid", "failed_syntax_check"),
    ("mailbox_not_found", "invalid", "mailbox_not_found"),
    ("mailbox_quota_exceeded", "invalid", "mailbox_quota_exceeded"),
    ("no_dns_entries", "invalid", "no_dns_entries"),
    ("possible_typo", "invalid", "possible_typo"),
    ("unroutable_ip_address", "invalid", "unroutable_ip_address"),
    ("leading_period_removed", "valid", "leading_period_removed"),
    ("free_email", "valid", ""),
    ("gold", "valid", "gold"),
    ("role_based_accept_all", "valid", "role_based_accept_all"),
    ("aiagentmailbox", "valid", "ai_agent_mailbox"),
];

struct Running {
    root: String,
    zerobounce: String,
    meter: Meter,
    client: Client,
}

impl Running {
    async fn start(options: Options) -> Self {
        let sandbox = Sandbox::bind(([127, 0, 0, 1], 0).into(), options).await.unwrap();
        let running = Self {
            root: format!("http://{}", sandbox.address()),
            zerobounce: sandbox.base_url("zerobounce").unwrap(),
            meter: sandbox.meter(),
            client: Client::builder().no_proxy().build().unwrap(),
        };
        tokio::spawn(sandbox.serve(pending()));
        running
    }

    async fn get(&self, path: &str) -> Value {
        let text = self.client.get(format!("{}{path}", self.root)).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Status and text of a POST with a key in `header`.
    async fn post(&self, path: &str, header: (&str, &str), body: Value) -> reqwest::Result<(u16, String)> {
        let call = self.client.post(format!("{}{path}", self.root)).header(header.0, header.1);
        let call = call.header("content-type", "application/json").header("accept", "application/json");
        let answer = call.body(body.to_string()).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// What LeadMagic says of a person.
    async fn leadmagic(&self, first: &str, domain: &str) -> reqwest::Result<(u16, String)> {
        let body = json!({"first_name": first, "last_name": "Sample", "domain": domain});
        self.post("/leadmagic/v1/people/email-finder", ("x-api-key", "key-1234"), body).await
    }

    /// Runs the vendor's client, which blocks, away from the server's thread.
    async fn zerobounce<T: Send + 'static>(&self, key: &str, ask: impl FnOnce(&ZeroBounce) -> T + Send + 'static) -> T {
        let (key, url) = (key.to_owned(), self.zerobounce.clone());
        tokio::task::spawn_blocking(move || ask(&ZeroBounce::with_base_url(&key, url))).await.unwrap()
    }

    async fn fault(&self, order: Value) {
        let (status, text) = self.post("/_sandbox/faults", ("x-api-key", ""), order).await.unwrap();
        assert_eq!(status, 200, "{text}");
    }

    fn billed(&self, provider: &str, operation: &str) -> Decimal {
        self.meter.counts().of(provider, operation).billed_credits
    }
}

#[tokio::test]
async fn zerobounces_client_reads_every_test_address_as_documented_and_none_is_billed() {
    let sandbox = Running::start(Options::default()).await;
    let answers = sandbox.zerobounce("key", |client| {
        let validate = |&(name, ..): &(&str, &str, &str)| client.validate_email(&format!("{name}@example.com"));
        ZEROBOUNCE_SAMPLES.iter().map(validate).collect::<Result<Vec<_>, _>>()
    });
    for (answer, (name, status, sub_status)) in answers.await.unwrap().iter().zip(ZEROBOUNCE_SAMPLES) {
        assert_eq!((answer.status.as_str(), answer.sub_status.as_str()), (*status, *sub_status), "{name}");
        assert_eq!(answer.free_email, *name == "free_email", "{name}");
    }
    let count = sandbox.meter.counts().of("zerobounce", "verify_email");
    assert_eq!((count.calls, count.billed_credits), (33, Decimal::ZERO));
}

#[tokio::test]
async fn zerobounces_client_meets_the_vendors_errors() {
    let sandbox = Running::start(Options::default()).await;
    let validate = |client: &ZeroBounce| client.validate_email("ada@acme.test");
    // Status 200 and no verdict: the client cannot read it.
    assert!(matches!(sandbox.zerobounce("bad-key", validate).await, Err(ZBError::JsonError(_))));
    assert!(matches!(sandbox.zerobounce("no-credits", validate).await, Err(ZBError::JsonError(_))));
    assert!(matches!(sandbox.zerobounce("", validate).await, Err(ZBError::ExplicitError(_))));
    for (key, credits) in [("good", 10_000), ("bad-key", -1), ("no-credits", 0)] {
        assert_eq!(sandbox.zerobounce(key, ZeroBounce::get_credits).await.unwrap(), credits, "{key}");
    }
    assert_eq!(sandbox.zerobounce("good", ZeroBounce::get_api_usage_overall).await.unwrap().total, 0);
    assert_eq!(sandbox.billed("zerobounce", "verify_email"), Decimal::ZERO);
}

#[tokio::test]
async fn zerobounces_client_validates_a_batch() {
    let sandbox = Running::start(Options::default()).await;
    let addresses = ["a@x.hit.test", "b@x.unknown.test", "c@x.invalid.test", "valid@example.com"];
    let batch = addresses.map(|address| (address.to_owned(), String::new())).to_vec();
    let refused = batch.clone();
    let answer = sandbox.zerobounce("key", move |client| client.batch_validate(batch)).await.unwrap();
    let statuses: Vec<_> = answer.email_batch.iter().map(|one| one.status.as_str()).collect();
    assert_eq!(statuses, ["valid", "unknown", "invalid", "valid"]);
    assert_eq!(sandbox.billed("zerobounce", "verify_email"), Decimal::TWO);

    let answer = sandbox.zerobounce("bad-key", move |client| client.batch_validate(refused)).await.unwrap();
    assert_eq!(answer.errors.first().unwrap().email_address, "all");
}

#[tokio::test]
async fn millionverifiers_demo_keys_are_honoured_and_not_billed() {
    let sandbox = Running::start(Options::default()).await;
    for (key, result, error) in [
        ("OK", "ok", ""),
        ("CATCH_ALL", "catch_all", ""),
        ("INVALID", "invalid", ""),
        ("UNKOWN", "unknown", ""),
        ("DISPOSABLE", "disposable", ""),
        ("UNVERIFIED", "unverified", ""),
        ("ERROR_NO_EMAIL", "error", "No email specified"),
        ("ERROR_NO_APIKEY", "error", "No apikey specified"),
        ("ERROR_INVALID_APIKEY", "error", "Apikey not found"),
        ("ERROR_INSUFFICIENT_CREDITS", "error", "Insufficient credits"),
        ("ERROR_IP_ADDRESS_BLOCKED", "error", "IP address blocked"),
        ("ERROR_INTERNAL_ERROR", "error", "Internal error"),
    ] {
        for slash in ["", "/"] {
            let path = format!("/millionverifier/api/v3{slash}?api=API_KEY_FOR_{key}&email=ada%2Bx%40acme.test");
            let answer = sandbox.get(&path).await;
            assert_eq!((&answer["result"], &answer["error"]), (&json!(result), &json!(error)), "{key}");
            assert_eq!(answer["email"], "ada+x@acme.test");
        }
    }
    let answer = sandbox.get("/millionverifier/api/v3/?api=API_KEY_FOR_TEST&email=ada%40acme.test").await;
    assert_eq!(answer["error"], "");
    assert_eq!(sandbox.billed("millionverifier", "verify_email"), Decimal::ZERO);
}

#[tokio::test]
async fn answers_depend_on_the_seed_and_the_question_only() {
    let people: Vec<_> = (0..40).map(|n| format!("Ada{n}")).collect();
    let mut runs = Vec::new();
    for (seed, backwards) in [(1, false), (1, true), (2, false)] {
        let sandbox = Running::start(Options { seed, ..Options::default() }).await;
        let mut answers = Vec::new();
        for n in 0..people.len() {
            let n = if backwards { people.len() - 1 - n } else { n };
            answers.push((n, sandbox.leadmagic(&people[n], "acme.test").await.unwrap()));
        }
        answers.sort();
        runs.push(answers);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn icypeas_answers_later_and_only_to_a_bare_key() {
    let sandbox = Running::start(Options::default()).await;
    let (path, read) = ("/icypeas/api/email-search", "/icypeas/api/bulk-single-searchs/read");
    let search = json!({"firstname": "Ada", "lastname": "Sample", "domainOrCompany": "a.hit.test",
                        "custom": {"externalId": "job-42"}});
    let refused = sandbox.post(path, ("authorization", "Bearer key"), search.clone()).await.unwrap();
    assert_eq!(refused.0, 401);

    let key = ("authorization", "key");
    let submitted: Value = serde_json::from_str(&sandbox.post(path, key, search).await.unwrap().1).unwrap();
    let by_id = json!({"id": submitted["item"]["_id"]});
    let newest = json!({"mode": "single", "type": "email-search"});
    let mut items = Vec::new();
    for question in [by_id, newest] {
        let answer: Value = serde_json::from_str(&sandbox.post(read, key, question).await.unwrap().1).unwrap();
        assert_eq!(answer["total"], 1);
        items.push(answer["items"][0].clone());
    }
    assert_eq!(items[0]["status"], "NONE");
    assert_eq!(items[1]["_id"], submitted["item"]["_id"]);
    assert_eq!(items[1]["userData"]["externalId"], "job-42");
    assert_eq!(items[1]["results"]["emails"][0]["email"], "ada.sample@a.hit.test");
    assert_eq!(sandbox.billed("icypeas", "find_email"), Decimal::ONE);
}

#[tokio::test]
async fn faults_can_be_switched_on_and_off() {
    let sandbox = Running::start(Options::default()).await;
    let status = async || sandbox.leadmagic("Ada", "a.hit.test").await.map(|(status, _)| status).ok();
    for (order, seen) in [
        (json!({"provider": "leadmagic", "down": true}), Some(503)),
        (json!({"provider": "leadmagic", "status": 502}), Some(502)),
        (json!({"provider": "leadmagic", "throttle_seconds": 60}), Some(429)),
        (json!({"provider": "leadmagic", "cut": true}), None),
        (json!({"provider": "leadmagic", "down": false}), Some(200)),
    ] {
        sandbox.fault(order.clone()).await;
        assert_eq!(status().await, seen, "{order}");
    }
    // The one that was cut off had been carried out.
    let count = sandbox.meter.counts().of("leadmagic", "find_email");
    assert_eq!((count.calls, count.answered, count.billed_credits), (5, 1, Decimal::TWO));
    assert_eq!(sandbox.get("/_sandbox/counts").await["leadmagic"]["find_email"]["billed_credits"], "2");
}

#[tokio::test]
async fn the_record_tells_questions_apart_without_naming_anyone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.ndjson");
    let sandbox = Running::start(Options { record: Some(path.clone()), ..Options::default() }).await;
    for name in ["Zoe", "Zoe", "Uma"] {
        sandbox.leadmagic(name, "a.hit.test").await.unwrap();
    }
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["question"], lines[1]["question"]);
    assert_ne!(lines[0]["question"], lines[2]["question"]);
    assert_eq!((&lines[0]["key"], &lines[0]["credits"]), (&json!("1234"), &json!("1")));
    for word in ["zoe", "sample", "hit.test", "key-"] {
        assert!(!text.to_lowercase().contains(word), "{word}");
    }
}
