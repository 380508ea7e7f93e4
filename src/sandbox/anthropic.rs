//! Anthropic: messages. Facts: `verifiers-scrape-models.md` §6.

use crate::domain::Tokens;
use crate::sandbox::Vendor;
use crate::sandbox::answer::Answer;
use crate::sandbox::answer::Purpose;
use crate::sandbox::call::Call;
use crate::sandbox::call::Trouble;
use crate::sandbox::hash::Hash;
use crate::sandbox::world::World;
use crate::sandbox::writer::Ending;
use crate::sandbox::writer::Prompt;
use crate::sandbox::writer::Scene;
use crate::sandbox::writer::text_of;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

const KIND: &str = "anthropic";

/// Sent with every response.
const HEADERS: &[(&str, &str)] = &[
    ("request-id", "req_0"),
    ("anthropic-ratelimit-requests-limit", "4000"),
    ("anthropic-ratelimit-requests-remaining", "3999"),
    ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:00Z"),
    ("anthropic-ratelimit-input-tokens-limit", "400000"),
    ("anthropic-ratelimit-input-tokens-remaining", "399000"),
    ("anthropic-ratelimit-input-tokens-reset", "2026-01-01T00:00:00Z"),
    ("anthropic-ratelimit-output-tokens-limit", "80000"),
    ("anthropic-ratelimit-output-tokens-remaining", "79000"),
    ("anthropic-ratelimit-output-tokens-reset", "2026-01-01T00:00:00Z"),
];

/// Every field of a message; any other is refused.
const FIELDS: &[&str] = &[
    "model",
    "max_tokens",
    "messages",
    "system",
    "output_config",
    "thinking",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "tools",
    "tool_choice",
    "service_tier",
    "cache_control",
    "metadata",
    "container",
    "diagnostics",
    "inference_geo",
    "speed",
    "user_profile_id",
    "workspace_id",
];

const INVALID: &str = "invalid_request_error";

pub(super) struct Anthropic;

impl Vendor for Anthropic {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn base_path(&self) -> &'static str {
        "/anthropic"
    }

    /// From the documented header, or as the newest client sends it.
    fn key(&self, call: &Call<'_>) -> String {
        let keys = [call.header("x-api-key"), call.bearer()];
        keys.into_iter().find(|key| !key.is_empty()).unwrap_or_default().to_owned()
    }

    fn answer(&self, call: &Call<'_>, world: &World) -> Answer {
        let answer = match call.route() {
            ("POST", "v1/messages") => create(call, world),
            _ => problem(Purpose::Nothing, 404, "not_found_error", "Not found"),
        };
        let answer = answer.with_headers(HEADERS);
        match call.trouble {
            Some(Trouble::Throttled(_)) => answer.with_headers(&[("anthropic-ratelimit-requests-remaining", "0")]),
            _ => answer,
        }
    }
}

fn create(call: &Call<'_>, world: &World) -> Answer {
    let prompt = read(call);
    let question = prompt.as_ref().map_or(Hash::new(0), |prompt| prompt.question(KIND, world));
    if let Some(trouble) = call.trouble {
        return refuse(trouble, Purpose::Write, question);
    }
    match prompt {
        Ok(prompt) if prompt.scene() == Some(Scene::Missing) => {
            problem(Purpose::Write, 404, "not_found_error", "model: no such model").to(question)
        }
        Ok(prompt) => message(&prompt, question).to(question),
        Err(said) => problem(Purpose::Write, 400, INVALID, &said),
    }
}

/// The prompt, or what is wrong with it.
fn read(call: &Call<'_>) -> Result<Prompt, String> {
    if call.header("anthropic-version").is_empty() {
        return Err("anthropic-version: header is required".to_owned());
    }
    let fields = call.json::<Map<String, Value>>().ok_or("The request body is not valid JSON")?;
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(format!("{unknown}: Extra inputs are not permitted"));
    }
    let model = fields.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
    let model = model.ok_or("model: Field required")?.to_owned();
    let cap = fields.get("max_tokens").ok_or("max_tokens: Field required")?;
    let cap = cap.as_u64().filter(|cap| *cap > 0).ok_or("max_tokens: Input should be greater than or equal to 1")?;
    if fields.get("stream").and_then(Value::as_bool).unwrap_or_default() {
        return Err("stream: one whole answer is all that is simulated".to_owned());
    }
    let mut prompt = Prompt { model, cap: Some(cap), wants_json: wants_json(&fields)?, ..Prompt::default() };
    if let Some(system) = fields.get("system") {
        prompt.say("system", &text_of(system).ok_or("system: Input should be a valid string or list of texts")?);
    }
    let messages = fields.get("messages").and_then(Value::as_array).filter(|messages| !messages.is_empty());
    for message in messages.ok_or("messages: at least one message is required")? {
        let role = message.get("role").and_then(Value::as_str).filter(|role| ["user", "assistant"].contains(role));
        let role = role.ok_or("messages: roles are 'user' and 'assistant'")?;
        let text = message.get("content").and_then(text_of).ok_or("messages: content: Field required")?;
        prompt.say(role, &text);
    }
    Ok(prompt)
}

/// Objects of a schema have to forbid what they do not name.
fn wants_json(fields: &Map<String, Value>) -> Result<bool, String> {
    let format = fields.get("output_config").and_then(|config| config.get("format"));
    let Some(format) = format.filter(|format| !format.is_null()) else {
        return Ok(false);
    };
    if format.get("type").and_then(Value::as_str) != Some("json_schema") {
        return Err("output_config.format.type: Input should be 'json_schema'".to_owned());
    }
    let schema =
        format.get("schema").and_then(Value::as_object).ok_or("output_config.format.schema: Field required")?;
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err("output_config.format.schema: For 'object' type, 'additionalProperties' must be false".to_owned());
    }
    Ok(true)
}

fn message(prompt: &Prompt, question: Hash) -> Answer {
    let (written, scene) = (prompt.write(question), prompt.scene());
    let reason = match written.ending {
        Ending::Whole => "end_turn",
        Ending::Cut if scene == Some(Scene::Window) => "model_context_window_exceeded",
        Ending::Cut => "max_tokens",
        Ending::Refused | Ending::Filtered => "refusal",
    };
    let mut content = Vec::new();
    if written.tokens.reasoning > 0 {
        content.push(json!({"type": "thinking", "thinking": "Let me see.", "signature": "c2FuZGJveA=="}));
    }
    // Who refuses has thought of something, and shows nothing.
    if written.ending != Ending::Refused && !written.text.is_empty() {
        content.push(json!({"type": "text", "text": written.text, "citations": null}));
    }
    let mut body: Map<String, Value> = Map::from_iter([
        ("id".to_owned(), json!(format!("msg_{:016x}", question.value()))),
        ("type".to_owned(), json!("message")),
        ("role".to_owned(), json!("assistant")),
        ("model".to_owned(), json!(prompt.model)),
        ("content".to_owned(), json!(content)),
        ("stop_reason".to_owned(), json!(reason)),
        ("stop_sequence".to_owned(), Value::Null),
    ]);
    if let Some(usage) = usage(scene, &written.tokens) {
        body.insert("usage".to_owned(), usage);
    }
    Answer::json(Purpose::Write, Value::from(body).to_string()).metered(&prompt.model, written.tokens)
}

/// What is told of the tokens: the input is without what the cache had or took.
fn usage(scene: Option<Scene>, tokens: &Tokens) -> Option<Value> {
    let Tokens { input, cached_input, cache_write, output, reasoning } = *tokens;
    match scene {
        Some(Scene::NoUsage) => None,
        Some(Scene::Plain) => Some(json!({"input_tokens": input, "output_tokens": output})),
        _ => Some(json!({
            "input_tokens": input,
            "cache_creation_input_tokens": cache_write,
            "cache_read_input_tokens": cached_input,
            "cache_creation": {"ephemeral_5m_input_tokens": cache_write, "ephemeral_1h_input_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"thinking_tokens": reasoning},
            "server_tool_use": null,
            "service_tier": "standard",
        })),
    }
}

fn refuse(trouble: Trouble, purpose: Purpose, question: Hash) -> Answer {
    let problem = |status, kind, said| problem(purpose, status, kind, said);
    let answer = match trouble {
        Trouble::MissingKey => problem(401, "authentication_error", "x-api-key header is required"),
        Trouble::BadKey => problem(401, "authentication_error", "invalid x-api-key"),
        // The documented answer, the one that is reported, and the one of a limit; none says when to come again.
        Trouble::NoCredits => match question.draw("billing", 3) {
            0 => problem(402, "billing_error", "There is a problem with your billing."),
            1 => problem(400, INVALID, "Your credit balance is too low to access the Anthropic API."),
            _ => problem(
                429,
                "rate_limit_error",
                "You have reached your monthly spend limit: enforced_spend_limit_reached",
            ),
        },
        Trouble::Paused => problem(403, "permission_error", "Your organization has been disabled."),
        Trouble::Throttled(_) => {
            let said = "This request would exceed your organization's rate limit.";
            problem(429, "rate_limit_error", said).with_header("retry-after", 1_u64)
        }
        Trouble::Failed if question.draw("failure", 2) == 0 => problem(529, "overloaded_error", "Overloaded"),
        Trouble::Failed => problem(500, "api_error", "Internal server error"),
        Trouble::Outage(status) => Answer::page(purpose, status),
    };
    answer.to(question)
}

fn problem(purpose: Purpose, status: u16, kind: &str, said: &str) -> Answer {
    let body = json!({"type": "error", "error": {"type": kind, "message": said}, "request_id": "req_0"});
    Answer::json(purpose, body.to_string()).with_status(status)
}
