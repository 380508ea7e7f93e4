//! OpenAI's chat completions, and every server that speaks them (`kind = "openai"`, its own `base_url`).
//! The servers differ in what an error looks like and in what `usage` says: every part of both is optional.

use crate::domain::Consumed;
use crate::domain::Operation;
use crate::domain::OutputCap;
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
use std::time::Duration;

/// `https://api.openai.com/v1`, or another server's address up to the same place.
pub(crate) struct OpenAi;

const PATH: &str = "/chat/completions";

const KEY: Auth = Auth::Header("authorization", "Bearer ");

/// Words, as code or type, for an account that has no money left or may spend no more; with a 429 as a
/// rule. So does every word that ends in [`SPEND_LIMIT`].
const SPENT: [&str; 5] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
];
const SPEND_LIMIT: &str = "_spend_limit_exceeded";

/// What is left in a window, and when it is full again.
const WINDOWS: [(&str, &str); 2] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
];

impl Provider for OpenAi {
    fn kind(&self) -> &'static str {
        "openai"
    }

    fn operations(&self) -> &'static [Operation] {
        &[Operation::WriteCopy]
    }

    fn worst_case(&self, query: &Query) -> Consumed {
        match query {
            Query::Write(writing) => models::worst_case(writing, |text| tokens::bound(&writing.model, text)),
            Query::ByName(..) | Query::ByProfile(_) | Query::Verify(_) | Query::Scrape(_) => Consumed::NOTHING,
        }
    }

    fn request(&self, query: &Query, _reference: &str) -> Request {
        match query {
            Query::Write(writing) => Request::post(PATH, models::auth(writing.dialect.key, KEY), body(writing)),
            // Never asked: it only writes. Without a model it is refused, and free.
            Query::ByName(..) | Query::ByProfile(_) | Query::Verify(_) | Query::Scrape(_) => {
                Request::post(PATH, KEY, json!({}))
            }
        }
    }

    fn read(&self, query: &Query, _turn: u8, reply: &Reply<'_>) -> Reading {
        let body = json::object(reply.body);
        let trusts_cost = matches!(query, Query::Write(writing) if writing.dialect.trusts_reported_cost);
        Reading::Done(match error_in(&body) {
            Some(error) => Answer::Fault(refusal(error, reply)),
            None if status::is_success(reply) => answer(&body, trusts_cost),
            None => Answer::Fault(models::fault(reply, wait(reply))),
        })
    }
}

/// No `temperature`: reasoning models refuse it. `store` goes with the newer field alone: servers that know
/// only `max_tokens` refuse fields that they do not know (Mistral), and none of them stores.
fn body(writing: &Writing) -> Value {
    let (model, most) = (&writing.model, writing.max_output_tokens);
    let messages = json!([
        { "role": "system", "content": models::system(writing) },
        { "role": "user", "content": models::data(writing) },
    ]);
    let form = json!({
        "type": "json_schema",
        "json_schema": { "name": "email", "strict": true, "schema": models::schema() },
    });
    match writing.dialect.output_cap {
        OutputCap::MaxCompletionTokens => json!({
            "model": model,
            "messages": messages,
            "response_format": form,
            "max_completion_tokens": most,
            "store": false,
        }),
        OutputCap::MaxTokens => json!({
            "model": model,
            "messages": messages,
            "response_format": form,
            "max_tokens": most,
        }),
    }
}

/// The error of a body, whatever its status: an object or a text under `error`, one beside a choice
/// (OpenRouter), or the body itself (Mistral).
fn error_in(body: &Value) -> Option<&Value> {
    let named =
        [body.get("error"), body.pointer("/choices/0/error")].into_iter().flatten().find(|it| says_something(it));
    let is_error = json::text(body, "/object").is_some_and(|word| word.eq_ignore_ascii_case("error"));
    named.or_else(|| is_error.then_some(body))
}

fn says_something(error: &Value) -> bool {
    match error {
        Value::Null => false,
        Value::Bool(is_error) => *is_error,
        Value::Number(_) => true,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(parts) => !parts.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// What an error means: by its words first, then by its status. A 403 says where the caller is (a country
/// that is not served) or that the key may not: no call with it goes through until somebody changes that.
fn refusal(error: &Value, reply: &Reply<'_>) -> Fault {
    let throttled = Fault::RateLimited { retry_after: wait(reply) };
    let is_flagged = error.pointer("/metadata/reasons").is_some();
    if says_any(error, &SPENT) || words(error).any(|word| word.ends_with(SPEND_LIMIT)) {
        Fault::ProviderOutOfCredits
    } else if says_any(error, &["invalid_api_key"]) {
        Fault::KeyRejected
    } else if is_flagged || says_any(error, &["model_not_found"]) {
        Fault::BadRequest
    } else if says_any(error, &["rate_limit_exceeded", "rate_limit_error", "slow_down"]) {
        throttled
    } else if status::is_success(reply) {
        match status_in(error) {
            Some(429) => throttled,
            Some(401 | 403) => Fault::KeyRejected,
            Some(402) => Fault::ProviderOutOfCredits,
            Some(400 | 404 | 413 | 422) => Fault::BadRequest,
            // It failed when it had begun to write, and that may have been billed.
            Some(_) | None => Fault::ProtocolError,
        }
    } else {
        models::fault(reply, wait(reply))
    }
}

fn says_any(error: &Value, known: &[&str]) -> bool {
    words(error).any(|word| known.contains(&word))
}

/// Code and type, or the error itself where it is a text.
fn words(error: &Value) -> impl Iterator<Item = &str> {
    ["/code", "/type", ""].into_iter().filter_map(move |pointer| json::text(error, pointer))
}

/// The status inside of an error: some servers send it as its code, as a number or as text.
fn status_in(error: &Value) -> Option<u64> {
    let code = error.get("code")?;
    code.as_u64().or_else(|| code.as_str()?.trim().parse().ok())
}

/// How long a 429 lasts: what it says outright, else the window that is used up, the longer one of two,
/// else the one that is soonest full again.
fn wait(reply: &Reply<'_>) -> Option<Duration> {
    let millis = |text: &str| status::duration(&format!("{}ms", text.trim()));
    let said = reply.header("retry-after-ms").and_then(millis).or_else(|| status::retry_after(reply));
    let reset = |name: &str| reply.header(name).and_then(status::duration).filter(|wait| !wait.is_zero());
    let used_up = WINDOWS.iter().filter(|(left, _)| reply.header(left) == Some("0"));
    said.or_else(|| used_up.filter_map(|(_, name)| reset(name)).max())
        .or_else(|| WINDOWS.iter().filter_map(|(_, name)| reset(name)).min())
}

fn answer(body: &Value, trusts_cost: bool) -> Answer {
    let Some(message) = body.pointer("/choices/0/message").filter(|message| message.is_object()) else {
        return Answer::Fault(Fault::ProtocolError);
    };
    let refuses = json::text(message, "/refusal").is_some();
    let end = match json::text(body, "/choices/0/finish_reason") {
        _ if refuses => End::Refused,
        Some("content_filter") => End::Refused,
        Some("length" | "max_tokens" | "model_length") => End::CutOff,
        // Mistral's word and vLLM's for a text that broke off: asked again, it may come.
        Some("error" | "abort") => return Answer::Fault(Fault::ProtocolError),
        Some(_) | None => End::Whole,
    };
    let tokens = counted(body);
    let cost = json::decimal(body, "/usage/cost").filter(|_| trusts_cost);
    let consumed = cost.map_or_else(|| models::consumed(tokens), Consumed::Dollars);
    models::answer(&said(message), end, tokens, consumed)
}

/// `null` when the model refused or thought to its last token; a list of parts from some servers.
fn said(message: &Value) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => String::new(),
    }
}

/// What `usage` counts, each token once: the prompt's total holds those of the cache. Without both totals, with more of
/// the cache than the prompt, or with a part that is no count, nothing is said.
fn counted(body: &Value) -> Option<Tokens> {
    let count = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64);
    let prompt = count("/usage/prompt_tokens")?;
    let reasoning = models::part(body, "/usage/completion_tokens_details/reasoning_tokens")?;
    let output = written(prompt, count("/usage/completion_tokens")?, reasoning, count("/usage/total_tokens"))?;
    let cached_input = match models::part(body, "/usage/prompt_tokens_details/cached_tokens")? {
        // DeepSeek names it by itself.
        0 => models::part(body, "/usage/prompt_cache_hit_tokens")?,
        cached => cached,
    };
    let cache_write = models::part(body, "/usage/prompt_tokens_details/cache_write_tokens")?;
    let input = prompt.checked_sub(cached_input.checked_add(cache_write)?)?;
    Some(Tokens { input, cached_input, cache_write, output, reasoning })
}

/// All that was written. The completion holds the reasoning, as with OpenAI, or stands beside it, as with xAI: then
/// the total is the sum of all three. A reasoning above the completion that no total explains leaves nothing said.
fn written(prompt: u64, completion: u64, reasoning: u64, total: Option<u64>) -> Option<u64> {
    let both = completion.checked_add(reasoning)?;
    let is_beside = reasoning > 0 && total.is_some() && total == prompt.checked_add(both);
    if is_beside { Some(both) } else { (reasoning <= completion).then_some(completion) }
}
