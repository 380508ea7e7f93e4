//! One attempt of a trail, as `weir explain` shows it.

use crate::clock::timestamp;
use crate::domain::About;
use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::Operation;
use crate::domain::Outcome;
use crate::domain::PageUrl;
use crate::domain::Product;
use crate::domain::Tokens;
use crate::jobs::StoredAttempt;
use crate::messages::TrailStep;
use crate::messages::Usage;
use serde_json::Value;
use serde_json::json;

/// Over the attempts of a lead that is looked up.
pub(super) const LOOKUP_HEADER: [&str; 10] =
    ["run", "step", "address", "key", "outcome", "cached", "cost USD", "ms", "began", "config"];
/// Over the attempts of a lead that copy is written for.
pub(super) const COPY_HEADER: [&str; 11] =
    ["run", "step", "page", "key", "outcome", "tokens", "cached", "cost USD", "ms", "began", "config"];

/// Nothing to say.
const NOTHING: &str = "-";

pub(super) fn lookup_row(stored: &StoredAttempt) -> [String; 10] {
    let [run, step, key, outcome] = head(stored);
    let [cached, cost, duration, began, config] = tail(stored);
    let address = address(stored).unwrap_or(NOTHING).to_owned();
    [run, step, address, key, outcome, cached, cost, duration, began, config]
}

pub(super) fn copy_row(stored: &StoredAttempt) -> [String; 11] {
    let [run, step, key, outcome] = head(stored);
    let [cached, cost, duration, began, config] = tail(stored);
    let page = page(stored).unwrap_or(NOTHING).to_owned();
    let tokens = describe_tokens(tokens(stored), lacks_usage(stored));
    [run, step, page, key, outcome, tokens, cached, cost, duration, began, config]
}

fn head(stored: &StoredAttempt) -> [String; 4] {
    let attempt = &stored.attempt;
    let key = attempt.key_source.as_str().to_owned();
    [attempt.run.to_string(), attempt.step.to_string(), key, describe_outcome(attempt.outcome())]
}

fn tail(stored: &StoredAttempt) -> [String; 5] {
    let end = stored.attempt.end();
    let cached = if end.is_some_and(|end| end.source == AnswerSource::Cached) { "yes" } else { NOTHING };
    [
        cached.to_owned(),
        end.map_or_else(|| NOTHING.to_owned(), |end| end.cost.to_string()),
        end.map_or_else(|| NOTHING.to_owned(), |end| end.duration_ms.to_string()),
        timestamp(stored.began_ms),
        stored.config_version.to_string(),
    ]
}

/// The same for programs; a page is named by its address, and of an answer of a model is told what it counted.
pub(super) fn to_json(stored: &StoredAttempt) -> Value {
    let attempt = &stored.attempt;
    let end = attempt.end();
    let mut object = json!({
        "run": attempt.run.get(),
        "step": attempt.step.to_string(),
        "address": address(stored),
        "key_source": attempt.key_source.as_str(),
        "outcome": end.map(|end| end.outcome.as_str()),
        "detail": end.and_then(|end| end.outcome.detail()),
        "cached": end.is_some_and(|end| end.source == AnswerSource::Cached),
        "cost": end.map(|end| end.cost.to_string()),
        "duration_ms": end.map(|end| end.duration_ms),
        "at": timestamp(stored.began_ms),
        "config_version": stored.config_version.as_str(),
    });
    if let Value::Object(fields) = &mut object {
        match attempt.step.operation {
            Operation::FindEmail | Operation::VerifyEmail => {}
            Operation::Scrape => {
                fields.insert("url".to_owned(), json!(page(stored)));
            }
            Operation::WriteCopy => {
                fields.insert("usage".to_owned(), json!(tokens(stored).map(Usage::from)));
                fields.insert("usage_missing".to_owned(), json!(lacks_usage(stored)));
            }
        }
    }
    object
}

/// The address in question: the one that was verified, or the one that was found.
fn address(stored: &StoredAttempt) -> Option<&str> {
    let attempt = &stored.attempt;
    let found = attempt.end().and_then(|end| end.found.as_ref());
    attempt.about.as_ref().and_then(About::address).or(found).map(Address::as_str)
}

/// The page that was asked for.
fn page(stored: &StoredAttempt) -> Option<&str> {
    match stored.attempt.about.as_ref()? {
        About::Page(url) => Some(PageUrl::as_str(url)),
        About::Address(_) => None,
    }
}

/// What the model counted.
fn tokens(stored: &StoredAttempt) -> Option<Tokens> {
    match stored.attempt.end()?.product.as_ref()? {
        Product::Copy { tokens, .. } => *tokens,
        Product::Text(_) => None,
    }
}

/// Has a model answered, and not said what it counted?
fn lacks_usage(stored: &StoredAttempt) -> bool {
    TrailStep::of(&stored.attempt).is_some_and(|step| step.usage_missing)
}

/// What was read and written; of the special kinds those there were any of.
fn describe_tokens(tokens: Option<Tokens>, missing: bool) -> String {
    let Some(Tokens { input, cached_input, cache_write, output, reasoning }) = tokens else {
        return if missing { "not said".to_owned() } else { NOTHING.to_owned() };
    };
    let mut text = format!("{input} in");
    for (count, kind) in [(cached_input, "cached"), (cache_write, "into cache"), (output, "out")] {
        if count > 0 || kind == "out" {
            text += &format!(", {count} {kind}");
        }
    }
    if reasoning > 0 {
        text += &format!(" ({reasoning} of them reasoning)");
    }
    text
}

/// The outcome with what its word leaves out: which cap, which kind of outage, why there is no copy.
fn describe_outcome(outcome: Option<Outcome>) -> String {
    match outcome.map(|outcome| (outcome.as_str(), outcome.detail())) {
        None => "under way".to_owned(),
        Some((word, None)) => word.to_owned(),
        Some((word, Some(detail))) => format!("{word} ({detail})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Attempt;
    use crate::domain::AttemptEnd;
    use crate::domain::AttemptNo;
    use crate::domain::AttemptState;
    use crate::domain::Cap;
    use crate::domain::ConfigVersion;
    use crate::domain::KeySource;
    use crate::domain::Outage;
    use crate::domain::Run;
    use crate::domain::Step;
    use crate::domain::Unwritten;
    use crate::domain::Usd;
    use crate::domain::Verdict;
    use expect_test::expect;
    use std::sync::Arc;

    fn stored(step: &str, about: Option<About>, outcome: Outcome, product: Option<Product>) -> StoredAttempt {
        let (source, cost, duration_ms) = (AnswerSource::Called, Usd::from_nanos(1_050_000), 900);
        let end = AttemptEnd { product, source, cost, duration_ms, ..AttemptEnd::not_asked(outcome) };
        let attempt = Attempt {
            n: AttemptNo::FIRST,
            run: Run::FIRST,
            step: step.parse::<Step>().unwrap(),
            about,
            key_source: KeySource::House,
            state: AttemptState::Ended(end),
        };
        let config_version = ConfigVersion::new("0123456789ab");
        StoredAttempt { attempt, began_ms: 1_800_000_000_000, config_version, held: None }
    }

    fn scraped() -> StoredAttempt {
        let about = PageUrl::parse("https://acme.test/about").map(About::Page);
        stored("firecrawl.scrape", about, Outcome::Scraped, Some(Product::Text(Arc::from("We make widgets."))))
    }

    fn answered(outcome: Outcome, tokens: Option<Tokens>) -> StoredAttempt {
        let mut stored = stored("openai.write_copy", None, outcome, Some(Product::Copy { draft: None, tokens }));
        if let AttemptState::Ended(end) = &mut stored.attempt.state {
            end.unsaid = tokens.is_none();
        }
        stored
    }

    #[test]
    fn an_outcome_says_which_cap_which_outage_and_why_there_is_no_copy() {
        for (outcome, text) in [
            (None, "under way"),
            (Some(Outcome::Found), "found"),
            (Some(Outcome::Judged(Verdict::CatchAll)), "catch_all"),
            (Some(Outcome::Capped(Cap::Job)), "capped (job)"),
            (Some(Outcome::Unavailable(Outage::BreakerOpen)), "unavailable (breaker_open)"),
            (Some(Outcome::BadRequest), "bad_request"),
            (Some(Outcome::Unwritten(Unwritten::Refused)), "bad_request (refused)"),
            (Some(Outcome::Unwritten(Unwritten::Truncated)), "bad_request (truncated)"),
        ] {
            assert_eq!(describe_outcome(outcome), text);
        }
    }

    #[test]
    fn tokens_are_told_by_kind_and_that_they_are_missing_is() {
        let tokens = Tokens { input: 800, output: 120, ..Tokens::default() };
        let every = Tokens { cached_input: 100, cache_write: 50, reasoning: 64, ..tokens };
        assert_eq!(describe_tokens(Some(tokens), false), "800 in, 120 out");
        let text = "800 in, 100 cached, 50 into cache, 120 out (64 of them reasoning)";
        assert_eq!(describe_tokens(Some(every), false), text);
        assert_eq!([true, false].map(|missing| describe_tokens(None, missing)), ["not said", "-"]);
    }

    #[test]
    fn a_page_is_named_and_a_models_count_is_told() {
        let tokens = Tokens { input: 800, output: 120, ..Tokens::default() };
        let attempts = [
            scraped(),
            answered(Outcome::Written, Some(tokens)),
            answered(Outcome::Unwritten(Unwritten::Refused), None),
        ];
        let rows = attempts.iter().map(|stored| format!("{}\n", copy_row(stored).join(" | "))).collect::<String>();
        expect![[r#"
            1 | firecrawl.scrape | https://acme.test/about | house | scraped | - | - | 0.001050000 | 900 | 2027-01-15T08:00:00.000Z | 0123456789ab
            1 | openai.write_copy | - | house | written | 800 in, 120 out | - | 0.001050000 | 900 | 2027-01-15T08:00:00.000Z | 0123456789ab
            1 | openai.write_copy | - | house | bad_request (refused) | not said | - | 0.001050000 | 900 | 2027-01-15T08:00:00.000Z | 0123456789ab
        "#]]
        .assert_eq(&rows);
        let [page, written, refused] = attempts.map(|stored| to_json(&stored));
        assert_eq!((&page["url"], &page["address"]), (&json!("https://acme.test/about"), &Value::Null));
        assert!(page.get("usage").is_none() && !page.to_string().contains("widgets"), "{page}");
        assert_eq!((&written["usage"]["input_tokens"], &written["usage_missing"]), (&json!(800), &json!(false)));
        assert_eq!((&refused["detail"], &refused["usage"]), (&json!("refused"), &Value::Null));
        assert_eq!(refused["usage_missing"], true);
    }

    #[test]
    fn an_attempt_to_verify_has_the_fields_it_always_had() {
        let about = Address::parse("ada@acme.test").map(About::Address);
        let verified = stored("zerobounce.verify_email", about, Outcome::Judged(Verdict::Valid), None);
        expect![[r#"{"run":1,"step":"zerobounce.verify_email","address":"ada@acme.test","key_source":"house","outcome":"valid","detail":null,"cached":false,"cost":"0.001050000","duration_ms":900,"at":"2027-01-15T08:00:00.000Z","config_version":"0123456789ab"}"#]]
        .assert_eq(&to_json(&verified).to_string());
        assert_eq!(lookup_row(&verified)[2], "ada@acme.test");
    }
}
