//! What a call costs in dollars: what it consumed, times the configured price, rounded up once.
//!
//! Knows prices, credits and tokens, nothing of wallets or calls.
//! Invariant: pure, exact, no float, no default price: what has no price has no [`Price`].
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::arithmetic_side_effects)]

#[cfg(test)]
mod tests;

use crate::domain::AmountError;
use crate::domain::Consumed;
use crate::domain::Tokens;
use crate::domain::Usd;
use rust_decimal::Decimal;

/// A model's prices are per so many tokens.
const A_MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// What is paid for what a call consumes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Price {
    /// The customer's own key: nothing is paid here, whatever it consumes there.
    Free,
    /// So much per provider credit.
    Credit(CreditPrice),
    /// So much per token.
    Token(TokenPrice),
}

/// US dollars per provider credit; zero only where the configuration says "0".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreditPrice(Decimal);

/// US dollars per million tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenPrice {
    /// Read, neither from nor into the provider's cache.
    pub input: Decimal,
    /// Read from its cache.
    pub cached_input: Decimal,
    /// Written into its cache.
    pub cache_write: Decimal,
    /// Written, reasoning included.
    pub output: Decimal,
}

/// Why something has no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// The product does not fit an amount.
    #[error("the price is {0}")]
    Amount(#[from] AmountError),
    /// It is counted in another measure, or was not said: it costs what was held for it.
    #[error("what was consumed is not counted in what has a price")]
    Unpriced,
}

impl Price {
    /// What this costs, rounded up to the next nano-dollar.
    ///
    /// # Errors
    /// When it was not said, is counted in another measure, or does not fit an amount.
    pub fn of(self, consumed: Consumed) -> Result<Usd, PriceError> {
        match (self, consumed) {
            (Self::Free, _) => Ok(Usd::ZERO),
            // Nothing is nothing in every measure.
            (_, Consumed::Credits(credits)) if credits.is_zero() => Ok(Usd::ZERO),
            (Self::Credit(price), Consumed::Credits(credits)) => Ok(price.of(credits)?),
            (Self::Token(price), Consumed::Tokens(tokens)) => Ok(price.of(tokens)?),
            (Self::Token(_), Consumed::Dollars(dollars)) => Ok(Usd::round_up(dollars.max(Decimal::ZERO))?),
            (Self::Credit(_), Consumed::Tokens(_) | Consumed::Dollars(_))
            | (Self::Token(_), Consumed::Credits(_))
            | (_, Consumed::Unsaid) => Err(PriceError::Unpriced),
        }
    }

    /// What is held for the most that a call can consume: input at the dearest of its prices, because nobody
    /// knows beforehand what the provider's cache does.
    ///
    /// # Errors
    /// As for [`Price::of`].
    pub fn of_worst(self, most: Consumed) -> Result<Usd, PriceError> {
        match self {
            Self::Token(price) => {
                let dearest = price.input.max(price.cached_input).max(price.cache_write);
                Self::Token(TokenPrice { input: dearest, ..price }).of(most)
            }
            Self::Free | Self::Credit(_) => self.of(most),
        }
    }
}

impl CreditPrice {
    /// A price read from the configuration. `None` when negative.
    pub fn new(dollars_per_credit: Decimal) -> Option<Self> {
        (!dollars_per_credit.is_sign_negative() || dollars_per_credit.is_zero()).then_some(Self(dollars_per_credit))
    }

    /// The price of so many credits, rounded up to the next nano-dollar. Used twice a call: for the
    /// hold with the worst case, for the settlement with what was consumed. Credits below zero (a
    /// provider's nonsense) cost nothing.
    ///
    /// # Errors
    /// `TooLarge` when the product does not fit an amount.
    pub fn of(self, credits: Decimal) -> Result<Usd, AmountError> {
        let dollars = self.0.checked_mul(credits.max(Decimal::ZERO)).ok_or(AmountError::TooLarge)?;
        Usd::round_up(dollars)
    }
}

impl TokenPrice {
    /// The price of so many tokens, each kind at its own, rounded up once.
    ///
    /// # Errors
    /// `TooLarge` when the sum does not fit an amount.
    pub fn of(&self, tokens: Tokens) -> Result<Usd, AmountError> {
        let kinds = [
            (tokens.input, self.input),
            (tokens.cached_input, self.cached_input),
            (tokens.cache_write, self.cache_write),
            (tokens.output, self.output),
        ];
        let priced = kinds
            .into_iter()
            .try_fold(Decimal::ZERO, |sum, (count, price)| sum.checked_add(Decimal::from(count).checked_mul(price)?));
        let dollars = priced.and_then(|sum| sum.checked_div(A_MILLION)).ok_or(AmountError::TooLarge)?;
        Usd::round_up(dollars)
    }
}
