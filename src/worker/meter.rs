//! What this process has done so far, for progress lines and summaries. Not the truth: the store is.

use crate::domain::AnswerSource;
use crate::domain::AttemptEnd;
use crate::domain::KeySource;
use crate::domain::Product;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Status;
use crate::domain::Step;
use crate::domain::Usd;
use crate::metrics;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// Counters of one process.
#[derive(Default)]
pub struct Meter(Mutex<Totals>);

/// Everything counted.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Leads ended in this process, copies included.
    pub ended: u64,
    /// How they ended.
    pub by_status: BTreeMap<Status, u64>,
    /// Calls and spend of each step.
    pub by_step: BTreeMap<Step, StepTotals>,
    /// Calls whose answer was lost: what the house may have to pay without being paid.
    pub possible_loss: BTreeMap<ProviderName, Usd>,
    /// Calls made again because an owner died before recording the answer.
    pub repeated: u64,
}

/// One step's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTotals {
    /// Attempts that called the provider (retries within one count once).
    pub called: u64,
    /// Attempts answered from an earlier one.
    pub cached: u64,
    /// What the customer paid.
    pub spend: Usd,
}

impl Meter {
    /// The counters as they stand.
    pub fn totals(&self) -> Totals {
        self.lock().clone()
    }

    pub(super) fn ended(&self, status: Status, reason: Reason, leads: u64) {
        metrics::lead_ended(status, reason, leads);
        let mut totals = self.lock();
        totals.ended = totals.ended.saturating_add(leads);
        let count = totals.by_status.entry(status).or_default();
        *count = count.saturating_add(leads);
    }

    pub(super) fn attempt(&self, step: &Step, key_source: KeySource, end: &AttemptEnd) {
        metrics::attempt(step, key_source, end.outcome);
        metrics::spend(&step.provider, end.cost);
        if let (AnswerSource::Called, Some(Product::Copy { tokens: Some(tokens), .. })) = (end.source, &end.product) {
            metrics::tokens(&step.provider, *tokens);
        }
        if end.unsaid {
            metrics::usage_missing(&step.provider);
        }
        let mut totals = self.lock();
        let none = StepTotals { called: 0, cached: 0, spend: Usd::ZERO };
        let of_step = totals.by_step.entry(step.clone()).or_insert(none);
        match end.source {
            AnswerSource::Called => of_step.called = of_step.called.saturating_add(1),
            AnswerSource::Cached => of_step.cached = of_step.cached.saturating_add(1),
            AnswerSource::NotAsked => {}
        }
        of_step.spend = of_step.spend.saturating_add(end.cost);
    }

    pub(super) fn lost(&self, provider: &ProviderName, price: Usd) {
        metrics::house_loss(provider, price);
        let mut totals = self.lock();
        let lost = totals.possible_loss.entry(provider.clone()).or_insert(Usd::ZERO);
        *lost = lost.saturating_add(price);
    }

    pub(super) fn repeated(&self, provider: &ProviderName) {
        metrics::call_repeated(provider);
        let mut totals = self.lock();
        totals.repeated = totals.repeated.saturating_add(1);
    }

    fn lock(&self) -> MutexGuard<'_, Totals> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
