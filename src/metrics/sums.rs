//! Sums of money. Kept and shown here: the exporter's counters have no places, and its gauges are floats.

use crate::domain::Usd;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A counter of money, a series for each value of its one label.
pub(super) struct Sums<L> {
    name: &'static str,
    label: &'static str,
    meaning: &'static str,
    sums: Mutex<BTreeMap<L, Usd>>,
}

impl<L: Clone + Ord + Display> Sums<L> {
    pub(super) const fn new(name: &'static str, label: &'static str, meaning: &'static str) -> Self {
        Self { name, label, meaning, sums: Mutex::new(BTreeMap::new()) }
    }

    /// A counter never falls, and an amount below zero is none.
    pub(super) fn add(&self, of: &L, cost: Usd) {
        let mut sums = lock(&self.sums);
        let sum = sums.entry(of.clone()).or_insert(Usd::ZERO);
        *sum = sum.saturating_add(cost.max(Usd::ZERO));
    }

    /// Exact, nine places. A provider's name is of `A-Za-z0-9_-`, as every word is: nothing to escape.
    pub(super) fn show(&self, text: &mut String) {
        let Self { name, label, meaning, sums } = self;
        let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} counter");
        for (of, sum) in &*lock(sums) {
            let _ = writeln!(text, "{name}{{{label}=\"{of}\"}} {sum}");
        }
        text.push('\n');
    }
}

/// What a panic has left is still a sum.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
