//! Firecrawl's wire cases (verifiers-scrape-models.md §4).

use crate::domain::Consumed;
use crate::domain::Query;
use crate::providers::Answer;
use crate::providers::Fault;
use crate::providers::LostAnswer;
use crate::providers::Provider;
use crate::providers::firecrawl::Firecrawl;
use crate::providers::tests::REFERENCE;
use crate::providers::tests::call;
use crate::providers::tests::read;
use crate::providers::tests::url;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;

fn question() -> Query {
    Query::Scrape(url("https://acme-widgets.test/about?a=b#c"))
}

fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Answer {
    read(&Firecrawl, &question(), status, headers, &body.to_string())
}

fn scraped(text: &str, credits: &str) -> Answer {
    Answer::Scraped { text: text.into(), credits: credits.parse().unwrap() }
}

#[test]
fn a_request_names_the_page_and_what_is_wanted_of_it() {
    let expected = "POST /scrape [authorization: Bearer KEY] \
        {\"url\":\"https://acme-widgets.test/about?a=b#c\",\"formats\":[\"markdown\"],\"onlyMainContent\":true,\
        \"parsers\":[{\"type\":\"pdf\",\"maxPages\":5}],\"timeout\":25000}";
    assert_eq!(call(&Firecrawl.request(&question(), REFERENCE)), expected);
    assert_eq!(Firecrawl.worst_case(&question()), Consumed::Credits(Decimal::from(5)));
}

#[test]
fn a_lost_answer_is_not_asked_for_again() {
    assert_eq!(Firecrawl.after_lost_answer(), LostAnswer::GiveUp);
}

#[test]
fn a_page_that_was_read_is_charged_as_it_says() {
    let page = |markdown: Value, metadata: Value| {
        let data = json!({ "markdown": markdown, "metadata": metadata });
        json!({ "success": true, "data": data })
    };
    for (body, expected) in [
        (
            page(json!("# Widgets\r\n\nWe make them."), json!({ "statusCode": 200, "creditsUsed": 1 })),
            scraped("# Widgets\n\nWe make them.", "1"),
        ),
        (page(json!("text"), json!({ "title": ["a", "b"], "creditsUsed": 5 })), scraped("text", "5")),
        (page(json!("text"), json!({ "creditsUsed": 0 })), scraped("text", "0")),
        (page(json!("text"), json!({ "creditsUsed": 1.5 })), scraped("text", "1.5")),
        // The charge is said as a rule, not always.
        (page(json!("text"), json!({})), scraped("text", "1")),
        (page(json!("text"), json!({ "creditsUsed": "5" })), scraped("text", "1")),
        (page(json!("text"), json!({ "creditsUsed": -1 })), scraped("text", "1")),
        (page(json!("text"), json!(null)), scraped("text", "1")),
        // A page that is not there was read.
        (
            page(json!("Not found"), json!({ "statusCode": 404, "error": "Not Found", "creditsUsed": 1 })),
            scraped("Not found", "1"),
        ),
        // So was one without words.
        (page(json!(""), json!({ "creditsUsed": 1 })), scraped("", "1")),
        (page(json!(null), json!({ "creditsUsed": 1 })), scraped("", "1")),
        (json!({ "data": { "markdown": "text" } }), scraped("text", "1")),
    ] {
        assert_eq!(answer(200, &[], &body), expected, "{body}");
    }
}

#[test]
fn a_page_is_cut_between_characters() {
    let body = json!({ "success": true, "data": { "markdown": "é".repeat(13_000), "metadata": {} } });
    assert_eq!(answer(200, &[], &body), scraped(&"é".repeat(12_000), "1"));
}

#[test]
fn a_host_without_an_address_is_charged() {
    for status in [200, 500] {
        let body = json!({ "success": false, "code": "SCRAPE_DNS_RESOLUTION_ERROR", "error": "DNS resolution failed" });
        assert_eq!(answer(status, &[], &body), Answer::NotFound { credits: Decimal::ONE });
    }
}

#[test]
fn faults_of_the_page_are_told_from_those_of_firecrawl() {
    let failed = |code: &str| json!({ "success": false, "code": code, "error": "No." });
    let worded = |error: &str| json!({ "success": false, "error": error });
    let throttled = Fault::RateLimited { retry_after: None };
    for (status, body, expected) in [
        (400, failed("BAD_REQUEST"), Fault::BadRequest),
        (400, failed("BAD_REQUEST_INVALID_JSON"), Fault::BadRequest),
        (401, worded("Unauthorized: Invalid token"), Fault::KeyRejected),
        (402, worded("Insufficient credits to perform this request."), Fault::ProviderOutOfCredits),
        (403, worded("This website is no longer supported"), Fault::BadRequest),
        (403, failed("UNSUPPORTED_SITE"), Fault::BadRequest),
        (403, failed("unsafe_domain_blocked"), Fault::BadRequest),
        (403, failed("SCRAPE_PROMPT_INJECTION_DETECTED"), Fault::BadRequest),
        (404, failed("SCRAPE_NO_CACHED_DATA"), Fault::BadRequest),
        (404, failed("THIRD_PARTY_DATA_NOT_FOUND"), Fault::BadRequest),
        (408, failed("SCRAPE_TIMEOUT"), Fault::BadRequest),
        (408, worded("Request timed out"), Fault::BadRequest),
        (408, json!("Request Timeout"), Fault::Unavailable),
        (408, failed("CONCURRENCY_QUEUE_TIMEOUT"), throttled),
        (429, worded("Concurrency limit reached"), throttled),
        (500, failed("SCRAPE_ALL_ENGINES_FAILED"), Fault::BadRequest),
        (500, failed("SCRAPE_SSL_ERROR"), Fault::BadRequest),
        (500, failed("SCRAPE_SITE_ERROR"), Fault::BadRequest),
        (500, failed("SCRAPE_UNSUPPORTED_FILE_ERROR"), Fault::BadRequest),
        (500, failed("SCRAPE_PDF_ANTIBOT_ERROR"), Fault::BadRequest),
        (500, failed("UNKNOWN_ERROR"), Fault::Unavailable),
        (500, worded("Internal server error"), Fault::Unavailable),
        (502, json!("Bad gateway"), Fault::Unavailable),
        (503, json!({}), Fault::Unavailable),
        (504, json!({}), Fault::Unavailable),
        // A 200 that says no.
        (200, failed("SCRAPE_SITE_ERROR"), Fault::BadRequest),
        (200, worded("No."), Fault::BadRequest),
        (200, failed("UNKNOWN_ERROR"), Fault::Unavailable),
        (200, json!({ "success": true }), Fault::ProtocolError),
        (200, json!({ "success": true, "data": [] }), Fault::ProtocolError),
        (200, json!("text"), Fault::ProtocolError),
    ] {
        assert_eq!(answer(status, &[], &body), Answer::Fault(expected), "{status} {body}");
    }
    assert_eq!(read(&Firecrawl, &question(), 403, &[], "<html>"), Answer::Fault(Fault::ProtocolError));
}

#[test]
fn a_throttled_key_waits_as_long_as_it_is_told() {
    let consumed = "Rate limit exceeded. Consumed (req/min): 11, Remaining (req/min): 0. Upgrade your plan, \
        please retry after 12s, resets at Sat Nov 21 2026";
    for (headers, body, seconds) in [
        (vec![("retry-after", "7")], json!({ "success": false, "error": consumed }), Some(7)),
        (vec![], json!({ "success": false, "error": consumed }), Some(12)),
        (vec![], json!({ "success": false, "error": "Slow", "details": { "retryAfterSeconds": 9 } }), Some(9)),
        (vec![], json!({ "success": false, "error": "please retry after a while" }), None),
        (vec![], json!({}), None),
    ] {
        let expected = Answer::Fault(Fault::RateLimited { retry_after: seconds.map(Duration::from_secs) });
        assert_eq!(answer(429, &headers, &body), expected, "{body}");
    }
    let queue = json!({ "success": false, "code": "CONCURRENCY_QUEUE_TIMEOUT", "details": { "retryAfterSeconds": 9 } });
    let expected = Answer::Fault(Fault::RateLimited { retry_after: Some(Duration::from_secs(9)) });
    assert_eq!(answer(408, &[], &queue), expected);
}
