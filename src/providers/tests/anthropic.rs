//! Anthropic's wire cases (verifiers-scrape-models.md §6).

use crate::domain::Consumed;
use crate::domain::Dialect;
use crate::domain::Draft;
use crate::domain::KeyPlace;
use crate::domain::Tokens;
use crate::domain::Unwritten;
use crate::domain::Writing;
use crate::providers::Answer;
use crate::providers::Auth;
use crate::providers::Fault;
use crate::providers::Method;
use crate::providers::Provider;
use crate::providers::Request;
use crate::providers::anthropic::Anthropic;
use crate::providers::tests::REFERENCE;
use crate::providers::tests::read;
use crate::providers::tests::write;
use crate::providers::tests::writing;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

const EMAIL: &str = r#"{"subject":"Hi","body":"Dear Ada"}"#;

fn request(dialect: Dialect) -> Request {
    Anthropic.request(&write(Writing { dialect, ..writing("We make widgets.") }), REFERENCE)
}

fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Answer {
    read(&Anthropic, &write(writing("We make widgets.")), status, headers, &body.to_string())
}

/// A reply with these blocks, end and usage.
fn message(content: &Value, stop: &str, usage: &Value) -> Value {
    json!({ "id": "msg_1", "type": "message", "role": "assistant", "content": content, "stop_reason": stop,
            "usage": usage })
}

fn text(text: &str) -> Value {
    json!([{ "type": "text", "text": text }])
}

#[test]
fn a_request_carries_model_messages_schema_cap_and_version() {
    let request = request(Dialect::default());
    assert_eq!((request.method, request.path), (Method::Post, "/v1/messages"));
    assert_eq!(request.auth, Auth::Header("x-api-key", ""));
    assert_eq!(request.headers, [("anthropic-version", "2023-06-01".to_owned())]);
    let body = request.body.unwrap();
    let fields: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["model", "max_tokens", "system", "messages", "output_config"]);
    assert_eq!(body["max_tokens"], 400);
    let messages = body["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &messages[0]["role"]), (1, &json!("user")));
    assert_eq!(body["output_config"]["format"]["type"], "json_schema");
    assert_eq!(body["output_config"]["format"]["schema"]["required"], json!(["subject", "body"]));
    assert_eq!(body["output_config"]["format"]["schema"]["additionalProperties"], false);
}

#[test]
fn key_and_version_follow_the_dialect() {
    let newest = Dialect { key: KeyPlace::Bearer, api_version: Some("2026-10-21".to_owned()), ..Dialect::default() };
    let request = request(newest);
    assert_eq!(request.auth, Auth::Header("authorization", "Bearer "));
    assert_eq!(request.headers, [("anthropic-version", "2026-10-21".to_owned())]);
}

#[test]
fn every_token_of_the_usage_counts_once() {
    let count = |input, cached_input, cache_write, output, reasoning| {
        Some(Tokens { input, cached_input, cache_write, output, reasoning })
    };
    for (usage, expected) in [
        (json!({ "input_tokens": 10, "output_tokens": 20 }), count(10, 0, 0, 20, 0)),
        // The input leaves the cache out, and may be less than what was read from it.
        (
            json!({ "input_tokens": 10, "output_tokens": 20, "cache_creation_input_tokens": 300,
                    "cache_read_input_tokens": 4000, "output_tokens_details": { "thinking_tokens": 15 },
                    "server_tool_use": null, "service_tier": "standard" }),
            count(10, 4000, 300, 20, 15),
        ),
        (
            json!({ "input_tokens": 10, "output_tokens": 20, "cache_creation_input_tokens": null,
                    "output_tokens_details": { "thinking_tokens": 20 } }),
            count(10, 0, 0, 20, 20),
        ),
        // A part that is no count: nobody can say what was taken.
        (json!({ "input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": -1 }), None),
        (json!({ "input_tokens": 10, "output_tokens": 20, "cache_creation_input_tokens": "300" }), None),
        (json!({ "input_tokens": 10, "output_tokens": 20, "output_tokens_details": { "thinking_tokens": 0.5 } }), None),
        // More thinking than output: nobody can say what was written.
        (json!({ "input_tokens": 10, "output_tokens": 20, "output_tokens_details": { "thinking_tokens": 21 } }), None),
        (json!(null), None),
        (json!({}), None),
        (json!({ "input_tokens": 10 }), None),
        (json!({ "output_tokens": 10 }), None),
        (json!({ "input_tokens": 10, "output_tokens": "20" }), None),
        (json!({ "input_tokens": 1.5, "output_tokens": 20 }), None),
    ] {
        let consumed = expected.map_or(Consumed::Unsaid, Consumed::Tokens);
        let draft = Draft { subject: "Hi".to_owned(), body: "Dear Ada".to_owned() };
        let written = Answer::Written { draft, tokens: expected, consumed };
        assert_eq!(answer(200, &[], &message(&text(EMAIL), "end_turn", &usage)), written, "{usage}");
        let refused = Answer::Unwritten { why: Unwritten::Refused, tokens: expected, consumed };
        assert_eq!(answer(200, &[], &message(&text(EMAIL), "refusal", &usage)), refused, "{usage}");
        let truncated = Answer::Unwritten { why: Unwritten::Truncated, tokens: expected, consumed };
        assert_eq!(answer(200, &[], &message(&json!([]), "max_tokens", &usage)), truncated, "{usage}");
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
    let thought = json!([
        { "type": "thinking", "thinking": "{\"subject\":\"No\",\"body\":\"No\"}", "signature": "x" },
        { "type": "redacted_thinking", "data": "x" },
        { "type": "text", "text": EMAIL },
    ]);
    let in_parts = json!([
        { "type": "text", "text": "{\"subject\":\"Hi\"," },
        { "type": "text", "text": "\"body\":\"Dear Ada\"}" },
    ]);
    for (content, stop, expected) in [
        (text(EMAIL), "end_turn", written()),
        (text(&format!("Here it is:\n```json\n{EMAIL}\n```")), "end_turn", written()),
        (thought, "end_turn", written()),
        (in_parts, "stop_sequence", written()),
        (text(EMAIL), "max_tokens", written()),
        (text("{\"subject\":\"Hi\",\"bo"), "max_tokens", unwritten(Unwritten::Truncated)),
        (json!([{ "type": "thinking", "thinking": "…" }]), "max_tokens", unwritten(Unwritten::Truncated)),
        (text(""), "model_context_window_exceeded", unwritten(Unwritten::Truncated)),
        (json!([]), "refusal", unwritten(Unwritten::Refused)),
        (text(EMAIL), "refusal", unwritten(Unwritten::Refused)),
        (text("Dear Ada"), "end_turn", no_email()),
        (text(r#"{"subject":"Hi","body":" "}"#), "end_turn", no_email()),
        (json!([]), "end_turn", no_email()),
        (json!([{ "type": "tool_use", "input": {} }]), "tool_use", no_email()),
        (json!("text"), "end_turn", Answer::Fault(Fault::ProtocolError)),
    ] {
        assert_eq!(answer(200, &[], &message(&content, stop, &json!(null))), expected, "{content} {stop}");
    }
}

#[test]
fn faults_are_told_by_their_type_then_by_their_status() {
    let error = |kind: &str, text: &str| {
        let error = json!({ "type": kind, "message": text });
        json!({ "type": "error", "error": error, "request_id": "req_1" })
    };
    let low = "Your credit balance is too low to access the Anthropic API.";
    let own_limit = "You have reached your specified API usage limits. You will regain access on 2026-12-01.";
    let cap = "You have hit your monthly spend limit.";
    for (status, body, expected) in [
        (400, error("invalid_request_error", "max_tokens: required"), Fault::BadRequest),
        (401, error("authentication_error", "invalid x-api-key"), Fault::KeyRejected),
        (403, error("permission_error", "No."), Fault::KeyRejected),
        (404, error("not_found_error", "model: x"), Fault::BadRequest),
        (413, error("request_too_large", "No."), Fault::BadRequest),
        (402, error("billing_error", "No."), Fault::ProviderOutOfCredits),
        (402, json!({}), Fault::ProviderOutOfCredits),
        (402, error("billing_error", low), Fault::ProviderOutOfCredits),
        (400, error("invalid_request_error", low), Fault::ProviderOutOfCredits),
        (400, error("invalid_request_error", own_limit), Fault::ProviderOutOfCredits),
        (429, error("rate_limit_error", cap), Fault::ProviderOutOfCredits),
        (429, error("enforced_spend_limit_reached", "No."), Fault::ProviderOutOfCredits),
        (429, error("rate_limit_error", "Too many requests"), Fault::RateLimited { retry_after: None }),
        (409, error("conflict_error", "No."), Fault::Unavailable),
        (500, error("api_error", "No."), Fault::Unavailable),
        (504, error("timeout_error", "No."), Fault::Unavailable),
        (529, error("overloaded_error", "Overloaded"), Fault::Unavailable),
        (529, json!({}), Fault::Unavailable),
        (500, json!("text"), Fault::Unavailable),
        (200, error("authentication_error", "No."), Fault::KeyRejected),
        (200, error("rate_limit_error", "No."), Fault::RateLimited { retry_after: None }),
        // It had begun to write, and that may have been billed.
        (200, error("overloaded_error", "Overloaded"), Fault::ProtocolError),
        (200, json!({ "type": "message" }), Fault::ProtocolError),
    ] {
        assert_eq!(answer(status, &[], &body), Answer::Fault(expected), "{status} {body}");
    }
}

#[test]
fn a_429_that_says_when_to_come_back_is_a_rate_limit() {
    let retry_after = Some(Duration::from_secs(7));
    for text in ["Too many requests", "This would exceed the spend limit of this minute."] {
        let body = json!({ "type": "error", "error": { "type": "rate_limit_error", "message": text } });
        let expected = Answer::Fault(Fault::RateLimited { retry_after });
        assert_eq!(answer(429, &[("retry-after", "7")], &body), expected, "{text}");
    }
    let html = read(&Anthropic, &write(writing("")), 429, &[("retry-after", "7")], "<html>");
    assert_eq!(html, Answer::Fault(Fault::RateLimited { retry_after }));
}
