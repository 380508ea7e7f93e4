//! Findymail: finds by name or profile, and verifies. It returns only addresses it has verified.

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

/// `https://app.findymail.com`, a Laravel application.
pub(crate) struct Findymail;

const KEY: Auth = Auth::Header("authorization", "Bearer ");

impl Provider for Findymail {
    fn kind(&self) -> &'static str {
        "findymail"
    }

    fn operations(&self) -> &'static [Operation] {
        &[Operation::FindEmail, Operation::VerifyEmail]
    }

    fn worst_case(&self, _query: &Query) -> Consumed {
        Consumed::Credits(Decimal::ONE)
    }

    fn request(&self, query: &Query, _reference: &str) -> Request {
        let (path, body) = match query {
            // `domain` takes a company's name as well.
            Query::ByName(person, company) => {
                ("/api/search/name", json!({ "name": person.full, "domain": company.text() }))
            }
            Query::ByProfile(url) => ("/api/search/business-profile", json!({ "linkedin_url": url })),
            Query::Verify(address) => ("/api/verify", json!({ "email": address.as_str() })),
            // Never asked: it reads no pages and writes nothing. Without an address it is refused, and free.
            Query::Scrape(_) | Query::Write(_) => ("/api/verify", json!({})),
        };
        Request::post(path, KEY, body)
    }

    fn read(&self, query: &Query, _turn: u8, reply: &Reply<'_>) -> Reading {
        let body = json::object(reply.body);
        if let Some(fault) = refusal(&body, reply) {
            return Reading::Done(Answer::Fault(fault));
        }
        Reading::Done(match query {
            Query::ByName(..) | Query::ByProfile(_) => found(&body, reply),
            Query::Verify(_) | Query::Scrape(_) | Query::Write(_) => judged(&body, reply),
        })
    }
}

/// What a body with `error` means, at any status: older editions send it with a 200.
fn refusal(body: &Value, reply: &Reply<'_>) -> Option<Fault> {
    let error = json::text(body, "/error").map(str::to_lowercase);
    match error {
        Some(error) if error.contains("credit") || error.contains("paused") => Some(Fault::ProviderOutOfCredits),
        // Locked: the subscription is paused, in whatever words.
        _ if reply.status == 423 => Some(Fault::ProviderOutOfCredits),
        Some(_) => Some(status::fault(reply)),
        None => None,
    }
}

/// The miss is undocumented: any object without `contact.email` is one, and so is a 404. There is
/// no finer word than "returned", and what is returned was verified.
fn found(body: &Value, reply: &Reply<'_>) -> Answer {
    let answered = status::is_success(reply) || reply.status == 404;
    if !answered || !body.is_object() {
        return Answer::Fault(status::fault(reply));
    }
    match json::address(body, "/contact/email") {
        Some(address) => Answer::Found { address, claim: Verdict::Valid, credits: Decimal::ONE },
        // An address that cannot be read was charged all the same.
        None if json::text(body, "/contact/email").is_some() => Answer::Fault(Fault::ProtocolError),
        None => Answer::NotFound { credits: Decimal::ZERO },
    }
}

/// `verified: false` does not tell an invalid address from a catch-all. Every attempt is billed.
fn judged(body: &Value, reply: &Reply<'_>) -> Answer {
    match json::flag(body, "/verified") {
        Some(verified) if status::is_success(reply) => {
            let verdict = if verified { Verdict::Valid } else { Verdict::Unknown };
            Answer::Judged { verdict, credits: Decimal::ONE }
        }
        _ => Answer::Fault(status::fault(reply)),
    }
}
