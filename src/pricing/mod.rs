//! What a call costs in dollars: provider credits times the configured price, rounded up once.
//!
//! Knows prices and credits, nothing of wallets or calls.
//! Invariant: pure, exact, no float, no default price: what has no price has no [`CreditPrice`].
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::arithmetic_side_effects)]

use crate::domain::AmountError;
use crate::domain::Usd;
use rust_decimal::Decimal;

/// US dollars per provider credit; zero only where the configuration says "0".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreditPrice(Decimal);

impl CreditPrice {
    /// The customer's own credits cost nothing here.
    pub const FREE: Self = Self(Decimal::ZERO);

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    #[test]
    fn credits_times_price_is_exact_and_rounded_up_once() {
        for (price, credits, dollars) in [
            ("0.0125", "1", "0.012500000"),
            ("0.0125", "0.25", "0.003125000"),
            ("0.0125", "5", "0.062500000"),
            ("0.0000000001", "1", "0.000000001"),
            ("0.019", "0.1", "0.001900000"),
            ("0", "5", "0.000000000"),
            ("0.0125", "-3", "0.000000000"),
        ] {
            let price = CreditPrice::new(Decimal::from_str(price).unwrap()).unwrap();
            let cost = price.of(Decimal::from_str(credits).unwrap()).unwrap();
            assert_eq!(cost.to_string(), dollars, "{price:?} x {credits}");
        }
    }

    #[test]
    fn a_negative_price_is_no_price() {
        assert_eq!(CreditPrice::new(Decimal::from_str("-0.01").unwrap()), None);
    }
}
