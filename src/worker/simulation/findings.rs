//! What the world has found wrong.

use std::fmt;
use std::sync::Mutex;

/// Which promise is broken. G1 to G9 are numbered as in the guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A call on the house's key without a committed hold of its worst case.
    G1Uncovered,
    /// A balance below zero or below what is held, or other than what came in less what was paid.
    G2Balance,
    /// A hold that ended twice, or never.
    G3Hold,
    /// A step of a lead that was charged twice.
    G4ChargedTwice,
    /// A real cost that nobody has booked.
    G5Unbooked,
    /// A key in the wrong hands, or a charge for a customer's own.
    G7Key,
    /// A removed key in use more than five seconds later.
    G8Revoked,
    /// A lead without its one ending, or told of with two.
    G9Ending,
    /// A call made again although its first answer was not lost.
    Repeat,
    /// Money is left that could have paid what was refused.
    Refusal,
    /// The work does not come to its end, or stops before it.
    Progress,
    /// The store was asked for the impossible.
    Asked,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub(super) struct Breach {
    pub(super) rule: Rule,
    pub(super) what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// Keeps the first breach; what follows from it tells nothing.
#[derive(Default)]
pub(super) struct Findings(Mutex<Option<Breach>>);

impl Findings {
    pub(super) fn report(&self, rule: Rule, what: impl Into<String>) {
        self.0.lock().unwrap().get_or_insert_with(|| Breach { rule, what: what.into() });
    }

    pub(super) fn first(&self) -> Option<Breach> {
        self.0.lock().unwrap().clone()
    }
}
