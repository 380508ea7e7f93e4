//! The providers, on the other side of the wire: what each answers, what that takes, and how it fails.

use crate::domain::Operation;
use crate::http::Failure;
use crate::http::Lost;
use crate::http::Received;
use crate::worker::simulation::dice::Dice;
use crate::worker::simulation::dice::number_of;
use crate::worker::simulation::plan::Weather;
use crate::worker::simulation::prices::worst_credits;
use crate::worker::simulation::question::Question;
use http::HeaderMap;
use http::HeaderValue;
use http::header::RETRY_AFTER;
use rust_decimal::Decimal;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// How a call ends at its provider.
pub(super) struct Reply {
    pub(super) latency: Duration,
    pub(super) result: Result<Received, Failure>,
    /// The credits that the answer says, or that its provider's rule makes of it.
    pub(super) told: Decimal,
    /// May the worker call again at once?
    pub(super) is_retryable: bool,
}

/// The providers of one world. What they know depends on the seed and the question; how they fail, on chance.
#[derive(Default)]
pub(super) struct Providers {
    /// Prospeo charges a key once for a person.
    matched: BTreeSet<(String, String)>,
}

/// A customer's key of this ending is not accepted.
pub(super) const BAD_KEY: &str = "bad";

impl Providers {
    /// Answers a call, or fails to.
    pub(super) fn reply(
        &mut self,
        seed: u64,
        weather: &Weather,
        dice: &mut Dice,
        question: &Question,
        key: &str,
    ) -> Reply {
        let latency = dice.ms(150, 2_500);
        let fails = |result, is_retryable| Reply { latency, result, told: Decimal::ZERO, is_retryable };
        if key.ends_with(BAD_KEY) {
            return fails(Ok(status(401)), false);
        }
        let is_prospeo = question.step.provider.as_str() == "prospeo";
        let mut chance = dice.below(100);
        let mut strikes = |percent: u64| {
            let strikes = chance < percent;
            chance = chance.saturating_sub(percent);
            strikes
        };
        if strikes(weather.throttled) {
            return fails(Ok(throttled(dice)), true);
        }
        if strikes(weather.failing) {
            return fails(Ok(status(500)), true);
        }
        if strikes(weather.unsent) {
            return fails(Err(Failure::NotSent), true);
        }
        if strikes(weather.garbled) {
            return fails(Ok(Received::new(200, HeaderMap::new(), "<html>".to_owned())), false);
        }
        let is_lost = strikes(weather.lost);
        // A lost answer may have been billed all the same.
        let (body, credits) = self.answer(seed, question, key);
        if is_lost {
            let lost = if dice.percent(50) { Lost::Timeout } else { Lost::Cut };
            return fails(Err(Failure::Lost(lost)), is_prospeo);
        }
        let told = over_charged(dice, question, credits);
        let body = with_credits(body, question, told);
        let result = Ok(Received::new(200, HeaderMap::new(), body.to_string()));
        Reply { latency, result, told, is_retryable: false }
    }

    /// The answer, always the same to the same question, and its credits.
    fn answer(&mut self, seed: u64, question: &Question, key: &str) -> (Value, Decimal) {
        let worst = worst_credits(&question.step, question.by_profile());
        let charged = |is_charged: bool| if is_charged { worst } else { Decimal::ZERO };
        if question.step.operation == Operation::VerifyEmail {
            let verdict = verdict(seed, question);
            let word = |words: [&'static str; 4]| words[verdict];
            return match question.step.provider.as_str() {
                "millionverifier" => {
                    (json!({ "result": word(["ok", "invalid", "catch_all", "unknown"]) }), charged(verdict < 2))
                }
                _ => (json!({ "status": word(["valid", "invalid", "catch-all", "unknown"]) }), charged(verdict < 3)),
            };
        }
        let found = found(seed, question);
        match question.step.provider.as_str() {
            "leadmagic" => (json!({ "email": found, "status": "valid" }), charged(found.is_some())),
            "prospeo" => match found {
                Some(address) => {
                    let is_new = self.matched.insert((key.to_owned(), question.person.clone()));
                    let email = json!({ "email": address, "status": "VERIFIED", "revealed": true });
                    let body = json!({ "error": false, "free_enrichment": !is_new, "person": { "email": email } });
                    (body, charged(is_new))
                }
                None => (json!({ "error": true, "error_code": "NO_MATCH" }), Decimal::ZERO),
            },
            _ => {
                let contact = found.as_ref().map(|address| json!({ "email": address }));
                (json!({ "contact": contact }), charged(found.is_some()))
            }
        }
    }
}

/// One answer in twenty of the provider that says what it took says more than its worst case.
fn over_charged(dice: &mut Dice, question: &Question, credits: Decimal) -> Decimal {
    let says_it = question.step.provider.as_str() == "leadmagic";
    if says_it && !credits.is_zero() && dice.percent(5) { credits * Decimal::TWO } else { credits }
}

fn with_credits(mut body: Value, question: &Question, credits: Decimal) -> Value {
    if question.step.provider.as_str() == "leadmagic" {
        body["credits_consumed"] = credits.to_string().parse().unwrap();
    }
    body
}

/// A person's address as this provider knows it: most know the right one, some a wrong one, some none.
fn found(seed: u64, question: &Question) -> Option<String> {
    let Question { step, person, .. } = question;
    let known = number_of(seed, &format!("{}/{person}", step.provider)) % 100;
    match (number_of(seed, person) % 5, known) {
        (0, _) | (_, 65..) => None,
        (_, 0..10) => Some(format!("wrong.{}@{person}", step.provider)),
        (_, 10..65) => Some(format!("ada@{person}")),
    }
}

/// Valid, invalid, catch-all, unknown: a place in the provider's words.
fn verdict(seed: u64, question: &Question) -> usize {
    let in_doubt = number_of(seed, &question.to_string()).is_multiple_of(10);
    match number_of(seed, &question.about) % 100 {
        _ if in_doubt => 3,
        0..55 => 0,
        55..75 => 1,
        75..90 => 2,
        90.. => 3,
    }
}

fn status(status: u16) -> Received {
    Received::new(status, HeaderMap::new(), "{}".to_owned())
}

fn throttled(dice: &mut Dice) -> Received {
    let mut headers = HeaderMap::new();
    if dice.percent(70) {
        headers.insert(RETRY_AFTER, HeaderValue::from(dice.between(1, 12)));
    }
    Received::new(429, headers, "{}".to_owned())
}
