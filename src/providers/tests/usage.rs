//! What OpenAI and the servers that follow it say of tokens, and what that costs.

use crate::domain::Consumed;
use crate::domain::Dialect;
use crate::domain::Tokens;
use crate::providers::Answer;
use crate::providers::tests::openai::EMAIL;
use crate::providers::tests::openai::answer;
use crate::providers::tests::openai::answer_in;
use crate::providers::tests::openai::completion;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;

fn usage(answer: &Answer) -> (Option<Tokens>, Consumed) {
    match answer {
        Answer::Written { tokens, consumed, .. } | Answer::Unwritten { tokens, consumed, .. } => (*tokens, *consumed),
        Answer::Found { .. } | Answer::NotFound { .. } | Answer::Judged { .. } | Answer::Scraped { .. } => {
            panic!("{answer:?}")
        }
        Answer::Fault(fault) => panic!("{fault:?}"),
    }
}

const fn count(input: u64, cached_input: u64, cache_write: u64, output: u64, reasoning: u64) -> Option<Tokens> {
    Some(Tokens { input, cached_input, cache_write, output, reasoning })
}

/// Whatever becomes of the answer, it is charged by what was counted.
fn expect_usage(said: &Value, expected: Option<Tokens>) {
    let consumed = expected.map_or(Consumed::Unsaid, Consumed::Tokens);
    for (content, finish) in [(EMAIL, "stop"), ("", "length"), (EMAIL, "content_filter")] {
        let answer = answer(&completion(&json!({ "content": content }), finish, said));
        assert_eq!(usage(&answer), (expected, consumed), "{said} {finish}");
    }
}

#[test]
fn every_token_of_the_usage_counts_once() {
    for (said, expected) in [
        (json!({ "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120 }), count(100, 0, 0, 20, 0)),
        (
            json!({
                "prompt_tokens": 1000,
                "completion_tokens": 300,
                "prompt_tokens_details": { "cached_tokens": 400, "cache_write_tokens": 100, "audio_tokens": 0 },
                "completion_tokens_details": { "reasoning_tokens": 250 },
            }),
            count(500, 400, 100, 300, 250),
        ),
        (
            json!({ "prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": { "cached_tokens": 10 } }),
            count(0, 10, 0, 1, 0),
        ),
        (
            json!({
                "prompt_tokens": 10,
                "completion_tokens": 1,
                "prompt_tokens_details": null,
                "completion_tokens_details": {},
            }),
            count(10, 0, 0, 1, 0),
        ),
        // DeepSeek's own names.
        (
            json!({
                "prompt_tokens": 10,
                "completion_tokens": 1,
                "prompt_cache_hit_tokens": 4,
                "prompt_cache_miss_tokens": 6,
            }),
            count(6, 4, 0, 1, 0),
        ),
    ] {
        expect_usage(&said, expected);
    }
}

#[test]
fn nonsense_in_a_part_of_the_usage_leaves_nothing_said() {
    for (cached, written) in [
        (json!(11), json!(0)),
        (json!(6), json!(6)),
        (json!(u64::MAX), json!(u64::MAX)),
        (json!(-4), json!(null)),
        (json!(0), json!("4")),
        (json!(null), json!(0.5)),
    ] {
        let details = json!({ "cached_tokens": cached, "cache_write_tokens": written });
        let said = json!({ "prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": details });
        expect_usage(&said, None);
    }
    for part in ["completion_tokens_details", "prompt_cache_hit_tokens"] {
        let nonsense = if part.ends_with("details") { json!({ "reasoning_tokens": "4" }) } else { json!(-4) };
        expect_usage(&json!({ "prompt_tokens": 10, "completion_tokens": 1, part: nonsense }), None);
    }
}

#[test]
fn reasoning_that_is_counted_beside_the_completion_is_a_part_of_the_output() {
    let usage = |prompt: u64, completion: u64, reasoning: u64, total: &Value| {
        let details = json!({ "reasoning_tokens": reasoning });
        json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total,
                "completion_tokens_details": details })
    };
    for (said, expected) in [
        // As xAI counts it.
        (usage(10_120, 1_499, 2_809, &json!(14_428)), count(10_120, 0, 0, 4_308, 2_809)),
        (usage(10, 9, 3, &json!(22)), count(10, 0, 0, 12, 3)),
        // As OpenAI does.
        (usage(10, 9, 3, &json!(19)), count(10, 0, 0, 9, 3)),
        (usage(10, 9, 9, &json!(null)), count(10, 0, 0, 9, 9)),
        (usage(10, 9, 3, &json!(7)), count(10, 0, 0, 9, 3)),
        (usage(10, 9, 0, &json!(19)), count(10, 0, 0, 9, 0)),
        // More than all that was written, and nothing says how.
        (usage(10, 3, 9, &json!(13)), None),
        (usage(10, 3, 9, &json!(null)), None),
        (usage(10, 3, 9, &json!("22")), None),
        (usage(10, 3, u64::MAX, &json!(u64::MAX)), None),
    ] {
        expect_usage(&said, expected);
    }
}

#[test]
fn a_usage_without_both_totals_says_nothing() {
    for said in [
        json!(null),
        json!({}),
        json!([]),
        json!({ "prompt_tokens": 10 }),
        json!({ "completion_tokens": 1, "total_tokens": 11 }),
        json!({ "prompt_tokens": "10", "completion_tokens": 1 }),
        json!({ "prompt_tokens": 10.5, "completion_tokens": 1 }),
        json!({ "prompt_tokens": -1, "completion_tokens": 1 }),
    ] {
        expect_usage(&said, None);
    }
}

#[test]
fn a_reported_cost_counts_where_it_is_believed() {
    let believed = Dialect { trusts_reported_cost: true, ..Dialect::default() };
    let tokens = Tokens { input: 10, output: 1, ..Tokens::default() };
    for (cost, dollars) in [
        (json!(0.0012345), Some("0.0012345")),
        (json!(1e-7), Some("0.0000001")),
        (json!(0), Some("0")),
        (json!(3), Some("3")),
        (json!(-1), None),
        (json!("0.1"), None),
        (json!(null), None),
    ] {
        let said = json!({ "prompt_tokens": 10, "completion_tokens": 1, "cost": cost });
        let body = completion(&json!({ "content": EMAIL }), "stop", &said);
        let dollars: Option<Decimal> = dollars.map(|text| text.parse().unwrap());
        let consumed = dollars.map_or(Consumed::Tokens(tokens), Consumed::Dollars);
        assert_eq!(usage(&answer_in(believed.clone(), &body)), (Some(tokens), consumed), "{cost}");
        assert_eq!(usage(&answer(&body)), (Some(tokens), Consumed::Tokens(tokens)), "{cost}");
    }
    let alone = completion(&json!({ "content": EMAIL }), "stop", &json!({ "cost": 0.25 }));
    assert_eq!(usage(&answer_in(believed, &alone)), (None, Consumed::Dollars(Decimal::new(25, 2))));
    assert_eq!(usage(&answer(&alone)), (None, Consumed::Unsaid));
}

#[test]
fn what_is_no_email_costs_the_customer_nothing_and_its_tokens_are_told() {
    let said = json!({ "prompt_tokens": 10, "completion_tokens": 1, "cost": 0.25 });
    let body = completion(&json!({ "content": "Dear Ada" }), "stop", &said);
    for trusts_reported_cost in [false, true] {
        let answer = answer_in(Dialect { trusts_reported_cost, ..Dialect::default() }, &body);
        assert_eq!(usage(&answer), (count(10, 0, 0, 1, 0), Consumed::NOTHING));
    }
}
