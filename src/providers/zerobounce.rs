//! ZeroBounce: verifies. A bad key and an empty account are the same HTTP 200 with an `error`, so
//! that the balance is asked as a second question.

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

/// `https://api.zerobounce.net/v2`, or its `-us` and `-eu` twins.
pub(crate) struct ZeroBounce;

const KEY: Auth = Auth::Query("api_key");

/// Seconds it may spend on the recipient's server (3 to 60); then the answer is `unknown`, and free.
const TIMEOUT: &str = "20";

impl Provider for ZeroBounce {
    fn kind(&self) -> &'static str {
        "zerobounce"
    }

    fn operations(&self) -> &'static [Operation] {
        &[Operation::VerifyEmail]
    }

    fn worst_case(&self, _query: &Query) -> Consumed {
        Consumed::Credits(Decimal::ONE)
    }

    fn request(&self, query: &Query, _reference: &str) -> Request {
        let email = match query {
            Query::Verify(address) => address.as_str(),
            // Never asked: it is a verifier alone. An empty address is refused, and free.
            Query::ByName(..) | Query::ByProfile(_) | Query::Scrape(_) | Query::Write(_) => "",
        };
        let parameters = [("email", email), ("ip_address", ""), ("timeout", TIMEOUT)];
        Request::get("/validate", KEY, parameters.map(|(name, value)| (name, value.to_owned())).to_vec())
    }

    fn read(&self, _query: &Query, turn: u8, reply: &Reply<'_>) -> Reading {
        let body = json::object(reply.body);
        match turn {
            0 if blames_key_or_account(&body, reply) => Reading::Ask(Request::get("/getcredits", KEY, Vec::new())),
            0 => Reading::Done(judged(&body, reply)),
            _ => Reading::Done(Answer::Fault(blamed(&body))),
        }
    }
}

/// "Invalid API Key or your account ran out of credits", as a text or a list of texts; an older
/// path says "Missing parameter: api_key." with a 400.
fn blames_key_or_account(body: &Value, reply: &Reply<'_>) -> bool {
    let error = body.get("error").map(|error| error.to_string().to_lowercase()).unwrap_or_default();
    matches!(reply.status, 200 | 400) && ["api key", "api_key", "credits"].iter().any(|word| error.contains(word))
}

/// Reads the balance: `"-1"` is a bad key and `"0"` an empty account; the vendor sends text, some
/// saw numbers.
fn blamed(body: &Value) -> Fault {
    let credits = match body.get("Credits") {
        Some(Value::String(text)) => text.trim().parse::<i64>().ok(),
        Some(number) => number.as_i64(),
        None => None,
    };
    match credits {
        Some(0) => Fault::ProviderOutOfCredits,
        // The key works again: it was topped up in between, or the two answers disagree. Neither
        // was billed, so it may be tried again.
        Some(1..) => Fault::Unavailable,
        // Unreadable, too: the first answer has already refused the key, and asking on with a bad
        // one is punished with a block.
        _ => Fault::KeyRejected,
    }
}

fn judged(body: &Value, reply: &Reply<'_>) -> Answer {
    let has_error = body.get("error").is_some_and(|error| !error.is_null() && error != "");
    let word = match (reply.status, json::text(body, "/status")) {
        // About the address itself; errors are not billed.
        (200..=299, _) if has_error => return Answer::Fault(Fault::BadRequest),
        (200..=299, Some(word)) => word,
        // Its firewall, with a page of HTML: nothing is said of the key.
        (403, _) => return Answer::Fault(Fault::Unavailable),
        _ => return Answer::Fault(status::fault(reply)),
    };
    let verdict = match word {
        "valid" => Verdict::Valid,
        "invalid" | "spamtrap" | "abuse" | "do_not_mail" => Verdict::Invalid,
        "catch-all" => Verdict::CatchAll,
        _ => Verdict::Unknown,
    };
    // No field says the cost: everything is charged but the word `unknown`.
    let credits = if word == "unknown" { Decimal::ZERO } else { Decimal::ONE };
    Answer::Judged { verdict, credits }
}
