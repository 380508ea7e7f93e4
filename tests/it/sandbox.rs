//! The sandbox, proved from outside: by ZeroBounce's own client, and over plain HTTP.
#![expect(clippy::disallowed_methods, reason = "a test's server ends with the test's runtime")]

use reqwest::Client;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;
use std::future::pending;
use weir::domain::Tokens;
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

const OPENAI: &str = "/openai/v1/chat/completions";
const ANTHROPIC: &str = "/anthropic/v1/messages";
const FIRECRAWL: &str = "/firecrawl/v2/scrape";

/// What came back of [`Running::ask`].
struct Reply {
    status: u16,
    retry_after: Option<String>,
    body: Value,
}

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

    /// Asks one of those who take a bearer's key.
    async fn ask(&self, path: &str, key: &str, body: &Value) -> Reply {
        let call = self.client.post(format!("{}{path}", self.root)).header("authorization", format!("Bearer {key}"));
        let call = call.header("content-type", "application/json").header("anthropic-version", "2023-06-01");
        let answer = call.body(body.to_string()).send().await.unwrap();
        let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        Reply { status, retry_after, body: serde_json::from_str(&answer.text().await.unwrap()).unwrap() }
    }

    /// A page, asked for by its host.
    async fn scrape(&self, host: &str) -> Reply {
        self.ask(FIRECRAWL, "key", &json!({"url": format!("https://{host}/")})).await
    }

    fn tokens(&self, provider: &str) -> Tokens {
        self.meter.counts().of(provider, "write_copy").billed_tokens
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

/// The prompt of a lead, as OpenAI takes it.
fn openai(lead: &Value) -> Value {
    let schema = json!({"type": "object", "additionalProperties": false, "required": ["subject", "body"],
                        "properties": {"subject": {"type": "string"}, "body": {"type": "string"}}});
    json!({
        "model": "gpt-6-luna",
        "messages": [{"role": "system", "content": "Write."}, {"role": "user", "content": document(lead, "")}],
        "max_completion_tokens": 400,
        "store": false,
        "response_format": {"type": "json_schema", "json_schema": {"name": "e", "strict": true, "schema": schema}},
    })
}

/// The same as Anthropic takes it.
fn anthropic(lead: &Value) -> Value {
    json!({"model": "claude-haiku-5-5", "system": "Write.", "max_tokens": 400,
           "messages": [{"role": "user", "content": [{"type": "text", "text": document(lead, "")}]}]})
}

/// What a model is told of a lead and of a page.
fn document(lead: &Value, page: &str) -> String {
    json!({"lead": lead, "pages": [{"url": "https://acme.test", "text": page}]}).to_string()
}

/// With another value in one field; null takes the field away.
fn with(mut body: Value, field: &str, value: Value) -> Value {
    let fields = body.as_object_mut().unwrap();
    fields.insert(field.to_owned(), value);
    fields.retain(|_, value| !value.is_null());
    body
}

fn content(reply: &Reply) -> &str {
    reply.body["choices"][0]["message"]["content"].as_str().unwrap()
}

fn text(reply: &Reply) -> &str {
    let blocks = reply.body["content"].as_array().unwrap();
    blocks.iter().find_map(|block| block["text"].as_str()).unwrap_or_default()
}

fn sum(one: Tokens, other: Tokens) -> Tokens {
    Tokens {
        input: one.input + other.input,
        cached_input: one.cached_input + other.cached_input,
        cache_write: one.cache_write + other.cache_write,
        output: one.output + other.output,
        reasoning: one.reasoning + other.reasoning,
    }
}

fn told_by_openai(usage: &Value) -> Tokens {
    let number = |path: &str| usage.pointer(path).unwrap().as_u64().unwrap();
    let (cached_input, cache_write) =
        (number("/prompt_tokens_details/cached_tokens"), number("/prompt_tokens_details/cache_write_tokens"));
    assert_eq!(number("/total_tokens"), number("/prompt_tokens") + number("/completion_tokens"));
    Tokens {
        input: number("/prompt_tokens") - cached_input - cache_write,
        cached_input,
        cache_write,
        output: number("/completion_tokens"),
        reasoning: number("/completion_tokens_details/reasoning_tokens"),
    }
}

fn told_by_anthropic(usage: &Value) -> Tokens {
    let number = |path: &str| usage.pointer(path).unwrap().as_u64().unwrap();
    Tokens {
        input: number("/input_tokens"),
        cached_input: number("/cache_read_input_tokens"),
        cache_write: number("/cache_creation_input_tokens"),
        output: number("/output_tokens"),
        reasoning: number("/output_tokens_details/thinking_tokens"),
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

#[tokio::test]
async fn models_write_for_the_lead_and_bill_what_they_tell() {
    let sandbox = Running::start(Options::default()).await;
    let (mut of_openai, mut of_anthropic) = (Tokens::default(), Tokens::default());
    for n in 0..30 {
        let lead = json!({"first_name": format!("Ada{n}"), "company": "Acme"});
        let reply = sandbox.ask(OPENAI, "key", &openai(&lead)).await;
        let draft: Value = serde_json::from_str(content(&reply)).unwrap();
        assert!(draft["subject"].as_str().unwrap().contains("Acme"), "{draft}");
        assert!(draft["body"].as_str().unwrap().starts_with(&format!("Hi Ada{n},")), "{draft}");
        of_openai = sum(of_openai, told_by_openai(&reply.body["usage"]));

        let reply = sandbox.ask(ANTHROPIC, "key", &anthropic(&lead)).await;
        let draft: Value = serde_json::from_str(text(&reply)).unwrap();
        assert!(draft["body"].as_str().unwrap().starts_with(&format!("Hi Ada{n},")), "{draft}");
        of_anthropic = sum(of_anthropic, told_by_anthropic(&reply.body["usage"]));
    }
    for (provider, told) in [("openai", of_openai), ("anthropic", of_anthropic)] {
        assert_eq!(sandbox.tokens(provider), told, "{provider}");
        assert_eq!(sandbox.meter.counts().of(provider, "write_copy").answered, 30);
        let Tokens { input, cached_input, cache_write, output, reasoning } = told;
        assert!([input, cached_input, cache_write, reasoning].iter().all(|n| *n > 0), "{provider}");
        assert!(output > reasoning, "{provider}");
    }
}

#[tokio::test]
async fn words_force_what_openais_format_has() {
    let sandbox = Running::start(Options::default()).await;
    let fields = ["/choices/0/finish_reason", "/error/code", "/object", "/error"];
    for (word, status, gist, is_billed) in [
        ("hit", 200, json!("stop"), true),
        ("refuse", 200, json!("stop"), true),
        ("filtered", 200, json!("content_filter"), true),
        ("truncate", 200, json!("length"), true),
        ("ponder", 200, json!("length"), true),
        ("nousage", 200, json!("stop"), true),
        ("missing", 404, json!("model_not_found"), false),
        ("window", 400, json!("context_length_exceeded"), false),
        ("late", 200, json!(502), false),
        ("numeric", 502, json!(502), false),
        ("flat", 400, json!("error"), false),
        ("bare", 503, json!("model is still loading"), false),
    ] {
        let before = sandbox.tokens("openai");
        let reply = sandbox.ask(OPENAI, "key", &openai(&json!({"domain": format!("a.{word}.test")}))).await;
        let seen = fields.iter().find_map(|field| reply.body.pointer(field).filter(|value| !value.is_object()));
        assert_eq!((reply.status, seen), (status, Some(&gist)), "{word}");
        assert_eq!(sandbox.tokens("openai") != before, is_billed, "{word}");
        let message = reply.body.pointer("/choices/0/message");
        assert_eq!(message.is_some_and(|message| message["refusal"].is_string()), word == "refuse", "{word}");
        assert_eq!(message.is_some_and(|message| message["content"] == ""), word == "ponder", "{word}");
        assert_eq!(reply.body["usage"].is_null(), word == "nousage" || !is_billed, "{word}");
    }
}

#[tokio::test]
async fn words_force_what_servers_of_openais_kind_tell_of_tokens() {
    let sandbox = Running::start(Options::default()).await;
    let prompt = openai(&json!({"first_name": "Ada", "company": "Acme"}));
    let ask = async |word: &str| sandbox.ask(OPENAI, "key", &with(prompt.clone(), "model", json!(word))).await;
    let plain = ask("sandbox-plain").await;
    let told: Vec<_> = plain.body["usage"].as_object().unwrap().keys().collect();
    assert_eq!(told, ["prompt_tokens", "completion_tokens", "total_tokens"]);
    let Tokens { input, cached_input, cache_write, reasoning, .. } = sandbox.tokens("openai");
    assert_eq!((json!(input), cached_input), (plain.body["usage"]["prompt_tokens"].clone(), 0));
    assert_eq!((cache_write, reasoning), (0, 0));

    let cost = ask("sandbox-cost").await.body["usage"].clone();
    let told: Decimal =
        Decimal::from_scientific(&cost["cost"].to_string()).or(cost["cost"].to_string().parse()).unwrap();
    assert_eq!(told, Decimal::new(cost["total_tokens"].as_i64().unwrap(), 6));

    let fenced = ask("sandbox-fenced").await;
    assert!(content(&fenced).contains("```json\n{"), "{}", content(&fenced));
    let prose = ask("sandbox-prose").await;
    assert!(content(&prose).starts_with("Subject: "), "{}", content(&prose));
}

#[tokio::test]
async fn words_force_what_anthropics_format_has() {
    let sandbox = Running::start(Options::default()).await;
    for (word, status, gist) in [
        ("hit", 200, "end_turn"),
        ("refuse", 200, "refusal"),
        ("filtered", 200, "refusal"),
        ("truncate", 200, "max_tokens"),
        ("ponder", 200, "max_tokens"),
        ("window", 200, "model_context_window_exceeded"),
        ("nousage", 200, "end_turn"),
        ("missing", 404, "not_found_error"),
    ] {
        let before = sandbox.tokens("anthropic");
        let reply = sandbox.ask(ANTHROPIC, "key", &anthropic(&json!({"email": format!("{word}@acme.test")}))).await;
        let seen = ["/stop_reason", "/error/type"].iter().find_map(|field| reply.body.pointer(field));
        assert_eq!((reply.status, seen), (status, Some(&json!(gist))), "{word}");
        assert_eq!(sandbox.tokens("anthropic") != before, status == 200, "{word}");
        assert_eq!(reply.body["usage"].is_null(), word == "nousage" || status != 200, "{word}");
        if status == 200 {
            assert_eq!(text(&reply).is_empty(), ["refuse", "ponder"].contains(&word), "{word}");
        }
    }
}

#[tokio::test]
async fn no_model_writes_more_than_its_cap() {
    let sandbox = Running::start(Options::default()).await;
    let lead = json!({"first_name": "Ada", "company": "Acme"});
    for cap in 1..90 {
        let reply = sandbox.ask(OPENAI, "key", &with(openai(&lead), "max_completion_tokens", json!(cap))).await;
        let output = reply.body["usage"]["completion_tokens"].as_u64().unwrap();
        let is_cut = reply.body["choices"][0]["finish_reason"] == "length";
        assert!(output == cap || (output < cap && !is_cut), "{cap}: {output}");
        assert_eq!(serde_json::from_str::<Value>(content(&reply)).is_err(), is_cut, "{cap}");

        let reply = sandbox.ask(ANTHROPIC, "key", &with(anthropic(&lead), "max_tokens", json!(cap))).await;
        let output = reply.body["usage"]["output_tokens"].as_u64().unwrap();
        let is_cut = reply.body["stop_reason"] == "max_tokens";
        assert!(output == cap || (output < cap && !is_cut), "{cap}: {output}");
    }
}

#[tokio::test]
async fn models_refuse_what_their_formats_forbid() {
    let sandbox = Running::start(Options::default()).await;
    let of_openai = |field: &str, value: Value| (OPENAI, with(openai(&json!({})), field, value));
    let of_anthropic = |field: &str, value: Value| (ANTHROPIC, with(anthropic(&json!({})), field, value));
    let open = json!({"type": "json_schema", "json_schema": {"name": "e", "strict": true, "schema": {}}});
    for (path, body) in [
        of_openai("model", Value::Null),
        of_openai("messages", json!([])),
        of_openai("messages", json!([{"role": "boss", "content": "x"}])),
        of_openai("max_completion_tokens", json!(0)),
        of_openai("max_completion_tokens", json!("400")),
        of_openai("max_tokens", json!(400)),
        of_openai("max_output_tokens", json!(400)),
        of_openai("response_format", json!({"type": "json_schema"})),
        of_openai("response_format", open.clone()),
        of_openai("stream", json!(true)),
        of_anthropic("model", Value::Null),
        of_anthropic("messages", json!([])),
        of_anthropic("messages", json!([{"role": "system", "content": "x"}])),
        of_anthropic("max_tokens", Value::Null),
        of_anthropic("max_tokens", json!(0)),
        of_anthropic("max_completion_tokens", json!(400)),
        of_anthropic("output_config", json!({"format": open})),
    ] {
        let reply = sandbox.ask(path, "key", &body).await;
        assert_eq!((reply.status, &reply.body["error"]["type"]), (400, &json!("invalid_request_error")), "{body}");
    }
    // Anthropic has to be told which edition of it is meant.
    let key = ("x-api-key", "key");
    let (status, _) = sandbox.post(ANTHROPIC, key, anthropic(&json!({}))).await.unwrap();
    assert_eq!(status, 400);
    for provider in ["openai", "anthropic"] {
        assert_eq!(sandbox.tokens(provider), Tokens::default());
    }
}

#[tokio::test]
async fn keys_are_taken_from_wherever_clients_put_them() {
    let sandbox = Running::start(Options::default()).await;
    let status = async |path: &str, header: (&str, &str), body: &Value| {
        sandbox.post(path, header, body.clone()).await.unwrap().0
    };
    let prompt = openai(&json!({}));
    for (header, seen) in
        [(("api-key", "key"), 200), (("authorization", "Bearer key"), 200), (("x-api-key", "key"), 401)]
    {
        assert_eq!(status(OPENAI, header, &prompt).await, seen, "{header:?}");
    }
    let page = json!({"url": "https://acme.test"});
    for (header, seen) in [(("authorization", "Bearer key"), 200), (("authorization", "key"), 401)] {
        assert_eq!(status(FIRECRAWL, header, &page).await, seen, "{header:?}");
    }
    // The documented header; what it goes on to miss is the version.
    assert_eq!(status(ANTHROPIC, ("x-api-key", "key"), &anthropic(&json!({}))).await, 400);
    assert_eq!(status(ANTHROPIC, ("api-key", "key"), &anthropic(&json!({}))).await, 401);
}

#[tokio::test]
async fn keys_force_every_refusal_of_models_and_scrapers() {
    let sandbox = Running::start(Options::default()).await;
    for (path, key, refusals) in [
        (OPENAI, "bad-key", "401 invalid_api_key"),
        (
            OPENAI,
            "no-credits",
            "429 credit_balance_exhausted, 429 insufficient_quota, 429 organization_spend_limit_exceeded, \
             429 organization_usage_limit_exceeded, 429 project_spend_limit_exceeded",
        ),
        (OPENAI, "paused", "403 unsupported_country_region_territory"),
        (OPENAI, "throttled", "429 rate_limit_exceeded 1, 429 slow_down 1"),
        (ANTHROPIC, "bad-key", "401 authentication_error"),
        (ANTHROPIC, "no-credits", "400 invalid_request_error, 402 billing_error, 429 rate_limit_error"),
        (ANTHROPIC, "paused", "403 permission_error"),
        (ANTHROPIC, "throttled", "429 rate_limit_error 1"),
        (FIRECRAWL, "bad-key", "401 Unauthorized: Invalid token"),
        (FIRECRAWL, "no-credits", "402 Insufficient credits to"),
        (FIRECRAWL, "throttled", "429 Concurrency limit reached, 429 Rate limit exceeded., 429 Rate limit exceeded. 1"),
    ] {
        let mut seen = BTreeSet::new();
        for n in 0..60 {
            let lead = json!({"first_name": format!("Ada{n}")});
            let body = match path {
                OPENAI => openai(&lead),
                ANTHROPIC => anthropic(&lead),
                _ => json!({"url": format!("https://acme{n}.test")}),
            };
            let reply = sandbox.ask(path, key, &body).await;
            let error = &reply.body["error"];
            let said = [&error["code"], &error["type"], error].into_iter().find_map(Value::as_str).unwrap();
            let said: Vec<_> = said.split(' ').take(3).collect();
            let again = reply.retry_after.map(|seconds| format!(" {seconds}")).unwrap_or_default();
            seen.insert(format!("{} {}{again}", reply.status, said.join(" ")));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>().join(", "), refusals, "{path} {key}");
    }
    for provider in ["openai", "anthropic"] {
        assert_eq!(sandbox.tokens(provider), Tokens::default());
    }
    assert_eq!(sandbox.billed("firecrawl", "scrape"), Decimal::ZERO);
}

#[tokio::test]
async fn hosts_force_the_page() {
    let sandbox = Running::start(Options::default()).await;
    for (host, status, gist, credits) in [
        ("acme.test", 200, json!(200), 1),
        ("gone.com", 200, json!(200), 1),
        ("gone.hit.test", 200, json!(404), 1),
        ("dear.test", 200, json!(200), 5),
        ("www.unsaid.test", 200, json!(200), 1),
        ("nodns.test", 200, json!("SCRAPE_DNS_RESOLUTION_ERROR"), 1),
        ("slow.test", 408, json!("SCRAPE_TIMEOUT"), 0),
    ] {
        let before = sandbox.billed("firecrawl", "scrape");
        let reply = sandbox.scrape(host).await;
        let seen = ["/data/metadata/statusCode", "/code"].iter().find_map(|field| reply.body.pointer(field));
        assert_eq!((reply.status, seen), (status, Some(&gist)), "{host}");
        assert_eq!(reply.body["success"], gist.is_number(), "{host}");
        assert_eq!(sandbox.billed("firecrawl", "scrape") - before, Decimal::from(credits), "{host}");
        let told = reply.body.pointer("/data/metadata/creditsUsed");
        let is_told = gist.is_number() && !host.contains("unsaid");
        assert_eq!(told, is_told.then(|| json!(credits)).as_ref(), "{host}");
    }
    assert_eq!(sandbox.scrape("blocked.test").await.status, 403);
    assert_eq!(sandbox.scrape("broken.test").await.status, 500);
    let page = sandbox.scrape("acme.test").await.body["data"]["markdown"].clone();
    assert!(page.as_str().unwrap().contains("acme.test"), "{page}");
    assert_eq!(sandbox.scrape("empty.test").await.body["data"]["markdown"], "");
    assert!(sandbox.scrape("long.test").await.body["data"]["markdown"].as_str().unwrap().len() > 50_000);
    assert!(sandbox.scrape("arrays.test").await.body["data"]["metadata"]["title"].is_array());
}

#[tokio::test]
async fn a_scrape_is_refused_for_any_field_too_many() {
    let sandbox = Running::start(Options::default()).await;
    let page = json!({"url": "https://acme.test", "formats": ["markdown"], "onlyMainContent": true, "timeout": 25_000});
    for (field, value) in [
        ("url", Value::Null),
        ("url", json!("acme")),
        ("formats", json!(["poem"])),
        ("timeout", json!(30)),
        ("waitFor", json!(20_000)),
        ("onlyMainContent", json!("yes")),
        ("only_main_content", json!(true)),
    ] {
        let reply = sandbox.ask(FIRECRAWL, "key", &with(page.clone(), field, value)).await;
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!("BAD_REQUEST")), "{field}");
        assert!(reply.body["details"].is_array(), "{field}");
    }
    assert_eq!(sandbox.billed("firecrawl", "scrape"), Decimal::ZERO);
    // The vendor's client drops the path of its base URL.
    let (here, there) = (sandbox.ask(FIRECRAWL, "key", &page).await, sandbox.ask("/v2/scrape", "key", &page).await);
    assert_eq!((here.status, here.body), (200, there.body));
}

#[tokio::test]
async fn a_model_obeys_a_page_only_where_it_is_not_data() {
    let sandbox = Running::start(Options::default()).await;
    let page = sandbox.scrape("hostile.test").await.body["data"]["markdown"].as_str().unwrap().to_owned();
    let data = document(&json!({"first_name": "Ada"}), &page);
    let safe = data.replace('<', "\\u003c");
    let message = |role: &str, text: &str| json!({"role": role, "content": text});
    for (messages, obeys) in [
        (json!([message("system", "Write."), message("user", &safe)]), false),
        (json!([message("system", "Write."), message("user", &data)]), true),
        (json!([message("system", &page), message("user", &safe)]), true),
        (json!([message("system", "Write."), message("user", &format!("{data}\n{page}"))]), true),
    ] {
        let reply = sandbox.ask(OPENAI, "key", &with(openai(&json!({})), "messages", messages.clone())).await;
        assert_eq!(content(&reply).contains("OBEYED"), obeys, "{messages}");
    }
}

#[tokio::test]
async fn models_and_pages_depend_on_the_seed_and_the_question_only() {
    let mut runs = Vec::new();
    for (seed, backwards) in [(1, false), (1, true), (2, false)] {
        let sandbox = Running::start(Options { seed, ..Options::default() }).await;
        let mut answers = Vec::new();
        for n in 0..12 {
            let n = if backwards { 11 - n } else { n };
            let lead = json!({"first_name": format!("Ada{n}"), "company": "Acme"});
            let written =
                [sandbox.ask(OPENAI, "k", &openai(&lead)).await, sandbox.ask(ANTHROPIC, "k", &anthropic(&lead)).await];
            let page = sandbox.scrape(&format!("acme{n}.test")).await;
            answers.push((n, written.map(|reply| reply.body.to_string()), page.body.to_string()));
        }
        answers.sort();
        runs.push(answers);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn the_record_says_what_each_model_billed_also_where_its_answer_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.ndjson");
    let sandbox = Running::start(Options { record: Some(path.clone()), ..Options::default() }).await;
    let lead = json!({"first_name": "Zoe", "domain": "a.nousage.test"});
    let reply = sandbox.ask(OPENAI, "key-1234", &openai(&lead)).await;
    assert!(reply.body["usage"].is_null());
    sandbox.ask(ANTHROPIC, "bad-key", &anthropic(&lead)).await;
    sandbox.scrape("acme.test").await;

    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let Tokens { input, cached_input, cache_write, output, reasoning } = sandbox.tokens("openai");
    let tokens = json!({"input": input, "cached_input": cached_input, "cache_write": cache_write,
                        "output": output, "reasoning": reasoning});
    let of = |line: &Value, field: &str| line[field].clone();
    let seen = ["provider", "operation", "key", "credits", "model", "tokens"].map(|field| of(&lines[0], field));
    let told = [json!("openai"), json!("write_copy"), json!("1234"), json!("0"), json!("gpt-6-luna"), tokens];
    assert_eq!(seen, told);
    assert!(input > 0 && output > 0);
    for line in &lines[1..] {
        assert!(line["tokens"].is_null() && line["model"].is_null(), "{line}");
    }
    assert_eq!([of(&lines[2], "operation"), of(&lines[2], "credits")], [json!("scrape"), json!("1")]);
    for word in ["zoe", "acme", "nousage", "key-"] {
        assert!(!text.to_lowercase().contains(word), "{word}");
    }
}

#[tokio::test]
async fn faults_reach_models_and_scrapers() {
    let sandbox = Running::start(Options::default()).await;
    let lead = json!({"first_name": "Ada"});
    for (provider, path, body) in [
        ("openai", OPENAI, openai(&lead)),
        ("anthropic", ANTHROPIC, anthropic(&lead)),
        ("firecrawl", FIRECRAWL, json!({"url": "https://acme.test"})),
    ] {
        sandbox.fault(json!({"provider": provider, "throttle_seconds": 60})).await;
        let reply = sandbox.ask(path, "key", &body).await;
        assert_eq!((reply.status, reply.retry_after.as_deref()), (429, Some("60")), "{provider}");
        sandbox.fault(json!({"provider": provider, "cut": true})).await;
        let cut = sandbox.post(path, ("authorization", "Bearer key"), body.clone()).await;
        assert!(cut.is_err(), "{provider}");
        sandbox.fault(json!({"provider": provider, "down": false})).await;
        assert_eq!(sandbox.ask(path, "key", &body).await.status, 200, "{provider}");
    }
    // What was cut off had been written, and is billed.
    let count = sandbox.meter.counts().of("openai", "write_copy");
    assert_eq!((count.calls, count.answered), (3, 1));
    assert_eq!(sandbox.billed("firecrawl", "scrape"), Decimal::TWO);
    let told = sandbox.get("/_sandbox/counts").await["openai"]["write_copy"]["billed_tokens"].clone();
    assert_eq!(told["output"], count.billed_tokens.output);
    assert!(count.billed_tokens.output > 0);
}

#[tokio::test]
async fn rates_of_failure_reach_models_and_scrapers_and_bill_nothing() {
    let sandbox = Running::start(Options { fail: 1.0, ..Options::default() }).await;
    let mut statuses = BTreeSet::new();
    for n in 0..20 {
        let lead = json!({"first_name": format!("Ada{n}")});
        statuses.insert(("openai", sandbox.ask(OPENAI, "key", &openai(&lead)).await.status));
        statuses.insert(("anthropic", sandbox.ask(ANTHROPIC, "key", &anthropic(&lead)).await.status));
        statuses.insert(("firecrawl", sandbox.scrape(&format!("acme{n}.test")).await.status));
    }
    let expected = [("anthropic", 500), ("anthropic", 529), ("firecrawl", 500), ("openai", 500), ("openai", 503)];
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!((sandbox.tokens("openai"), sandbox.tokens("anthropic")), (Tokens::default(), Tokens::default()));
    assert_eq!(sandbox.billed("firecrawl", "scrape"), Decimal::ZERO);
}
