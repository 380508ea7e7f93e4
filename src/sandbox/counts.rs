//! How often each provider was called, and what it billed.

use crate::sandbox::answer::Answer;
use crate::sandbox::answer::Purpose;
use crate::sandbox::answer::decimal;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// A snapshot: provider → operation (`find_email`, `verify_email`, `read`, `account`,
/// `unknown_path`) → count. What was never called is not in it.
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
    read: Tally,
    account: Tally,
    nothing: Tally,
}

#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    answered: AtomicU64,
    thousandths: AtomicU64,
}

impl Tallies {
    pub(super) fn add(&self, answer: &Answer) {
        let tally = self.of(answer.purpose);
        tally.calls.fetch_add(1, Ordering::Relaxed);
        tally.answered.fetch_add(u64::from(answer.is_answer), Ordering::Relaxed);
        tally.thousandths.fetch_add(answer.credits.thousandths(), Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> BTreeMap<&'static str, Count> {
        let counts = Purpose::ALL.into_iter().map(|purpose| (purpose.as_str(), self.of(purpose).snapshot()));
        counts.filter(|(_, count)| count.calls > 0).collect()
    }

    const fn of(&self, purpose: Purpose) -> &Tally {
        match purpose {
            Purpose::Find => &self.find,
            Purpose::Verify => &self.verify,
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
        }
    }
}
