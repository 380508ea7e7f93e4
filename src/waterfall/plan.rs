//! What a decision is made from: the plan for one lead, and the lead's trail.

use crate::domain::About;
use crate::domain::Address;
use crate::domain::Attempt;
use crate::domain::Ending;
use crate::domain::KeySource;
use crate::domain::Operation;
use crate::domain::Query;
use crate::domain::Run;
use crate::domain::Step;
use crate::waterfall::CopyPlan;
use crate::waterfall::Next;
use crate::waterfall::copy;
use crate::waterfall::next;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of an address that is neither valid nor invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Risky {
    /// Search on; fall back to the best risky address at the end.
    KeepLooking,
    /// Take it.
    Accept,
}

/// A waterfall as it applies to one lead.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Finders, in order.
    pub find: Vec<FindStep>,
    /// Verifiers, in order.
    pub verify: Vec<VerifyStep>,
    /// The policy for risky addresses.
    pub risky: Risky,
    /// Does a finder's own `valid` count as the verification?
    pub trust_finders: bool,
}

/// What is to be done for a lead: the plan of its job's kind.
#[derive(Clone, Debug)]
pub enum Course {
    /// Find an address, and verify it.
    Enrich(Plan),
    /// Write copy.
    Copy(Box<CopyPlan>),
}

impl Course {
    /// What to do next.
    pub fn next(&self, trail: &Trail, now: Moment) -> Next {
        match self {
            Self::Enrich(plan) => next::next(plan, trail, now),
            Self::Copy(plan) => copy::next(plan, trail, now),
        }
    }

    /// How the lead ends when its job is cancelled now.
    pub fn cancel(&self, trail: &Trail) -> Ending {
        match self {
            Self::Enrich(plan) => next::cancel(plan, trail),
            Self::Copy(plan) => copy::cancel(plan, trail),
        }
    }

    /// What an attempt of the trail asked; `None` when its step has left the plan, or asks nothing of this lead.
    pub fn query_of(&self, attempt: &Attempt, trail: &Trail) -> Option<Query> {
        match (&attempt.about, attempt.step.operation, self) {
            (Some(About::Address(address)), _, _) => Some(Query::Verify(address.clone())),
            (Some(About::Page(url)), _, _) => Some(Query::Scrape(url.clone())),
            (None, Operation::FindEmail, Self::Enrich(plan)) => {
                plan.find.iter().find(|find| find.step == attempt.step)?.query.clone()
            }
            (None, Operation::WriteCopy, Self::Copy(plan)) => {
                let write = plan.write.as_ref().filter(|write| write.step == attempt.step)?;
                let writing = plan.writing(plan.told()?, write.dialect.clone(), trail);
                Some(Query::Write(Arc::new(writing)))
            }
            (None, _, _) => None,
        }
    }
}

/// Whose keys a step may be tried with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// This one's alone.
    Only(KeySource),
    /// The customer's own; the house's when that does not work, because the customer allows it.
    OwnThenHouse,
}

impl Keys {
    /// The house's alone.
    pub const HOUSE: Self = Self::Only(KeySource::House);
}

/// A verify step.
#[derive(Clone, Debug)]
pub struct VerifyStep {
    /// Which step.
    pub step: Step,
    /// With whose keys.
    pub keys: Keys,
}

/// A find step, with the question it asks about this lead.
#[derive(Clone, Debug)]
pub struct FindStep {
    /// Which step.
    pub step: Step,
    /// With whose keys.
    pub keys: Keys,
    /// `None` when the lead lacks what the provider needs.
    pub query: Option<Query>,
}

/// Monotonic time since some fixed moment of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(pub Duration);

/// Everything that has happened to a lead, in order: the whole truth about it.
#[derive(Clone, Debug)]
pub struct Trail {
    /// The address that came with the lead.
    pub given: Option<Address>,
    /// The run now at work. Answers of every run count; faults and refusals only of this one.
    pub run: Run,
    /// When this run's work on the lead must end.
    pub deadline: Moment,
    /// All attempts, oldest first.
    pub attempts: Vec<Attempt>,
}
