//! OpenAI's wire cases (verifiers-scrape-models.md §5) and those of the servers that follow it (§7).

use crate::domain::Consumed;
use crate::domain::Dialect;
use crate::domain::Draft;
use crate::domain::KeyPlace;
use crate::domain::OutputCap;
use crate::domain::Unwritten;
use crate::domain::Writing;
use crate::providers::Answer;
use crate::providers::Auth;
use crate::providers::Fault;
use crate::providers::Method;
use crate::providers::Provider;
use crate::providers::Request;
use crate::providers::openai::OpenAi;
use crate::providers::tests::REFERENCE;
use crate::providers::tests::read;
use crate::providers::tests::write;
use crate::providers::tests::writing;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

pub(super) const EMAIL: &str = r#"{"subject":"Hi","body":"Dear Ada"}"#;

fn request(dialect: Dialect) -> Request {
    OpenAi.request(&write(Writing { dialect, ..writing("We make widgets.") }), REFERENCE)
}

/// A reply with this message, end and usage.
pub(super) fn completion(message: &Value, finish: &str, usage: &Value) -> String {
    let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": finish });
    json!({ "id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage }).to_string()
}

pub(super) fn answer_in(dialect: Dialect, body: &str) -> Answer {
    read(&OpenAi, &write(Writing { dialect, ..writing("We make widgets.") }), 200, &[], body)
}

pub(super) fn answer(body: &str) -> Answer {
    answer_in(Dialect::default(), body)
}

#[test]
fn a_request_carries_model_messages_schema_and_cap() {
    let request = request(Dialect::default());
    assert_eq!((request.method, request.path), (Method::Post, "/chat/completions"));
    assert_eq!(request.auth, Auth::Header("authorization", "Bearer "));
    let body = request.body.unwrap();
    let fields: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["model", "messages", "response_format", "max_completion_tokens", "store"]);
    assert_eq!(body["model"], "gpt-5.4-mini");
    assert_eq!(body["max_completion_tokens"], 400);
    assert_eq!(body["store"], false);
    let roles: Vec<&Value> = body["messages"].as_array().unwrap().iter().map(|message| &message["role"]).collect();
    assert_eq!(roles, ["system", "user"]);
    let text = json!({ "type": "string" });
    let schema = json!({
        "type": "object",
        "properties": { "subject": text, "body": text },
        "required": ["subject", "body"],
        "additionalProperties": false,
    });
    let form = json!({ "name": "email", "strict": true, "schema": schema });
    assert_eq!(body["response_format"], json!({ "type": "json_schema", "json_schema": form }));
}

#[test]
fn an_older_server_is_sent_no_field_that_it_does_not_know() {
    let body = request(Dialect { output_cap: OutputCap::MaxTokens, ..Dialect::default() }).body.unwrap();
    let fields: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["model", "messages", "response_format", "max_tokens"]);
    assert_eq!(body["max_tokens"], 400);
}

#[test]
fn the_key_goes_where_the_server_wants_it() {
    for (key, auth) in [
        (KeyPlace::Usual, Auth::Header("authorization", "Bearer ")),
        (KeyPlace::Bearer, Auth::Header("authorization", "Bearer ")),
        (KeyPlace::XApiKey, Auth::Header("x-api-key", "")),
        (KeyPlace::ApiKey, Auth::Header("api-key", "")),
    ] {
        assert_eq!(request(Dialect { key, ..Dialect::default() }).auth, auth, "{key:?}");
    }
}

#[test]
fn a_model_writes_declines_or_is_cut_off() {
    let written = || {
        let draft = Draft { subject: "Hi".to_owned(), body: "Dear Ada".to_owned() };
        Answer::Written { draft, tokens: None, consumed: Consumed::Unsaid }
    };
    let unwritten = |why| Answer::Unwritten { why, tokens: None, consumed: Consumed::Unsaid };
    let no_email = || Answer::Unwritten { why: Unwritten::NoEmail, tokens: None, consumed: Consumed::NOTHING };
    let fenced = format!("```json\n{EMAIL}\n```");
    let parts = json!([{ "type": "thinking", "thinking": [] }, { "type": "text", "text": EMAIL }]);
    for (message, finish, expected) in [
        (json!({ "role": "assistant", "content": EMAIL, "refusal": null }), "stop", written()),
        (json!({ "content": fenced }), "stop", written()),
        (json!({ "content": parts }), "stop", written()),
        (json!({ "content": EMAIL, "refusal": "" }), "", written()),
        // Cut off, and whole by then.
        (json!({ "content": EMAIL }), "length", written()),
        (json!({ "content": r#"{"subject":"Hi","body":"Dear A"# }), "length", unwritten(Unwritten::Truncated)),
        (json!({ "content": null }), "length", unwritten(Unwritten::Truncated)),
        (json!({ "content": null }), "model_length", unwritten(Unwritten::Truncated)),
        (json!({ "content": "" }), "error", Answer::Fault(Fault::ProtocolError)),
        (json!({ "content": EMAIL }), "abort", Answer::Fault(Fault::ProtocolError)),
        (json!({ "content": "" }), "max_tokens", unwritten(Unwritten::Truncated)),
        (json!({ "content": null, "refusal": "I'm sorry." }), "stop", unwritten(Unwritten::Refused)),
        (json!({ "content": EMAIL, "refusal": "I'm sorry." }), "length", unwritten(Unwritten::Refused)),
        (json!({ "content": EMAIL }), "content_filter", unwritten(Unwritten::Refused)),
        (json!({ "content": null }), "content_filter", unwritten(Unwritten::Refused)),
        (json!({ "content": "Dear Ada" }), "stop", no_email()),
        (json!({ "content": r#"{"subject":"","body":"Dear Ada"}"# }), "stop", no_email()),
        (json!({ "content": null }), "stop", no_email()),
        (json!({ "content": null, "tool_calls": [] }), "tool_calls", no_email()),
        (json!("text"), "stop", Answer::Fault(Fault::ProtocolError)),
    ] {
        assert_eq!(answer(&completion(&message, finish, &json!(null))), expected, "{message} {finish}");
    }
    for body in [r#"{"choices":[]}"#, "{}", "", "<html>", r#"{"id":"resp_1","output":[]}"#] {
        assert_eq!(answer(body), Answer::Fault(Fault::ProtocolError), "{body}");
    }
}

/// A fault with what it is called for, as one error of OpenAI's own form.
fn error(kind: &str, code: &str) -> String {
    json!({ "error": { "message": "No.", "type": kind, "param": null, "code": code } }).to_string()
}

#[test]
fn faults_are_told_by_their_words_then_by_their_status() {
    let throttled = Fault::RateLimited { retry_after: None };
    for (status, body, expected) in [
        (401, error("invalid_request_error", "invalid_api_key"), Fault::KeyRejected),
        (400, error("invalid_request_error", "invalid_api_key"), Fault::KeyRejected),
        (403, error("", "unsupported_country_region_territory"), Fault::KeyRejected),
        (403, error("invalid_request_error", "model_not_found"), Fault::BadRequest),
        (404, error("invalid_request_error", "model_not_found"), Fault::BadRequest),
        (400, error("invalid_request_error", "context_length_exceeded"), Fault::BadRequest),
        (413, error("invalid_request_error", ""), Fault::BadRequest),
        (422, error("invalid_request_error", ""), Fault::BadRequest),
        (402, error("", ""), Fault::ProviderOutOfCredits),
        (429, error("insufficient_quota", "insufficient_quota"), Fault::ProviderOutOfCredits),
        (429, error("insufficient_quota", "credit_balance_exhausted"), Fault::ProviderOutOfCredits),
        (429, error("", "credit_balance_exhausted"), Fault::ProviderOutOfCredits),
        (429, error("", "organization_spend_limit_exceeded"), Fault::ProviderOutOfCredits),
        (429, error("", "project_spend_limit_exceeded"), Fault::ProviderOutOfCredits),
        (429, error("", "organization_usage_limit_exceeded"), Fault::ProviderOutOfCredits),
        (429, error("rate_limit_error", "rate_limit_exceeded"), throttled),
        (429, error("tokens", "rate_limit_exceeded"), throttled),
        (429, error("rate_limit_error", "slow_down"), throttled),
        (503, error("rate_limit_error", "slow_down"), throttled),
        (429, String::new(), throttled),
        (500, error("server_error", ""), Fault::Unavailable),
        (503, error("service_unavailable_error", "server_is_overloaded"), Fault::Unavailable),
        (502, "<html>".to_owned(), Fault::Unavailable),
        (408, error("", ""), Fault::Unavailable),
        (409, error("", ""), Fault::Unavailable),
        (403, "<html>".to_owned(), Fault::ProtocolError),
    ] {
        let query = write(writing("We make widgets."));
        assert_eq!(read(&OpenAi, &query, status, &[], &body), Answer::Fault(expected), "{status} {body}");
    }
}

#[test]
fn errors_of_other_servers_are_understood() {
    let throttled = Fault::RateLimited { retry_after: None };
    for (status, body, expected) in [
        // OpenRouter: the code is a number, and may come inside of a 200.
        (402, json!({ "error": { "code": 402, "message": "Insufficient credits" } }), Fault::ProviderOutOfCredits),
        (200, json!({ "error": { "code": 402, "message": "Insufficient credits" } }), Fault::ProviderOutOfCredits),
        (200, json!({ "error": { "code": 429, "message": "Slow down" } }), throttled),
        (200, json!({ "error": { "code": "429", "message": "Slow down" } }), throttled),
        (200, json!({ "error": { "code": 401, "message": "No auth" } }), Fault::KeyRejected),
        (200, json!({ "error": { "code": 400, "message": "No" } }), Fault::BadRequest),
        (200, json!({ "error": { "code": 502, "message": "Upstream" } }), Fault::ProtocolError),
        (200, json!({ "error": { "code": null, "message": "Upstream" } }), Fault::ProtocolError),
        (200, json!({ "error": { "code": "insufficient_quota" } }), Fault::ProviderOutOfCredits),
        (200, json!({ "error": "upstream failed" }), Fault::ProtocolError),
        (200, json!({ "choices": [{ "error": { "code": 429 }, "finish_reason": "error" }] }), throttled),
        (
            403,
            json!({ "error": { "code": 403, "message": "Flagged", "metadata": { "reasons": ["x"] } } }),
            Fault::BadRequest,
        ),
        // A text, which may be one of OpenAI's words.
        (429, json!({ "error": "insufficient_quota" }), Fault::ProviderOutOfCredits),
        (429, json!({ "error": "project_spend_limit_exceeded" }), Fault::ProviderOutOfCredits),
        (401, json!({ "error": "invalid_api_key" }), Fault::KeyRejected),
        (429, json!({ "error": "Too many requests" }), throttled),
        // Ollama: a text.
        (404, json!({ "error": "model 'x' not found" }), Fault::BadRequest),
        (500, json!({ "error": "out of memory" }), Fault::Unavailable),
        // Mistral: flat.
        (401, json!({ "object": "error", "message": "Unauthorized", "type": "x", "code": null }), Fault::KeyRejected),
        (422, json!({ "object": "Error", "message": [], "type": "invalid", "code": 3001 }), Fault::BadRequest),
        (200, json!({ "object": "error", "message": "No", "type": "invalid", "code": 3001 }), Fault::ProtocolError),
        // Azure: the code is the status.
        (401, json!({ "error": { "code": "401", "message": "Access denied" } }), Fault::KeyRejected),
        // Gemini: in a list.
        (429, json!([{ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED" } }]), throttled),
    ] {
        let query = write(writing("We make widgets."));
        assert_eq!(read(&OpenAi, &query, status, &[], &body.to_string()), Answer::Fault(expected), "{status} {body}");
    }
}

#[test]
fn an_error_counts_before_what_stands_beside_it() {
    let mut body: Value =
        serde_json::from_str(&completion(&json!({ "content": EMAIL }), "stop", &json!(null))).unwrap();
    assert!(matches!(answer(&body.to_string()), Answer::Written { .. }));
    for none in [json!(null), json!(""), json!({}), json!(false)] {
        body["error"] = none;
        assert!(matches!(answer(&body.to_string()), Answer::Written { .. }), "{body}");
    }
    body["error"] = json!({ "message": "cut", "code": 500 });
    assert_eq!(answer(&body.to_string()), Answer::Fault(Fault::ProtocolError));
}

#[test]
fn a_throttled_key_waits_as_long_as_it_is_told() {
    let requests = ("x-ratelimit-reset-requests", "6m0s");
    let tokens = ("x-ratelimit-reset-tokens", "12ms");
    let no_requests = ("x-ratelimit-remaining-requests", "0");
    let no_tokens = ("x-ratelimit-remaining-tokens", "0");
    for (headers, millis) in [
        (vec![("retry-after", "7")], Some(7_000)),
        (vec![("retry-after", "7"), ("retry-after-ms", "1500")], Some(1_500)),
        (vec![("retry-after", "7"), requests, no_requests], Some(7_000)),
        (vec![requests, tokens, no_requests], Some(360_000)),
        (vec![requests, tokens, no_tokens], Some(12)),
        (vec![requests, tokens, no_tokens, no_requests], Some(360_000)),
        (vec![requests, tokens], Some(12)),
        (vec![("x-ratelimit-reset-tokens", "0s"), requests], Some(360_000)),
        // Azure's fillers, and a date.
        (vec![("x-ratelimit-reset-tokens", "-1"), ("retry-after", "Sat, 21 Nov 2026 00:00:00 GMT")], None),
        (vec![], None),
    ] {
        let query = write(writing("We make widgets."));
        let retry_after = millis.map(Duration::from_millis);
        let expected = Answer::Fault(Fault::RateLimited { retry_after });
        assert_eq!(read(&OpenAi, &query, 429, &headers, &error("", "rate_limit_exceeded")), expected, "{headers:?}");
    }
}
