//! LeadMagic: finds by name or profile, and verifies; every answer says what it cost.

use crate::domain::Consumed;
use crate::domain::Operation;
use crate::domain::Query;
use crate::domain::Verdict;
use crate::providers::Answer;
use crate::providers::Auth;
use crate::providers::Fault;
use crate::providers::Provider;
use crate::providers::Reading;
use crate::providers::Reply;
use crate::providers::Request;
use crate::providers::json;
use crate::providers::status;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// `https://api.leadmagic.io`, routes `/v1/people/*`.
pub(crate) struct LeadMagic;

const KEY: Auth = Auth::Header("x-api-key", "");

impl Provider for LeadMagic {
    fn kind(&self) -> &'static str {
        "leadmagic"
    }

    fn operations(&self) -> &'static [Operation] {
        &[Operation::FindEmail, Operation::VerifyEmail]
    }

    fn worst_case(&self, query: &Query) -> Consumed {
        Consumed::Credits(most_credits(query))
    }

    fn request(&self, query: &Query, _reference: &str) -> Request {
        let (path, body) = match query {
            Query::ByName(person, company) => ("/v1/people/email-finder", json::by_name(person, company, "domain")),
            Query::ByProfile(url) => ("/v1/people/b2b-profile-email", json!({ "profile_url": url })),
            Query::Verify(address) => ("/v1/people/email-validation", json!({ "email": address.as_str() })),
            // Never asked: it reads no pages and writes nothing. Without an address it is refused, and free.
            Query::Scrape(_) | Query::Write(_) => ("/v1/people/email-validation", json!({})),
        };
        Request::post(path, KEY, body)
    }

    fn read(&self, query: &Query, _turn: u8, reply: &Reply<'_>) -> Reading {
        let body = json::object(reply.body);
        let refused = json::flag(&body, "/success") == Some(false) || json::text(&body, "/error").is_some();
        Reading::Done(if refused || !status::is_success(reply) {
            refusal(query, &body, reply)
        } else {
            match query {
                Query::ByName(..) | Query::ByProfile(_) => found(&body, most_credits(query)),
                Query::Verify(_) | Query::Scrape(_) | Query::Write(_) => judged(&body, most_credits(query)),
            }
        })
    }
}

/// The most that a question costs.
fn most_credits(query: &Query) -> Decimal {
    match query {
        Query::ByName(..) => Decimal::ONE,
        Query::ByProfile(_) => Decimal::new(5, 0),
        Query::Verify(_) | Query::Scrape(_) | Query::Write(_) => Decimal::new(25, 2),
    }
}

/// `credits_consumed` is authoritative; where it is missing, a hit costs the worst case and a miss
/// nothing.
fn found(body: &Value, worst_case: Decimal) -> Answer {
    let consumed = json::decimal(body, "/credits_consumed");
    if let Some(address) = json::address(body, "/email") {
        // The profile route has no `status`.
        let claim = match json::text(body, "/status") {
            Some("valid" | "valid_catch_all") => Verdict::Valid,
            Some("catch_all") => Verdict::CatchAll,
            _ => Verdict::Unknown,
        };
        return Answer::Found { address, claim, credits: consumed.unwrap_or(worst_case) };
    }
    let says_none = body.get("email").is_some_and(|email| email.is_null() || email == "");
    if says_none || consumed.is_some() {
        Answer::NotFound { credits: consumed.unwrap_or(Decimal::ZERO) }
    } else {
        Answer::Fault(Fault::ProtocolError)
    }
}

/// The field is `email_status`, not `status`. The newest edition dropped the two catch-all words
/// for `is_domain_catch_all`; both are read. Only a conclusion is charged.
fn judged(body: &Value, worst_case: Decimal) -> Answer {
    let Some(word) = json::text(body, "/email_status") else {
        return Answer::Fault(Fault::ProtocolError);
    };
    let catch_all = json::flag(body, "/is_domain_catch_all") == Some(true);
    let (verdict, unsaid) = match word {
        "valid" | "valid_catch_all" => (Verdict::Valid, worst_case),
        "invalid" => (Verdict::Invalid, worst_case),
        "catch_all" => (Verdict::CatchAll, Decimal::ZERO),
        "unknown" if catch_all => (Verdict::CatchAll, Decimal::ZERO),
        _ => (Verdict::Unknown, Decimal::ZERO),
    };
    Answer::Judged { verdict, credits: json::decimal(body, "/credits_consumed").unwrap_or(unsaid) }
}

/// Errors come in three shapes: an `errors` list, a flat problem, and the legacy `error` and
/// `message`, which has no code and is read by status.
fn refusal(query: &Query, body: &Value, reply: &Reply<'_>) -> Answer {
    let code = json::text(body, "/errors/0/code").or_else(|| json::text(body, "/code"));
    let is_find = matches!(query, Query::ByName(..) | Query::ByProfile(_));
    Answer::Fault(match code {
        Some("validation_error") => Fault::BadRequest,
        Some("missing_authentication" | "invalid_api_key") => Fault::KeyRejected,
        Some("insufficient_credits" | "credits_exhausted") => Fault::ProviderOutOfCredits,
        Some("INTERNAL_ERROR") => Fault::Unavailable,
        _ if reply.status == 429 => Fault::RateLimited { retry_after: wait(body, reply) },
        // No such person or profile. A 404 without an object is not LeadMagic's own.
        _ if reply.status == 404 && is_find && body.is_object() => {
            return Answer::NotFound { credits: Decimal::ZERO };
        }
        _ => status::fault(reply),
    })
}

/// The wait is said up to three times; `RateLimit-Reset` counts seconds left, `context.reset_at`
/// would need a clock.
fn wait(body: &Value, reply: &Reply<'_>) -> Option<Duration> {
    let context = body.pointer("/errors/0/context").or_else(|| body.get("context"));
    let seconds = context.and_then(|context| u32::try_from(context.get("retry_after_seconds")?.as_u64()?).ok());
    status::retry_after(reply)
        .or_else(|| seconds.map(|seconds| Duration::from_secs(seconds.into())))
        .or_else(|| status::seconds(reply, "ratelimit-reset"))
}
