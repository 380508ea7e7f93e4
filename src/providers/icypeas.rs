//! Icypeas: finds by name, and verifies; it answers later. A submission gives an id, and reads are
//! limited to 30 a minute per account, so that one read serves all who wait.

use crate::domain::Consumed;
use crate::domain::Lead;
use crate::domain::Operation;
use crate::domain::Query;
use crate::domain::Verdict;
use crate::providers::Answer;
use crate::providers::Auth;
use crate::providers::Deferred;
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

/// `https://app.icypeas.com/api`
pub(crate) struct Icypeas;

/// The bare key; `Bearer` breaks it.
const KEY: Auth = Auth::Header("authorization", "");

/// Spelled so by the vendor.
const READ: &str = "/bulk-single-searchs/read";

/// The vendor asks for three seconds between reads, and answers in "a few".
const WAIT: Duration = Duration::from_secs(3);

/// The most items one read returns.
const NEWEST: u32 = 100;

impl Provider for Icypeas {
    fn kind(&self) -> &'static str {
        "icypeas"
    }

    fn operations(&self) -> &'static [Operation] {
        &[Operation::FindEmail, Operation::VerifyEmail]
    }

    /// By name only: no route takes a profile.
    fn find_query(&self, lead: &Lead) -> Option<Query> {
        Query::by_name(lead)
    }

    fn worst_case(&self, query: &Query) -> Consumed {
        Consumed::Credits(match query {
            Query::ByName(..) | Query::ByProfile(_) | Query::Scrape(_) | Query::Write(_) => Decimal::ONE,
            Query::Verify(_) => verification(),
        })
    }

    fn request(&self, query: &Query, reference: &str) -> Request {
        let custom = json!({ "externalId": reference });
        let (path, body) = match query {
            Query::ByName(person, company) => {
                let (first, last, company) = (&person.first, &person.last, company.text());
                let body =
                    json!({ "firstname": first, "lastname": last, "domainOrCompany": company, "custom": custom });
                ("/email-search", body)
            }
            // Never asked, see `find_query` and `operations`. Without a name it is refused, and free.
            Query::ByProfile(_) | Query::Scrape(_) | Query::Write(_) => ("/email-search", json!({ "custom": custom })),
            Query::Verify(address) => ("/email-verification", json!({ "email": address.as_str(), "custom": custom })),
        };
        Request::post(path, KEY, body)
    }

    fn read(&self, _query: &Query, _turn: u8, reply: &Reply<'_>) -> Reading {
        let body = json::object(reply.body);
        if let Some(fault) = refusal(&body, reply) {
            return Reading::Done(Answer::Fault(fault));
        }
        match json::text(&body, "/item/_id") {
            Some(handle) => later(handle),
            None => Reading::Done(Answer::Fault(Fault::ProtocolError)),
        }
    }

    fn after_lost_answer(&self) -> LostAnswer {
        LostAnswer::LookUp
    }

    fn deferred(&self) -> Option<&dyn Deferred> {
        Some(self)
    }
}

impl Deferred for Icypeas {
    fn read_many(&self, operation: Operation) -> Request {
        let kind = match operation {
            Operation::FindEmail => "email-search",
            // The other two are never asked for.
            Operation::VerifyEmail | Operation::Scrape | Operation::WriteCopy => "email-verification",
        };
        Request::post(READ, KEY, json!({ "mode": "single", "type": kind, "limit": NEWEST }))
    }

    fn read_one(&self, handle: &str) -> Request {
        Request::post(READ, KEY, json!({ "id": handle }))
    }

    fn pick(&self, query: &Query, reply: &Reply<'_>, handle: &str) -> Option<Reading> {
        let body = json::object(reply.body);
        if let Some(fault) = refusal(&body, reply) {
            return Some(Reading::Done(Answer::Fault(of_read(fault, reply))));
        }
        let item = items(&body).find(|item| json::text(item, "/_id") == Some(handle))?;
        let answer = match json::text(item, "/status") {
            Some("NONE" | "SCHEDULED" | "IN_PROGRESS") => return Some(later(handle)),
            Some("BAD_INPUT") => Answer::Fault(Fault::BadRequest),
            Some("INSUFFICIENT_FUNDS") => Answer::Fault(Fault::ProviderOutOfCredits),
            // The vendor's advice: whatever is not running is finished.
            finished => match query {
                Query::ByName(..) | Query::ByProfile(_) => found(finished, item),
                Query::Verify(_) | Query::Scrape(_) | Query::Write(_) => judged(finished, item),
            },
        };
        Some(Reading::Done(answer))
    }

    fn find_reference(&self, reply: &Reply<'_>, reference: &str) -> Option<String> {
        let body = json::object(reply.body);
        let item = items(&body).find(|item| json::text(item, "/userData/externalId") == Some(reference))?;
        json::text(item, "/_id").map(str::to_owned)
    }
}

/// What a verification costs: 0.1 credits for any verdict.
fn verification() -> Decimal {
    Decimal::new(1, 1)
}

fn later(handle: &str) -> Reading {
    Reading::Later { handle: handle.to_owned(), after: WAIT }
}

fn items(body: &Value) -> impl Iterator<Item = &Value> {
    body.get("items").and_then(Value::as_array).into_iter().flatten()
}

/// Refusals are mostly HTTP 200 with `success: false`. Where the named errors stand in the body,
/// and under which status, is not documented: the text is searched for them.
fn refusal(body: &Value, reply: &Reply<'_>) -> Option<Fault> {
    if status::is_success(reply) && body.is_object() && json::flag(body, "/success") != Some(false) {
        return None;
    }
    let says = |word| reply.body.contains(word);
    Some(if says("InsufficientCredits") || says("INSUFFICIENT_FUNDS") || says("UnpaidSubscriptionError") {
        Fault::ProviderOutOfCredits
    } else if body.get("validationErrors").is_some() {
        Fault::BadRequest
    } else {
        status::fault(reply)
    })
}

/// A refused read says nothing of the search, and reads are free: one that is not understood may be
/// repeated. Only a search that is gone may have been billed.
fn of_read(fault: Fault, reply: &Reply<'_>) -> Fault {
    if reply.body.contains("SearchNotFoundError") {
        return Fault::ProtocolError;
    }
    match fault {
        // An unpaid account refuses reads as well; what was submitted before may still be answered.
        Fault::BadRequest | Fault::ProtocolError | Fault::Unavailable | Fault::ProviderOutOfCredits => {
            Fault::Unavailable
        }
        Fault::KeyRejected | Fault::RateLimited { .. } => fault,
    }
}

/// Judges by the address that is there, and by the status only without one. The name of
/// `DEBITED_NOT_FOUND` is all that is known of its charge, so it counts as charged.
fn found(status: Option<&str>, item: &Value) -> Answer {
    let credits = match status {
        Some("FOUND" | "DEBITED" | "DEBITED_NOT_FOUND") => Decimal::ONE,
        _ => Decimal::ZERO,
    };
    match (json::address(item, "/results/emails/0/email"), status) {
        (Some(address), _) => {
            let claim = verdict(json::text(item, "/results/emails/0/certainty"));
            Answer::Found { address, claim, credits }
        }
        (None, Some("NOT_FOUND" | "DEBITED_NOT_FOUND")) => Answer::NotFound { credits },
        // Found without an address, aborted, or a word not known: no answer to be remembered.
        (None, _) => Answer::Fault(Fault::ProtocolError),
    }
}

/// Judges by the certainty. Without one `NOT_FOUND` may mean "does not exist" or "cannot tell".
fn judged(status: Option<&str>, item: &Value) -> Answer {
    let certainty = json::text(item, "/results/emails/0/certainty");
    match (certainty, status) {
        (None, Some("NOT_FOUND" | "DEBITED_NOT_FOUND")) | (Some(_), _) => {
            Answer::Judged { verdict: verdict(certainty), credits: verification() }
        }
        (None, _) => Answer::Fault(Fault::ProtocolError),
    }
}

/// `probable` and `sure` may bounce: the mailbox itself was not confirmed.
fn verdict(certainty: Option<&str>) -> Verdict {
    match certainty {
        Some("ultra_sure" | "very_sure") => Verdict::Valid,
        Some("probable" | "sure") => Verdict::CatchAll,
        Some("undeliverable") => Verdict::Invalid,
        _ => Verdict::Unknown,
    }
}
