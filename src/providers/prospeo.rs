//! Prospeo: finds by name or profile. Its failures, an internal one included, are mostly HTTP 400:
//! only `error_code` tells them apart.

use crate::domain::Consumed;
use crate::domain::Operation;
use crate::domain::Query;
use crate::domain::Verdict;
use crate::providers::Answer;
use crate::providers::Auth;
use crate::providers::Fault;
use crate::providers::LostAnswer;
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

/// `https://api.prospeo.io`, the `/enrich-person` edition.
pub(crate) struct Prospeo;

const KEY: Auth = Auth::Header("x-key", "");

impl Provider for Prospeo {
    fn kind(&self) -> &'static str {
        "prospeo"
    }

    fn operations(&self) -> &'static [Operation] {
        &[Operation::FindEmail]
    }

    fn worst_case(&self, _query: &Query) -> Consumed {
        Consumed::Credits(Decimal::ONE)
    }

    fn request(&self, query: &Query, _reference: &str) -> Request {
        let person = match query {
            Query::ByName(person, company) => json::by_name(person, company, "company_website"),
            Query::ByProfile(url) => json!({ "linkedin_url": url }),
            // Never asked: it is a finder alone. Without a datapoint it is refused, and free.
            Query::Verify(_) | Query::Scrape(_) | Query::Write(_) => json!({}),
        };
        // The flag keeps a person without a verified address from being charged as a match.
        Request::post("/enrich-person", KEY, json!({ "only_verified_email": true, "data": person }))
    }

    fn read(&self, _query: &Query, _turn: u8, reply: &Reply<'_>) -> Reading {
        let body = json::object(reply.body);
        let fine = status::is_success(reply) && json::flag(&body, "/error") == Some(false);
        Reading::Done(match json::text(&body, "/error_code") {
            Some(code) => refusal(code, reply),
            None if fine => found(&body),
            None => Answer::Fault(fault(reply)),
        })
    }

    /// A repeat within 90 days is free (`free_enrichment`).
    fn after_lost_answer(&self) -> LostAnswer {
        LostAnswer::Repeat
    }
}

/// No person is a miss. A person is a match, charged unless it is free, also when its address is
/// absent or masked with asterisks (`revealed: false`).
fn found(body: &Value) -> Answer {
    if !body.get("person").is_some_and(Value::is_object) {
        return Answer::NotFound { credits: Decimal::ZERO };
    }
    let is_free = json::flag(body, "/free_enrichment") == Some(true);
    let credits = if is_free { Decimal::ZERO } else { Decimal::ONE };
    let is_masked = json::flag(body, "/person/email/revealed") == Some(false);
    match json::address(body, "/person/email/email") {
        Some(address) if !is_masked => {
            let claim = match json::text(body, "/person/email/status") {
                Some("VERIFIED") => Verdict::Valid,
                _ => Verdict::Unknown,
            };
            Answer::Found { address, claim, credits }
        }
        _ => Answer::NotFound { credits },
    }
}

fn refusal(code: &str, reply: &Reply<'_>) -> Answer {
    Answer::Fault(match code {
        "NO_MATCH" | "NO_RESULTS" | "NO_RESULT" => return Answer::NotFound { credits: Decimal::ZERO },
        "INVALID_API_KEY" | "ACCOUNT_RESTRICTED" => Fault::KeyRejected,
        "INSUFFICIENT_CREDITS" => Fault::ProviderOutOfCredits,
        "RATE_LIMITED" | "RATE_LIMIT_EXCEEDED" => Fault::RateLimited { retry_after: wait(reply) },
        "INTERNAL_ERROR" => Fault::Unavailable,
        _ if code.starts_with("INVALID_") => Fault::BadRequest,
        _ => fault(reply),
    })
}

fn fault(reply: &Reply<'_>) -> Fault {
    if reply.status == 429 { Fault::RateLimited { retry_after: wait(reply) } } else { status::fault(reply) }
}

/// A 429 may mean the second, the minute or the day: the longest window with nothing left decides.
/// `Retry-After` is not documented, but read.
fn wait(reply: &Reply<'_>) -> Option<Duration> {
    [
        ("x-daily-request-left", "x-daily-reset-seconds"),
        ("x-minute-request-left", "x-minute-reset-seconds"),
        ("x-second-request-left", "x-second-reset-seconds"),
    ]
    .into_iter()
    .filter(|(left, _)| reply.header(left) == Some("0"))
    .find_map(|(_, reset)| status::seconds(reply, reset))
    .or_else(|| status::retry_after(reply))
}
