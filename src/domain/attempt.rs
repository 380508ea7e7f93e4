//! One try of a step for a lead: the unit of the journal.

use crate::domain::About;
use crate::domain::Address;
use crate::domain::AttemptNo;
use crate::domain::KeySource;
use crate::domain::Outcome;
use crate::domain::Product;
use crate::domain::Run;
use crate::domain::Step;
use crate::domain::Usd;
use crate::domain::Verdict;

/// One attempt of a lead's trail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Counts the lead's attempts over all runs; with job and lead it is the id of its hold.
    pub n: AttemptNo,
    /// The run that made it.
    pub run: Run,
    /// What was tried.
    pub step: Step,
    /// The address to verify, or the page to read.
    pub about: Option<About>,
    /// Whose key.
    pub key_source: KeySource,
    /// How far it came.
    pub state: AttemptState,
}

/// How far an attempt came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttemptState {
    /// Its hold is committed; the call may have been made or not.
    Begun,
    /// The provider answers later, under this handle.
    Submitted(String),
    /// It is over.
    Ended(AttemptEnd),
}

/// What an attempt came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptEnd {
    /// Its outcome.
    pub outcome: Outcome,
    /// The address a finder returned.
    pub found: Option<Address>,
    /// What the finder itself says of that address.
    pub claim: Option<Verdict>,
    /// What a page says, or what a model wrote and counted.
    pub product: Option<Product>,
    /// Where an answer that did not come in time may still be read.
    pub handle: Option<String>,
    /// How the answer was come by.
    pub source: AnswerSource,
    /// What the customer paid.
    pub cost: Usd,
    /// From the begin to the end, in milliseconds.
    pub duration_ms: u64,
    /// Nobody said what it took: what was held for it is owed, no more and no less.
    pub unsaid: bool,
}

/// How an attempt came by its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerSource {
    /// The provider was called.
    Called,
    /// An earlier attempt of the workspace had asked the same.
    Cached,
    /// Nobody was asked: refused, passed over, or the provider was known not to answer.
    NotAsked,
}

impl AnswerSource {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Called => "called",
            Self::Cached => "cached",
            Self::NotAsked => "not_asked",
        }
    }
}

impl std::str::FromStr for AnswerSource {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "called" => Ok(Self::Called),
            "cached" => Ok(Self::Cached),
            "not_asked" => Ok(Self::NotAsked),
            _ => Err(()),
        }
    }
}

impl Attempt {
    /// Its end, if it has come to one.
    pub const fn end(&self) -> Option<&AttemptEnd> {
        match &self.state {
            AttemptState::Ended(end) => Some(end),
            AttemptState::Begun | AttemptState::Submitted(_) => None,
        }
    }

    /// Its outcome, if it has come to one.
    pub fn outcome(&self) -> Option<Outcome> {
        self.end().map(|end| end.outcome)
    }
}

impl AttemptEnd {
    /// An end at which nobody was asked and nothing was paid.
    pub const fn not_asked(outcome: Outcome) -> Self {
        Self {
            outcome,
            found: None,
            claim: None,
            product: None,
            handle: None,
            source: AnswerSource::NotAsked,
            cost: Usd::ZERO,
            duration_ms: 0,
            unsaid: false,
        }
    }
}
