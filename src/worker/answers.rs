//! What an adapter read, as the end of an attempt.

use crate::domain::Address;
use crate::domain::AnswerSource;
use crate::domain::AttemptEnd;
use crate::domain::Consumed;
use crate::domain::Outage;
use crate::domain::Outcome;
use crate::domain::Product;
use crate::domain::ProviderName;
use crate::domain::Throttle;
use crate::domain::Unwritten;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::http::Refusal;
use crate::ledger::rules::Owed;
use crate::pricing::Price;
use crate::pricing::PriceError;
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
    /// Nobody says what it took; known once it is priced.
    pub(super) unsaid: bool,
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
            unsaid: false,
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

    /// What is owed for it at this price of the house's. What is not said, or more than an amount can be, is no
    /// count: then it is what was held, and the end says so.
    pub(super) fn owed(&mut self, price: Price, provider: &ProviderName) -> Owed {
        if self.outcome == Outcome::Unwritten(Unwritten::NoEmail) {
            // It is billed, and the customer has nothing of it.
            return Owed::ByHouse;
        }
        match price.of(self.consumed) {
            Ok(amount) => return Owed::Amount(amount),
            Err(PriceError::Unpriced) => {}
            Err(error @ PriceError::Amount(_)) => {
                tracing::warn!(%provider, "a count that cannot be is not believed, and costs what was held: {error}");
            }
        }
        self.unsaid = true;
        if let Some(Product::Copy { tokens, .. }) = &mut self.product {
            *tokens = None;
        }
        Owed::Held
    }

    /// As the attempt's end; the ledger fills in what it cost.
    pub(super) fn end(self, duration_ms: u64) -> AttemptEnd {
        let Self { outcome, found, claim, product, handle, source, consumed: _, unsaid } = self;
        AttemptEnd { outcome, found, claim, product, handle, source, cost: Usd::ZERO, duration_ms, unsaid }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Tokens;
    use crate::pricing::CreditPrice;
    use crate::pricing::TokenPrice;
    use rust_decimal::Decimal;

    const TOKENS: Tokens = Tokens { input: 900, cached_input: 0, cache_write: 0, output: 100, reasoning: 0 };
    const NONSENSE: Tokens = Tokens { output: u64::MAX, ..TOKENS };

    /// A dollar for a million tokens of any kind.
    fn token_price() -> Price {
        let one = Decimal::ONE;
        Price::Token(TokenPrice { input: one, cached_input: one, cache_write: one, output: one })
    }

    fn credit_price() -> Price {
        Price::Credit(CreditPrice::new(Decimal::ONE).unwrap())
    }

    fn unwritten(tokens: Option<Tokens>, consumed: Consumed) -> Upshot {
        Upshot::of(Answer::Unwritten { why: Unwritten::Refused, tokens, consumed })
    }

    /// What is owed for it, and how it ends.
    fn priced(mut upshot: Upshot, price: Price) -> (Owed, AttemptEnd) {
        let owed = upshot.owed(price, &ProviderName::new("openai"));
        (owed, upshot.end(7))
    }

    #[test]
    fn what_is_not_said_or_cannot_be_is_owed_as_it_was_held_and_marked() {
        let exactly = |nanos| Owed::Amount(Usd::from_nanos(nanos));
        let dollars = |nanos: i64| Consumed::Dollars(Decimal::new(nanos, 9));
        // Of tokens and of what was consumed: what is owed, and is it marked?
        for (tokens, consumed, owed, unsaid) in [
            (Some(TOKENS), Consumed::Tokens(TOKENS), exactly(1_000_000), false),
            (Some(TOKENS), dollars(250), exactly(250), false),
            (None, dollars(250), exactly(250), false),
            (None, Consumed::NOTHING, Owed::NOTHING, false),
            (None, Consumed::Unsaid, Owed::Held, true),
            (Some(NONSENSE), Consumed::Tokens(NONSENSE), Owed::Held, true),
            (Some(TOKENS), Consumed::Dollars(Decimal::MAX), Owed::Held, true),
        ] {
            let (told, end) = priced(unwritten(tokens, consumed), token_price());
            assert_eq!((told, end.unsaid), (owed, unsaid), "{consumed:?}");
            let kept = Product::Copy { draft: None, tokens: tokens.filter(|_| !unsaid) };
            assert_eq!(end.product, Some(kept), "{consumed:?}");
        }
    }

    #[test]
    fn credits_that_cannot_be_are_owed_as_they_were_held() {
        for (credits, owed, unsaid) in
            [(Decimal::from(2), Owed::Amount(Usd::from_nanos(2_000_000_000)), false), (Decimal::MAX, Owed::Held, true)]
        {
            let (told, end) = priced(Upshot::of(Answer::NotFound { credits }), credit_price());
            assert_eq!((told, end.unsaid), (owed, unsaid), "{credits}");
        }
    }

    #[test]
    fn a_call_without_an_answer_is_owed_nothing() {
        for upshot in [Upshot::called(Outcome::Timeout), Upshot::not_asked(Outcome::NotApplicable)] {
            let (owed, end) = priced(upshot, token_price());
            assert_eq!((owed, end.unsaid), (Owed::NOTHING, false));
        }
    }
}
