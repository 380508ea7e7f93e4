//! MillionVerifier: verifies. Its failures are HTTP 200 with an `error`.

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

/// `https://api.millionverifier.com/api/v3`
pub(crate) struct MillionVerifier;

const KEY: Auth = Auth::Query("api");

/// Seconds it may spend on the recipient's server (2 to 60); then the answer is `unknown`, and free.
const TIMEOUT: &str = "20";

/// The `resultcode` of `result: "error"`.
const ERROR: u64 = 4;

impl Provider for MillionVerifier {
    fn kind(&self) -> &'static str {
        "millionverifier"
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
        let parameters = [("email", email), ("timeout", TIMEOUT)];
        Request::get("/", KEY, parameters.map(|(name, value)| (name, value.to_owned())).to_vec())
    }

    fn read(&self, _query: &Query, _turn: u8, reply: &Reply<'_>) -> Reading {
        let body = json::object(reply.body);
        let error = json::text(&body, "/error");
        let is_error = error.is_some()
            || json::text(&body, "/result") == Some("error")
            || body.get("resultcode").and_then(Value::as_u64) == Some(ERROR);
        Reading::Done(if is_error {
            Answer::Fault(refusal(error.unwrap_or_default(), reply))
        } else if status::is_success(reply) {
            judged(&body)
        } else {
            Answer::Fault(fault(reply))
        })
    }
}

/// Decides on `result` alone: `quality` contradicts it in the vendor's own sample, and `free` means
/// a free mail provider, not a free answer. `credits` is the balance left, not the cost.
fn judged(body: &Value) -> Answer {
    let (verdict, credits) = match json::text(body, "/result") {
        Some("ok") => (Verdict::Valid, Decimal::ONE),
        Some("invalid" | "disposable") => (Verdict::Invalid, Decimal::ONE),
        Some("catch_all") => (Verdict::CatchAll, Decimal::ZERO),
        Some(_) => (Verdict::Unknown, Decimal::ZERO),
        None => return Answer::Fault(Fault::ProtocolError),
    };
    Answer::Judged { verdict, credits }
}

/// Only "Apikey not found" is documented; the other texts are recognised by a word.
fn refusal(error: &str, reply: &Reply<'_>) -> Fault {
    let error = error.to_lowercase();
    let says = |word| error.contains(word);
    if says("apikey") || says("api key") {
        Fault::KeyRejected
    } else if says("credit") {
        Fault::ProviderOutOfCredits
    } else if says("no email") {
        Fault::BadRequest
    } else if status::is_success(reply) {
        // A blocked IP address, an internal error, a failure without words: nothing was billed.
        Fault::Unavailable
    } else {
        fault(reply)
    }
}

/// A 403 was seen after bursts, and is not about the key.
fn fault(reply: &Reply<'_>) -> Fault {
    if reply.status == 403 {
        Fault::RateLimited { retry_after: status::retry_after(reply) }
    } else {
        status::fault(reply)
    }
}
