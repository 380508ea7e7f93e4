//! Anthropic's messages. What is read from and written into its cache is counted beside the input, not
//! within it.

use crate::domain::Consumed;
use crate::domain::Operation;
use crate::domain::Query;
use crate::domain::Tokens;
use crate::domain::Writing;
use crate::providers::Answer;
use crate::providers::Auth;
use crate::providers::Fault;
use crate::providers::Provider;
use crate::providers::Reading;
use crate::providers::Reply;
use crate::providers::Request;
use crate::providers::json;
use crate::providers::models;
use crate::providers::models::End;
use crate::providers::status;
use crate::providers::tokens;
use serde_json::Value;
use serde_json::json;

/// `https://api.anthropic.com`
pub(crate) struct Anthropic;

const PATH: &str = "/v1/messages";

const KEY: Auth = Auth::Header("x-api-key", "");

/// The version that its documents name.
const VERSION: &str = "2023-06-01";

/// How limits on spending are told, whoever has set them.
const SPEND_LIMITS: [&str; 4] = ["spend limit", "spend_limit", "spending limit", "api usage limits"];

impl Provider for Anthropic {
    fn kind(&self) -> &'static str {
        "anthropic"
    }

    fn operations(&self) -> &'static [Operation] {
        &[Operation::WriteCopy]
    }

    /// No vocabulary of its models is published.
    fn worst_case(&self, query: &Query) -> Consumed {
        match query {
            Query::Write(writing) => models::worst_case(writing, tokens::bytes),
            Query::ByName(..) | Query::ByProfile(_) | Query::Verify(_) | Query::Scrape(_) => Consumed::NOTHING,
        }
    }

    fn request(&self, query: &Query, _reference: &str) -> Request {
        match query {
            Query::Write(writing) => {
                let version = writing.dialect.api_version.as_deref().unwrap_or(VERSION);
                let headers = vec![("anthropic-version", version.to_owned())];
                Request { headers, ..Request::post(PATH, models::auth(writing.dialect.key, KEY), body(writing)) }
            }
            // Never asked: it only writes. Without a model it is refused, and free.
            Query::ByName(..) | Query::ByProfile(_) | Query::Verify(_) | Query::Scrape(_) => {
                Request::post(PATH, KEY, json!({}))
            }
        }
    }

    fn read(&self, _query: &Query, _turn: u8, reply: &Reply<'_>) -> Reading {
        let body = json::object(reply.body);
        let is_error = json::text(&body, "/type") == Some("error") || body.get("error").is_some_and(Value::is_object);
        Reading::Done(if is_error || !status::is_success(reply) {
            Answer::Fault(refusal(&body, reply))
        } else {
            answer(&body)
        })
    }
}

fn body(writing: &Writing) -> Value {
    json!({
        "model": writing.model,
        "max_tokens": writing.max_output_tokens,
        "system": models::system(writing),
        "messages": [{ "role": "user", "content": models::data(writing) }],
        "output_config": { "format": { "type": "json_schema", "schema": models::schema() } },
    })
}

/// By the error's type, then by status. A low balance was seen with a 400 and is documented with a 402; a
/// limit on spending comes with a 400 or a 429, and unlike a rate limit does not say when to come back.
fn refusal(body: &Value, reply: &Reply<'_>) -> Fault {
    let kind = json::text(body, "/error/type").unwrap_or_default();
    let message = json::text(body, "/error/message").unwrap_or_default().to_lowercase();
    let retry_after = status::retry_after(reply);
    let is_limit = SPEND_LIMITS.iter().any(|words| message.contains(words) || kind.contains(words));
    if message.contains("credit balance") || (is_limit && retry_after.is_none()) {
        return Fault::ProviderOutOfCredits;
    }
    match kind {
        "billing_error" => Fault::ProviderOutOfCredits,
        "authentication_error" | "permission_error" => Fault::KeyRejected,
        "rate_limit_error" => Fault::RateLimited { retry_after },
        "invalid_request_error" | "not_found_error" | "request_too_large" => Fault::BadRequest,
        // Inside of a 200 it had begun to write, and that may have been billed.
        _ if status::is_success(reply) => Fault::ProtocolError,
        "overloaded_error" | "api_error" | "timeout_error" | "conflict_error" => Fault::Unavailable,
        _ => models::fault(reply, retry_after),
    }
}

/// The text blocks are the answer; thinking may come before them.
fn answer(body: &Value) -> Answer {
    let Some(blocks) = body.get("content").and_then(Value::as_array) else {
        return Answer::Fault(Fault::ProtocolError);
    };
    let text_of = |block: &Value| match json::text(block, "/type") {
        Some("text") => block.get("text").and_then(Value::as_str).map(str::to_owned),
        Some(_) | None => None,
    };
    let said: String = blocks.iter().filter_map(text_of).collect();
    let end = match json::text(body, "/stop_reason") {
        Some("refusal") => End::Refused,
        Some("max_tokens" | "model_context_window_exceeded") => End::CutOff,
        Some(_) | None => End::Whole,
    };
    let tokens = counted(body);
    models::answer(&said, end, tokens, models::consumed(tokens))
}

/// What `usage` counts: its input leaves the cache out, its output holds the thinking. Without both, with more thinking
/// than output, or with a part that is no count, nothing is said.
fn counted(body: &Value) -> Option<Tokens> {
    let count = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64);
    let input = count("/usage/input_tokens")?;
    let output = count("/usage/output_tokens")?;
    let cached_input = models::part(body, "/usage/cache_read_input_tokens")?;
    let cache_write = models::part(body, "/usage/cache_creation_input_tokens")?;
    let reasoning = models::part(body, "/usage/output_tokens_details/thinking_tokens")?;
    (reasoning <= output).then_some(Tokens { input, cached_input, cache_write, output, reasoning })
}
