//! How often each provider was called, and what it billed.

use crate::domain::Tokens;
use crate::sandbox::answer::Answer;
use crate::sandbox::answer::Purpose;
use crate::sandbox::answer::decimal;
use crate::sandbox::tokens::TokensJson;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// A snapshot: provider → operation (`find_email`, `verify_email`, `scrape`, `write_copy`, `read`,
/// `account`, `unknown_path`) → count. What was never called is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Counts(pub BTreeMap<&'static str, BTreeMap<&'static str, Count>>);

/// The calls of one operation at one provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Calls that arrived.
    pub calls: u64,
    /// Of them, those whose question was answered, also with a "not found".
    pub answered: u64,
    /// Provider credits billed.
    pub billed_credits: Decimal,
    /// Tokens billed, of all the provider's models together.
    #[serde(with = "TokensJson", skip_serializing_if = "TokensJson::is_nothing")]
    pub billed_tokens: Tokens,
}

impl Counts {
    /// One operation at one provider; zeros when it was never called.
    pub fn of(&self, provider: &str, operation: &str) -> Count {
        self.0.get(provider).and_then(|operations| operations.get(operation)).copied().unwrap_or_default()
    }

    /// All calls to a provider.
    pub fn calls(&self, provider: &str) -> u64 {
        self.0.get(provider).into_iter().flat_map(BTreeMap::values).map(|count| count.calls).sum()
    }
}

/// One provider's counters. Each is exact; a snapshot of several is not one moment's.
#[derive(Default)]
pub(super) struct Tallies {
    find: Tally,
    verify: Tally,
    scrape: Tally,
    write: Tally,
    read: Tally,
    account: Tally,
    nothing: Tally,
}

#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    answered: AtomicU64,
    thousandths: AtomicU64,
    tokens: TokenTally,
}

#[derive(Default)]
struct TokenTally {
    input: AtomicU64,
    cached_input: AtomicU64,
    cache_write: AtomicU64,
    output: AtomicU64,
    reasoning: AtomicU64,
}

impl Tallies {
    pub(super) fn add(&self, answer: &Answer) {
        let tally = self.of(answer.purpose);
        tally.calls.fetch_add(1, Ordering::Relaxed);
        tally.answered.fetch_add(u64::from(answer.is_answer), Ordering::Relaxed);
        tally.thousandths.fetch_add(answer.credits.thousandths(), Ordering::Relaxed);
        tally.tokens.add(answer.tokens);
    }

    pub(super) fn snapshot(&self) -> BTreeMap<&'static str, Count> {
        let counts = Purpose::ALL.into_iter().map(|purpose| (purpose.as_str(), self.of(purpose).snapshot()));
        counts.filter(|(_, count)| count.calls > 0).collect()
    }

    const fn of(&self, purpose: Purpose) -> &Tally {
        match purpose {
            Purpose::Find => &self.find,
            Purpose::Verify => &self.verify,
            Purpose::Scrape => &self.scrape,
            Purpose::Write => &self.write,
            Purpose::Read => &self.read,
            Purpose::Account => &self.account,
            Purpose::Nothing => &self.nothing,
        }
    }
}

impl Tally {
    fn snapshot(&self) -> Count {
        Count {
            calls: self.calls.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            billed_credits: decimal(self.thousandths.load(Ordering::Relaxed)),
            billed_tokens: self.tokens.snapshot(),
        }
    }
}

impl TokenTally {
    fn add(&self, tokens: Tokens) {
        // Most calls are to no model.
        if TokensJson::is_nothing(&tokens) {
            return;
        }
        self.input.fetch_add(tokens.input, Ordering::Relaxed);
        self.cached_input.fetch_add(tokens.cached_input, Ordering::Relaxed);
        self.cache_write.fetch_add(tokens.cache_write, Ordering::Relaxed);
        self.output.fetch_add(tokens.output, Ordering::Relaxed);
        self.reasoning.fetch_add(tokens.reasoning, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Tokens {
        Tokens {
            input: self.input.load(Ordering::Relaxed),
            cached_input: self.cached_input.load(Ordering::Relaxed),
            cache_write: self.cache_write.load(Ordering::Relaxed),
            output: self.output.load(Ordering::Relaxed),
            reasoning: self.reasoning.load(Ordering::Relaxed),
        }
    }
}
