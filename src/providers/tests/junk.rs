//! What is no answer is never read as one.

use crate::domain::Query;
use crate::domain::Unwritten;
use crate::providers::Answer;
use crate::providers::Reading;
use crate::providers::Reply;
use crate::providers::TABLE;
use crate::providers::tests::Asked;
use crate::providers::tests::REFERENCE;
use crate::providers::tests::enrichment::enrichers;
use crate::providers::tests::enrichment::fixtures;
use crate::providers::tests::shown;
use crate::providers::tests::url;
use crate::providers::tests::write;
use crate::providers::tests::writing;
use http::HeaderMap;
use proptest::prelude::*;

/// Reads a body in every way there is, and fails if any of them takes it for what was asked for.
fn expect_no_answer(status: u16, body: &str) {
    let headers = HeaderMap::new();
    let reply = Reply { status, headers: &headers, body };
    for provider in TABLE {
        let enrichment = [Asked::Find, Asked::Profile, Asked::Verify].map(Asked::query);
        let copy = [Query::Scrape(url("https://acme-widgets.test")), write(writing("We make widgets."))];
        for query in enrichment.into_iter().chain(copy) {
            let read = (0..=2).map(|turn| provider.read(&query, turn, &reply));
            let picked = provider.deferred().and_then(|deferred| deferred.pick(&query, &reply, "p_ada"));
            for reading in read.chain(picked) {
                assert!(!is_answer(&reading), "{} read {}", provider.kind(), shown(&reading));
            }
        }
        assert_eq!(provider.deferred().and_then(|deferred| deferred.find_reference(&reply, REFERENCE)), None);
    }
}

/// That a model's text is no e-mail takes nothing from the customer either.
fn is_answer(reading: &Reading) -> bool {
    match reading {
        Reading::Done(
            Answer::NotFound { .. } | Answer::Unwritten { why: Unwritten::NoEmail, .. } | Answer::Fault(_),
        )
        | Reading::Ask(_) => false,
        Reading::Done(
            Answer::Found { .. }
            | Answer::Judged { .. }
            | Answer::Scraped { .. }
            | Answer::Written { .. }
            | Answer::Unwritten { why: Unwritten::Refused | Unwritten::Truncated, .. },
        )
        | Reading::Later { .. } => true,
    }
}

#[test]
fn junk_is_never_an_answer() {
    let nested = ["[", "{\"contact\":", "{\"items\":["].map(|open| open.repeat(5_000));
    let bodies = [
        "",
        " ",
        "null",
        "true",
        "0",
        "[]",
        "{}",
        "\"valid\"",
        "<html>",
        "<!doctype html><title>Just a moment...</title>",
        "{\"email\":\"ada.sample@acme-widgets.test\"",
        r#"{"email":7,"status":7,"email_status":7,"credits_consumed":"x","is_domain_catch_all":"yes"}"#,
        r#"{"error":false,"person":[],"free_enrichment":"no"}"#,
        r#"{"error":false,"person":{"email":"x"}}"#,
        r#"{"contact":7,"verified":"true"}"#,
        r#"{"contact":{"email":{"email":"x"}}}"#,
        r#"{"contact":{"email":"n/a"},"email":"n/a","status":null}"#,
        r#"{"success":"yes","item":{"_id":7},"items":{"_id":"p_ada"}}"#,
        r#"{"success":true,"item":[],"items":[7,null,[],{},{"_id":"p_ada","results":7,"userData":[]}]}"#,
        r#"{"Credits":[],"result":1,"resultcode":"1","error":{}}"#,
        r#"{"success":true,"data":"We make widgets."}"#,
        r#"{"success":false,"data":{"markdown":"We make widgets."}}"#,
        r#"{"success":true,"markdown":"We make widgets."}"#,
        r#"{"choices":[{"message":{"content":"Dear Ada"},"finish_reason":"stop"}],"usage":{}}"#,
        r#"{"choices":[{"message":"{}","finish_reason":"length"}]}"#,
        r#"{"choices":{"message":{"content":"{\"subject\":\"a\",\"body\":\"b\"}"}}}"#,
        r#"{"choices":[null],"content":"{}","stop_reason":"max_tokens"}"#,
        r#"{"type":"message","content":[{"type":"text","text":"Dear Ada"}],"stop_reason":"end_turn"}"#,
        r#"{"type":"message","content":[7,null,{}],"stop_reason":7}"#,
    ];
    for status in [0, 100, 200, 204, 301, 400, 401, 402, 403, 404, 423, 429, 500, 524, 999] {
        for body in bodies.iter().copied().chain(nested.iter().map(String::as_str)) {
            expect_no_answer(status, body);
        }
    }
}

/// A body that ends early is not JSON.
#[test]
fn a_cut_answer_is_never_one() {
    for fixture in enrichers().flat_map(|provider| fixtures(provider.kind()).into_values()) {
        let body = fixture.body.to_string();
        for end in [1, body.len() / 2, body.len() - 1] {
            expect_no_answer(200, body.get(..end).unwrap_or_default());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_never_an_answer(status: u16, body: String) {
        expect_no_answer(status, &body);
    }
}
