//! What an adapter read, as the end of an attempt.

use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::AttemptEnd;
use crate::domain::Consumed;
use crate::domain::Outage;
use crate::domain::Outcome;
use crate::domain::Product;
use crate::domain::Throttle;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::http::Refusal;
use crate::providers::Answer;
use crate::providers::Fault;
use std::sync::Arc;

/// An attempt's end before its price is known: what came of it, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Upshot {
    pub(super) outcome: Outcome,
    pub(super) found: Option<Address>,
    pub(super) claim: Option<Verdict>,
    pub(super) product: Option<Product>,
    /// Kept when the answer may still be read later.
    pub(super) handle: Option<String>,
    pub(super) source: AnswerSource,
    pub(super) consumed: Consumed,
}

impl Upshot {
    /// The provider was called and gave no answer that is charged.
    pub(super) const fn called(outcome: Outcome) -> Self {
        Self {
            outcome,
            found: None,
            claim: None,
            product: None,
            handle: None,
            source: AnswerSource::Called,
            consumed: Consumed::NOTHING,
        }
    }

    /// Nobody was asked.
    pub(super) fn not_asked(outcome: Outcome) -> Self {
        Self { source: AnswerSource::NotAsked, ..Self::called(outcome) }
    }

    pub(super) fn of(answer: Answer) -> Self {
        match answer {
            Answer::Found { address, claim, credits } => Self {
                found: Some(address),
                claim: Some(claim),
                consumed: Consumed::Credits(credits),
                ..Self::called(Outcome::Found)
            },
            Answer::NotFound { credits } => {
                Self { consumed: Consumed::Credits(credits), ..Self::called(Outcome::NotFound) }
            }
            Answer::Judged { verdict, credits } => {
                Self { consumed: Consumed::Credits(credits), ..Self::called(Outcome::Judged(verdict)) }
            }
            Answer::Scraped { text, credits } => Self {
                product: Some(Product::Text(text)),
                consumed: Consumed::Credits(credits),
                ..Self::called(Outcome::Scraped)
            },
            Answer::Written { draft, tokens, consumed } => Self {
                product: Some(Product::Copy { draft: Some(Arc::new(draft)), tokens }),
                consumed,
                ..Self::called(Outcome::Written)
            },
            Answer::Unwritten { why, tokens, consumed } => Self {
                product: Some(Product::Copy { draft: None, tokens }),
                consumed,
                ..Self::called(Outcome::Unwritten(why))
            },
            Answer::Fault(fault) => Self::called(fault_outcome(fault)),
        }
    }

    /// As the attempt's end; the ledger fills in what it cost.
    pub(super) fn end(self, duration_ms: u64) -> AttemptEnd {
        let Self { outcome, found, claim, product, handle, source, consumed: _ } = self;
        AttemptEnd { outcome, found, claim, product, handle, source, cost: Usd::ZERO, duration_ms }
    }
}

/// The outcome of an attempt that ended with this fault.
pub(super) const fn fault_outcome(fault: Fault) -> Outcome {
    match fault {
        Fault::KeyRejected => Outcome::KeyRejected,
        Fault::ProviderOutOfCredits => Outcome::ProviderOutOfCredits,
        Fault::RateLimited { .. } => Outcome::RateLimited(Throttle::TriesSpent),
        Fault::Unavailable => Outcome::Unavailable(Outage::Answered),
        Fault::ProtocolError => Outcome::ProtocolError,
        Fault::BadRequest => Outcome::BadRequest,
    }
}

/// The outcome of an attempt that the gate refused.
pub(super) const fn refusal_outcome(refusal: Refusal) -> Outcome {
    match refusal {
        Refusal::BreakerOpen(_) => Outcome::Unavailable(Outage::BreakerOpen),
        Refusal::Stopped(fault) => fault_outcome(fault),
    }
}
