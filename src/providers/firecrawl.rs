//! Firecrawl: reads a page. Failures of the page's own site and failures of Firecrawl come under the same
//! statuses: its `code` tells them apart.

use crate::domain::Consumed;
use crate::domain::Operation;
use crate::domain::Query;
use crate::providers::Answer;
use crate::providers::Auth;
use crate::providers::Fault;
use crate::providers::Provider;
use crate::providers::Reading;
use crate::providers::Reply;
use crate::providers::Request;
use crate::providers::json;
use crate::providers::status;
use crate::providers::text;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

/// `https://api.firecrawl.dev/v2`
pub(crate) struct Firecrawl;

const PATH: &str = "/scrape";

const KEY: Auth = Auth::Header("authorization", "Bearer ");

/// Milliseconds that it may spend on the page, waiting for its turn included. Shorter than the 30 s that a
/// call is given as shipped: an answer that says what went wrong, and that it was free, beats one that is
/// lost. A provider's table with a shorter `timeout` loses such answers, and is charged nothing for them.
const TIMEOUT_MS: u32 = 25_000;

/// The most that a page costs, in credits: one, and four for what it may take to get at it.
const MOST_CREDITS: u32 = 5;

/// Each page of a PDF costs a credit, so that no more of them are read than the worst case can pay.
const MOST_PDF_PAGES: u32 = MOST_CREDITS;

/// Characters of a page that are kept: enough to know whom one writes to, and a bound on what a model is
/// given.
const LONGEST_TEXT: usize = 12_000;

impl Provider for Firecrawl {
    fn kind(&self) -> &'static str {
        "firecrawl"
    }

    fn operations(&self) -> &'static [Operation] {
        &[Operation::Scrape]
    }

    fn worst_case(&self, _query: &Query) -> Consumed {
        Consumed::Credits(Decimal::from(MOST_CREDITS))
    }

    fn request(&self, query: &Query, _reference: &str) -> Request {
        let body = match query {
            // Unknown fields are refused.
            Query::Scrape(url) => json!({
                "url": url.as_str(),
                "formats": ["markdown"],
                "onlyMainContent": true,
                "parsers": [{ "type": "pdf", "maxPages": MOST_PDF_PAGES }],
                "timeout": TIMEOUT_MS,
            }),
            // Never asked: it only reads pages. Without an address it is refused, and free.
            Query::ByName(..) | Query::ByProfile(_) | Query::Verify(_) | Query::Write(_) => json!({}),
        };
        Request::post(PATH, KEY, body)
    }

    fn read(&self, _query: &Query, _turn: u8, reply: &Reply<'_>) -> Reading {
        let body = json::object(reply.body);
        let failed = json::flag(&body, "/success") == Some(false) || json::text(&body, "/code").is_some();
        Reading::Done(if failed || !status::is_success(reply) { failure(&body, reply) } else { scraped(&body) })
    }
}

/// A page that answers 404 is a page that was read, and charged; so is one without words. The charge is
/// said as a rule; a page costs one.
fn scraped(body: &Value) -> Answer {
    let Some(page) = body.get("data").filter(|page| page.is_object()) else {
        return Answer::Fault(Fault::ProtocolError);
    };
    let words = text::plain(json::text(page, "/markdown").unwrap_or_default(), LONGEST_TEXT);
    let credits = json::decimal(page, "/metadata/creditsUsed").unwrap_or(Decimal::ONE);
    Answer::Scraped { text: words.into(), credits }
}

/// By its code, which is stable where its words are not, then by status. All failures are free but that of a
/// host without an address.
fn failure(body: &Value, reply: &Reply<'_>) -> Answer {
    let code = json::text(body, "/code").unwrap_or_default();
    Answer::Fault(match (code, reply.status) {
        ("SCRAPE_DNS_RESOLUTION_ERROR", _) => return Answer::NotFound { credits: Decimal::ONE },
        // The account's browsers are all at work.
        ("CONCURRENCY_QUEUE_TIMEOUT", _) | (_, 429) => Fault::RateLimited { retry_after: wait(body, reply) },
        ("UNKNOWN_ERROR", _) => Fault::Unavailable,
        // The page's own: too slow, no certificate, no text, behind a wall. Its next try would take as long
        // and end alike, and it says nothing of Firecrawl: the breaker stays out of it.
        _ if code.starts_with("SCRAPE_") => Fault::BadRequest,
        // A list of forbidden sites, mostly without a code. The key's fault is a 401.
        (_, 403 | 408) if body.is_object() => Fault::BadRequest,
        (_, 408) => Fault::Unavailable,
        // A 200 that says no.
        (_, 200..=299) if body.is_object() => Fault::BadRequest,
        _ => status::fault(reply),
    })
}

/// In a header, among the details, or only in words: "please retry after 12s, resets at …".
fn wait(body: &Value, reply: &Reply<'_>) -> Option<Duration> {
    let detail = body.pointer("/details/retryAfterSeconds").and_then(Value::as_u64);
    let behind =
        json::text(body, "/error").and_then(|error| error.split_once("retry after ")).map(|(_, behind)| behind);
    let in_words = behind.and_then(|behind| status::duration(behind.split([',', ' ']).next()?));
    status::retry_after(reply).or_else(|| detail.map(Duration::from_secs)).or(in_words)
}
