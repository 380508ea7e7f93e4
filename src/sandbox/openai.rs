//! OpenAI and the servers that speak its format: chat completions, models. Facts:
//! `verifiers-scrape-models.md` §5 and §7.

use crate::domain::Tokens;
use crate::sandbox::Vendor;
use crate::sandbox::answer::Answer;
use crate::sandbox::answer::Credits;
use crate::sandbox::answer::Purpose;
use crate::sandbox::call::Call;
use crate::sandbox::call::Trouble;
use crate::sandbox::hash::Hash;
use crate::sandbox::world::World;
use crate::sandbox::writer::Ending;
use crate::sandbox::writer::Prompt;
use crate::sandbox::writer::Scene;
use crate::sandbox::writer::Written;
use crate::sandbox::writer::text_of;
use rust_decimal::Decimal;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

const KIND: &str = "openai";

/// Sent with every response.
const HEADERS: &[(&str, &str)] = &[
    ("x-request-id", "req_0"),
    ("openai-processing-ms", "12"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-limit-tokens", "2000000"),
    ("x-ratelimit-remaining-tokens", "1999000"),
    ("x-ratelimit-reset-tokens", "6m0s"),
];

/// Every parameter of a chat completion; any other is refused.
const PARAMETERS: &[&str] = &[
    "model",
    "messages",
    "max_completion_tokens",
    "max_tokens",
    "response_format",
    "store",
    "stream",
    "stream_options",
    "n",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "user",
    "metadata",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "modalities",
    "audio",
    "prediction",
    "moderation",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "web_search_options",
];

const ROLES: &[&str] = &["developer", "system", "user", "assistant", "tool", "function"];

/// What `GET /models` lists; any other name is taken as well.
const MODELS: &[&str] = &["gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-luna", "sandbox-plain"];

const INVALID: &str = "invalid_request_error";

/// Every word for an account that cannot pay; the first is the classic one.
const NO_QUOTA: [&str; 5] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
];

pub(super) struct OpenAi;

/// What is wrong with a request.
struct Complaint {
    parameter: String,
    code: Option<&'static str>,
    message: String,
}

impl Vendor for OpenAi {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn base_path(&self) -> &'static str {
        "/openai/v1"
    }

    /// Azure's header is taken as well.
    fn key(&self, call: &Call<'_>) -> String {
        let keys = [call.bearer(), call.header("api-key")];
        keys.into_iter().find(|key| !key.is_empty()).unwrap_or_default().to_owned()
    }

    fn answer(&self, call: &Call<'_>, world: &World) -> Answer {
        let answer = match call.route() {
            ("POST", "chat/completions") => complete(call, world),
            ("GET", "models") => models(call),
            _ => problem(Purpose::Nothing, 404, INVALID, None, "Invalid URL"),
        };
        let answer = answer.with_headers(HEADERS);
        match call.trouble {
            Some(Trouble::Throttled(_)) => {
                answer.with_headers(&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1s")])
            }
            _ => answer,
        }
    }
}

fn complete(call: &Call<'_>, world: &World) -> Answer {
    let prompt = read(call);
    let question = prompt.as_ref().map_or(Hash::new(0), |prompt| prompt.question(KIND, world));
    if let Some(trouble) = call.trouble {
        return refuse(trouble, Purpose::Write, question);
    }
    match prompt {
        Ok(prompt) => prompt.scene().and_then(error_of).unwrap_or_else(|| completion(&prompt, question)).to(question),
        Err(complaint) => complaint.answer(),
    }
}

fn read(call: &Call<'_>) -> Result<Prompt, Complaint> {
    let unreadable = || Complaint::new("", None, "We could not parse the JSON body of your request.");
    let fields = call.json::<Map<String, Value>>().ok_or_else(unreadable)?;
    if let Some(unknown) = fields.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
        let said = format!("Unknown parameter: '{unknown}'.");
        return Err(Complaint::new(unknown, Some("unknown_parameter"), &said));
    }
    let model = fields.get("model").and_then(Value::as_str).unwrap_or_default();
    if model.is_empty() {
        return Err(Complaint::new("", None, "you must provide a model parameter"));
    }
    let streams = fields.get("stream").and_then(Value::as_bool).unwrap_or_default();
    if streams || fields.get("n").and_then(Value::as_u64).is_some_and(|n| n != 1) {
        return Err(Complaint::new("stream", Some("unsupported_value"), "One whole answer is all that is simulated."));
    }
    let (cap, wants_json) = (cap_of(&fields)?, wants_json(&fields)?);
    let mut prompt = Prompt { model: model.to_owned(), cap, wants_json, ..Prompt::default() };
    let messages = fields.get("messages").and_then(Value::as_array).filter(|messages| !messages.is_empty());
    let missing = || Complaint::new("messages", Some("missing_required_parameter"), "Missing parameter: 'messages'.");
    for message in messages.ok_or_else(missing)? {
        let role = message.get("role").and_then(Value::as_str).filter(|role| ROLES.contains(role));
        let said = role.and_then(|role| Some((role, text_of(message.get("content")?)?)));
        let (role, text) = said.ok_or_else(|| Complaint::new("messages", Some("invalid_value"), "Invalid message."))?;
        prompt.say(role, &text);
    }
    Ok(prompt)
}

/// The cap under either of its names.
fn cap_of(fields: &Map<String, Value>) -> Result<Option<u64>, Complaint> {
    let given = |name: &'static str| fields.get(name).filter(|value| !value.is_null()).map(|value| (name, value));
    let (name, value) = match (given("max_completion_tokens"), given("max_tokens")) {
        (None, None) => return Ok(None),
        (Some(one), None) | (None, Some(one)) => one,
        (Some(_), Some((name, _))) => {
            let said = "'max_tokens' and 'max_completion_tokens' cannot be set at the same time.";
            return Err(Complaint::new(name, Some("unsupported_parameter"), said));
        }
    };
    let said = format!("Invalid '{name}': expected an integer of 1 or more.");
    match value.as_u64() {
        Some(cap) if cap > 0 => Ok(Some(cap)),
        Some(_) | None => Err(Complaint::new(name, Some("invalid_value"), &said)),
    }
}

fn wants_json(fields: &Map<String, Value>) -> Result<bool, Complaint> {
    let complaint = |said: &str| Complaint::new("response_format", Some("invalid_value"), said);
    let Some(format) = fields.get("response_format").filter(|format| !format.is_null()) else {
        return Ok(false);
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(false),
        Some("json_object") => Ok(true),
        Some("json_schema") => {
            let schema = format.get("json_schema").filter(|schema| schema.get("name").is_some_and(Value::is_string));
            let schema = schema.ok_or_else(|| complaint("Missing required parameter: 'json_schema.name'."))?;
            let is_strict = schema.get("strict").and_then(Value::as_bool).unwrap_or_default();
            if is_strict && !schema.get("schema").is_some_and(is_closed) {
                return Err(complaint("A strict schema requires all its properties, and forbids any other."));
            }
            Ok(true)
        }
        Some(_) | None => Err(complaint("Supported types are 'text', 'json_object' and 'json_schema'.")),
    }
}

/// Does a schema require all its properties, and forbid any other?
fn is_closed(schema: &Value) -> bool {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|it| it.as_str() == Some(name)));
    schema.get("additionalProperties") == Some(&Value::Bool(false))
        && properties.is_some_and(|properties| properties.keys().all(|name| is_required(name)))
}

fn completion(prompt: &Prompt, question: Hash) -> Answer {
    let written = prompt.write(question);
    let Written { text, ending, tokens } = &written;
    let (content, refusal) = match ending {
        Ending::Refused => (Value::Null, json!(text)),
        Ending::Whole | Ending::Cut | Ending::Filtered => (json!(text), Value::Null),
    };
    let finish = match ending {
        Ending::Whole | Ending::Refused => "stop",
        Ending::Cut => "length",
        Ending::Filtered => "content_filter",
    };
    let message = json!({"role": "assistant", "content": content, "refusal": refusal, "annotations": []});
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish});
    let mut body: Map<String, Value> = Map::from_iter([
        ("id".to_owned(), json!(format!("chatcmpl-{:016x}", question.value()))),
        ("object".to_owned(), json!("chat.completion")),
        ("created".to_owned(), json!(1_767_225_600)),
        ("model".to_owned(), json!(prompt.model)),
        ("choices".to_owned(), json!([choice])),
    ]);
    if let Some(usage) = usage(prompt.scene(), tokens) {
        body.insert("usage".to_owned(), usage);
    }
    body.insert("service_tier".to_owned(), json!("default"));
    Answer::json(Purpose::Write, Value::from(body).to_string()).metered(&prompt.model, *tokens)
}

/// What is told of the tokens: prompt and completion are sums, their details parts of them.
fn usage(scene: Option<Scene>, tokens: &Tokens) -> Option<Value> {
    let prompt = tokens.input + tokens.cached_input + tokens.cache_write;
    let total = prompt + tokens.output;
    let plain = json!({"prompt_tokens": prompt, "completion_tokens": tokens.output, "total_tokens": total});
    let of_prompt =
        json!({"cached_tokens": tokens.cached_input, "cache_write_tokens": tokens.cache_write, "audio_tokens": 0});
    let of_completion = json!({"reasoning_tokens": tokens.reasoning, "audio_tokens": 0,
                               "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0});
    let mut usage = plain.as_object().cloned()?;
    match scene {
        Some(Scene::NoUsage) => return None,
        Some(Scene::Plain) => return Some(plain),
        Some(Scene::Cost) => {
            let cost = Decimal::from_i128_with_scale(i128::from(total), 6).normalize().to_string();
            usage.insert("cost".to_owned(), serde_json::from_str(&cost).unwrap_or_default());
        }
        _ => {}
    }
    usage.insert("prompt_tokens_details".to_owned(), of_prompt);
    usage.insert("completion_tokens_details".to_owned(), of_completion);
    Some(usage.into())
}

/// The error that a scene makes of a good request.
fn error_of(scene: Scene) -> Option<Answer> {
    let elsewhere = json!({"code": 502, "message": "Provider returned error", "metadata": {"provider_name": "x"}});
    let error = |status, body: Value| Some(Answer::json(Purpose::Write, body.to_string()).with_status(status));
    match scene {
        Scene::Missing => {
            Some(problem(Purpose::Write, 404, INVALID, Some("model_not_found"), "The model does not exist."))
        }
        Scene::Window => {
            let said = "This model's maximum context length is exceeded.";
            Some(problem(Purpose::Write, 400, INVALID, Some("context_length_exceeded"), said))
        }
        Scene::Late => error(
            200,
            json!({"id": "gen-0", "object": "chat.completion", "created": 1_767_225_600,
                                         "model": "x", "choices": [], "error": elsewhere}),
        ),
        Scene::Numeric => error(502, json!({"error": elsewhere, "user_id": "user_0"})),
        Scene::Flat => error(
            400,
            json!({"object": "error", "message": "Invalid request", "type": INVALID, "param": null, "code": "1500"}),
        ),
        Scene::Bare => error(503, json!({"error": "model is still loading"})),
        Scene::Refuse
        | Scene::Filter
        | Scene::Truncate
        | Scene::Ponder
        | Scene::NoUsage
        | Scene::Plain
        | Scene::Cached
        | Scene::Cost
        | Scene::Fenced
        | Scene::Prose => None,
    }
}

fn models(call: &Call<'_>) -> Answer {
    match call.trouble {
        // Who cannot pay may still look.
        None | Some(Trouble::NoCredits) => {}
        Some(trouble) => return refuse(trouble, Purpose::Account, Hash::new(0)),
    }
    let model = |id| json!({"id": id, "object": "model", "created": 1_767_225_600, "owned_by": "sandbox"});
    let models: Vec<_> = MODELS.iter().map(model).collect();
    Answer::json(Purpose::Account, json!({"object": "list", "data": models}).to_string()).billed(Credits::NONE)
}

impl Complaint {
    fn new(parameter: &str, code: Option<&'static str>, message: &str) -> Self {
        Self { parameter: parameter.to_owned(), code, message: message.to_owned() }
    }

    fn answer(self) -> Answer {
        let Self { parameter, code, message } = self;
        let parameter = Some(parameter).filter(|parameter| !parameter.is_empty());
        let error = json!({"message": message, "type": INVALID, "param": parameter, "code": code});
        Answer::json(Purpose::Write, json!({"error": error}).to_string()).with_status(400)
    }
}

fn refuse(trouble: Trouble, purpose: Purpose, question: Hash) -> Answer {
    let problem = |status, kind, code, said| problem(purpose, status, kind, code, said);
    let answer = match trouble {
        Trouble::MissingKey => problem(401, INVALID, None, "You didn't provide an API key."),
        Trouble::BadKey => problem(401, INVALID, Some("invalid_api_key"), "Incorrect API key provided."),
        // No `Retry-After`: waiting does not help.
        Trouble::NoCredits => {
            let said = "You exceeded your current quota, please check your plan and billing details.";
            problem(429, "insufficient_quota", Some(question.pick("quota", &NO_QUOTA)), said)
        }
        // Of the 403s, the one that is documented.
        Trouble::Paused => problem(
            403,
            "request_forbidden",
            Some("unsupported_country_region_territory"),
            "Country, region, or territory not supported",
        ),
        Trouble::Throttled(_) => {
            // The newest words, the older ones, and those for who speeds up too fast.
            let (kind, code) = match question.draw("limit", 3) {
                0 => ("rate_limit_error", "rate_limit_exceeded"),
                1 => ("requests", "rate_limit_exceeded"),
                _ => ("rate_limit_error", "slow_down"),
            };
            problem(429, kind, Some(code), "Rate limit reached.").with_header("retry-after", 1_u64)
        }
        Trouble::Failed if question.draw("failure", 2) == 0 => {
            problem(503, "service_unavailable_error", Some("server_is_overloaded"), "The server is overloaded.")
        }
        Trouble::Failed => problem(500, "server_error", None, "The server had an error. Sorry about that!"),
        Trouble::Outage(status) => Answer::page(purpose, status),
    };
    answer.to(question)
}

fn problem(purpose: Purpose, status: u16, kind: &str, code: Option<&str>, said: &str) -> Answer {
    let error = json!({"message": said, "type": kind, "param": null, "code": code});
    Answer::json(purpose, json!({"error": error}).to_string()).with_status(status)
}
